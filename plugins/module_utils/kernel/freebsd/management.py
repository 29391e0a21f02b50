# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interfaces carry the management of a FreeBSD machine: what is read for it. Not tried on a real one. Private to
netmap.ptnet."""

from __future__ import annotations

import re

from .. import management
from ..unix import ssh_connection


def carried(output):
    """See ``platform.Platform.management``.

    :param output: runs a program, returns what it printed (str), None where it failed (callable)
    """
    links, addresses = interfaces(output("ifconfig", "-a") or "")
    one = management.session(ssh_connection(lambda pid: _ancestor(output, pid)))
    replies = {}
    if one and not management.inside(one, addresses):
        replies[one] = _leaving(output, str(one.peer) + ("%" + one.zone if one.zone else ""), one.peer.version)
    return management.carried(links, addresses, replies, [
        name for version in (4, 6) for name in _leaving(output, "default", version)])


def interfaces(text):
    """The interfaces (dict of management.Link by name) and their addresses in the output of ``ifconfig``. Pure."""
    links, addresses, masters = {}, [], {}
    for block in re.split(r"\n(?=\S)", text):
        head = re.match(r"(\S+): flags=\S+<([^>]*)>", block)
        if not head:
            continue
        name, flags = head.group(1), head.group(2).split(",")
        masters.update((member, name) for member in re.findall(r"^\s+(?:member|laggport): (\S+)", block, re.MULTILINE))
        lower = re.search(r"^\s+vlan: .*\bparent interface: (\S+)", block, re.MULTILINE)
        end = re.fullmatch(r"(epair\d+)([ab])", name)
        kind = management.LOOPBACK if "LOOPBACK" in flags else "epair" if end else ""
        other = end.group(1) + {"a": "b", "b": "a"}[end.group(2)] if end else None
        links[name] = management.Link(name, kind, None, lower.group(1) if lower else other)
        addresses += [(name, management.address(one))
                      for one in re.findall(r"^\s+inet6? ([0-9a-fA-F.:]+)", block, re.MULTILINE)]
    return {name: one._replace(master=masters.get(name)) for name, one in links.items()}, addresses


def _leaving(output, target, version):
    """By which interface packets leave (list of str, at most one)."""
    said = output("route", "-n", "get", *(["-inet6"] if version == 6 else []), target) or ""
    return re.findall(r"^\s*interface: (\S+)", said, re.MULTILINE)[:1]


def _ancestor(output, pid):
    found = re.search(r"\bSSH_CONNECTION=(\S+ \d+ \S+ \d+)", output("procstat", "-e", "%d" % pid) or "")
    parent = (output("ps", "-o", "ppid=", "-p", "%d" % pid) or "").strip()
    return found and found.group(1), int(parent) if parent.isdigit() else None
