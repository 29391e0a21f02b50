# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the diagnosis asks of a Linux machine. Reads, and changes nothing. Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import os
import re

from ...errors import PtnetError
from .. import platform


class Reading(platform.Reading):
    """Reads one machine.

    :param system: the machine (Platform)
    :param root: prefix of all paths, for tests (path)
    :param run_program: runs a program (``Linux._program``)
    """

    def __init__(self, system, root, run_program):
        self._system = system
        self._root = root
        self._run = run_program

    def kernels(self):
        from .kernels import copies

        return [dict(one, copies=copies(one["release"], self._root)) for one in self._system.kernels()]

    def security(self):
        from .kernels import security

        return security(self._root)

    def nics(self):
        from .nics import nics

        return nics(self._root)

    def namespaces(self):
        from .namespaces import namespaces

        return namespaces(self._root)

    def look_into(self, path, act):
        from .namespaces import interface_names, look_into

        return look_into(path, lambda: act(interface_names()))

    def kernel_log(self, lines):
        from .log import kernel_log

        return kernel_log(lines)

    def argv(self, pid):
        try:
            with open("%s/proc/%d/cmdline" % (self._root, pid), "rb") as stream:
                return stream.read().decode("utf-8", "replace").rstrip("\0").split("\0")
        except OSError:
            return []

    def started(self, pid):
        try:
            with open("%s/proc/%d/stat" % (self._root, pid), "rb") as stream:
                return int(stream.read().rpartition(b")")[2].split()[19])
        except (OSError, ValueError, IndexError):
            return None

    def program(self, pid):
        try:
            return os.readlink("%s/proc/%d/exe" % (self._root, pid))
        except OSError:
            return None

    def service(self):
        from .service import UNIT

        fields = {}
        with contextlib.suppress(PtnetError):
            _status, output = self._run(["systemctl", "show", "-p", "ActiveState,Result", UNIT])
            fields = dict(re.findall(r"^(\w+)=(.*)$", output, re.MULTILINE))
        return {"active": fields.get("ActiveState"), "result": fields.get("Result")}
