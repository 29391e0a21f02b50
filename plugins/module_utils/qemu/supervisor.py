# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is said to systemd about units of ours, and asked of it. Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import os
import time

from .. import command, files
from ..places import UNITS

SYSTEMCTL = "systemctl"
# Units bound their own end (TimeoutStopSec, then SIGKILL); this only keeps a broken systemd from holding us for ever.
STOP_LIMIT = 3600
_SECONDS = 60
_PROPERTIES = ("Id", "ActiveState", "SubState", "MainPID", "UnitFileState", "NeedDaemonReload", "Result",
               "InvocationID")


def read(names):
    """What systemd knows of units: by name a dict of ``power``, ``failed``, ``result``, ``reload_needed``, ``enabled``,
    ``pid``, ``argv``, ``file`` (device and inode of the program) and ``since`` (when it was started, seconds since the
    epoch) of a running process, ``invocation``, and ``text`` of the unit's file (empty without one).

    ``power`` is running, stopped, or restarting when systemd waits to try again; and starting for a moment.

    :param names: units, each there or not (list of str)
    """
    shown = command.run([SYSTEMCTL, "show", "--property=" + ",".join(_PROPERTIES), *names], _SECONDS,
                        remedy="this module manages services on hosts with systemd")[1]
    found = {}
    for name, block in zip(names, shown.split("\n\n")):
        values = dict(line.partition("=")[::2] for line in block.splitlines())
        pid = int(values.get("MainPID") or 0)
        power = {"active": "running", "reloading": "running", "deactivating": "running",
                 "activating": "restarting"}.get(values.get("ActiveState"), "stopped")
        found[name] = {
            "power": power, "result": values.get("Result"),
            # Ended by itself, or by a signal; not because it was no longer needed.
            "failed": "failed" in values.get("ActiveState", "") or values.get("SubState") == "auto-restart",
            "reload_needed": values.get("NeedDaemonReload") == "yes",
            "enabled": values.get("UnitFileState") == "enabled", "pid": pid or None,
            "argv": _running(pid) if power == "running" and pid else None,
            "file": _file(pid) if power == "running" and pid else None,
            "since": _since(pid) if power == "running" and pid else None,
            "invocation": values.get("InvocationID"), "text": _text(os.path.join(UNITS, name))}
    return found


def write(wanted):
    """Have these unit files.

    :param wanted: the text of each unit; an empty one has the file removed (dict)
    """
    for name, text in wanted.items():
        path = os.path.join(UNITS, name)
        if text:
            files.replace(path, text)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    reload()


def reload():
    """Have systemd read its files again."""
    command.run([SYSTEMCTL, "daemon-reload"], _SECONDS)


def enable(name, wanted):
    """Have a unit started at boot, or not."""
    command.run([SYSTEMCTL, "enable" if wanted else "disable", name], _SECONDS)


def start(name, timeout):
    """Start a unit and what it requires; whether that worked is read afterwards."""
    command.run([SYSTEMCTL, "start", name], timeout, allowed=None)


def stop(names):
    """Stop units in their order, as they say; one that does not run is no error. Their failures are forgotten."""
    command.run([SYSTEMCTL, "stop", *names], STOP_LIMIT, allowed=None)
    # A start after too many failures would be refused.
    command.run([SYSTEMCTL, "reset-failed", *names], _SECONDS, allowed=None)


def remove(names):
    """Remove units that do not run."""
    for name in names:
        if os.path.lexists(os.path.join(UNITS, name)):
            command.run([SYSTEMCTL, "disable", name], _SECONDS, allowed=None)
    write(dict.fromkeys(names, ""))
    command.run([SYSTEMCTL, "reset-failed", *names], _SECONDS, allowed=None)


def said(unit):
    """The last lines that the processes of a unit wrote to the journal since it was last started (list of str).

    :param unit: as :func:`read` returns it (dict)
    """
    if not unit["invocation"]:
        return []
    return command.run(["journalctl", "_SYSTEMD_INVOCATION_ID=" + unit["invocation"], "--lines=%d" % command.TAIL_LINES,
                        "--output=cat", "--no-pager", "--quiet"], _SECONDS, allowed=None)[1].splitlines()


def changed(paths):
    """When the last one of files was changed, seconds since the epoch; 0 where none is there (float)."""
    times = [0.0]
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            times.append(os.stat(path).st_mtime)
    return max(times)


def _running(pid):
    with contextlib.suppress(OSError), open("/proc/%d/cmdline" % pid, "rb") as stream:
        return stream.read().decode("utf-8", "surrogateescape").split("\0")[:-1]
    return None


def lives(pid, since):
    """Whether a process is still there (bool), and is no younger one with its number.

    :param since: when it was started, as :func:`read` tells (float or None)
    """
    now = _since(pid)
    # Both are derived from clocks, which are read one after the other.
    return now is not None and since is not None and abs(now - since) < 2


def _file(pid):
    """Which file a process executes, also when that has no name any more: device and inode (pair of int), or None."""
    with contextlib.suppress(OSError):
        found = os.stat("/proc/%d/exe" % pid)
        return found.st_dev, found.st_ino
    return None


def _since(pid):
    """When a process was started, by how long it has been there (proc(5)): seconds since the epoch (float)."""
    with contextlib.suppress(OSError), open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as stream, \
            open("/proc/uptime", encoding="ascii") as uptime:
        ticks = int(stream.read().rpartition(")")[2].split()[19])
        return time.time() - float(uptime.read().split()[0]) + ticks / os.sysconf("SC_CLK_TCK")
    return None


def _text(path):
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""
