# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Duplicates of other processes' descriptors: pidfd_open(2), pidfd_getfd(2), kcmp(2). Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat

# The first two are the same on every architecture of Linux but alpha (arch/*/syscall.tbl); Python has one of them, if
# it was built where that was known. kcmp(2) is one of the older ones.
_PIDFD_OPEN, _PIDFD_GETFD = 434, 438
_KCMP = {"x86_64": 312, "aarch64": 272, "riscv64": 272, "loongarch64": 272, "ppc64le": 354, "s390x": 343}
_KCMP_FILE = 0
_PIDFD_THREAD = os.O_EXCL
# Of one process; whoever opened more is nobody whom we know.
MAX_DESCRIPTORS = 4096

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.argtypes = (ctypes.c_long,) * 6
_syscall.restype = ctypes.c_long
_number_of_kcmp = _KCMP.get(os.uname().machine)


def _call(*arguments):
    result = _syscall(*arguments, *(0,) * (6 - len(arguments)))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def same(pid, number, duplicate):
    """Whether a descriptor of a process still is the open file that we have a duplicate of (bool).

    False also if this kernel does not compare, and when the process has no descriptors any more.
    """
    return _compare(pid, number, os.getpid(), duplicate)


def has(pid, number):
    """Whether a process has a descriptor (bool); a leader that has ended has none. False if this kernel cannot tell."""
    return _compare(pid, number, pid, number)


def _compare(one, number, other, another):
    return _number_of_kcmp is not None and _syscall(_number_of_kcmp, one, other, _KCMP_FILE, number, another) == 0


def open_process(pid, thread=False):
    """A descriptor that stands for a process, readable when that has ended (int).

    :param thread: whether it stands for one thread, which has the id ``pid``; Linux 6.9 and newer (bool)
    :raises OSError: there is none, or this kernel cannot
    """
    return _call(_PIDFD_OPEN, pid, _PIDFD_THREAD if thread else 0)


def take(process, number):
    """A duplicate of a descriptor of the process (int): another number for the same open file.

    :param process: from :func:`open_process` (int)
    :raises OSError: it has no such descriptor, it is ending, or we may not
    """
    return _call(_PIDFD_GETFD, process, number, 0)


def take_device(process, number):
    """The same, if a device is behind it (int); None for anything else, or when it cannot be had."""
    with contextlib.suppress(OSError):
        taken = take(process, number)
        if stat.S_ISCHR(os.fstat(taken).st_mode):
            return taken
        os.close(taken)
    return None


def able():
    """Whether this kernel gives out duplicates at all, Linux 5.6 (bool)."""
    try:
        process = open_process(os.getpid())
    except OSError:
        return False
    try:
        return _tries(lambda: take(process, process))
    finally:
        os.close(process)


def able_of_threads():
    """Whether it gives out those of a thread whose process has no leader any more, Linux 6.9 (bool)."""
    return _tries(lambda: open_process(os.getpid(), thread=True))


def links(folder):
    """What the descriptors of a process or thread are (dict of int: str); empty when it has none any more.

    :param folder: where the kernel shows it, see :meth:`processes.Processes.folder` (path)
    """
    found = {}
    try:
        directory = os.open(folder + "/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return found
    try:
        for name in os.listdir(directory)[:MAX_DESCRIPTORS]:
            with contextlib.suppress(OSError):
                found[int(name)] = os.readlink(name, dir_fd=directory)
    except OSError:  # It ended meanwhile.
        pass
    finally:
        os.close(directory)
    return found


def _tries(attempt):
    try:
        os.close(attempt())
    except OSError:
        return False
    return True
