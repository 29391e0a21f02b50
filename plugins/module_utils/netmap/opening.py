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


def refuse_wedging(ports, entries, interfaces=None):
    """Refuse names whose REGISTER crashes netmap, or makes an attached port unusable until the next reboot.

    A persistent port that is opened while attached is renamed in its switch's list (netmap_update_config in
    netmap.c); a host-stack entry has no rings to open (netmap_bdg.c).

    :param ports: names as users write them, libnetmap suffixes allowed (list of str)
    :param entries: what the switches hold, from :meth:`device.Device.entries`
    :param interfaces: names of the network interfaces; by default those of this machine
    :raises PtnetError: the first one that must not be opened
    """
    if interfaces is None:
        interfaces = [name for _index, name in socket.if_nameindex()]
    attached = {entry.port: entry.name for entry in entries if entry.port in interfaces or entry.stuck}
    for port in ports:
        match = re.match(r"(?:netmap:)?(?:(vale\w*):)?(\w+)(.?)", port)
        if not match:
            continue
        switch, name, suffix = match.groups()
        if switch and (suffix == "^" or name in interfaces):
            raise PtnetError("port %s may not be opened" % port, found="%s is an interface attached to a switch" % name,
                             expected="a port that nobody attached, such as %s:10" % switch)
        if not switch and name in attached:
            raise PtnetError(
                "port %s may not be opened" % port, found="it is attached to a switch as %s" % attached[name],
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
        found.append("%s (process %d)" % ("VM " + guest[0] if guest else os.path.basename(words[0]), pid))
    return found
