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


def cases_of(*vms, guests=None, **options):
    guests = [one["name"] for one in vms] if guests is None else guests
    return {case["name"]: case for case in traffic_cases(list(vms), "hv1", guests=guests, **options)}


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


def test_a_pipe_to_a_machine_that_is_no_guest_is_driven_from_neither_side_twice():
    cases = cases_of(vm("fw", "netmap:p0{1"), vm("server", "netmap:p0}1"), guests=["fw"])
    assert {(case["sender"], case["receiver"]) for case in cases.values()} == {("fw", "hv1"), ("hv1", "fw")}


def test_machines_that_cannot_be_reached_and_machines_without_ports_are_left_out():
    assert cases_of(vm("vm1", "vale1:10"), guests=[]) == {}
    assert cases_of({"name": "vm1"}, {"name": "vm2", "ports": None}) == {}


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
    known = {case["name"] for case in cases}
    assert {case["baseline"] for case in cases} <= known | {None}
    sent = [(case["sender"], run["port"]) for case in cases for run in case["send"]]
    received = [(case["receiver"], run["port"]) for case in cases for run in case["receive"]]
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
    assert len(set(names_of_cases)) == len(cases) == 10
    for case in cases:
        assert background.folder_of(case["name"])
        assert case["baseline"] is None or case["baseline"] in names_of_cases
    assert len([case for case in cases if case["baseline"]]) == 8
