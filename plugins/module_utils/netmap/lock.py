# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock that all changes of a host's ports are made under. Private to netmap.ptnet.

It lies in a folder that only root writes: in one that everybody may write, such as ``/run/lock``, any user can make the
file first, or take the lock, and hold up every change and the restoration at boot. Whoever may open the device may read
the file, and so take the lock: the port process has to, without root's rights (ptnet/archive.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import time

from .. import files
from ..errors import PtnetError
from ..places import RUN

NAME = "lock"
FOLDERS = (RUN, "/var" + RUN)  # FreeBSD has no /run
# A holder that died lets go by itself, so whoever has it works: twenty slow ones may queue.
TIMEOUT = 300
_STEP = 0.05
_STEP_MAX = 0.5


def path():
    """The lock's file on this machine (path)."""
    folder = next((one for one in FOLDERS if os.path.isdir(os.path.dirname(one))), FOLDERS[0])
    return os.path.join(folder, NAME)


@contextlib.contextmanager
def locked(file, timeout, purpose):
    """Hold the lock (context manager).

    :param file: its file, in a folder that nobody else writes (path)
    :param timeout: seconds to wait for another holder (number)
    :param purpose: what whoever waits meanwhile is told (str)
    :raises PtnetError: others could have put something there, it cannot be opened, or is held for longer
    """
    descriptor, writable = _open(file)
    try:
        deadline, step = time.monotonic() + timeout, _STEP
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise PtnetError("another change of netmap ports is under way", found=_holder(descriptor),
                                     expected="the lock %s free within %s s" % (file, timeout),
                                     remedy="wait for it or end it, then run again") from None
                time.sleep(step)
                step = min(_STEP_MAX, step * 1.5)
        if writable:
            note = json.dumps({"pid": os.getpid(), "command": os.path.basename(sys.argv[0]), "purpose": purpose})
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, note.encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _open(file):
    """A descriptor of the lock's file, and whether it may be written (int, bool)."""
    with files.own_folder(os.path.dirname(file)) as folder:
        # Who may only read it can take the lock as well, but leaves no name.
        for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
            try:
                descriptor = os.open(os.path.basename(file), flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
                return descriptor, flags != os.O_RDONLY
            except OSError as error:
                reason = error
    raise PtnetError("the lock %s cannot be opened" % file, found=reason.strerror,
                     remedy="run as root") from reason


def _holder(descriptor):
    try:
        note = json.loads(os.pread(descriptor, 4096, 0).decode("utf-8", "replace"))
        return "process %(pid)s (%(command)s): %(purpose)s" % note
    except (ValueError, KeyError, TypeError):
        return "a holder that left no name"
