# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about memory that guests share: netmap hands out whole regions. Pure. Private to netmap.ptnet."""

from __future__ import annotations

from ..errors import PtnetError
from ..netmap import names, port_options, trust
from .contradiction import Place, Rule


class _Drivers:
    """What the declaration, and what is known of the host, say of interfaces, as ``system.driver_of`` does on it."""

    def __init__(self, host):
        own = {one.name for one in host.parents}
        own |= {one.name for one in host.attached if one.options["kind"] == port_options.PERSISTENT}
        self._drivers = {name: driver or "" for name, driver in (host.known.interfaces or {}).items()}
        # What they really have matters to nobody here.
        self._drivers.update({one.name: "nic" for one in host.nics + host.attached})
        self._drivers.update(dict.fromkeys(own, ""))

    def __call__(self, name):
        return self._drivers.get(name)


def _shared(host):
    """A port shows its guest the packets of all that are in its region: with consent only."""
    drivers = _Drivers(host)
    there = [(one.place, one.machine, "%s %s" % (one.machine.kind, one.machine.name), one.port.kernel_name())
             for one in host.opened]
    there += [(one.place, None, "switch %s" % one.switch, one.name) for one in host.attached if drivers(one.name)]
    for one in host.opened:
        name = one.port.kernel_name()
        region = trust.region(name, drivers)
        others = [] if region is None else [
            (place, who, other) for place, machine, who, other in there
            if machine is not one.machine and trust.region(other, drivers) == region]
        try:
            trust.refuse("%s %s" % (one.machine.kind, one.machine.name), [(name, one.options["trust"])], drivers,
                         lambda others=others: [(who, other) for _place, who, other in others])
        except PtnetError as error:
            yield [one.place] + [place for place, _who, _other in others], error


def _orphans(host):
    """A pipe's parent is declared; the port of a switch can be one where the same machine has it."""
    drivers, parents = _Drivers(host), {one.name for one in host.parents}
    for one in host.opened:
        if not isinstance(one.port, names.PipeEnd):
            continue
        switch = isinstance(names.parse(one.port.parent), names.VALEPort)
        if not switch and not host.complete:
            continue
        beside = [other.port.kernel_name() for other in host.opened
                  if other.machine is one.machine and not isinstance(other.port, names.PipeEnd)]
        try:
            trust.refuse_orphans("%s %s" % (one.machine.kind, one.machine.name),
                                 [*beside, one.port.kernel_name()], parents, drivers)
        except PtnetError as error:
            yield [one.place, one.machine.place.inside(".ports", "no port %s" % one.port.parent) if switch
                   else Place("ports_pipe_parents", "no %s" % one.port.parent)], error


RULES = (Rule("memory_shared", _shared), Rule("parent_undeclared", _orphans))
