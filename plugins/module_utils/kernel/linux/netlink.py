# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interfaces, addresses and routes of a Linux machine, from its kernel by rtnetlink(7). Private to netmap.ptnet."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct

from .. import management

# linux/netlink.h
_REQUEST, _DUMP = 0x1, 0x300
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
# linux/rtnetlink.h
_GETLINK, _GETADDR, _GETROUTE = 18, 22, 26
_LINK, _ADDRESS, _ROUTE, _HOP = struct.Struct("=BxHiII"), struct.Struct("=BBBBi"), struct.Struct("=8BI"), struct.Struct(
    "=HBBi")
_FIB_MATCH = 0x2000
_TABLES = (253, 254)  # default and main; those of rules and VRFs may be for guests' NICs alone
_UNICAST = 1
# linux/if_link.h, linux/if_addr.h, the attributes of linux/rtnetlink.h
_IFNAME, _LOWER, _MASTER, _LINKINFO, _ELSEWHERE, _KIND = 3, 5, 10, 18, 37, 1
_PROPERTIES, _ALTNAME = 52, 53
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_DST, _SRC, _OIF, _MULTIPATH, _TABLE, _PROTOCOL, _SPORT, _DPORT = 1, 2, 4, 9, 15, 27, 28, 29
_IFF_LOOPBACK = 8
_TCP = 6
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_TIMEOUT = 10  # seconds
_ROOM = 1 << 17  # bytes; the kernel sends at most 32 KiB at once


def ask(kind, body, dump=False):
    """What the kernel answers (list of bytes, each behind its message header).

    :param kind: of the request (int)
    :param body: what follows the header (bytes)
    :param dump: whether all there is is asked for (bool)
    :raises OSError: the kernel refused
    """
    found = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as door:
        door.settimeout(_TIMEOUT)
        door.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | (_DUMP if dump else 0), 1, 0) + body)
        while True:
            data = door.recv(_ROOM)
            while len(data) >= _HEADER.size:
                length, answer = _HEADER.unpack_from(data)[:2]
                content, data = data[_HEADER.size:length], data[_aligned(max(length, _HEADER.size)):]
                if answer == _ERROR:
                    number = -struct.unpack_from("=i", content)[0]
                    raise OSError(number, os.strerror(number))
                if answer == _DONE:
                    return found
                found.append(content)
            if not dump:
                return found


def links(query=ask):
    """All interfaces of this network namespace (dict of management.Link by index)."""
    found = {}
    for content in query(_GETLINK, _LINK.pack(0, 0, 0, 0, 0), True):
        _family, _type, index, flags, _change = _LINK.unpack_from(content)
        said = _attributes(content[_LINK.size:])
        kind = _attributes(said.get(_LINKINFO, b"")).get(_KIND, b"")
        # An index of another namespace says nothing here.
        lower = None if _ELSEWHERE in said else _number(said.get(_LOWER))
        found[index] = management.Link(
            _text(said.get(_IFNAME, b"")), management.LOOPBACK if flags & _IFF_LOOPBACK else _text(kind),
            _number(said.get(_MASTER)), None if lower == index else lower,
            tuple(_text(data) for number, data in _each(said.get(_PROPERTIES, b"")) if number == _ALTNAME))
    return found


def addresses(query=ask):
    """All addresses (list of pairs of an interface's index and an ipaddress)."""
    found = []
    for content in query(_GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0), True):
        said = _attributes(content[_ADDRESS.size:])
        # Of a point-to-point interface the other one is the peer's.
        data = said.get(_IFA_LOCAL) or said.get(_IFA_ADDRESS)
        if data:
            found.append((_ADDRESS.unpack_from(content)[4], ipaddress.ip_address(data)))
    return found


def defaults(query=ask):
    """The interfaces of the default routes, of IPv4 and IPv6, in the ordinary tables (list of indices)."""
    found = []
    for family in _FAMILIES.values():
        for content in query(_GETROUTE, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0), True):
            # A router has a million routes; the others are not looked into.
            if content[1] == 0 and content[0] == family and content[7] == _UNICAST:
                said = _attributes(content[_ROUTE.size:])
                if (_number(said.get(_TABLE)) or content[4]) in _TABLES:
                    found += _leaving(said)
    return found


def leaving(one, through=None, query=ask):
    """The interfaces by which packets of a connection leave, by all rules and tables of this machine (list of indices).

    :param one: the connection (management.Session)
    :param through: the interface that it is bound to, or the VRF (index or None)
    """
    family, size = _FAMILIES[one.peer.version], one.peer.max_prefixlen
    bound = _attribute(_OIF, struct.pack("=i", through)) if through else b""
    exact = (_attribute(_SRC, one.local.packed) + _attribute(_PROTOCOL, bytes([_TCP]))
             + _attribute(_SPORT, struct.pack("!H", one.port)) + _attribute(_DPORT, struct.pack("!H", one.peer_port)))
    # An address that no interface has is no source for the kernel, though a connection may have come in on it.
    for source, more in ((size, exact), (0, b"")):
        body = (_ROUTE.pack(family, size, source, 0, 0, 0, 0, 0, _FIB_MATCH) + _attribute(_DST, one.peer.packed) + more
                + bound)
        try:
            answers = query(_GETROUTE, body)
        except OSError:
            continue
        return [index for content in answers for index in _leaving(_attributes(content[_ROUTE.size:]))]
    return []


def _leaving(said):
    """The interfaces of a route, of all its ways (list of indices)."""
    found, data = [_number(said.get(_OIF))], said.get(_MULTIPATH, b"")
    while len(data) >= _HOP.size:
        length, _flags, _hops, index = _HOP.unpack_from(data)
        found.append(index)
        data = data[_aligned(max(length, _HOP.size)):]
    return [index for index in found if index]


def _attributes(data):
    """Attributes by their number (dict of bytes); of equal numbers the last one."""
    return dict(_each(data))


def _each(data):
    """Attributes in their order: number (int) and content (bytes)."""
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        yield kind & 0x3FFF, data[4:length]
        data = data[_aligned(max(length, 4)):]


def _attribute(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _aligned(length):
    return (length + 3) & ~3


def _number(data):
    return struct.unpack_from("=I", data)[0] if data and len(data) >= 4 else None


def _text(data):
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")
