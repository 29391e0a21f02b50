# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Receivers that go on after the module has returned, until another call collects them. Private to netmap.ptnet.

Ansible's own async returns before anything has started, and a packet sent before its receiver listens is lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import time

from .. import files
from ..errors import PtnetError
from ..places import RUN as FOLDER

READY = b"ready"
# Seconds that a job may take to end its children: SIGINT, then SIGKILL (session.GRACE), one after the other.
GRACE = 30
JOB_MAX = 40
_JOB = re.compile(r"[A-Za-z0-9_-]{1,%d}\Z" % JOB_MAX)


def job_name(text):
    """The name of a job for whatever people call it (str): ``text`` itself where that can be one.

    Otherwise what can be read of it and a digest, so that two texts never share a job.

    :param text: such as the name of a case, in which inventory names stand: of any length, with dots (str)
    """
    if _JOB.match(text):
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:10]
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", text)[:JOB_MAX - len(digest) - 1]
    return "%s-%s" % (readable, digest)


def folder_of(job, top=FOLDER):
    """Where a job keeps its output and its result (path).

    :raises PtnetError: a name that is no plain word
    """
    if not _JOB.match(job):
        raise PtnetError("the name of a job is refused", found=repr(job),
                         expected="1 to %d letters, digits, underscores and -" % JOB_MAX)
    return os.path.join(top, "pkt-gen-" + job)


def start(folder, work):
    """Run ``work(ready)`` in a process of its own and return when it has called ``ready()``.

    :param work: returns what is collected later (JSON-able); must end by itself
    :raises PtnetError: it failed before it was ready
    """
    stop(folder)
    with files.own_folder(os.path.dirname(folder)) as top:
        os.mkdir(os.path.basename(folder), 0o700, dir_fd=top)
    listening, telling = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(listening)
        _child(folder, work, telling)
    os.close(telling)
    with os.fdopen(listening, "rb") as stream:
        if stream.read(len(READY)) != READY:
            os.waitpid(pid, 0)
            collect(folder, 1)
            raise PtnetError("the receivers ended before they were ready", remedy="run again; see %s" % folder)


def _child(folder, work, telling):
    """Never returns; the caller's connection must not wait for it, so it holds none of its descriptors."""
    status = 1
    try:
        os.setsid()
        # Locked as long as we live: the number alone may be another process's by the time that somebody reads it.
        mark = open(os.path.join(folder, "pid"), "w")  # noqa: SIM115 (closed by the end of this process)
        fcntl.flock(mark, fcntl.LOCK_EX)
        mark.write("%d" % os.getpid())
        mark.flush()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        try:
            result = {"result": work(lambda: os.write(telling, READY))}
        except PtnetError as error:
            result = {"error": [error.what, error.found, error.expected, error.remedy], "facts": error.facts}
        with open(os.path.join(folder, "result.new"), "w") as stream:
            json.dump(result, stream)
        os.rename(os.path.join(folder, "result.new"), os.path.join(folder, "result"))
        status = 0
    finally:
        os._exit(status)


def wanted_since(folder):
    """Since when the job's result is waited for (time.monotonic(), number); 0 when nobody came yet."""
    try:
        with open(os.path.join(folder, "wanted")) as stream:
            return float(stream.read() or 0)
    except OSError:
        return 0


def collect(folder, timeout):
    """Tell a job that it is wanted, wait for its end and return what it returned; its folder is gone then.

    :param timeout: seconds (number)
    :raises PtnetError: no such job, not done in time, or what the job itself raised
    """
    if not os.path.isdir(folder):
        raise PtnetError("there is no job to collect", found=folder, remedy="start it first (background=start)")
    with open(os.path.join(folder, "wanted"), "w") as stream:
        stream.write(repr(time.monotonic()))
    end = time.monotonic() + timeout
    path = os.path.join(folder, "result")
    while not os.path.exists(path):
        if time.monotonic() > end:
            stop(folder)
            raise PtnetError("the receivers were not done within %s s" % timeout, remedy="run again")
        time.sleep(0.05)
    with open(path) as stream:
        said = json.load(stream)
    shutil.rmtree(folder)
    if "error" in said:
        raise PtnetError(*said["error"], **said["facts"])
    return said["result"]


def stop(folder):
    """End a job that nobody collects, and return when it has let go of its ports; no such job is none to end.

    TERM lets it end its own children.
    """
    with contextlib.suppress(OSError, ValueError), open(os.path.join(folder, "pid")) as mark:
        if _lives(mark):
            os.kill(int(mark.read()), signal.SIGTERM)
            limit = time.monotonic() + GRACE
            while _lives(mark) and time.monotonic() < limit:
                time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


def _lives(mark):
    try:
        fcntl.flock(mark, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
