# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VM of a fleet is meant, what is derived from that, and what a guest says of itself."""

from __future__ import annotations

import ipaddress
import uuid

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.netmap.ptnet.plugins.filter.hosts_of_vm import hosts_of_vm
from ansible_collections.netmap.ptnet.plugins.filter.loopback_address import loopback_address
from ansible_collections.netmap.ptnet.plugins.filter.vm_uuid import vm_uuid
from ansible_collections.netmap.ptnet.plugins.filter.who_answers import who_answers
from ansible_collections.netmap.ptnet.plugins.module_utils import vm_identity
from ansible_collections.netmap.ptnet.plugins.module_utils.vm_identity import Identity
from hypothesis import given
from hypothesis import strategies as st

hosts = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=255)
fleets = st.one_of(st.just(""), hosts)
vms = st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True)
identities = st.builds(vm_identity.identity, fleets, hosts, vms)
LEFT_ALONE = [ipaddress.ip_network(net) for net in ("127.0.0.0/16", "127.255.0.0/16")]


@given(identities)
def test_every_vm_has_an_address_on_its_hosts_loopback_that_nobody_else_listens_at(one):
    address = ipaddress.ip_address(one.address())
    assert address in ipaddress.ip_network("127.0.0.0/8")
    assert not any(address in net for net in LEFT_ALONE)
    assert one.address().rsplit(".", 1)[1] not in ("0", "255")
    assert one.address() == loopback_address(one.name, one.host, one.fleet)


@given(identities, identities)
def test_two_vms_never_share_a_uuid(one, two):
    assert (one.uuid() == two.uuid()) == (one == two)
    assert one.uuid() == str(uuid.UUID(one.uuid())) == vm_uuid(one.name, one.host, one.fleet)


def test_addresses_are_spread_over_all_of_the_loopback():
    found = [Identity("", "hv%d" % host, "vm%d" % vm).address() for host in range(20) for vm in range(50)]
    # By chance two of a thousand share one with 3 %; these do not.
    assert len(set(found)) == 1000
    for octet in (1, 2, 3):
        assert len({address.split(".")[octet] for address in found}) > 240


def test_what_was_derived_once_stays():
    """Guests know themselves by it, and inventories have it written down."""
    one = Identity("", "hv1.example.org", "fw")
    assert (one.uuid(), one.address()) == ("3619328a-f3d1-5907-9b5e-137c644609d9", "127.127.52.40")
    assert Identity("lab2", "hv1.example.org", "fw").address() != one.address()


@given(identities)
def test_the_serial_is_plain_and_can_stand_in_a_unit(one):
    assert not set(one.serial()) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-?")
    assert one.serial().endswith("/" + one.name)


@given(identities)
def test_a_guest_is_known_by_its_uuid_in_either_order_of_bytes(one):
    told = uuid.UUID(one.uuid())
    for text in (one.uuid(), one.uuid().upper(), str(uuid.UUID(bytes_le=told.bytes))):
        said = "Welcome!\r\nsystem=Linux\r\nserial=x\r\nuuid=%s\r\n" % text
        assert who_answers(said, one.name, one.host, one.fleet)["wrong"] == ""


@given(identities, identities)
def test_every_other_one_is_refused_by_name(one, two):
    said = "system=FreeBSD\nuuid=%s\nserial=%s\n" % (two.uuid(), two.serial())
    found = who_answers(said, one.name, one.host, one.fleet)
    assert found["system"] == "freebsd"
    assert bool(found["wrong"]) == (one != two)
    if one != two:
        assert found["wrong"].startswith(two.serial())
        assert str(one) in found["wrong"]


@pytest.mark.parametrize("said", ["", "uuid=\n", "uuid=00000000-0000-0000-0000-000000000000", "uuid=Not Settable"])
def test_a_machine_without_a_uuid_is_another(said):
    assert who_answers(said, "fw", "hv1")["wrong"]


def test_without_host_and_uuid_nothing_is_compared():
    assert who_answers("system=Linux\nuuid=\n", "x.y")["wrong"] == ""


@given(st.text())
def test_whatever_a_stranger_says_is_no_error(said):
    assert who_answers(said, "fw", "hv1")["wrong"]


@pytest.mark.parametrize(("name", "host"), [("fw.hv1", "hv1"), ("", "hv1"), ("../x", "hv1"), ("fw", "a\nb"),
                                            ("fw", "h" * 256)])
def test_names_that_cannot_be_are_refused(name, host):
    for derive in (loopback_address, vm_uuid):
        with pytest.raises(AnsibleFilterError, match="name for a VM|not usable"):
            derive(name, host)
    assert who_answers("uuid=x", name, host)["wrong"]


def test_numbers_of_an_inventory_are_the_text_that_they_are_for_ptnet_vm():
    meant = Identity("7", "1", "10")
    for derive, expected in ((loopback_address, meant.address()), (vm_uuid, meant.uuid())):
        assert derive(10, 1, 7) == derive("10", "1", "7") == expected
    assert who_answers("uuid=%s" % meant.uuid(), 10, host=1, fleet=7)["wrong"] == ""
    assert hosts_of_vm({"a": {"vms_machines": [{"name": 10}]}, "b": {"vms_machines": [{"name": "10"}]}}, 10) == [
        "a", "b"] == hosts_of_vm({"a": {"vms_machines": [{"name": "10"}]}, "b": {"vms_machines": [{"name": 10}]}}, "10")


@pytest.mark.parametrize("other", [None, True, 1.1, ["fw"], {"name": "fw"}])
@pytest.mark.parametrize("place", ["name", "host", "fleet"])
def test_what_is_no_text_is_refused_with_the_remedy(place, other):
    given = dict({"name": "fw", "host": "hv1", "fleet": "x"}, **{place: other})
    for derive in (loopback_address, vm_uuid):
        with pytest.raises(AnsibleFilterError, match="%s.*found: .*expected: .*To do: quote it" % place):
            derive(**given)
    if other or place != "host":
        assert "quote it" in who_answers("uuid=x", **given)["wrong"]


@pytest.mark.parametrize("wanted", [7, 1.5, ["x"]])
def test_a_uuid_that_is_no_text_is_none(wanted):
    assert "no uuid of a machine" in who_answers("uuid=x", "fw", uuid=wanted)["wrong"]


def test_the_hosts_that_declare_a_vm_are_found():
    variables = {"b": {"vms_machines": [{"name": "fw"}, {"name": "x"}]}, "a": {"vms_machines": [{"name": "fw"}]},
                 "c": {}, "d": {"vms_machines": None}}
    assert hosts_of_vm(variables, "fw") == ["a", "b"]
    assert hosts_of_vm(variables, "x") == ["b"]
    assert hosts_of_vm(variables, "y") == []


def test_a_host_that_a_vm_was_moved_away_from_is_none_of_its_hosts():
    variables = {"a": {"vms_machines": [{"name": "fw", "state": "absent"}]},
                 "b": {"vms_state": "absent", "vms_machines": [{"name": "fw", "state": "started"}]},
                 "c": {"vms_state": "stopped", "vms_machines": [{"name": "fw"}]}}
    assert hosts_of_vm(variables, "fw") == ["c"]
