# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about what there can be once only: names, ports, addresses. Pure. Private to netmap.ptnet."""

from __future__ import annotations

from ..doubles import doubles
from ..errors import PtnetError
from ..qemu import definition
from .contradiction import Rule


def _twice(items, value_of, error_of):
    """Places and errors of the items that have one value (iterator)."""
    items = list(items)
    for first, again in doubles(map(value_of, items)):
        yield [items[again].place, items[first].place], error_of(items[again])


def _names(host):
    # A VM on the distribution's QEMU has a port process of its name.
    yield from _twice(host.machines, lambda one: one.name, lambda one: PtnetError(
        "two VMs or port processes have the name %s" % one.name, expected="a name once on a host"))
    yield from _twice(host.switches, lambda one: one.name, lambda one: PtnetError(
        "the switch %s is declared twice" % one.name, expected="one element with all its interfaces, because each "
        "element takes off the switch what it does not name"))
    yield from _twice(host.nics, lambda one: one.name, lambda one: PtnetError(
        "the NIC %s is described twice" % one.name, expected="one element"))


def _ports(host):
    yield from _twice(host.opened, lambda one: one.port, lambda one: PtnetError(
        "port %s is opened twice" % one.port.kernel_name(),
        expected="one user: a port, and each end of a pipe, is opened exclusively",
        remedy="give one of them another name"))


def _addresses(host):
    for first, again in doubles(one.name for one in host.addresses):
        one, other = host.addresses[again], host.addresses[first]
        # Derived ones are equal where names are, and then the name is what is wrong.
        if one.options or other.options:
            yield [one.place, other.place], PtnetError(
                "the MAC address %s is given twice" % one.name, expected="each one once",
                remedy="leave mac out to have a stable one derived")


def _disks(host):
    """Two that write to one disk destroy what is on it; QEMU's own lock ends the second one when it starts."""
    first = {}
    for one in host.disks:
        other = first.setdefault(one.name, one)
        if other is not one and not (one.options["read_only"] and other.options["read_only"]):
            yield [one.place, other.place], PtnetError(
                "the disk %s is used twice" % one.name, expected="one user, or read_only with each of them",
                remedy="give each its own disk with this one, unchanged by all, as its backing")


def _forwards(host):
    forwards = [forward for _place, forward in host.forwards]
    for first, again in definition.clashing(forwards):
        yield [host.forwards[again][0], host.forwards[first][0]], PtnetError(
            "both cannot listen on port %s of the host" % forwards[again]["host_port"],
            expected="each address and port once, and 0.0.0.0 is every address", remedy="use another host_port")


def _interfaces(host):
    """One interface is on one switch, one end of one pair, or one parent."""
    used = [(one.place, one.name) for one in host.attached + host.parents]
    used += [(one.place, one.options["peer"]) for one in host.attached if one.options.get("peer")]
    for first, again in doubles(name for _place, name in used):
        yield [used[again][0], used[first][0]], PtnetError(
            "the interface %s is used twice" % used[again][1],
            expected="one use: on one switch, as an end of one veth pair, or as a parent, which is never on a switch")


RULES = (Rule("name_twice", _names), Rule("port_twice", _ports), Rule("address_twice", _addresses),
         Rule("disk_shared", _disks), Rule("forward_twice", _forwards), Rule("interface_twice", _interfaces))
