# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interfaces carry the management of a Linux machine: what is read for it. Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import glob
import ipaddress
import os
import struct
from collections import namedtuple

from ...errors import PtnetError
from .. import management
from ..unix import ssh_connection
from . import netlink

_ESTABLISHED, _LISTENING = "01", "0A"  # include/net/tcp_states.h

_Socket = namedtuple("_Socket", "session state inode")


def carried(root="", query=netlink.ask):
    """See ``platform.Platform.management``.

    :param root: prefix of all paths, for tests (path)
    :param query: asks the kernel, :func:`netlink.ask` (callable)
    :raises PtnetError: the kernel does not tell
    """
    try:
        links, addresses = netlink.links(query), netlink.addresses(query)
        replies = {one: _leaving(one, links, addresses, query) for one in _sessions(root, addresses)}
        return management.carried(links, addresses, replies, netlink.defaults(query))
    except OSError as error:
        raise PtnetError("it is not known which interfaces carry the management of this machine", found=error.strerror,
                         expected="answers of the kernel (rtnetlink)", remedy="run as root on the machine itself, or "
                         "set allow_management when there is another way in") from error


def _leaving(one, links, addresses, query):
    """By which interfaces the answers leave; a VRF has tables of its own, a link-local address no table at all."""
    through = None
    for key in management.owners(one, links, addresses):
        master = links[key].master
        if one.zone or one.local.is_link_local:
            through = key
        elif master in links and links[master].kind == management.VRF:
            through = master
    return netlink.leaving(one, through, query)


def _sessions(root, addresses):
    """The SSH connections that must not be cut (list of management.Session).

    Ours is enough where it is known. It is not in a task that left its session (async with become), nor where the
    variable outlived its connection (a tmux that was attached again), and what comes from this machine itself was
    brought by another one: then all that go on count. Where the kernel shows no socket, the variable is trusted.
    """
    ours, sockets = management.session(ssh_connection(lambda pid: _ancestor(root, pid))), _sockets(root)
    established = [one.session for one in sockets if one.state == _ESTABLISHED]
    if ours and not management.inside(ours, addresses) and (not sockets or ours._replace(zone=None) in established):
        return [ours]
    ports = {management.SSH} | _served(root, sockets) | ({ours.port} if ours else set())
    others = [one for one in established if one.port in ports and not management.inside(one, addresses)]
    return list(dict.fromkeys(others))


def _served(root, sockets):
    """The ports that sshd serves (set of int): those listened on of which it has a socket.

    Where systemd listens for it, sshd has the connections alone. Only root sees what a process of another user has.
    """
    held = set()
    for folder in glob.iglob(root + "/proc/[0-9]*"):
        with contextlib.suppress(OSError):
            with open(folder + "/comm", encoding="ascii", errors="replace") as stream:
                if not stream.read().startswith("sshd"):
                    continue
            for name in os.listdir(folder + "/fd"):
                with contextlib.suppress(OSError):  # it was closed just now
                    held.add(os.readlink("%s/fd/%s" % (folder, name)))
    listened = {one.session.port for one in sockets if one.state == _LISTENING}
    return listened & {one.session.port for one in sockets if "socket:[%s]" % one.inode in held}


def _ancestor(root, pid):
    text = None
    try:
        with open("%s/proc/%d/environ" % (root, pid), "rb") as stream:
            for item in stream.read().split(b"\0"):
                if item.startswith(b"SSH_CONNECTION="):
                    text = item.split(b"=", 1)[1].decode("ascii", "replace")
        with open("%s/proc/%d/stat" % (root, pid), "rb") as stream:
            return text, int(stream.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return text, None


def _sockets(root):
    """All TCP sockets of this machine, seen from here (list of _Socket, their sessions without zones)."""
    found = []
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open("%s/proc/net/%s" % (root, name), encoding="ascii") as stream:
            for words in map(str.split, stream):
                if words[3:4] in ([_ESTABLISHED], [_LISTENING]):
                    local, peer = (_socket_address(word) for word in words[1:3])
                    found.append(_Socket(management.Session(*peer, *local, None), words[3], words[9]))
    return found


def _socket_address(word):
    """An address and a port as /proc/net/tcp writes them: words of 32 bits in the order of this machine."""
    text, _colon, port = word.partition(":")
    packed = b"".join(struct.pack("=I", int(text[at:at + 8], 16)) for at in range(0, len(text), 8))
    return management.address(str(ipaddress.ip_address(packed))), int(port, 16)
