/* Copyright (c) netmap.ptnet contributors
 * GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * In the place of lb, which needs a datapath.
 */
#include <stdio.h>

int
main(void)
{
	fprintf(stderr, "lb: this netmap is a double without a datapath\n");
	return 1;
}
