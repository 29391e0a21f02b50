# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ptnet QEMU says when it gives up, as sentences with the next step. Pure. Private to netmap.ptnet."""

from __future__ import annotations

import re

# The texts of net/netmap.c, accel/kvm/kvm-all.c, net/slirp.c and block/ of QEMU 3.0.94. {0} is the matched name.
TABLE = (
    (r"Failed to open\(/dev/netmap\): No such file", "netmap is not loaded on this host",
     "load the netmap module (role netmap.ptnet.netmap), then run again"),
    (r"Failed to open\(/dev/netmap\): Permission denied", "QEMU may not open /dev/netmap",
     "run the VM as root, or as a member of the group that owns /dev/netmap"),
    (r"Failed to register (\S+): Device or resource busy", "port {0} is in use",
     "stop its user or give this VM another port; a port, and each end of a pipe, has one user"),
    (r"Failed to register (\S+): No such device or address", "there is no port {0} on this host",
     "create it first (role netmap.ptnet.ports) or correct the name"),
    (r"Failed to register (\S+): Cannot allocate memory", "netmap has no room for port {0}",
     "check that the name has a switch and a port (vale1:10), that max_bridges allows one more switch, "
     "and that netmap's memory parameters allow for all declared ports"),
    (r"Failed to register (\S+): Invalid argument", "netmap refuses the port name {0}",
     "use a name that is no existing interface, such as vale1:10 or netmap:pipe0{{1"),
    (r"(?i)could not access KVM kernel module|failed to initialize KVM|No accelerator found",
     "KVM is not available, and ptnet needs it",
     "load kvm-intel or kvm-amd, enable virtualization in the firmware, or nested virtualization in the host above"),
    (r"failed to set MSR|kvm_put_msrs", "KVM refuses a register that this CPU model sets",
     "set cpu to a named model, such as Haswell-noTSX or qemu64; this QEMU is older than some processors"),
    (r"kvm_irqchip_add_\w+\(\) failed", "KVM cannot pass interrupts to ptnet ports",
     "use a host with in-kernel KVM; emulated processors need a virtualization extension (svm, npt)"),
    (r"Could not set up host forwarding rule '([^']*)'", "the management forward {0} cannot be opened",
     "choose a host_port that nothing else listens on"),
    (r"(?:Failed to get|another process using).*?lock", "a disk is in use by another process",
     "give each VM its own disk, an overlay on a shared image for example"),
    (r"Could not open '([^']*)'", "disk {0} cannot be opened", "check that it exists and has the declared format"),
    (r"cannot set up guest memory.*Cannot allocate memory", "the host has too little memory for this VM",
     "lower memory, or stop other VMs"),
    (r"[Cc]ould not load (?:PC BIOS|option rom) '([^']*)'", "QEMU lacks its firmware file {0}",
     "install the ptnet QEMU again (role netmap.ptnet.qemu)"),
    (r"PCI: (?:no slot/function available|slot \d+).*", "the PCI bus of the VM is full",
     "declare fewer disks or ports; each memory region of netmap takes a slot as well"),
)


def explain(lines):
    """What made QEMU end.

    :param lines: what it printed (list of str)
    :returns: what is wrong (str), what to do (str or None), and the busy port's kernel name (str or None)
    """
    for line in lines:
        for pattern, what, remedy in TABLE:
            match = re.search(pattern, line)
            if match:
                name = match.group(1) if match.groups() else ""
                return what.format(name), remedy.format(name), name if "busy" in pattern else None
    return "QEMU ended", None, None
