# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a port process whether a machine has its ports. Private to netmap.ptnet."""

from __future__ import annotations

import json
import os
import socket

from ..errors import PtnetError
from ..netmap import names
from . import layout

_SECONDS = 5  # it answers between two events
_ANSWER_MAX = 1 << 16


def refuse_ending(name):
    """Refuse to end a port process while a machine has its ports.

    :raises PtnetError: one has, or the process does not tell
    """
    try:
        pids = _clients(layout.control(name))
    except (FileNotFoundError, ConnectionRefusedError):
        return  # nobody listens, so nobody is connected
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PtnetError("the port process %s does not tell whether a machine has its ports" % name,
                         found=error, remedy=_REMEDY) from error
    if pids:
        raise PtnetError("the port process %s is not ended under a machine, which would lose its ports" % name,
                         found=" and ".join(map(_process, pids)), remedy=_REMEDY)


_REMEDY = "end the machine first, or set allow_restart (ports_allow_restart of role ports) where it may lose its ports"


def _clients(path):
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(_SECONDS)
        one.connect(path)
        one.sendall(b"{}")
        text = b""
        while not text.endswith(b"\n") and len(text) < _ANSWER_MAX:
            more = one.recv(_ANSWER_MAX)
            if not more:
                break
            text += more
    # A process that is older than this question has no such key, and is not known to be idle.
    return sorted({port["client"] for port in json.loads(text.decode())} - {None})


def _process(pid):
    """Who that is, in words (str): ``process 4711 (qemu-system-x86_64), machine 'web'``."""
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as stream:
            words = stream.read().decode("utf-8", "backslashreplace").split("\0")
    except OSError:
        return "process %d" % pid
    called = dict(zip(words, words[1:])).get("-name", "").partition(",")[0].partition("guest=")
    machine = called[2] or called[0]
    return "process %d (%s)%s" % (pid, names.shown(os.path.basename(words[0])).strip("'"),
                                  ", machine " + names.shown(machine) if machine else "")
