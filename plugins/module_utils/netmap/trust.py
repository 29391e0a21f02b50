# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose memory a guest sees through a port, and the consent to that. Private to netmap.ptnet.

netmap hands out regions as a whole (netmap_mem2.c): whoever maps one reads and writes the packets of everybody in it.
All NICs are in the global region (with an IOMMU in one for each of its groups), the pipes of a parent are in that of
the parent, and so in the global one where the parent is a NIC (netmap_pipe.c). A port of a VALE switch has a region of
its own.
"""

from __future__ import annotations

import re

from ..errors import PtnetError
from . import names

PRIVATE = "private"
SHARED = "shared"
CHOICES = (PRIVATE, SHARED)
NICS = "all NICs of a host"
_IFNAME = re.compile(r"\bifname=(?:netmap:)?([^\s,\"]+)")


def region(port, driver_of):
    """The memory region that a port shares (str): :data:`NICS`, or the parent of pipes; None for a port of a switch.

    :param port: the kernel's name (str)
    :param driver_of: interface to its driver, ``""`` for a persistent port, None where there is none (callable)
    """
    parsed = names.parse(port)
    if isinstance(parsed, names.VALEPort):
        return None
    name = parsed.parent if isinstance(parsed, names.PipeEnd) else parsed.name
    if isinstance(parsed, names.PipeEnd) or driver_of(name) == "":
        return NICS if driver_of(name) else name
    return NICS


def refuse(who, ports, driver_of, others):
    """Refuse ports that show a guest the packets of others, unless that was consented to. Pure.

    :param who: whose ports they are, such as ``VM fw`` (str)
    :param ports: the kernel's name and ``trust`` of each (list of pairs of str)
    :param driver_of: as for :func:`region`
    :param others: tells who else has which port, asked only to tell it; a list of pairs: in words, and the kernel's
        name (callable)
    :raises PtnetError: the first such port
    """
    for name, trust in ports:
        place = None if trust == SHARED else region(name, driver_of)
        if place is None:
            continue
        there = ["%s (%s)" % pair for pair in others() if region(pair[1], driver_of) == place]
        raise PtnetError(
            "port %s of %s shares its memory with others" % (name, who),
            found="trust: %s; one region for %s, now with %s" % (
                trust, place if place == NICS else "all pipes of " + place, ", ".join(there) or "nobody else"),
            expected="trust: shared, or a port of a VALE switch, which has memory of its own",
            remedy="set trust: shared on this port if everybody in the region, now and later, may read and change "
                   "everybody else's packets")


def refuse_orphans(who, ports, parents, driver_of):
    """Refuse ends of pipes whose parent nobody made: netmap would make one, and lose it again. Pure.

    Pipes of such a parent that came and went at once hung the kernel (2 of 6 runs, with a declared one 0 of 2). A port
    of a switch can be the parent where the same machine has it: to others its memory is closed.

    :param who: as for :func:`refuse`
    :param ports: the kernel's names (list of str)
    :param parents: those on record (names)
    :param driver_of: as for :func:`region`
    :raises PtnetError: the first such end
    """
    for name in ports:
        port = names.parse(name)
        if not isinstance(port, names.PipeEnd) or port.parent in parents:
            continue
        switch = ":" in port.parent
        if port.parent in ports if switch else driver_of(port.parent) is not None:
            continue
        raise PtnetError(
            "the pipe %s of %s has no parent" % (name, who),
            found="%s is %s" % (port.parent, "a port of a switch, and none of %s" % who if switch
                                else "no interface, and nobody declared it"),
            expected="a parent of netmap.ptnet.netmap_pipe%s" % ("" if switch else ", or a NIC"),
            remedy="declare the parent first (the role's variable is ports_pipe_parents)")


def ports_in(text):
    """The ports that the unit file of a VM or of a port process opens, as the kernel knows them (list of str). Pure."""
    return _IFNAME.findall(text)
