# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounds what a guest writes to its console, and QEMU to its log. Private to netmap.ptnet.

The files lie in a folder of the VM's own user, and that user is a stranger: nothing here is opened by its name. The
descriptor that QEMU itself writes to is cut, so that nobody is hurt but who could have done the same.
"""

from __future__ import annotations

import fcntl
import os
import stat

from ..qemu import definition

NAMES = ("console.log", "qemu.log")
LIMIT = 8 << 20
KEEP = 4 << 20


def paths(unit):
    """The files that the unit of a VM writes to (list of paths); empty for other units. Pure."""
    if not unit.startswith(definition.UNIT_PREFIX):
        return []
    name = unit[len(definition.UNIT_PREFIX):-len(".service")]
    return ["%s/%s/%s" % (definition.STATE_DIRECTORY, name, one) for one in NAMES]


def numbers(links, unit):
    """Descriptors of a process that lead to these files, one for each (list of int). Pure.

    :param links: from :func:`descriptors.links` (dict)
    """
    places = {target: number for number, target in sorted(links.items(), reverse=True)}
    return [places[path] for path in paths(unit) if path in places]


def whole(tail):
    """The end of a file without the line that begins before it (bytes). Pure."""
    return tail[tail.find(b"\n") + 1:]


def bound(descriptor, limit, keep):
    """Cut a file that has grown too large to its newest lines, in place: whoever writes to it goes on.

    :param descriptor: a duplicate of the writer's; where it does not append, the next byte follows what is kept (int)
    :returns: the size before (int), 0 when nothing was to be done
    :raises OSError: it cannot be read or written
    """
    status = os.fstat(descriptor)
    writable = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    if not stat.S_ISREG(status.st_mode) or status.st_size <= limit or not writable:
        return 0
    # The same file, whatever its name is by now. Its owner may have a lease on it, for which one would wait.
    source = os.open("/proc/self/fd/%d" % descriptor, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        kept = whole(os.pread(source, keep, status.st_size - keep))
        # What came meanwhile; only what comes from here on until the cut is lost.
        kept += os.pread(source, keep, status.st_size)
        os.ftruncate(descriptor, 0)
    finally:
        os.close(source)
    os.lseek(descriptor, 0, os.SEEK_SET)
    while kept:
        kept = kept[os.write(descriptor, kept):]
    return status.st_size
