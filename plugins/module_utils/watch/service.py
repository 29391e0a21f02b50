# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service that watches, made with the first VM or port process of a host and removed with the last one.

Private to netmap.ptnet.
"""

from __future__ import annotations

import os
import sys

from .. import command, sandbox
from ..bundle import bundle
from ..kernel.service import ServiceFiles, lines
from ..netmap.device import Device
from ..places import UNITS
from ..places import WATCH as ARCHIVE
from . import main
from .processes import SLICE, ours

UNIT = "netmap-ptnet-watch.service"
# For the [Unit] section of what is watched: the watch is there before it, and still there when systemd kills it.
DIRECTIVES = "Wants=%s\nAfter=%s\n" % (UNIT, UNIT)
UNIT_FILE = "%s/%s" % (UNITS, UNIT)
LINK = "%s/multi-user.target.wants/%s" % (UNITS, UNIT)
_SECONDS = 120

_TEXT = """\
# Written by the Ansible collection netmap.ptnet; changes made here are lost.
[Unit]
Description=Frees netmap ports of killed processes, and bounds the logs of virtual machines
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart="%s" -I %s run
Restart=always
RestartSec=1
# It is needed most when the kernel's memory killer is about.
OOMScoreAdjust=-900
%s
[Install]
WantedBy=multi-user.target
"""
# Nobody's user, with two rights: duplicates of descriptors (pidfd_getfd(2), kcmp(2)), and a look into the folders that
# show them, which belong to others. It opens no device and writes no file by its name. No user name space: from within
# one, these rights would be none.
_RIGHTS = "CAP_SYS_PTRACE CAP_DAC_READ_SEARCH"
_SANDBOX = {
    "DynamicUser": "yes",
    "CapabilityBoundingSet": _RIGHTS,
    "AmbientCapabilities": _RIGHTS,
    "PrivateUsers": None,
    "SystemCallFilter": ("@system-service", "~@privileged @resources @keyring @ipc @setuid", "pidfd_getfd kcmp"),
    "LimitNOFILE": "65536",
    "TasksMax": "8",
    "MemoryMax": "128M",
}


class WatchFiles(ServiceFiles):
    """The code, the unit, and the link that enables it."""

    PATHS = (ARCHIVE, UNIT_FILE, LINK)

    def running(self):
        """Whether systemd has it running (bool)."""
        try:
            with open("%s%s/%s/cgroup.procs" % (self._root, SLICE, UNIT), encoding="ascii") as stream:
                return bool(stream.read().strip())
        except OSError:
            return False

    def watched(self, but=()):
        """The units of VMs and port processes that there are (list of str).

        :param but: those that are about to be removed (collection of str)
        """
        try:
            return sorted(set(ours(os.listdir(self._root + UNITS))) - set(but))
        except OSError:
            return []


def needed(but=(), root=""):
    """Whether anything is left to be watched, for :func:`keep` (bool).

    :param but: the units that are being removed (collection of str)
    """
    return bool(WatchFiles(root).watched(but))


def keep(change, wanted, check_mode, root="", run=command.run, lock=None):
    """Have the watch run, now and after each boot, or remove it.

    :param change: takes the properties ``watch`` (its files) and ``watch_running`` (Change)
    :param wanted: whether there is anything to be watched; what :func:`needed` says where something goes (bool)
    :raises PtnetError: it does not start
    """
    service = WatchFiles(root)
    files = _wanted() if wanted else {}
    noted = change.note("watch", lines(service.read()), lines(files))
    noted |= change.note("watch_running", service.running(), bool(wanted))
    if not noted or check_mode:
        return
    # Several VMs may be made at once.
    with (lock or Device(None).locked)("keeping %s" % UNIT):
        _write(service, files, run)


def archive():
    """The code of the watch, as a file that Python runs (bytes)."""
    return bundle("watch.main", main.SOURCES)


def _wanted():
    text = _TEXT % (sys.executable, ARCHIVE, sandbox.directives(**_SANDBOX))
    return {ARCHIVE: archive(), UNIT_FILE: text.encode(), LINK: UNIT_FILE}


def _write(service, wanted, run):
    if not wanted and service.running():
        run(["systemctl", "stop", UNIT], _SECONDS)
    present = service.place(wanted)
    changed = any(present.get(path) != wanted.get(path) for path in service.PATHS)
    # A reload takes seconds where there are hundreds of interfaces; a unit that it has not read yet, systemd finds.
    if any(present.get(path) != wanted.get(path) for path in (UNIT_FILE, LINK)) and run(
            ["systemctl", "list-units", "--all", "--plain", "--no-legend", UNIT], _SECONDS)[1].strip():
        run(["systemctl", "daemon-reload"], _SECONDS)
    if not wanted:
        run(["systemctl", "reset-failed", UNIT], _SECONDS, allowed=None)
    elif changed or not service.running():
        run(["systemctl", "restart", UNIT], _SECONDS, remedy="see journalctl -u %s" % UNIT)
