# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What other managers of virtual machines must be told to use a port process. Pure text. Private to netmap.ptnet."""

from __future__ import annotations

import json
import shlex
from xml.sax.saxutils import quoteattr

DRIVER = "vfio-user-pci"
# What starts machines when the host boots; their ports have to be there by then. systemd knows only those that exist.
UNITS = ("libvirtd.service", "virtqemud.service", "pve-guests.service", "incus.service")
_MEMORY = "memory-backend-memfd,id=ptnet-ram,size=%dM,share=on"
_LIBVIRT = """\
<!-- in <domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'> -->
<memoryBacking>
  <source type='memfd'/>
  <access mode='shared'/>
</memoryBacking>
<!-- as its last elements -->
<qemu:commandline>
%s</qemu:commandline>
"""


def device(offered, **address):
    """QEMU's ``-device`` for a device of a port process (str, JSON).

    :param offered: id and socket, as :func:`layout.devices` returns them (dict)
    :param address: addr, multifunction, where they are not QEMU's to choose
    """
    return json.dumps({"driver": DRIVER, "id": offered["id"], "socket": {"type": "unix", "path": offered["socket"]},
                       **address}, separators=(",", ":"))


def lines(devices, memory):
    """What to write where, by the name of the manager (dict of str).

    The guest's memory has to be a file that both sides map: without ``share=on`` the ports come up and no packet ever
    arrives.

    :param devices: as :func:`layout.devices` returns them, memory devices first (list of dict)
    :param memory: of the guest, MiB (int)
    """
    words = [word for one in devices for word in ("-device", device(one))]
    shared = ["-object", _MEMORY % memory, "-machine", "memory-backend=ptnet-ram"]
    arguments = " ".join(shlex.quote(word) for word in words)
    return {
        "shell": " ".join(shlex.quote(word) for word in [*shared, *words]),
        "libvirt": _LIBVIRT % "".join("  <qemu:arg value=%s/>\n" % quoteattr(word, {"'": "&apos;"}) for word in words),
        "proxmox": "args: %s %s" % (" ".join(shared), arguments),
        # Incus gives its guests memory of this kind by itself.
        "incus": "raw.qemu: %s" % arguments,
        "cloud_hypervisor": "--memory size=%dM,shared=on %s" % (memory, " ".join(
            "--user-device socket=%s" % one["socket"] for one in devices)),
    }
