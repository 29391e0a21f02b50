# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interfaces carry the management of a machine, from what was read of it. Pure. Private to netmap.ptnet.

They are those with the address that the SSH connection came in on, those by which its answers leave, and those of the
default route; and whatever these stand on.
"""

from __future__ import annotations

import ipaddress
from collections import namedtuple

LOOPBACK, VRF, OPENVSWITCH = "loopback", "vrf", "openvswitch"
PAIRS = ("veth", "epair")
SSH = 22

# An SSH connection: addresses (ipaddress), TCP ports (int), the zone of a link-local address (str, or None).
Session = namedtuple("Session", "peer peer_port local port zone")

# An interface: its kind as the system calls it (str, "" for a NIC); the bridge, bond or VRF that it is part of; what it
# was made on: the NIC of a VLAN, the other end of a pair; these two are keys of further links, or None. Its alternative
# names (tuple of str): Linux finds an interface by each of them, and netmap too (dev_get_by_name in net/core/dev.c).
Link = namedtuple("Link", "name kind master lower altnames", defaults=((),))


def session(text):
    """The connection that the value of SSH_CONNECTION speaks of (Session), None where it speaks of none.

    :param text: "peer port local port", as sshd(8) sets it (str or None)
    """
    try:
        peer, peer_port, local, port = (text or "").split()
        return Session(address(peer), int(peer_port), address(local), int(port), local.partition("%")[2] or None)
    except ValueError:
        return None


def address(text):
    """An address without its zone (ipaddress); an IPv4 address that IPv6 wraps is an IPv4 address.

    :raises ValueError: no address
    """
    found = ipaddress.ip_address(text.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found


def inside(one, addresses):
    """Whether a connection comes from this machine itself (bool): what brought it here is another one.

    :param addresses: of this machine (list of pairs of a link's key and an ipaddress)
    """
    return one.local.is_loopback or one.peer in [own for _key, own in addresses]


def owners(one, links, addresses):
    """The interfaces that have the local address of a connection (list of keys of links)."""
    return [key for key, own in addresses
            if key in links and own == one.local and one.zone in (None, str(key), links[key].name)]


def carried(links, addresses, replies, defaults):
    """What each interface carries that must not be cut (dict of str), by all names that it has.

    :param links: all interfaces (dict of Link)
    :param addresses: of them (list of pairs of a key of ``links`` and an ipaddress)
    :param replies: connection (Session) to the interfaces by which its answers leave (dict of list of keys)
    :param defaults: the interfaces of the default route (list of keys)
    """
    found = {}
    for one, leaving in replies.items():
        for key in owners(one, links, addresses):
            _add(found, links, key, "the SSH connection from %s, which came in on its address %s" % (
                one.peer, one.local))
        for key in leaving:
            _add(found, links, key, "the answers to the SSH connection from %s" % one.peer)
    for key in defaults:
        _add(found, links, key, "the default route")
    others = {other: "%s, as another name of %s" % (what, links[key].name)
              for key, what in found.items() for other in links[key].altnames}
    return {**others, **{links[key].name: what for key, what in found.items()}}


def _add(found, links, key, what):
    """Note an interface and all that it stands on."""
    if key not in links or links[key].kind == LOOPBACK:
        return
    found.setdefault(key, what)
    waiting, seen = [key], {key}
    while waiting:
        for below in _below(links, waiting.pop()):
            if below not in seen and links[below].kind != LOOPBACK:
                seen.add(below)
                waiting.append(below)
                found.setdefault(below, "%s and with it %s" % (links[key].name, what))


def _below(links, key):
    """The interfaces that one stands on directly (list of keys)."""
    one = links[key]
    found = [other for other, link in links.items() if link.master == key]
    if one.lower in links:
        found.append(one.lower)
        beyond = links[one.lower].master
        # A pair is a cable: what the other end is plugged into brings the packets.
        if one.kind in PAIRS and beyond in links and links[beyond].kind != VRF:
            found.append(beyond)
    if one.kind == OPENVSWITCH:
        # A port of the kernel's own is in no list of the bridge's; the NICs have the datapath for their master.
        found += [other for other, link in links.items()
                  if link.master in links and links[link.master].kind == OPENVSWITCH]
    return found
