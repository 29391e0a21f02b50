# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role measured and read becomes one dictionary, which the report takes."""

from __future__ import annotations

import json

import pytest
from ansible_collections.netmap.ptnet.plugins.filter import check_results as filters
from ansible_collections.netmap.ptnet.plugins.filter.check_report import check_report
from ansible_collections.netmap.ptnet.plugins.filter.traffic_cases import traffic_cases
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.parameters import PARAMETERS

check_results = filters.FilterModule().filters()["check_results"]
VMS = [{"name": "vm1", "ports": [{"port": "vale1:10"}, {"port": "netmap:pp0{1"}, {"port": "netmap:pp0{2"}]}]


def found(**changes):
    return dict({
        "kernel_release": "6.1.0-56", "distribution": "debian", "distribution_version": "12", "cpus": 2, "memory": 1963,
        "parameters": {"now": {}, "boot": {}}, "builds": {"netmap": [], "qemu": []}, "ptnet_interfaces": [],
    }, **changes)


def run(function, packets, **changes):
    return dict({"function": function, "packets": packets, "seconds": 3.0, "samples": [1, 2], "avg_batch": 50.0,
                 "log": ["much"]}, **changes)


def host(*measured, **changes):
    return dict({"name": "hv1", "found": found(), "guests": [], "measured": list(measured), "vms": VMS, "switches": []},
                **changes)


def results(**changes):
    return check_results([host(**changes)])


def test_the_receiver_gives_time_and_samples_the_sender_its_count():
    measured = {"case": {"name": "a", "path": ["vm1", "hv1"]},
                "sent": [run("tx", 100, seconds=9.0, samples=[9]), run("tx", 200)],
                "received": [run("rx", 90), run("rx", 180, avg_batch=7.0)]}
    (case,) = check_results([host(measured)])["cases"]
    assert case == {"name": "a", "path": ["vm1", "hv1"], "runs": [
        {"sent": 100, "received": 90, "seconds": 3.0, "samples": [1, 2], "avg_batch": 50.0},
        {"sent": 200, "received": 180, "seconds": 3.0, "samples": [1, 2], "avg_batch": 7.0}]}


def test_a_case_within_one_machine_has_all_its_runs_in_one_list():
    runs = [run("tx", 5), run("rx", 4)]
    (case,) = check_results([host({"case": {"name": "a"}, "sent": runs, "received": runs})])["cases"]
    assert [(one["sent"], one["received"]) for one in case["runs"]] == [(5, 4)]


def test_a_case_that_could_not_be_measured_keeps_the_reason_and_fails():
    given = check_results([host({"case": {"name": "a", "sender": "vm1"}, "error": "pkt-gen gave up"})])
    assert given["cases"] == [{"name": "a", "sender": "vm1", "error": "pkt-gen gave up"}]
    report = check_report(given)
    assert (report["verdict"], report["cases"][0]["reason"]) == ("failed", "pkt-gen gave up")


def test_machines_are_hosts_and_guests():
    builds = {"netmap": [{"slot": "old", "identity": "1"}, {"slot": "new", "identity": "2"}], "qemu": []}
    given = check_results([host(found=found(builds=builds), guests=[dict(found(kernel_release="6.12"), item="vm1")])],
                          emulated=True)
    machines = given["machines"]
    assert {name: one["role"] for name, one in machines.items()} == {"hv1": "host", "vm1": "guest"}
    assert (machines["vm1"]["kernel"], machines["hv1"]["kernel"]) == ("6.12", "6.1.0-56")
    assert (machines["hv1"]["distribution"], machines["hv1"]["memory_mib"]) == ("debian 12", 1963)
    assert (machines["hv1"]["netmap"]["identity"], machines["hv1"]["qemu"]) == ("2", {})
    assert all(one["emulated"] for one in machines.values())


def test_parameters_at_their_default_are_not_told():
    name, other = sorted(PARAMETERS)[:2]
    now = {name: PARAMETERS[name].default, other: PARAMETERS[other].default + 1, "unheard_of": 1}
    given = results(found=found(parameters={"now": now, "boot": {}}))
    assert given["machines"]["hv1"]["parameters"] == {other: now[other]}


def test_a_machine_without_netmap_is_no_error():
    machine = results(found={"kernel_release": "6.1", "parameters": None, "builds": None})["machines"]["hv1"]
    assert (machine["netmap"], machine["parameters"]) == ({}, {})


def test_ports_meet_the_interfaces_that_the_guest_sees():
    seen = [{"name": "ptnet0", "mac": "02:00:00:00:00:01"}, {"name": "ptnet1", "mac": "02:00:00:00:00:02"}]
    given = results(guests=[dict(found(ptnet_interfaces=seen), item="vm1")],
                    switches=[{"name": "vale1", "interfaces": [{"name": "eth1"}]}, {"name": "vale2"}])
    topology = given["topology"]["hosts"]["hv1"]
    assert topology["switches"] == {"vale1": ["eth1"], "vale2": []}
    assert [(port["port"], port["interface"]) for port in topology["vms"]["vm1"]["ports"]] == [
        ("vale1:10", "ptnet0"), ("netmap:pp0{1", "ptnet1"), ("netmap:pp0{2", None)]


def test_hosts_are_brought_together():
    measured = {"case": {"name": "a"}, "error": "x"}
    given = check_results([host(measured), dict(host(measured), name="hv2")])
    assert (list(given["machines"]), len(given["cases"])) == (["hv1", "hv2"], 2)


def test_the_report_takes_what_the_cases_gave():
    measured = [{"case": case, "sent": [run("tx", 1000) for _one in case["send"]],
                 "received": [run("rx", 1000) for _one in case["receive"]]}
                for case in traffic_cases(VMS, "hv1", ["vm1"], parents=[{"name": "pp0", "pipes": 3}])]
    report = check_report(json.loads(json.dumps(check_results([host(*measured)]))))
    assert (report["verdict"], report["passed"], report["failed"]) == ("passed", len(measured), 0)
    assert all(case["ratio"] for case in report["cases"] if case["baseline"])


@pytest.mark.parametrize("name", ["MANIFEST.json", "galaxy.yml"])
def test_the_version_is_that_of_an_installed_collection_or_of_a_checkout(tmp_path, monkeypatch, name):
    (tmp_path / "plugins/filter").mkdir(parents=True)
    (tmp_path / "galaxy.yml").write_text("version: 7.1.0\n")
    if name == "MANIFEST.json":
        (tmp_path / name).write_text(json.dumps({"collection_info": {"version": "7.2.0"}}))
    monkeypatch.setattr(filters, "__file__", str(tmp_path / "plugins/filter/check_results.py"))
    assert check_results([])["collection"] == ("7.2.0" if name == "MANIFEST.json" else "7.1.0")


@pytest.mark.parametrize(("now", "version", "doubles"), [
    ({}, None, []), ({"double": 0}, "3.0.94", []), ({"double": 1, "forbidden_calls": 3}, "3.0.94", ["netmap"]),
    ({}, "3.0.94-double", ["qemu"]), ({"double": 1}, "3.0.94-double", ["netmap", "qemu"])])
def test_a_double_is_told_by_the_machine(now, version, doubles):
    qemu = [{"slot": "/usr/local", "identity": "1", "version": version}]
    given = check_results([host(found=found(parameters={"now": now, "boot": {}}, builds={"netmap": [], "qemu": qemu}))])
    machine = given["machines"]["hv1"]
    assert (machine["doubles"], given["rehearsed"]) == (doubles, bool(doubles))
    assert machine["forbidden_calls"] == now.get("forbidden_calls", 0)
