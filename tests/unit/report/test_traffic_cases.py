# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which traffic proves the declared ports."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.netmap.ptnet.plugins.filter.traffic_cases import FilterModule
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import names
from ansible_collections.netmap.ptnet.plugins.module_utils.traffic import background
from hypothesis import given
from hypothesis import strategies as st

traffic_cases = FilterModule().filters()["traffic_cases"]


def vm(name, *ports):
    return {"name": name, "ports": [{"port": port} for port in ports]}


def told(*vms, guests=None, **options):
    guests = [one["name"] for one in vms] if guests is None else guests
    return traffic_cases(list(vms), "hv1", guests=guests, **options)


def cases_of(*vms, **options):
    return {case["name"]: case for case in told(*vms, **options) if "not_provable" not in case}


def rows_of(*vms, **options):
    return {row["title"]: row["not_provable"] for row in told(*vms, **options) if "not_provable" in row}


def links(case):
    return [(run["port"], there["port"]) for run, there in zip(case["send"], case["receive"])]


def test_a_switch_is_driven_both_ways_and_compared_with_the_host_alone():
    cases = cases_of(vm("vm1", "vale1:10"))
    assert list(cases) == ["hv1-vale1-native", "vale1-10-vm1-to-hv1", "vale1-10-hv1-to-vm1"]
    native, out, back = cases.values()
    assert links(native) == [("vale1:check_tx", "vale1:check_rx")]
    assert (native["sender"], native["receiver"], native["baseline"]) == ("hv1", "hv1", None)
    assert (out["sender"], out["receiver"], links(out)) == ("vm1", "hv1", [("ptnet0", "vale1:check_rx")])
    assert (back["sender"], back["receiver"], links(back)) == ("hv1", "vm1", [("vale1:check_tx", "ptnet0")])
    assert {out["baseline"], back["baseline"]} == {"hv1-vale1-native"}
    assert (back["path"], back["title"]) == (["hv1", "vale1", "vm1"], "hv1 → vale1 → vm1")
    assert not any(case["lossless"] for case in cases.values())


def test_machines_on_one_switch_share_the_comparison():
    cases = cases_of(vm("vm1", "vale1:a"), vm("vm2", "vale1:b", "vale2:a"))
    assert [name for name in cases if name.endswith("-native")] == ["hv1-vale1-native", "hv1-vale2-native"]
    assert links(cases["vale2-a-vm2-to-hv1"]) == [("ptnet1", "vale2:check_rx")]
    assert cases["vale2-a-vm2-to-hv1"]["baseline"] == "hv1-vale2-native"


def test_all_pipes_of_a_machine_run_at_the_same_time_and_lose_nothing():
    cases = cases_of(vm("vm1", "vale1:10", "netmap:pp0{1", "netmap:pp0}2"), parents=[{"name": "pp0", "pipes": 3}])
    assert links(cases["pipes-vm1-to-hv1"]) == [("ptnet1", "netmap:pp0}1"), ("ptnet2", "netmap:pp0{2")]
    assert links(cases["pipes-hv1-to-vm1"]) == [("netmap:pp0}1", "ptnet1"), ("netmap:pp0{2", "ptnet2")]
    assert "2 pipes" in cases["pipes-vm1-to-hv1"]["title"]
    assert all(cases[name]["lossless"] for name in cases if name.startswith("pipes-"))
    assert links(cases["hv1-pp0-native"]) == [("netmap:pp0{check", "netmap:pp0}check")]
    assert {cases["pipes-%s" % way]["baseline"] for way in ("vm1-to-hv1", "hv1-to-vm1")} == {"hv1-pp0-native"}


@pytest.mark.parametrize(("parents", "compared"), [
    ([], False),
    ([{"name": "pp0", "pipes": 1}], False),
    ([{"name": "pp0"}], False),
    ([{"name": "other", "pipes": 9}], False),
    ([{"name": "pp0", "pipes": 2}], True),
])
def test_the_comparison_needs_room_for_one_more_pipe(parents, compared):
    cases = cases_of(vm("vm1", "netmap:pp0{1"), parents=parents)
    assert ("hv1-pp0-native" in cases) is compared
    assert cases["pipes-vm1-to-hv1"]["baseline"] == ("hv1-pp0-native" if compared else None)


@pytest.mark.parametrize("ends", ["{}", "}{"])
def test_a_pipe_between_two_machines_needs_no_host(ends):
    cases = cases_of(vm("fw", "netmap:p0%s1" % ends[0]), vm("server", "vale1:s", "netmap:p0%s1" % ends[1]))
    pipes = {name: case for name, case in cases.items() if name.startswith("pipes-")}
    found = {(case["sender"], case["receiver"]): links(case) for case in pipes.values()}
    assert found == {("fw", "server"): [("ptnet0", "ptnet1")], ("server", "fw"): [("ptnet1", "ptnet0")]}


