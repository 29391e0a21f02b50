# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interfaces carry the management, of machines as people build them."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel import management
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.management import Link
from hypothesis import given
from hypothesis import strategies as st

NICS = {1: Link("lo", "loopback", None, None), 2: Link("eth0", "", None, None), 3: Link("eth1", "", None, None)}
IN = management.session("192.0.2.1 50000 192.0.2.5 22")
CAME_IN = "the SSH connection from 192.0.2.1, which came in on its address 192.0.2.5"
ANSWERS = "the answers to the SSH connection from 192.0.2.1"


def carried(links, owner=None, leaving=(), defaults=(), one=IN):
    """What is carried when the local address is on ``owner``; interfaces are named by their keys."""
    addresses = [(1, ipaddress.ip_address("127.0.0.1"))] + [(owner, one.local)] * bool(owner)
    return management.carried({**NICS, **links}, addresses, {one: list(leaving)}, list(defaults))


def test_of_two_nics_in_one_subnet_the_one_with_the_local_address():
    assert carried({}, owner=3, leaving=[3]) == {"eth1": CAME_IN}


def test_answers_that_leave_by_another_nic():
    assert carried({}, owner=3, leaving=[2]) == {"eth1": CAME_IN, "eth0": ANSWERS}


def test_answers_that_leave_by_several():
    assert carried({}, owner=3, leaving=[2, 3]) == {"eth1": CAME_IN, "eth0": ANSWERS}


def test_the_default_route_beside_it():
    assert carried({}, owner=3, leaving=[3], defaults=[2]) == {"eth1": CAME_IN, "eth0": "the default route"}


def test_an_address_of_the_loopback_is_carried_by_the_way_of_the_answers():
    assert carried({}, owner=1, leaving=[2]) == {"eth0": ANSWERS}


@pytest.mark.parametrize(("links", "top"), [
    ({4: Link("br0", "bridge", None, None), 2: Link("eth0", "", 4, None)}, 4),
    ({4: Link("bond0", "bond", None, None), 2: Link("eth0", "", 4, None)}, 4),
    ({4: Link("team0", "team", None, None), 2: Link("eth0", "", 4, None)}, 4),
    ({4: Link("mgmt", "vrf", None, None), 2: Link("eth0", "", 4, None)}, 4),
    ({4: Link("eth0.5", "vlan", None, 2)}, 4),
    ({4: Link("mac0", "macvlan", None, 2)}, 4),
    # A bond below a VLAN below a bridge.
    ({4: Link("br0", "bridge", None, None), 5: Link("bond0.5", "vlan", 4, 6), 6: Link("bond0", "bond", None, None),
      2: Link("eth0", "", 6, None)}, 4),
    # A pair from the host into a bridge with the NIC.
    ({4: Link("host", "veth", None, 5), 5: Link("port", "veth", 6, 4), 6: Link("br0", "bridge", None, None),
      2: Link("eth0", "", 6, None)}, 4),
    # A port of Open vSwitch for the host; the NIC's master is the datapath.
    ({4: Link("ovs-system", "openvswitch", None, None), 5: Link("br-ex", "openvswitch", None, None),
      2: Link("eth0", "", 4, None)}, 5)],
    ids=["bridge", "bond", "team", "vrf", "vlan", "macvlan", "three", "pair", "openvswitch"])
def test_what_it_stands_on(links, top):
    found = carried(links, owner=top)
    assert found[links[top].name] == CAME_IN
    assert found["eth0"] == "%s and with it %s" % (links[top].name, CAME_IN)
    assert "eth1" not in found


def test_what_stands_on_it_does_not_carry_it():
    links = {4: Link("eth0.5", "vlan", None, 2), 5: Link("br9", "bridge", None, None),
             6: Link("mgmt", "vrf", None, None), 3: Link("eth1", "", 6, None), 7: Link("data", "", 6, None)}
    assert carried(links, owner=2) == {"eth0": CAME_IN}
    # A member of a VRF has its own address; its VRF and that one's other members do not carry it.
    assert carried(links, owner=3) == {"eth1": CAME_IN}


def test_a_pair_into_a_vrf_is_no_bridge():
    links = {4: Link("a", "veth", None, 5), 5: Link("b", "veth", 6, 4), 6: Link("blue", "vrf", None, None),
             3: Link("eth1", "", 6, None)}
    assert sorted(carried(links, owner=4)) == ["a", "b"]


@pytest.mark.parametrize(("text", "peer", "local", "port", "zone"), [
    ("192.0.2.1 50000 192.0.2.5 2222", "192.0.2.1", "192.0.2.5", 2222, None),
    ("::ffff:192.0.2.1 5 ::ffff:192.0.2.5 22", "192.0.2.1", "192.0.2.5", 22, None),
    ("2001:db8::1 5 2001:db8::5 22", "2001:db8::1", "2001:db8::5", 22, None),
    ("fe80::1%eth1 5 fe80::5%eth1 22", "fe80::1", "fe80::5", 22, "eth1")])
def test_what_sshd_says(text, peer, local, port, zone):
    one = management.session(text)
    assert (str(one.peer), str(one.local), one.port, one.zone) == (peer, local, port, zone)


@pytest.mark.parametrize("text", [None, "", "192.0.2.1", "192.0.2.1 5 22", "192.0.2.1 5 host 22", "a b c d",
                                  "192.0.2.1 5 192.0.2.5 x", "192.0.2.1 5 192.0.2.5 22 7"])
def test_what_says_nothing(text):
    assert management.session(text) is None


@pytest.mark.parametrize("zone", ["eth1", "3"])
def test_the_zone_tells_which_of_two_equal_addresses(zone):
    one = management.session(f"fe80::1%{zone} 5 fe80::5%{zone} 22")
    addresses = [(2, one.local), (3, one.local)]
    assert management.owners(one, NICS, addresses) == [3]
    assert management.owners(one._replace(zone=None), NICS, addresses) == [2, 3]


@pytest.mark.parametrize(("text", "inside"), [
    ("127.0.0.1 5 127.0.0.1 22", True), ("::1 5 ::1 22", True), ("192.0.2.5 5 192.0.2.5 22", True),
    ("192.0.2.6 5 192.0.2.5 22", True), ("192.0.2.1 5 192.0.2.5 22", False)])
def test_a_connection_from_this_machine_itself(text, inside):
    addresses = [(key, ipaddress.ip_address(one)) for key, one in ((2, "192.0.2.5"), (3, "192.0.2.6"))]
    assert management.inside(management.session(text), addresses) is inside


KEYS = st.one_of(st.none(), st.integers(1, 8))
KINDS = st.sampled_from(["", "loopback", "veth", "vrf", "bridge", "openvswitch"])
LINKS = st.dictionaries(st.integers(1, 6), st.builds(Link, st.just("if"), KINDS, KEYS, KEYS))


@given(LINKS, st.lists(st.integers(1, 8)), st.lists(st.integers(1, 8)))
def test_whatever_the_links_are_it_ends_and_guards_what_it_is_told(links, leaving, defaults):
    links = {key: one._replace(name="if%d" % key) for key, one in links.items()}
    found = management.carried(links, [], {IN: leaving}, defaults)
    told = {links[key].name for key in leaving + defaults if key in links and links[key].kind != "loopback"}
    assert told <= set(found)
    assert not [one.name for one in links.values() if one.kind == "loopback" and one.name in found]
    for one in links.values():
        # A member of what is guarded is guarded.
        if one.master in links and links[one.master].name in found and one.kind != "loopback":
            assert one.name in found
