# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an interface's driver tells and is told, ``ioctl(SIOCETHTOOL)`` of linux/ethtool.h. Private to netmap.ptnet."""

from __future__ import annotations

import array
import fcntl
import os
import socket
import struct

from ...netmap.abi import IFNAMSIZ

_SIOCETHTOOL = 0x8946
# What makes packets that netmap cannot take, and the command that reads it; the next number sets it.
OFFLOADS = {"tx-checksum": 0x16, "tso": 0x1E, "gso": 0x23, "gro": 0x2B}


def ask(name, command, size=8):
    """The driver's answer (bytes of that size, the command in front); None when it has none.

    :param name: the interface (str)
    :param command: a number of linux/ethtool.h that only reads (int)
    """
    return _exchange(name, struct.pack("=I", command).ljust(size, b"\0"))


def switch_off(name):
    """Switch the OFFLOADS of an interface off, as far as its driver has them."""
    for command in OFFLOADS.values():
        _exchange(name, struct.pack("=II", command + 1, 0))


def _exchange(name, value):
    value = array.array("B", value)
    request = struct.pack("%dsP" % IFNAMSIZ, os.fsencode(name)[:IFNAMSIZ - 1], value.buffer_info()[0]).ljust(40, b"\0")
    # Any socket will do (sock_do_ioctl in Linux's net/socket.c); this one a service may have that has no network.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            fcntl.ioctl(sock, _SIOCETHTOOL, request)
        except OSError:
            return None
    return value.tobytes()
