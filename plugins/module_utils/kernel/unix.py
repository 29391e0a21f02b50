# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Linux and FreeBSD have in common: the device node, groups, files. Private to netmap.ptnet."""

from __future__ import annotations

import grp
import os
import re

from .. import files
from ..command import run
from ..places import DEVICE
from .platform import Platform

_LINE = 300
_PORT = re.compile(r"(?:^|[=,])(?:netmap:(?!//)([^,\s]+)|(vale\w*:[^,\s]+))")
# QEMU's -netdev and the port process's --port take the kernel's own name. Other netdevs have an ifname that is no port.
_IFNAME = re.compile(r"(?:netmap,(?:.*,)?|id=[^,]*,)ifname=(?:netmap:)?([^,\s]+)")


class Unix(Platform):
    """What both systems do alike.

    :param root: prefix of all paths, for tests (path)
    :param run_program: stands in for :func:`command.run` in tests
    """

    def __init__(self, root="", run_program=run):
        self._root = root
        self._run = run_program

    def node(self):
        try:
            status = os.stat(self._root + DEVICE)
        except OSError:
            return None
        try:
            group = grp.getgrgid(status.st_gid).gr_name
        except KeyError:
            group = str(status.st_gid)
        return {"path": DEVICE, "mode": "%04o" % (status.st_mode & 0o7777), "group": group}

    def write_node(self, group, mode):
        # udev would do so at the next load only.
        path = self._root + DEVICE
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
        os.chmod(path, int(mode, 8))

    def group_exists(self, group):
        try:
            grp.getgrnam(group)
        except KeyError:
            return False
        return True

    def _text(self, path):
        try:
            with open(self._root + path, encoding="utf-8", errors="replace") as stream:
                return stream.read().strip()
        except OSError:
            return None

    def _write(self, path, body):
        """Write a file at once or not at all, or remove it when empty; returns whether it changed (bool)."""
        full = self._root + path
        try:
            with open(full, encoding="utf-8") as stream:
                now = stream.read()
        except OSError:
            now = ""
        if now == body:
            return False
        if not body:
            os.unlink(full)
            return True
        os.makedirs(os.path.dirname(full), exist_ok=True)
        files.replace(full, body)
        return True


def printable(text):
    """A text that cannot harm a terminal: no control character, at most 300 characters (str). Pure."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_LINE])


def ports_in(words):
    """The netmap ports that a command line names, as the kernel calls them where that is plain (list of str). Pure.

    :param words: the arguments of a process, such as ``-i vale1:10`` or ``netmap,ifname=netmap:p0{1`` (list of str)
    """
    found = []
    for word in words:
        named = _IFNAME.match(word)
        found += [named.group(1)] if named else [one or other for one, other in _PORT.findall(word)]
    return list(dict.fromkeys(found))


def ssh_connection(ancestor):
    """SSH_CONNECTION of the session that we run in (str or None); sudo drops it, so our ancestors are asked too.

    :param ancestor: tells of a process (int) its SSH_CONNECTION (str or None) and its parent (int, None when it has
        ended)
    """
    text, pid = os.environ.get("SSH_CONNECTION"), os.getppid()
    while not text and pid and pid > 1:
        text, pid = ancestor(pid)
    return text
