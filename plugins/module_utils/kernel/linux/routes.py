# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interfaces carry the management of a Linux machine. Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import struct

_UP = 1
_REJECT = 0x200


def carried(root=""):
    """Interfaces that carry the default route or this SSH connection, and those below them (dict of str).

    :param root: prefix of all paths, for tests (path)
    """
    routes = _routes(root)
    found = {}
    for network, interface in routes:
        if network.prefixlen == 0:
            found.setdefault(interface, "the default route")
    peer = _ssh_peer(root)
    if peer is not None:
        fitting = [(network.prefixlen, interface) for network, interface in routes
                   if network.version == peer.version and peer in network]
        if fitting:
            found[max(fitting)[1]] = "the SSH connection from %s" % peer
    for interface in list(found):
        _below(root, interface, found)
    found.pop("lo", None)
    return found


def _below(root, interface, found):
    """A bridge, bond or VLAN is as good as the interfaces under it."""
    try:
        links = os.listdir("%s/sys/class/net/%s" % (root, interface))
    except OSError:
        return
    for link in links:
        lower = link[len("lower_"):]
        if link.startswith("lower_") and lower not in found:
            found[lower] = found[interface]
            _below(root, lower, found)


def _routes(root):
    routes = []
    with contextlib.suppress(OSError), open(root + "/proc/net/route", encoding="ascii") as stream:
        next(stream, None)
        for line in stream:
            word = line.split()
            if int(word[3], 16) & _UP and not int(word[3], 16) & _REJECT:
                address, mask = (struct.pack("=I", int(text, 16)) for text in (word[1], word[7]))
                network = "%s/%s" % (ipaddress.IPv4Address(address), ipaddress.IPv4Address(mask))
                routes.append((ipaddress.ip_network(network, strict=False), word[0]))
    with contextlib.suppress(OSError), open(root + "/proc/net/ipv6_route", encoding="ascii") as stream:
        for line in stream:
            word = line.split()
            if int(word[8], 16) & _UP and not int(word[8], 16) & _REJECT:
                address = (bytes.fromhex(word[0]), int(word[1], 16))
                routes.append((ipaddress.ip_network(address, strict=False), word[9]))
    return routes


def _ssh_peer(root):
    """The peer of the SSH session that we run in; sudo drops the variable, so our ancestors are asked too."""
    text, pid = os.environ.get("SSH_CONNECTION"), os.getppid()
    while not text and pid > 1:
        try:
            with open("%s/proc/%d/environ" % (root, pid), "rb") as stream:
                for item in stream.read().split(b"\0"):
                    if item.startswith(b"SSH_CONNECTION="):
                        text = item.split(b"=", 1)[1].decode("ascii", "replace")
            with open("%s/proc/%d/stat" % (root, pid), "rb") as stream:
                pid = int(stream.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            break
    try:
        return ipaddress.ip_address(text.split()[0].split("%")[0])
    except (AttributeError, IndexError, ValueError):
        return None
