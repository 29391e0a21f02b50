# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about what has to fit: PCI slots, netmap's pools, memory. Pure. Private to netmap.ptnet."""

from __future__ import annotations

from ..errors import PtnetError
from ..netmap import names, parameters, sizing
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


def _pipes(host):
    """netmap_pipe refuses a parent that the parameters of private regions, as the user sets them, are too small for."""
    for one in host.parents:
        used = {port.port.pipe for port in host.opened
                if isinstance(port.port, names.PipeEnd) and port.port.parent == one.name}
        pipes = max(one.options["pipes"], len(used))
        try:
            wanted = parameters.raise_for_pipes(host.parameters, **dict(
                {key: one.options[key] for key in (*sizing.PORT, "extra_buffers")}, pipes=pipes))
        except PtnetError:
            continue  # more than any value allows is told of the pools
        for name in sorted(set(wanted) & set(host.parameters)):
            yield [Place("netmap_parameters[%s]" % name, "value %d" % host.parameters[name]), one.place], PtnetError(
                "%d pipes do not fit on the parent %s" % (pipes, one.name), found="%s of %d" % (
                    name, host.parameters[name]), expected="%d or more" % wanted[name],
                remedy="leave %s out, and it is sized" % name)


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


RULES = (Rule("slots", _slots), Rule("pools", _pools), Rule("pipes_room", _pipes), Rule("memory", _memory))
