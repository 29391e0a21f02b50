# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What QEMUs and systemd say when they give up, as sentences with the next step. Pure. Private to netmap.ptnet.

What only one QEMU says stands with that one.
"""

from __future__ import annotations

import re

# The texts of accel/kvm/kvm-all.c, net/slirp.c and block/ of QEMU, 3.0.94 to 11.1. {0} is the matched name.
TABLE = (
    (r"(?i)could not access KVM kernel module|failed to initialize KVM|No accelerator found",
     "KVM is not available, and ptnet needs it",
     "load kvm-intel or kvm-amd, enable virtualization in the firmware, or nested virtualization in the host above"),
    (r"Could not set up host forwarding rule '([^']*)'", "the management forward {0} cannot be opened",
     "choose a host_port that nothing else listens on; ports below 1024 need management.backend: passt"),
    (r"(?:Failed to get|another process using).*?lock", "a disk is in use by another process",
     "give each VM its own disk, an overlay on a shared image for example"),
    (r"Could not open '([^']*)': Permission denied", "disk {0} cannot be opened by the user of the VM",
     "let that user read it, and write it unless read_only is set; each VM has its own user, ptnet-vm-NAME"),
    (r"Could not open '([^']*)'", "disk {0} cannot be opened", "check that it exists and has the declared format"),
    (r"cannot set up guest memory.*Cannot allocate memory", "the host has too little memory for this VM",
     "lower memory, or stop other VMs"),
)


# The form that errors.PtnetError gives a text; so an error of the port process is taken apart again.
_OURS = re.compile(r"(?P<what>.+?)(?:; found: (?P<found>.+?))?(?:; expected: (?P<expected>.+?))?\."
                   r"(?: To do: (?P<remedy>.+)\.)?")


def ours(lines):
    """The last line as an error of our own: what, found, expected, remedy, each of them text or None (dict).

    Empty when it has no such form.
    """
    match = _OURS.fullmatch(lines[-1]) if lines else None
    return match.groupdict() if match and (match["found"] or match["remedy"]) else {}


def explain(lines, tables=(TABLE,)):
    """What made QEMU end.

    :param lines: what it printed (list of str)
    :param tables: rows of pattern, sentence and next step; the first that fits wins (list of tuples)
    :returns: what is wrong (str), what to do (str or None), and the busy port's kernel name (str or None)
    """
    for line in lines:
        for table in tables:
            for pattern, what, remedy in table:
                match = re.search(pattern, line)
                if match:
                    name = match.group(1) if match.groups() else ""
                    return what.format(name), remedy.format(name), name if "busy" in pattern else None
    return "QEMU ended", None, None
