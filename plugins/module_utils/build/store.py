# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory on a machine that keeps sources, build archives, installed trees and logs. Private to netmap.ptnet.

::

    <store>/lock                          held while anything is changed
    <store>/git/<digest>.git              mirror of one git address, pinned commits only
    <store>/archive/<kind>-<identity>.tar.gz
    <store>/<kind>/<identity>/            an unpacked build archive: manifest.json, root/<absolute path>
    <store>/<kind>/installed.json         what is installed, see install.py
    <store>/log/<kind>-<identity>.log, progress-<kind>.log
    <store>/tmp/                          work in progress; what the next holder of the lock finds here is junk
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time

from .. import files
from ..errors import PtnetError

LOCK_WAIT = 3600


def absolute(option, path):
    """The path, if files may be put below it (str).

    :raises PtnetError: relative, not in its plain form, or the root directory
    """
    if not path.startswith("/") or path == "/" or os.path.normpath(path) != path:
        raise PtnetError("%s is no usable directory" % option, found=path,
                         expected="an absolute path other than /, without //, . and ..")
    return path


class Store:
    """Paths in one store, its lock and its progress log; creates nothing until it is locked."""

    def __init__(self, root, kind):
        self.root = absolute("store", root)
        self.kind = kind

    def path(self, *names):
        return os.path.join(self.root, *names)

    def tree(self, identity):
        return self.path(self.kind, identity)

    def archive(self, identity):
        return self.path("archive", "%s-%s.tar.gz" % (self.kind, identity))

    def log(self, identity):
        return self.path("log", "%s-%s.log" % (self.kind, identity))

    @property
    def progress(self):
        return self.path("log", "progress-%s.log" % self.kind)

    @contextlib.contextmanager
    def locked(self, wait=LOCK_WAIT):
        """Hold the store: others wait up to ``wait`` seconds; leftovers of an interrupted run are removed."""
        for name in ("git", "archive", "log", self.kind):
            os.makedirs(self.path(name), mode=0o755, exist_ok=True)
        with open(self.path("lock"), "a+") as lock:
            end = time.monotonic() + wait
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= end:
                        lock.seek(0)
                        raise PtnetError(
                            "the build store %s is in use" % self.root, found="process %s" % lock.read().strip(),
                            remedy="wait for that build to end; %s shows its progress" % self.path("log")) from None
                    time.sleep(min(0.5, wait))
            lock.truncate(0)
            lock.write("%d\n" % os.getpid())
            lock.flush()
            self._empty()
            try:
                yield self
            finally:
                self._empty(ignore_errors=True)

    def _empty(self, ignore_errors=False):
        if os.path.lexists(self.path("tmp")):
            shutil.rmtree(self.path("tmp"), ignore_errors=ignore_errors)
        os.makedirs(self.path("tmp"), mode=0o700, exist_ok=True)

    def scratch(self, name):
        """A new empty directory for work in progress (path); the same name every time keeps builds reproducible."""
        path = self.path("tmp", name)
        if os.path.isdir(path):
            shutil.rmtree(path)
        os.makedirs(path, mode=0o755)
        return path

    @contextlib.contextmanager
    def step(self, name):
        """Write the begin and the duration of a step into the progress log, one line each."""
        begin = time.monotonic()
        self._line(name)
        outcome = "failed"
        try:
            yield
            outcome = "done"
        finally:
            self._line("%s: %s, %d s" % (name, outcome, time.monotonic() - begin))

    def _line(self, text):
        with open(self.progress, "a") as stream:
            stream.write("%s %s\n" % (time.strftime("%H:%M:%S"), text))


def write_json(path, value):
    """Replace a file by the JSON of ``value``: the old content or the new one, never half of it."""
    files.replace(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def read_json(path):
    """The value in a JSON file, or None when there is no such file.

    :raises PtnetError: the file is no JSON
    """
    try:
        with open(path) as stream:
            return json.load(stream)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise PtnetError("%s is damaged" % path, found=error, remedy="remove it and install again") from error
