# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How large a virtual machine may be, whoever starts it. Private to netmap.ptnet."""

from __future__ import annotations

MEMORY = 512  # MiB, where nothing is said
MEMORY_MAX = 1 << 24  # MiB; more than any host has, so a number beyond it is a slip
CPUS_MAX = 255  # what machine pc of either QEMU takes
