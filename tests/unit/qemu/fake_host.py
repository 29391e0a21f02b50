# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A double of a host: systemd with units that require others, the processes in them, users, and qemu-img."""

from __future__ import annotations

import os
import re
import shlex
import struct

from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError

VM, PORTS, NETWORK = "ptnet-vm-fw.service", "ptnet-port-fw.service", "ptnet-net-fw.service"


class Unit:
    """What systemd has in mind of one unit."""

    def __init__(self, pid):
        self.state, self.enabled, self.loaded, self.executed = "inactive", False, None, None
        self.pid, self._pid = 0, pid
        self.invocation = ""
        # What its process says, instead of running.
        self.complaint = None

    def start(self):
        self.executed, self.invocation = self.loaded, "1" * 32
        self.state, self.pid = ("failed", 0) if self.complaint else ("active", self._pid)

    def stop(self):
        self.state, self.pid = "inactive", 0


class Host:
    """What :func:`command.run` does on it."""

    def __init__(self, folder):
        self.folder = folder
        self.units = os.path.join(folder, "units")
        self.calls = []
        self.known = {VM: Unit(4711), PORTS: Unit(4712), NETWORK: Unit(4713)}
        self.status = "running"
        self.images_fail = False
        # Whether systemctl stop does nothing.
        self.stubborn = False
        self.users = set()
        self.closed = set()

    def run(self, words, *_args, **_kwargs):
        self.calls.append(words)
        return getattr(self, "_" + words[0].replace("-", "_"))(words)

    def _systemctl(self, words):
        verb, names = words[1], [word for word in words[2:] if word.endswith(".service")]
        if verb == "show":
            return 0, "\n\n".join(map(self._show, names)) + "\n"
        if verb == "daemon-reload":
            for name, unit in self.known.items():
                unit.loaded = self.file(name)
        for name in names:
            self._change(verb, name)
        return 0, ""

    def _show(self, name):
        unit, there = self.known[name], self.file(name)
        values = {"Id": name, "ActiveState": unit.state, "MainPID": unit.pid, "Result": "exit-code",
                  "UnitFileState": "enabled" if unit.enabled else "disabled" if there else "",
                  "NeedDaemonReload": "yes" if unit.loaded and there and unit.loaded != there else "no",
                  "InvocationID": unit.invocation}
        return "\n".join("%s=%s" % pair for pair in values.items())

    def _change(self, verb, name):
        unit = self.known[name]
        if verb == "start":
            unit.loaded = unit.loaded or self.file(name)
            for need, other in re.findall(r"^(Requires|Wants)=(.*)$", unit.loaded, re.M):
                if self.known[other].state != "active":
                    self._change("start", other)
                if self.known[other].state != "active" and need == "Requires":
                    return
            unit.start()
            if unit.complaint and name == VM:
                unit.state = "activating"
                with open(re.search("^StandardError=append:(.*)", unit.loaded, re.M)[1], "a") as stream:
                    stream.write(unit.complaint)
        elif verb == "stop" and not self.stubborn:
            unit.stop()
        elif verb in ("enable", "disable"):
            unit.enabled = verb == "enable"

    def _journalctl(self, _words):
        return 0, "".join(unit.complaint or "" for name, unit in self.known.items() if name != VM)

    def _qemu_img(self, words):
        target = next(word for word in words if word.endswith(".new"))
        if self.images_fail:
            raise PtnetError("qemu-img failed")
        if "-b" in words and "-F" not in words:
            raise PtnetError("qemu-img failed", found="backing format not specified")
        below = words[words.index("-b") + 1].encode() if "-b" in words else b""
        with open(target, "wb") as stream:
            header = struct.pack(">4sIQI", b"QFI\xfb", 3, 512 if below else 0, len(below))
            stream.write(header.ljust(512, b"\0") + below)
        return 0, ""

    def _useradd(self, words):
        self.users.add(words[-1])
        return 0, ""

    def _setpriv(self, words):
        return (1 if words[-1] in self.closed else 0), ""

    def running(self, pid):
        """The command line of a process, as it was started (list of str)."""
        unit = next(unit for unit in self.known.values() if unit.pid == pid)
        start = re.search(r"^ExecStart=((?:.*\\\n)*.*)$", unit.executed, re.M)[1]
        words = shlex.split(start.replace("\\\n", " "))
        # A launcher executes QEMU in its own place.
        return words[words.index("3") + 1:] if "-I" in words and "3" in words else words

    def query(self, _path, _timeout):
        if self.known[VM].state != "active":
            raise PtnetError("nobody listens")
        return self.status

    def file(self, name):
        try:
            with open(os.path.join(self.units, name)) as stream:
                return stream.read()
        except FileNotFoundError:
            return None

    def done(self):
        """What was called that changes something, since the last time."""
        calls, self.calls = self.calls, []
        return [words[1] if words[0] in ("systemctl", "qemu-img") else words[0] for words in calls
                if words[1] != "show" and words[0] not in ("setpriv", "journalctl")]
