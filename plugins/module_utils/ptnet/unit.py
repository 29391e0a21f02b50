# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd unit of a port process. Pure text. Private to netmap.ptnet."""

from __future__ import annotations

from .. import sandbox
from ..netmap import opening
from ..places import DEVICE
from . import archive, layout, managers, port_options, protocol

_TEXT = """\
# Written by netmap.ptnet; changes made here are undone.
[Unit]
Description=netmap ports of %(name)s over vfio-user
After=systemd-modules-load.service systemd-tmpfiles-setup.service netmap-ptnet-ports.service
StartLimitIntervalSec=0
%(part)s
[Service]
Type=notify
ExecStart=%(start)s
# A user that exists while it runs; what it may do comes from its groups: the device, and who may connect.
DynamicUser=yes
Group=%(group)s
SupplementaryGroups=%(netmap)s
RuntimeDirectory=%(directory)s
RuntimeDirectoryMode=0750
TimeoutStartSec=330
TimeoutStopSec=15
Restart=%(restart)s
RestartSec=200ms
# It must not open one of its ports, and would say so for ever.
RestartPreventExitStatus=%(refused)d
OOMScoreAdjust=-500
%(sandbox)s%(install)s"""


def command(name, ports, python):
    """What the unit starts (list of str).

    :param ports: id, ifname, mac, mode, pause, registers, pci_ids; as :func:`port_options.check` (list of dict)
    """
    argv = [python, "-I", archive.PATH, "--name", layout.check_name(name)]
    for port in ports:
        argv += ["--port", port_options.write(port)]
    return argv


def text(name, ports, group, python, vm=None):
    """The whole unit file (str).

    :param ports: as :func:`command`
    :param group: whose members may connect (str)
    :param python: absolute path of the interpreter (str)
    :param vm: the unit of the one VM that it serves, which it ends with; None for a process on its own (str)
    """
    count = len(layout.devices(name, [port["ifname"] for port in ports]))
    return _TEXT % {
        "name": name, "group": group, "netmap": archive.GROUP, "refused": opening.REFUSED,
        "directory": layout.UNIT_PREFIX + name,
        "start": _lines(command(name, ports, python)),
        "part": "PartOf=%s\nBefore=%s\n" % (vm, vm) if vm else "Before=%s\n" % " ".join(managers.UNITS),
        # It ends with its clients, and QEMU cannot connect again: with a VM of ours it is started together.
        "restart": "no" if vm else "always",
        "install": "" if vm else "\n[Install]\nWantedBy=multi-user.target\n",
        "sandbox": sandbox.directives(
            # Each client may send a descriptor for each mapping, and has a thread and perhaps a loop.
            LimitNOFILE=str(256 + count * (protocol.MAPPINGS_MAX + 64)), TasksMax=str(16 + 3 * count),
            # VALE switches belong to a network namespace, and the ports of this host are wanted.
            PrivateNetwork="no", BindPaths=DEVICE, DeviceAllow=DEVICE + " rw",
            MemoryMax="128M"),
    }


def of_vm(content):
    """Whether the text of a unit file is that of a VM's port process, and not one on its own (bool)."""
    return "PartOf=" in content


def _lines(argv):
    """One option a line, so that a diff shows what changed; nothing in it needs to be quoted."""
    text = argv[0]
    for word in argv[1:]:
        text += (" \\\n  " if word.startswith("--") else " ") + word.replace("%", "%%")
    return text
