# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about ports and what they stand on. Pure. Private to netmap.ptnet."""

from __future__ import annotations

from ..errors import PtnetError
from ..kernel.management import PAIRS
from ..netmap import guard, names, opening, port_options
from .contradiction import Place, Rule


def _attached(host):
    """Nobody opens what is on a switch: the module refuses it by the kernel's list, this by the declaration."""
    entries = [names.Entry(0, "%s:%s" % (one.switch, one.name), one.switch, one.name, False, False)
               for one in host.attached]
    places = {one.name: one.place for one in host.parents + host.attached}
    interfaces = {**{name: _of_host(name) for name in host.known.interfaces or ()}, **places}
    for one in host.opened:
        try:
            opening.refuse_wedging([one.port.kernel_name()], entries, interfaces)
        except PtnetError as error:
            yield [one.place, interfaces[_interface(one.port) or _base(one.port).port]], error


def _of_host(name):
    return Place("the host", "interface %s" % name)


def _base(port):
    """The port itself, or the parent of a pipe (Interface or VALEPort)."""
    return names.parse(port.parent) if isinstance(port, names.PipeEnd) else port


def _interface(port):
    """The interface that is opened (str), None for the port of a switch."""
    base = _base(port)
    return base.name if isinstance(base, names.Interface) else None


def _memories(host):
    """The memory of a persistent port that is not its own is that of a declared parent."""
    declared = {one.name for one in host.parents}
    for one in host.attached if host.complete else ():
        memory = one.options.get("memory")
        if memory not in (None, port_options.PRIVATE, port_options.GLOBAL) and memory not in declared:
            yield [one.place, Place("ports_pipe_parents", "no %s" % memory)], PtnetError(
                "the memory of the port %s is that of a parent that nobody declares" % one.name, found=memory,
                expected="private, global, or a name in ports_pipe_parents")


def lone_ends(host):
    """The ends of pipes whose other ends no machine has (list of Opened)."""
    ends = {one.port: one for one in host.opened if isinstance(one.port, names.PipeEnd)}
    return [one for port, one in ends.items() if port.peer() not in ends]


def _pipes(host):
    """Two ends that would meet if they had one number. One alone is legal: a program of the host has the other."""
    alone = lone_ends(host)
    for first in alone:
        for second in alone:
            if (first.port.parent == second.port.parent and (first.port.end, second.port.end) == ("{", "}")
                    and first.machine is not second.machine):
                yield [first.place, second.place], PtnetError(
                    "two ends of different pipes, each without its other end",
                    found="%s and %s" % (first.port.kernel_name(), second.port.kernel_name()),
                    expected="%s and %s, to connect the two" % (
                        first.port.kernel_name(), first.port.peer().kernel_name()),
                    remedy="give both one number; where programs of the host have the other ends, use two parents")


def _missing(host):
    """What is neither there nor made by this declaration cannot be used."""
    if host.known.interfaces is None:
        return
    attached = [one for one in host.attached if one.options["kind"] != port_options.NIC]
    made = {one.name for one in host.parents + attached}
    made |= {one.options.get("peer") for one in host.attached}
    there = Place("the host", "interfaces %s" % ", ".join(sorted(host.known.interfaces)))
    users = [(one.place, one.name) for one in host.attached]
    users += [(one.place, one.port.name) for one in host.opened if isinstance(one.port, names.Interface)]
    for place, name in users:
        if name not in made and name not in host.known.interfaces:
            yield [place, there], PtnetError("there is no interface %s" % name,
                                             expected="one of the host's, or one that is declared")


def _taken(host):
    """What is to be made has a name that no other interface of the host has."""
    drivers = host.known.interfaces or {}
    pairs = [(one.place, name) for one in host.attached if one.options["kind"] == port_options.VETH
             for name in (one.name, one.options["peer"]) if drivers.get(name) not in PAIRS]
    own = [(one.place, one.name) for one in host.parents]
    own += [(one.place, one.name) for one in host.attached if one.options["kind"] == port_options.PERSISTENT]
    # One of netmap's own, which has no driver, is what an earlier run made, or the module tells whose it is.
    for place, name in pairs + own:
        if drivers.get(name):
            yield [place, _of_host(name)], PtnetError(
                "%s cannot be made" % name, found="an interface of the host with the driver %s" % drivers[name],
                expected="a name that no interface of the host has")


def _management(host):
    """The connection that Ansible came in by. What is on its switch already stays there, such as the host's leg."""
    users = [(one.place, one.name, host.allow_management, "ports_allow_management") for one in host.attached
             if (one.switch, one.name) not in host.known.attached]
    users += [(one.place, guard.taken(one.port.kernel_name()), one.machine.options["allow_management"],
               "vms_allow_management" if one.machine.kind == "VM" else "ports_allow_management")
              for one in host.opened]
    for place, name, allowed, variable in users:
        try:
            guard.refuse("%s is left alone" % name, name, {} if allowed else host.known.management, variable)
        except PtnetError as error:
            yield [place, _of_host(name)], error


RULES = (Rule("attached", _attached), Rule("memory_undeclared", _memories), Rule("pipe_unmatched", _pipes),
         Rule("interface_missing", _missing), Rule("interface_taken", _taken),
         Rule("management", _management))
