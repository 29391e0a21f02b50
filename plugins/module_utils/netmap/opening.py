# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports opened by other programs (QEMU, pkt-gen): which must not be, and by whom they are. Private to netmap.ptnet."""

from __future__ import annotations

import glob
import os
import re
import socket

from ..errors import PtnetError
from . import libnetmap, names

# The exit status of a process that must not open its ports; systemd does not start it again for that (EX_NOPERM).
REFUSED = 77


class MustNotOpen(PtnetError):
    """A port whose opening would wedge netmap; the next try would be refused as well."""


def refuse_wedging(ports, entries, interfaces=None):
    """Refuse names whose REGISTER crashes netmap, or makes an attached port unusable until the next reboot.

    A persistent port that is opened while attached is renamed in its switch's list (netmap_update_config in
    netmap.c), also when the open is refused afterwards because of its suffix; a host-stack entry has no rings to open
    (netmap_bdg.c). ``@share`` makes libnetmap query the other port, with the same effect. A pipe or a monitor does not
    rename its attached parent (seen), but lives in a port that is the switch's.

    A monitor of a VALE port that nobody has open is refused as well: the kernel answers EINVAL.

    :param ports: names as users write them, libnetmap suffixes allowed (list of str)
    :param entries: what the switches hold, from :meth:`device.Device.entries`
    :param interfaces: names of the network interfaces; by default those of this machine
    :raises MustNotOpen: the first one that must not be opened
    :raises PtnetError: no port, or a monitor without a port
    """
    if interfaces is None:
        interfaces = [name for _index, name in socket.if_nameindex()]
    attached = {entry.port: entry.name for entry in entries if entry.port in interfaces or entry.stuck}
    requests = [libnetmap.parse(port) for port in ports]
    held = {entry.name for entry in entries}
    for text, request in zip(ports, requests):
        for port in [request.port] + ([request.share.port] if request.share else []):
            if isinstance(port, names.PipeEnd):
                port = names.parse(port.parent)
            _refuse_attached(names.shown(text)[1:-1], port, attached, interfaces)
        name = request.port.kernel_name()
        if request.monitor and isinstance(request.port, names.VALEPort) and name not in held:
            raise PtnetError("the monitor %s has nothing to watch" % request.text(), found="nobody has %s open" % name,
                             expected="a port that is in use", remedy="start the program or the VM on %s first, in a "
                             "task of its own" % name)


def _refuse_attached(text, port, attached, interfaces):
    if isinstance(port, names.VALEPort):
        if port.port in interfaces:
            raise MustNotOpen("port %s may not be opened" % text, found="%s is an interface, and so attached to the "
                              "switch, not opened" % port.port,
                              expected="a port that nobody attached, such as %s:10" % port.switch)
    elif port.name in attached:
        raise MustNotOpen(
            "port %s may not be opened" % text,
            found="%s is attached to a switch as %s" % (port.name, attached[port.name]),
            expected="a port that is not attached; the kernel would lose this one until a reboot",
            remedy="use a port of the switch itself, such as vale1:10, or a pipe of an unattached parent")


def users(port, processes="/proc"):
    """Who names a port in its command line: VMs and tools of this machine, in words (list of str).

    netmap itself does not tell who holds a port. Ourselves and processes that cannot be read are left out.

    :param port: the kernel's name, such as vale1:10 (str)
    :param processes: where the kernel shows its processes (path)
    """
    found = []
    named = re.compile(r"(?:^|[=:,])%s(?:$|[,@/*^-])" % re.escape(port))
    for path in sorted(glob.glob(os.path.join(processes, "[0-9]*", "cmdline"))):
        try:
            with open(path, "rb") as stream:
                words = stream.read().decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        pid = int(path.split(os.sep)[-2])
        if pid == os.getpid() or not any(named.search(word) for word in words):
            continue
        guest = [match.group(1) for match in (re.search(r"guest=([^,]+)", word) for word in words) if match]
        process = port_process(words)
        who = "VM " + guest[0] if guest else "port process " + process if process else os.path.basename(words[0])
        found.append("%s (process %d)" % (who, pid))
    return found


def port_process(words):
    """The name of the port process that has this command line (str), None when it is another program. Pure.

    :param words: its arguments (list of str)
    """
    if "--name" not in words or not any(word.endswith("/ptnet.pyz") for word in words):
        return None
    return next(iter(words[words.index("--name") + 1:]), None)
