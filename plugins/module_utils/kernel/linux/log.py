# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel log of a Linux machine. Private to netmap.ptnet."""

from __future__ import annotations

import collections
import contextlib
import errno
import os
import re

from ...errors import PtnetError
from ..unix import printable

KMSG = "/dev/kmsg"
_RECORD = 8192
_PARSE = re.compile(r"(\d+),\d+,(\d+),[^;]*;(.*)", re.DOTALL)


def kernel_log(lines, path=KMSG):
    """The newest lines that the kernel itself wrote, oldest first (list of dict: ``at`` in seconds, ``text``).

    Lines that programs wrote into the log are left out: they could say anything.

    :param lines: how many at most (int)
    :raises PtnetError: the log cannot be read
    """
    found = collections.deque(maxlen=lines)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            for record in _records(descriptor):
                line = parse(record)
                if line:
                    found.append(line)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise PtnetError("the kernel log cannot be read", found="%s: %s" % (path, error.strerror),
                         remedy="run as root, on the machine itself rather than in a container") from error
    return list(found)


def parse(record):
    """One record of /dev/kmsg (bytes) as ``at`` and ``text``; None when it is not the kernel's own."""
    found = _PARSE.match(record.decode("utf-8", "replace"))
    if not found or int(found.group(1)) >> 3:
        return None
    return {"at": int(found.group(2)) / 1e6, "text": printable(found.group(3).split("\n")[0])}


def _records(descriptor):
    while True:
        try:
            record = os.read(descriptor, _RECORD)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.EPIPE:  # Overwritten while we read; the next one is whole again.
                continue
            if error.errno == errno.EINVAL:  # Longer than a record can be.
                continue
            raise
        if not record:
            return
        with contextlib.suppress(ValueError):
            yield record
