# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which traffic proves the links between NICs of hosts, from machine to machine. Pure. Private to netmap.ptnet."""

from __future__ import annotations

from collections import namedtuple

from ..errors import PtnetError
from ..netmap import names
from . import cases

# Seconds after a guest opened a NIC that was passed to it: netmap resets the NIC, and its link comes up again.
WAIT = 4

End = namedtuple("End", "host nic")
Place = namedtuple("Place", "machine sends receives path wait switch")
Place.__doc__ = """Where frames over a link begin or end: the machine, its port to send and to receive with, the
stations from there to the NIC, the seconds until its link is up, and the switch (None where the NIC is its own)."""


def read(declared):
    """The ends of the declared links (list of pairs of End).

    :param declared: dictionaries with ``a`` and ``b``, each a text HOST:NIC
    :raises PtnetError: something else
    """
    found = []
    for number, link in enumerate(declared, 1):
        if not isinstance(link, dict) or set(link) != {"a", "b"}:
            raise PtnetError("link %d of check_links is not understood" % number, found=repr(link),
                             expected="a dictionary with a and b, each HOST:NIC")
        found.append((_end(link["a"], number), _end(link["b"], number)))
        if found[-1][0] == found[-1][1]:
            raise PtnetError("link %d of check_links leads from a NIC to itself" % number, found=link["a"])
        if set(found[-1]) in map(set, found[:-1]):
            raise PtnetError("link %d of check_links stands there twice" % number,
                             found="%s and %s" % (link["a"], link["b"]))
    return found


def linked(declared, host):
    """The NICs of a host that a declared link ends at (list of str).

    :raises PtnetError: as :func:`read`
    """
    return [end.nic for link in read(declared) for end in link if end.host == host]


def _end(text, number):
    # A name of an inventory may have colons (an IPv6 address), that of a NIC has none.
    host, colon, nic = str(text).rpartition(":")
    if not colon or not host:
        raise PtnetError("an end of link %d of check_links is not understood" % number, found=repr(text),
                         expected="HOST:NIC, such as hv1.example.org:eth1")
    return End(host, names.interface(nic))


def between(hosts, declared, known):
    """All cases and rows of the links (list of dict), one case each way.

    :param hosts: (list of cases.Host)
    :param declared: as :func:`read` takes it
    :param known: the cases of the hosts themselves, to compare with (list of dict)
    :raises PtnetError: as :func:`read`
    """
    by_name = {host.name: host for host in hosts}
    found = []
    for link in read(declared):
        places = [_place(by_name.get(end.host), end) for end in link]
        reasons = [place for place in places if isinstance(place, str)]
        if reasons:
            found.append(cases.row("%s:%s ↔ %s:%s" % (link[0] + link[1]), "; ".join(reasons)))
            continue
        ways = list(zip(link, places))
        for way in (ways, ways[::-1]):
            one = _case(way, [case for case in known if "sender" in case], [by_name[end.host] for end, _place in way])
            for host in (by_name[end.host] for end, _place in way):
                one = host.judged(one)
            found.append(one)
    return found


def _place(host, end):
    """Where frames for a NIC begin and end (Place), or why nowhere (str)."""
    if host is None:
        return "%s is not checked in this run" % end.host
    for one in host.held:
        if one.port == names.Interface(end.nic):
            if host.asked(one.vm):
                return Place(one.vm, one.interface, one.interface, [one.vm], WAIT, None)
            return "%s of %s is passed to %s, which is no reachable guest" % (end.nic, end.host, one.vm)
    for switch, attached in host.switches.items():
        if end.nic in attached:
            there = [one for one in host.held if host.asked(one.vm) and isinstance(one.port, names.VALEPort)
                     and one.port.switch == switch]
            # One that answers proves the link, however many do not.
            for one in sorted(there, key=lambda one: one.vm in host.lost):
                return Place(one.vm, one.interface, one.interface, [one.vm, switch], 0, switch)
            return Place(host.name, "%s:%s" % (switch, cases.SENDS), "%s:%s" % (switch, cases.RECEIVES),
                         [host.name, switch], 0, switch)
    return "%s of %s is neither on a switch nor passed to a machine" % (end.nic, end.host)


def _case(way, known, hosts):
    """The case from one end of a link to the other.

    :param way: End and Place of the sender, then of the receiver (list of pairs)
    :param known: the cases of all hosts themselves (list of dict)
    :param hosts: of the sender and of the receiver (list of cases.Host)
    """
    (start, sends), (end, receives) = way
    nics = ["%s:%s" % start, "%s:%s" % end]
    found = cases.case("%s-to-%s" % tuple(nics), " → ".join([sends.machine, start.nic, end.nic, receives.machine]),
                       sends.machine, receives.machine, [(sends.sends, receives.receives)],
                       sends.path + nics + receives.path[::-1], waits=(sends.wait, receives.wait))
    # A machine is compared with a machine, and a host with a host.
    kinds = [place.machine == host.name for place, host in zip((sends, receives), hosts)]
    inner = [case for place, host in zip((sends, receives), hosts) if place.switch
             for case in _of_switch(known, host, place.switch)]
    found["baseline"] = next((case["name"] for case in inner if case["native"]), None)
    found["inside"] = next((case["name"] for case in inner if kinds == [
        case[side] in [host.name for host in hosts] for side in ("sender", "receiver")]), None)
    return found


def _of_switch(known, host, switch):
    """The cases over one switch of one host (list of dict)."""
    there = {host.name, *host.guests}
    return [case for case in known if case["path"][1:2] == [switch] and {case["sender"], case["receiver"]} <= there]