def test_pipes_between_two_machines_are_one_case_each_way_whoever_is_master():
    cases = cases_of(vm("a", "netmap:p0{1", "netmap:p0}2"), vm("b", "netmap:p0}1", "netmap:p0{2"))
    assert {name: links(case) for name, case in cases.items()} == {
        "pipes-a-to-b": [("ptnet0", "ptnet0"), ("ptnet1", "ptnet1")],
        "pipes-b-to-a": [("ptnet0", "ptnet0"), ("ptnet1", "ptnet1")]}


def test_a_pipe_within_one_machine_has_a_name_for_each_way():
    cases = cases_of(vm("a", "netmap:p0{1", "netmap:p0}1"))
    assert {name: links(case) for name, case in cases.items()} == {
        "pipes-a-to-a": [("ptnet0", "ptnet1")], "pipes-a-to-a-back": [("ptnet1", "ptnet0")]}


def test_a_pipe_to_a_machine_that_is_no_guest_is_no_case_because_that_machine_holds_the_other_end():
    vms = vm("fw", "netmap:p0{1"), vm("server", "netmap:p0}1")
    assert cases_of(*vms, guests=["fw"]) == {}
    rows = rows_of(*vms, guests=["fw"])
    assert list(rows) == ["p0{1 of fw", "server on hv1"]
    assert "the other end is in server, no host of the group netmap_guests has that name" in rows["p0{1 of fw"]


def test_machines_on_one_switch_send_to_each_other():
    cases = cases_of(vm("vm1", "vale1:a", "vale1:z"), vm("vm2", "vale2:x", "vale1:b"))
    found = {name: links(case) for name, case in cases.items() if {case["sender"], case["receiver"]} == {"vm1", "vm2"}}
    assert found == {"vale1-a-vm1-to-vm2": [("ptnet0", "ptnet1")], "vale1-b-vm2-to-vm1": [("ptnet1", "ptnet0")]}
    assert cases["vale1-a-vm1-to-vm2"]["path"] == ["vm1", "vale1", "vm2"]
    assert cases["vale1-a-vm1-to-vm2"]["baseline"] == "hv1-vale1-native"


def test_three_machines_on_one_switch_send_in_a_ring():
    cases = cases_of(vm("a", "vale1:a"), vm("b", "vale1:b"), vm("c", "vale1:c")).values()
    between = [(case["sender"], case["receiver"]) for case in cases if "hv1" not in (case["sender"], case["receiver"])]
    assert between == [("a", "b"), ("b", "c"), ("c", "a")]


def test_a_machine_that_is_no_guest_is_told_with_the_reason():
    vms = vm("vm1", "vale1:10"), {"name": "vm2"}, {"name": "vm3", "ports": None}
    assert cases_of(*vms, guests=[]) == {}
    assert rows_of(*vms, guests=[]) == {
        "vm1 on hv1": "no host of the group netmap_guests has that name, so nobody can count inside it"}


def test_a_machine_that_may_be_its_namesake_is_told_with_the_remedy():
    unclear = dict(vm("fw", "vale1:10"), unclear={"guest": "fw", "hosts": ["hv1", "hv2"]})
    assert rows_of(unclear, guests=[]) == {
        "fw on hv1": "machines of that name are declared on hv1 and on hv2, and fw does not say which one it is in: "
                     "set its guest_host"}


@pytest.mark.parametrize(("state", "said"), [("stopped", "it is declared as stopped"), ("absent", None)])
def test_a_machine_that_is_not_to_run_is_no_failure(state, said):
    rows = rows_of(vm("vm1", "vale1:10"), dict(vm("vm2", "vale1:11"), state=state), guests=["vm1"])
    assert rows.get("vm2 on hv1") == said
    # Whoever had the other end of its pipe has it for himself.
    assert "pipes-vm1-to-hv1" in cases_of(vm("vm1", "netmap:p{1"), dict(vm("vm2", "netmap:p}1"), state=state),
                                          guests=["vm1"])


def test_an_unreachable_guest_costs_its_own_cases_only():
    vms = vm("a", "vale1:a", "netmap:p{1"), vm("b", "vale1:b"), vm("c", "vale1:c", "netmap:p}1", "netmap:q{1")
    cases = cases_of(*vms, guests=["a", "b"], unreachable={"c": "no route"})
    failing = {name for name, case in cases.items() if "error" in case}
    assert failing == {"vale1-c-c-to-hv1", "vale1-c-hv1-to-c", "pipes-a-to-c", "pipes-c-to-a", "pipes-c-to-hv1",
                       "pipes-hv1-to-c"}
    assert {case["error"] for case in cases.values() if "error" in case} == {"c does not answer: no route"}
    # The others are proven among themselves.
    assert {"vale1-a-a-to-b", "vale1-b-b-to-a"} <= set(cases)
    assert rows_of(*vms, guests=["a", "b"], unreachable={"c": "x"}) == {}


