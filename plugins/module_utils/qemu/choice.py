# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the QEMUs a VM runs on, and why. Private to netmap.ptnet."""

from __future__ import annotations

from ..errors import PtnetError
from .distribution import Distribution
from .fork import Fork
from .program import Program

# The order in which they are tried where nobody chose. The distribution's gets security fixes and cannot touch
# /dev/netmap, and is to come first as soon as it carries 0.8 of the fork's rate: from a switch to a guest it is 0.4
# (tests/benchmark/rates.py).
PREFERRED = (Fork, Distribution)
AUTO = "auto"


def choose(asked, binary, forgive, program=Program):
    """The hypervisor (Hypervisor) and the reason (str).

    :param asked: auto, or the name of one (str)
    :param binary: the program that the user named (path or None)
    :param forgive: whether it may be absent, because a check run comes before it is installed (bool)
    :param program: makes a Program from a path
    :raises PtnetError: there is none, with every way to get one
    """
    if asked != AUTO:
        kind = next(kind for kind in PREFERRED if asked == kind.NAME)
        paths = [program(path) for path in ([binary] if binary else kind.BINARIES)]
        return kind(next((path for path in paths if path.there), paths[0])), "asked for"
    objections = []
    for kind in PREFERRED:
        for one in [program(path) for path in ([binary] if binary else kind.BINARIES)]:
            objection = kind.objection(one) if one.there else "no %s" % one.path
            if not objection:
                objections.append("%s is QEMU %s" % (one.path, one.version or "without a version"))
                return kind(one), "; ".join(objections)
            if objection not in objections:
                objections.append(objection)
    if forgive:
        kind = PREFERRED[0]
        return kind(program(binary or kind.BINARIES[0])), "none is there yet; " + "; ".join(objections)
    raise PtnetError("there is no QEMU for ptnet ports on this host", found="; ".join(objections),
                     expected=" or ".join(kind.NAME for kind in PREFERRED),
                     remedy="; or ".join(kind.REMEDY for kind in PREFERRED) + "; role netmap.ptnet.qemu does either")


def files():
    """Where the files are that a hypervisor's units need besides, on any host (list of paths)."""
    return [path for kind in PREFERRED for path in kind(Program("")).files()]
