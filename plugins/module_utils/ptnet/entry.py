# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the archive on a host is started for: to serve ports, or to say whether ports may be opened.

Private to netmap.ptnet. The second is for whoever opens ports without us (the ptnet fork of QEMU), before each start,
those at boot and by Restart= of systemd too: opening a port that is on a switch makes it unusable until a reboot
(forbidden.py). Only the list of ports is asked for, which takes no lock, so it runs with the rights of the VM's user.

Nor could a lock be held until QEMU has opened its ports: whoever hands one to QEMU hands it over for QEMU's life, and
nobody else knows when that has opened them. What is left is small. A persistent port is attached under the lock by
``vale_port`` alone, and only one that was made under the same lock: none that was there, and free, when we looked.
"""

from __future__ import annotations

import sys

from ..errors import PtnetError
from ..kernel.platform import platform
from ..netmap import opening
from ..netmap.device import Device

# This file and all that it imports on Linux, below module_utils.
SOURCES = ("command", "errors", "files", "kernel.linux.ethtool", "kernel.linux.platform", "kernel.platform",
           "kernel.unix", "mac", "netmap.abi", "netmap.changes", "netmap.device", "netmap.forbidden",
           "netmap.libnetmap", "netmap.lock", "netmap.names", "netmap.opened", "netmap.opening", "places",
           "ptnet.complaints", "ptnet.devices", "ptnet.entry", "ptnet.layout", "ptnet.loop", "ptnet.memory",
           "ptnet.pci", "ptnet.port_options", "ptnet.program", "ptnet.protocol", "ptnet.registers", "ptnet.server")
MAY_OPEN = "may-open"


def main(argv=None):
    """The command line; returns the exit status (int)."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == [MAY_OPEN]:
        return may_open(words[1:])
    from .program import main as serve  # Its imports take longer than the question above.

    return serve(words)


def may_open(ports, system=None, device=None):
    """Say on standard output why ports must not be opened; returns the exit status (int).

    :param ports: as users write them (list of str)
    :returns: 0 when they may be, :data:`opening.REFUSED` when they must not, 1 when that cannot be found out
    """
    system = system or platform()
    try:
        opening.refuse_wedging(ports, (device or Device(system.driver_of)).entries(), system.interfaces())
    except PtnetError as error:
        sys.stdout.write(error.message + "\n")
        sys.stdout.flush()
        return opening.REFUSED if isinstance(error, opening.MustNotOpen) else 1
    return 0
