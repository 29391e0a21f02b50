# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which guest of the inventory is in which machine."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.netmap.ptnet.plugins.filter.as_guests import FilterModule

as_guests = FilterModule().filters()["as_guests"]
VARIABLES = {
    "hv1": {"vms_machines": [{"name": "fw"}, {"name": "only"}]}, "hv2": {"vms_machines": [{"name": "fw"}]},
    "fw": {"guest_host": "hv1"}, "fw-of-2": {"guest_host": "hv2", "guest_name": "fw"}, "only": {}, "domain": {}}
GUESTS = ["fw", "fw-of-2", "only", "domain"]


def found(host, *names, variables=None, guests=None):
    machines = as_guests([{"name": name} for name in names], host, variables or VARIABLES, guests or GUESTS)
    assert [one["machine"] for one in machines] == list(names)
    return [one["name"] if one["guest"] else None for one in machines]


def test_machines_of_one_name_on_two_hosts_are_two_guests():
    assert found("hv1", "fw", "only") == ["fw", "only"]
    assert found("hv2", "fw") == ["fw-of-2"]


def test_nobody_is_asked_for_a_machine_that_may_be_anothers():
    unsaid = dict(VARIABLES, fw={}, **{"fw-of-2": {"guest_host": "hv9"}})
    assert found("hv1", "fw", variables=unsaid) == found("hv2", "fw", variables=unsaid) == [None]
    assert found("hv2", "only") == [None]
    assert as_guests([{"name": "fw"}], "hv2", unsaid, GUESTS)[0]["unclear"] == {"guest": "fw", "hosts": ["hv1", "hv2"]}


def test_nothing_is_unclear_of_a_machine_that_a_guest_claims_or_that_no_guest_is_in():
    unsaid = dict(VARIABLES, fw={})
    assert ["unclear" in one for one in as_guests([{"name": "fw"}, {"name": "x"}], "hv2", unsaid, GUESTS)] == [
        False, False]


@pytest.mark.parametrize("said", [{"guest_host": "hv1", "guest_name": "only"}, {"guest_name": "only"}])
def test_two_guests_for_one_machine_are_refused(said):
    twice = dict(VARIABLES, domain=said)
    with pytest.raises(AnsibleFilterError, match="machine only of hv1.*found: domain, only.*guest_name"):
        found("hv1", "fw", "only", variables=twice)
    assert found("hv1", "fw", variables=twice) == ["fw"]
    assert found("hv2", "fw", variables=twice) == ["fw-of-2"]


def test_a_guest_that_names_its_host_is_in_the_machine_rather_than_one_that_does_not():
    variables = dict(VARIABLES, named={"guest_host": "hv2", "guest_name": "domain"})
    for guests in (["domain", "named"], ["named", "domain"]):
        assert found("hv1", "domain", variables=variables, guests=guests) == ["domain"]
        assert found("hv2", "domain", variables=variables, guests=guests) == ["named"]


def test_a_name_of_digits_is_a_name():
    variables = {"hv1": {"vms_machines": [{"name": 10}]}, "10": {}, "ten": {"guest_name": 10}}
    for guest in ("10", "ten"):
        assert as_guests([{"name": 10}], "hv1", variables, [guest]) == [
            {"name": guest, "machine": "10", "guest": True}]


def test_a_machine_that_moved_is_the_guest_on_its_new_host():
    moved = dict(VARIABLES, hv1={"vms_machines": [{"name": "fw", "state": "absent"}]}, fw={}, **{"fw-of-2": {}})
    assert found("hv2", "fw", variables=moved) == ["fw"]
    assert found("hv1", "fw", variables=moved) == [None]


def test_a_machine_of_another_manager_is_the_guest_of_its_name():
    assert found("hv2", "domain", "nobody") == ["domain", None]
