# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a QEMU program says about itself. Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import os
import re

from .. import command

_SECONDS = 60


class Program:
    """One program; each question is asked when it matters, and once.

    :param path: where it is, or would be (path)
    :param run: starts a program and returns status and output, as :func:`command.run`
    """

    def __init__(self, path, run=None):
        self.path = path
        self._run = run or command.run
        self._known = {}

    @property
    def there(self):
        """Whether there is such a file (bool)."""
        return os.path.exists(self.path)

    @property
    def file(self):
        """Device and inode (pair of int); None when it is not there, and of a script, which runs as its interpreter."""
        with contextlib.suppress(OSError), open(self.path, "rb") as stream:
            found = os.fstat(stream.fileno())
            return None if stream.read(2) == b"#!" else (found.st_dev, found.st_ino)
        return None

    @property
    def version(self):
        """Such as 11.1.3 (str); empty when it is not there or does not say."""
        found = re.search(r"version (\d+(?:\.\d+)*)", self._ask("-version")[1])
        return found.group(1) if found else ""

    @property
    def package(self):
        """What its packager calls it, such as Debian 1:11.1.3+ds-1 (str); empty when he says nothing."""
        found = re.search(r"version \S+ \(([^)\n]+)\)", self._ask("-version")[1])
        return found.group(1) if found else ""

    @property
    def number(self):
        """The version to compare with (tuple of int)."""
        return tuple(int(part) for part in self.version.split(".") if part)

    def has_device(self, name):
        """Whether it was built with a kind of device (bool)."""
        return re.search(r'^name "%s"' % re.escape(name), self._ask("-device", "help")[1], re.M) is not None

    @property
    def has_seccomp(self):
        """Whether it can give up system calls by itself, ``-sandbox`` (bool); vl.c of QEMU exits without it."""
        return self.there and self._ask("-sandbox", "on", "-version")[0] == 0

    def _ask(self, *words):
        if words not in self._known:
            self._known[words] = self._run([self.path, *words], _SECONDS, allowed=None) if self.there else (1, "")
        return self._known[words]


def running_version(binary, places, program=Program):
    """``version`` and ``package`` of a QEMU that runs (dict of str); None where they cannot be told.

    What runs may be anybody's: only a program at a known place is started, and only if it is the file that runs.

    :param binary: the file that runs, as the kernel says (path or None)
    :param places: where a QEMU may be that is root's (paths)
    :param program: makes a Program from a path
    """
    found = [program(place) for place in places if binary and os.path.realpath(place) == binary]
    return {key: getattr(found[0], key) or None if found else None for key in ("version", "package")}
