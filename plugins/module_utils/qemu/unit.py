# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd unit that supervises a VM. Pure text. Private to netmap.ptnet."""

from __future__ import annotations

import re

# A client of QEMU's control socket, run by systemd: presses the power button and waits until QEMU has gone.
POWERDOWN = (
    "import socket,sys;s=socket.socket(socket.AF_UNIX);s.settimeout(float(sys.argv[2]));s.connect(sys.argv[1]);"
    "s.sendall(b'{\"execute\":\"qmp_capabilities\"}{\"execute\":\"system_powerdown\"}')\n"
    "while s.recv(4096):pass")

TEMPLATE = """\
# Written by netmap.ptnet.ptnet_vm; changes made here are undone.
[Unit]
Description=ptnet virtual machine %(name)s
After=systemd-modules-load.service network.target netmap-ptnet-ports.service
# The KVM module of the CPU is loaded by udev, with no unit to wait for: a start that came too early is tried again.
StartLimitIntervalSec=120
StartLimitBurst=10

[Service]
Type=exec
# Root: /dev/netmap, /dev/kvm and the images are root's by default.
User=root
UMask=0077
WorkingDirectory=%(directory)s
ExecStart=%(start)s
# SIGTERM alone would be a power cut for the guest; it follows when the guest does not shut down in time.
ExecStop=-%(stop)s
StandardOutput=append:%(log)s
StandardError=append:%(log)s
Restart=on-failure
RestartSec=3
KillMode=mixed
TimeoutStopSec=%(stop_timeout)d

[Install]
WantedBy=multi-user.target
"""


def text(vm, argv, python):
    """The whole unit file (str).

    :param vm: as :func:`definition.define` returns it (dict)
    :param argv: the argument vector of QEMU (list of str)
    :param python: absolute path of the interpreter for the stop command (str)
    """
    stop = [python, "-c", POWERDOWN, vm["qmp"], str(vm["stop_timeout"])]
    return TEMPLATE % dict(vm, start=_lines(argv), stop=" ".join(escape(word) for word in stop))


def escape(word):
    """One argument as systemd.service(5) reads it in a command line: quoted, no specifier, no variable (str)."""
    word = word.replace("%", "%%").replace("$", "$$")
    if re.match(r"[A-Za-z0-9_@%+=:,./$-]+\Z", word):
        return word
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t")):
        word = word.replace(plain, escaped)
    return '"%s"' % word


def _lines(argv):
    """One option a line, so that a diff shows what changed."""
    parts = [escape(argv[0])]
    for word in argv[1:]:
        parts.append((" \\\n  " if word.startswith("-") else " ") + escape(word))
    return "".join(parts)
