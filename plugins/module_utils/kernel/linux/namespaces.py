# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network namespaces of a Linux machine, looked into without leaving our own. Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import time

from ...errors import PtnetError

NAMED = "/run/netns"
LIMIT = 128
_CLONE_NEWNET = 0x40000000
_TIMEOUT = 30  # Listing a full switch takes seconds on a slow machine.
_REAP = 1


def namespaces(root=""):
    """The network namespaces beside our own (list of dict: ``inode``, ``name`` or None, ``pid`` or None, ``path``).

    A namespace is found by its name in /run/netns or by a process that lives in it; what is held by an open
    descriptor alone is not found. Only the first 128 are returned.

    :param root: prefix of all paths, for tests (path)
    """
    found = {}
    own = _inode(root + "/proc/self/ns/net")
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(root + NAMED)):
            path = "%s%s/%s" % (root, NAMED, name)
            inode = _inode(path)
            # What "ip netns" left behind after a crash is an ordinary file, on another device.
            if inode and inode[0] == own[0] and inode != own:
                found.setdefault(inode, {"inode": inode[1], "name": name, "pid": None, "path": path})
    with contextlib.suppress(OSError):
        for pid in sorted(int(name) for name in os.listdir(root + "/proc") if name.isdigit()):
            path = "%s/proc/%d/ns/net" % (root, pid)
            inode = _inode(path)
            if inode and inode != own:
                one = found.setdefault(inode, {"inode": inode[1], "name": None, "pid": pid, "path": path})
                one["pid"] = one["pid"] or pid
    return [found[inode] for inode in sorted(found)][:LIMIT]


def look_into(path, act, timeout=_TIMEOUT):
    """What ``act()`` returns inside a network namespace (JSON-able); done by a child that leaves when it is done.

    :param path: the namespace as a file (path)
    :param timeout: seconds; then the child is killed (number)
    :raises PtnetError: it cannot be entered, ``act`` failed, or it took too long
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _inside(path, act, writer)
    os.close(writer)
    try:
        text = _until(reader, time.monotonic() + timeout)
    finally:
        os.close(reader)
        _end(child)
    try:
        answer = json.loads(text)
    except ValueError:
        raise PtnetError("a network namespace does not answer", found=path,
                         expected="an answer within %s s" % timeout) from None
    if "error" in answer:
        raise PtnetError("a network namespace cannot be read", found=answer["error"])
    return answer["result"]


def interface_names():
    """The interfaces of the namespace one is in (list of str); sysfs shows those of another one."""
    return sorted(name for _index, name in socket.if_nameindex())


def _inside(path, act, writer):
    """Runs in the child and never returns; whatever happens, nothing of the parent's clean-up may run here."""
    try:
        try:
            # O_NONBLOCK: a pipe that somebody put there must not hold us.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(descriptor, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            answer = {"result": act()}
        except Exception as error:  # pylint: disable=broad-except
            answer = {"error": str(error)}
        view = json.dumps(answer).encode()
        while view:
            view = view[os.write(writer, view):]
    finally:
        os._exit(0)


def _until(reader, deadline):
    chunks = []
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            return b""
        chunk = os.read(reader, 65536)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)


def _end(child):
    """Reap the child, but never wait for one that hangs in the kernel."""
    deadline = time.monotonic() + _REAP
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(child, os.WNOHANG)[0]:
            return
        os.kill(child, signal.SIGKILL)
        while not os.waitpid(child, os.WNOHANG)[0] and time.monotonic() < deadline:
            time.sleep(0.005)


def _inode(path):
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
