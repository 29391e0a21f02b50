# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs of veth interfaces, and what polling may use, on Linux. Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import os
import re
import struct

from .. import platform
from .ethtool import ask, switch_off

_ETHTOOL_GCHANNELS = 0x3C


class Links(platform.Links):
    """Reads and changes interfaces of one machine.

    :param root: prefix of all paths, for tests (path)
    :param program: runs a program (``Linux._program``)
    """

    PAIR = "veth"

    def __init__(self, root, program):
        self._root = root
        self._program = program

    def pair(self, name):
        index, peer = self._number(name, "iflink"), None
        folder = self._root + "/sys/class/net"
        for other in os.listdir(folder):
            if other != name and self._number(other, "ifindex") == index:
                peer = other
        return {"peer": peer, "up": all(one and self._number(one, "flags") & 1 for one in (name, peer))}

    def make(self, name, peer, mac):
        # Without offloads: frames that the kernel left without a checksum, or larger than a buffer, would reach the
        # switch so (generic_rx_handler in netmap_generic.c).
        self._program(["ip", "link", "add", name, "type", "veth", "peer", "name", peer, "address", mac],
                      remedy="install iproute2; the kernel needs its module veth")
        for end in (name, peer):
            switch_off(end)

    def raise_ends(self, *names):
        for name in names:
            self._program(["ip", "link", "set", name, "up"])

    def remove(self, name):
        self._program(["ip", "link", "delete", name])

    def polling_limits(self, name):
        # netmap asks the driver for its channels, the kernel for its queues (nm_os_generic_find_num_queues in
        # netmap_linux.c); of different answers the safer one counts.
        text = self._text("/sys/devices/system/cpu/online") or "0"
        online = [number for first, last in re.findall(r"(\d+)(?:-(\d+))?", text)
                  for number in range(int(first), int(last or first) + 1)]
        queues = []
        with contextlib.suppress(OSError):
            queues = os.listdir("%s/sys/class/net/%s/queues" % (self._root, name))
        receive, transmit = (sum(one.startswith(kind) for one in queues) for kind in ("rx-", "tx-"))
        channels = self._channels(name)
        return (online, min([receive] + channels[:1]), max([transmit] + channels[1:]))

    @staticmethod
    def _channels(name):
        answer = ask(name, _ETHTOOL_GCHANNELS, 36)
        if answer is None:
            return []
        receive, transmit, _other, both = struct.unpack("=9I", answer)[5:]
        return [receive or both, transmit or both]

    def _number(self, name, file):
        return int(self._text("/sys/class/net/%s/%s" % (name, file)) or "0", 0)

    def _text(self, path):
        try:
            with open(self._root + path, encoding="ascii", errors="replace") as stream:
                return stream.read().strip()
        except OSError:
            return None
