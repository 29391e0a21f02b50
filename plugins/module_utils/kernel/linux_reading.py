# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the diagnosis asks of a Linux machine. Reads, and changes nothing. Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import os
import re

from ..errors import PtnetError


class LinuxReading:
    """Reads one machine.

    :param system: the platform (linux.Linux)
    :param root: prefix of all paths, for tests (path)
    """

    def __init__(self, system, root=""):
        self._system = system
        self._root = root

    def kernels(self):
        """What ``Linux.kernels`` returns, each with ``copies``: all its netmap modules (list of dict)."""
        from .linux_kernels import copies

        return [dict(one, copies=copies(one["release"], self._root)) for one in self._system.kernels()]

    def security(self):
        """See ``linux_kernels.security``."""
        from .linux_kernels import security

        return security(self._root)

    def nics(self):
        """See ``linux_nics.nics``."""
        from .linux_nics import nics

        return nics(self._root)

    def namespaces(self):
        """See ``linux_namespaces.namespaces``."""
        from .linux_namespaces import namespaces

        return namespaces(self._root)

    def look_into(self, path, act):
        """See ``linux_namespaces.look_into``; ``act`` takes the names of the interfaces there (list of str)."""
        from .linux_namespaces import interface_names, look_into

        return look_into(path, lambda: act(interface_names()))

    def kernel_log(self, lines):
        """See ``linux_log.kernel_log``."""
        from .linux_log import kernel_log

        return kernel_log(lines)

    def argv(self, pid):
        """The arguments a process was started with (list of str); empty when it is gone."""
        try:
            with open("%s/proc/%d/cmdline" % (self._root, pid), "rb") as stream:
                return stream.read().decode("utf-8", "replace").rstrip("\0").split("\0")
        except OSError:
            return []

    def started(self, pid):
        """When a process was started, in the kernel's ticks since the boot (int); None when it is gone."""
        try:
            with open("%s/proc/%d/stat" % (self._root, pid), "rb") as stream:
                return int(stream.read().rpartition(b")")[2].split()[19])
        except (OSError, ValueError, IndexError):
            return None

    def program(self, pid):
        """The file that a process runs (path), " (deleted)" behind one that was replaced; None when it is gone."""
        try:
            return os.readlink("%s/proc/%d/exe" % (self._root, pid))
        except OSError:
            return None

    def service(self):
        """How the unit that restores ports ended: ``active`` and ``result`` (dict of str or None)."""
        from .linux_service import UNIT

        fields = {}
        with contextlib.suppress(PtnetError):
            _status, output = self._system._program(["systemctl", "show", "-p", "ActiveState,Result", UNIT])
            fields = dict(re.findall(r"^(\w+)=(.*)$", output, re.MULTILINE))
        return {"active": fields.get("ActiveState"), "result": fields.get("Result")}
