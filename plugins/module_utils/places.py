# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where this collection keeps things on a host, and what several parts find there. Pure. Private to netmap.ptnet.

What belongs to one part alone stands with that part.
"""

from __future__ import annotations

# What lasts: records, builds, archives, disks of virtual machines, and the programs that run without Ansible.
STORE = "/var/lib/netmap-ptnet"
RESTORE = STORE + "/restore.pyz"  # restores ports at boot (netmap/boot.py)
WATCH = STORE + "/watch.pyz"  # holds duplicates of what others have open (watch/main.py)
PORT_PROCESS = STORE + "/ptnet.pyz"  # serves ports to QEMU (ptnet/program.py)
MACHINES = STORE + "/vms"

# What is gone after a reboot.
RUN = "/run/netmap-ptnet"

UNITS = "/etc/systemd/system"
DEVICE = "/dev/netmap"
