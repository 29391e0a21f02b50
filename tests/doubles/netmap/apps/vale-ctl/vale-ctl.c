/* Copyright (c) netmap.ptnet contributors
 * GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A double of vale-ctl that lists the ports of all switches, for people; the collection asks the device itself.
 */
#include <net/netmap_user.h>

int
main(int argc, char **argv)
{
	struct nmreq_vale_list body = {0};
	int fd = open(DOUBLE_DEVICE, O_RDWR);

	(void)argv;
	if (argc > 1) {
		fprintf(stderr, "this double of vale-ctl only lists; use the modules of the collection\n");
		return 2;
	}
	if (fd < 0) {
		perror(DOUBLE_DEVICE);
		return 1;
	}
	for (;;) {
		struct nmreq_header header;

		memset(&header, 0, sizeof(header));
		header.nr_version = NETMAP_API;
		header.nr_reqtype = NETMAP_REQ_VALE_LIST;
		header.nr_body = (uintptr_t)&body;
		if (ioctl(fd, NIOCCTRL, &header) != 0)
			return 0;
		printf("bridge:%u port:%u %.64s\n", body.nr_bridge_idx, body.nr_port_idx, header.nr_name);
		body.nr_port_idx++;
	}
}
