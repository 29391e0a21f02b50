# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's processes, found by their command line, so a lost folder loses none. Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time

MARK = "netmap-ptnet-lab/"
SOCKET = "qmp"  # in the machine's folder
_SOCKET = re.compile(r"unix:(/.+)/%s(,|\Z)" % SOCKET)


def machines(folders=None):
    """Our own user's lab machines, all or those of some folders (dict of folder: list of pid).

    The name alone would be that of another lab's machine too: whose it is, its folder tells.
    """
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            if os.stat("/proc/" + entry).st_uid != os.geteuid():
                continue
            with open("/proc/%s/cmdline" % entry) as stream:
                words = stream.read().split("\0")
        except OSError:
            continue
        options = {flag: value for flag, value in zip(words, words[1:]) if flag in ("-name", "-qmp")}
        socket_path = _SOCKET.match(options.get("-qmp", ""))
        if options.get("-name", "").startswith(MARK) and socket_path:
            folder = os.path.realpath(socket_path[1])
            if folders is None or folder in folders:
                found.setdefault(folder, []).append(int(entry))
    return found


def kill(found):
    """End them at once; their disks are overlays that nobody needs any more.

    :param found: as :func:`machines` returns it
    """
    pids = [pid for group in found.values() for pid in group]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 10
    while any(_alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.02)


def _alive(pid):
    """Whether a process still holds anything; in a container without an init the dead stay as zombies."""
    try:
        with open("/proc/%d/stat" % pid) as stream:
            # A dead first thread is shown while others still end, and hold the disk.
            return stream.read().rpartition(")")[2].split()[0] not in "ZX" or len(os.listdir("/proc/%d/task" % pid)) > 1
    except OSError:
        return False


def free_port():
    """A TCP port on loopback that nobody uses now (int)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
