# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The port process as files that lie on the host. Private to netmap.ptnet."""

from __future__ import annotations

import os

from .. import command, files
from ..bundle import bundle
from ..netmap import lock
from ..places import PORT_PROCESS as PATH
from ..places import RUN
from .entry import SOURCES

GROUP = "netmap"  # owns /dev/netmap and may hold the lock
LOCK_FILE = "/etc/tmpfiles.d/netmap-ptnet.conf"
# The lock must be there before anybody comes who may not make it.
LOCK_TEXT = """\
# Written by the Ansible collection netmap.ptnet; changes made here are lost.
d %s 0750 root %s -
f %s/%s 0640 root %s -
""" % (RUN, GROUP, RUN, lock.NAME, GROUP)


def content():
    """The code, as a file that Python runs (bytes)."""
    return bundle("ptnet.entry", SOURCES)


def wanted():
    """All files that a port process needs: path to content (dict of bytes)."""
    return {PATH: content(), LOCK_FILE: LOCK_TEXT.encode()}


def missing():
    """Those that are absent or different: path to content (dict of bytes)."""
    return {path: text for path, text in wanted().items() if _read(path) != text}


def place(program):
    """Write files, each at once or not at all.

    :param program: path to content (dict of bytes)
    """
    for path, text in program.items():
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        files.replace(path, text)
    if LOCK_FILE in program:
        command.run(["systemd-tmpfiles", "--create", LOCK_FILE], 60, allowed=None)


def _read(path):
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None