def test_a_nic_that_was_passed_through_is_told_unless_its_other_end_is_known():
    machine = vm("vm1", "netmap:eth1", "eth2")
    assert rows_of(machine) == {"%s of hv1 in vm1" % nic: "check_links does not say where the other end of this NIC is"
                                for nic in ("eth1", "eth2")}
    assert list(rows_of(machine, links=[{"a": "hv2:eth9", "b": "hv1:eth1"}])) == ["eth2 of hv1 in vm1"]
    assert rows_of(machine, guests=[], unreachable={"vm1": "x"}).keys() == rows_of(machine).keys()


def test_a_switch_without_machines_is_tried_where_nothing_leaves_the_host():
    switches = [{"name": "vale1"}, {"name": "vale2", "interfaces": [{"name": "eth1"}]}]
    assert list(cases_of(switches=switches)) == ["hv1-vale1-native"]
    assert list(rows_of(switches=switches)) == ["vale2 of hv1"]
    assert "would leave by eth1" in rows_of(switches=switches)["vale2 of hv1"]
    known = [{"a": "hv1:eth1", "b": "hv2:eth1"}]
    assert list(cases_of(switches=switches, links=known)) == ["hv1-vale1-native", "hv1-vale2-native"]


def test_a_host_with_nothing_says_so():
    assert rows_of() == {"hv1": "neither a switch nor a machine with ports is declared"}
    assert rows_of(vm("vm1")) == rows_of()


def test_a_name_that_netmap_does_not_take_is_an_error_with_the_reason():
    with pytest.raises(AnsibleFilterError, match="traffic_cases: .*eth0-0.*libnetmap"):
        cases_of(vm("vm1", "netmap:eth0-0"))


def test_seconds_reach_every_sender():
    cases = cases_of(vm("vm1", "vale1:1", "netmap:p0{1"), seconds="5")
    assert {run["seconds"] for case in cases.values() for run in case["send"]} == {5.0}
    assert not any("seconds" in run for case in cases.values() for run in case["receive"])


pipe_ids = st.sampled_from("123")
ports = st.lists(st.one_of(
    st.builds("vale{}:{}".format, st.sampled_from("12"), st.sampled_from("abc")),
    st.builds("netmap:p{}{}{}".format, st.sampled_from("01"), st.sampled_from("{}"), pipe_ids),
), unique=True, max_size=6)


@given(ports, ports, st.integers(0, 6))
def test_every_port_is_proven_once_each_way(one, two, room):
    two = [port for port in two if port not in one]
    parents = [{"name": "p0", "pipes": room}, {"name": "p1", "pipes": room}]
    cases = traffic_cases([vm("a", *one), vm("b", *two)], "hv1", guests=["a", "b"], parents=parents)
    assert len({case["name"] for case in cases}) == len(cases)
    cases = [case for case in cases if "not_provable" not in case]
    known = {case["name"] for case in cases}
    assert {case["baseline"] for case in cases} <= known | {None}
    # On a switch the two machines send to each other besides.
    apart = [case for case in cases if case["lossless"] or "hv1" in (case["sender"], case["receiver"])]
    sent = [(case["sender"], run["port"]) for case in apart for run in case["send"]]
    received = [(case["receiver"], run["port"]) for case in apart for run in case["receive"]]
    wanted = [(name, "ptnet%d" % index) for name, held in (("a", one), ("b", two)) for index in range(len(held))]
    for used in (sent, received):
        assert sorted(place for place in used if place[0] != "hv1") == sorted(wanted)
    for case in cases:
        # Whatever the host opens is a name that netmap takes, and never a port that a machine holds.
        opened = [run["port"] for run in case["send"] + case["receive"] if not run["port"].startswith("ptnet")]
        assert len(set(opened)) == len(opened)
        assert not {names.parse(port) for port in opened} & {names.parse(port) for port in one + two}


@pytest.mark.parametrize("host", ["hv1.example.org", "a" * 60, "hv 1/../x", "höst"])
def test_every_case_of_a_host_of_any_name_is_a_job(host):
    guest = "guest-with-a-name-of-its-own-0123"[:32]
    vms = [vm("a", "vale1:a", "netmap:p0{1", "netmap:p0{2"), vm(guest, "vale1:b", "netmap:p0}2")]
    cases = traffic_cases(vms, host, guests=["a", guest], parents=[{"name": "p0", "pipes": 9}])
    names_of_cases = [case["name"] for case in cases]
    assert len(set(names_of_cases)) == len(cases) == 12
    for case in cases:
        assert background.folder_of(case["name"])
        assert case["baseline"] is None or case["baseline"] in names_of_cases
    assert len([case for case in cases if case["baseline"]]) == 10
