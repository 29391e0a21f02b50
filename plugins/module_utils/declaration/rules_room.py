# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about what has to fit: PCI slots, netmap's pools, memory. Pure. Private to netmap.ptnet."""

from __future__ import annotations

from ..errors import PtnetError
from ..netmap import sizing
from ..qemu.distribution import Distribution
from ..qemu.fork import Fork
from .contradiction import Place, Rule


def _slots(host):
    """What the QEMU of a VM refuses. Without a choice it must be what all of them refuse."""
    kinds = {kind.NAME: (kind,) for kind in (Distribution, Fork)}
    for one in host.machines:
        if one.kind != "VM" or one.whole is None:
            continue
        refusals = [_refusal(kind, one.whole) for kind in kinds.get(one.options["hypervisor"], (Distribution, Fork))]
        if all(refusals):
            yield [one.place.inside(".ports", "%d ports" % len(one.whole["ports"])),
                   one.place.inside(".hypervisor", one.options["hypervisor"])], refusals[0]


def _refusal(kind, vm):
    try:
        # The program is not asked.
        kind(None).refuse(vm)
    except PtnetError as error:
        return error
    return None


def _size(host):
    """What netmap needs for all of it, as the role netmap computes it (dict).

    :raises PtnetError: more than its allocator can have
    """
    return sizing.size(
        [{"name": one.name, "memory": one.options["memory"],
          "ports": [{"port": port.port.kernel_name()} for port in host.opened if port.machine is one]}
         for one in host.machines],
        [{"name": switch.name, "interfaces": [one.options for one in host.attached if one.switch == switch.name]}
         for switch in host.switches],
        [one.options for one in host.parents], [one.options for one in host.nics], host.parameters)


def _pools(host):
    try:
        _size(host)
    except PtnetError as error:
        yield [Place(name, "%d in all" % count) for name, count in (
            ("ports_switches", len(host.switches)), ("ports_pipe_parents", len(host.parents)),
            ("netmap_nics", len(host.nics)), ("vms_machines and ports_processes", len(host.machines))) if count], error


def _memory(host):
    if host.known.memory is None:
        return
    try:
        need = _size(host)["memory"]
    except PtnetError:
        return
    total = -(-need["total"] >> 20)
    if total > host.known.memory:
        machines = [Place(one.place.path, "%s, %s MiB" % (one.place.what, one.options["memory"]))
                    for one in host.machines]
        yield [*machines, Place("the host", "memory %d MiB" % host.known.memory)], PtnetError(
            "what is declared needs more memory than there is",
            found="%d MiB: %d of machines, %d of netmap" % (
                total, need["machines"] >> 20, total - (need["machines"] >> 20)),
            expected="at most %d MiB" % host.known.memory, remedy="lower the memory of machines, or move some of them")


RULES = (Rule("slots", _slots), Rule("pools", _pools), Rule("memory", _memory))
