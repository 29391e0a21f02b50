# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of our units, and which of them were killed but cannot end. Private to netmap.ptnet.

A thread in netmap's loop looks at no signals (netmap_sync_kloop in netmap_kloop.c): killed, it spins for ever. Its
process is a zombie that nobody can reap, and to systemd it has not ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections import namedtuple

from ..ptnet import layout
from ..qemu import definition

PREFIXES = (definition.UNIT_PREFIX, layout.UNIT_PREFIX)
# systemd puts units of the system there (cgroups(7), version 2). It escapes no name that begins like ours.
SLICE = "/sys/fs/cgroup/system.slice"
# What is looked at of one unit and one process: those that run in them are strangers, who could have thousands.
MAX_PROCESSES = 64
MAX_THREADS = 256
# Bits of task->flags (include/linux/sched.h).
_EXITING, _KERNEL = 0x4, 0x200000
_KILLED = 1 << signal.SIGKILL - 1

State = namedtuple("State", "letter flags pending")
State.__doc__ = """A task, from proc_pid_stat(5): its letter (str), its flags, and its own pending signals (int)."""


def _read(path):
    """The beginning of a file of the kernel's (bytes), nothing if it has gone; a third of what open() costs."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def parse(text):
    """The state that a ``stat`` file tells (State). Pure; a task may call itself anything, brackets too.

    :param text: the file (bytes)
    """
    fields = text.rpartition(b")")[2].split(None, 29)
    return State(fields[0].decode(), int(fields[6]), int(fields[28]))


def dying(state):
    """Whether a process with this leader is ending (bool); None for a leader that has gone. Pure.

    A kill marks every thread before it takes anything from the process, so that whoever sees none of this, after a look
    at the descriptors, has seen those of a living process (get_signal in kernel/signal.c, do_exit in kernel/exit.c).
    """
    return state is None or state.letter in "ZXx" or bool(state.flags & _EXITING or state.pending & _KILLED)


def stuck(state):
    """Whether a thread of a process that ends has not begun to end itself (bool). Pure."""
    return state is not None and state.letter not in "ZXx" and not state.flags & (_EXITING | _KERNEL)


def of_kernel(state):
    """Whether it is no program but a thread of the kernel, which KVM puts into the group of its QEMU (bool). Pure."""
    return state is not None and bool(state.flags & _KERNEL)


def ours(names, prefixes=PREFIXES):
    """Those names of control groups that are units of ours (list of str). Pure."""
    return [name for name in names if name.startswith(prefixes) and name.endswith(".service")]


class Processes:
    """Those that belong to our units.

    :param root: prefix of all paths, for tests (path)
    """

    def __init__(self, root=""):
        self._root = root

    def members(self):
        """Unit and process of everything that runs (list of pairs of str and int), threads of the kernel too."""
        found = []
        with contextlib.suppress(OSError):
            for unit in sorted(ours(os.listdir(self._root + SLICE))):
                # Zombies with living threads are among them, ended ones not; one of another name space is told as 0.
                pids = _read("%s%s/%s/cgroup.procs" % (self._root, SLICE, unit)).split()[:MAX_PROCESSES]
                found += [(unit, int(pid)) for pid in pids if pid != b"0"]
        return found

    def state(self, pid, thread=None):
        """A process's leader, or one thread of it (State); None when it has gone."""
        text = _read("%s/stat" % self.folder(pid, thread))
        return parse(text) if text else None

    def stuck(self, pid):
        """The threads of a process that ends which do not end (list of int); empty for a process that does not."""
        if not dying(self.state(pid)):
            return []
        with contextlib.suppress(OSError):
            threads = sorted(map(int, os.listdir(self.folder(pid) + "/task")))[:MAX_THREADS]
            return [thread for thread in threads if stuck(self.state(pid, thread))]
        return []

    def folder(self, pid, thread=None):
        """Where the kernel shows a process, or one thread of it (path)."""
        folder = "%s/proc/%d" % (self._root, pid)
        return folder if thread is None else "%s/task/%d" % (folder, thread)
