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


def host(**changes):
    return dict({"name": "hv1", "found": found(), "guests": [], "vms": VMS, "switches": []}, **changes)


def results(measured=(), **changes):
    return check_results([host(**changes)], cases=[one["case"] for one in measured], measured=measured)


def test_the_receiver_gives_time_and_samples_the_sender_its_count():
    measured = {"case": {"name": "a", "path": ["vm1", "hv1"]},
                "sent": [run("tx", 100, seconds=9.0, samples=[9]), run("tx", 200)],
                "received": [run("rx", 90), run("rx", 180, avg_batch=7.0)]}
    (case,) = results([measured])["cases"]
    assert case == {"name": "a", "path": ["vm1", "hv1"], "ports": [], "runs": [
        {"sent": 100, "received": 90, "seconds": 3.0, "samples": [1, 2], "avg_batch": 50.0},
        {"sent": 200, "received": 180, "seconds": 3.0, "samples": [1, 2], "avg_batch": 7.0}]}


def test_a_case_within_one_machine_has_all_its_runs_in_one_list():
    runs = [run("tx", 5), run("rx", 4)]
    (case,) = results([{"case": {"name": "a"}, "sent": runs, "received": runs}])["cases"]
    assert [(one["sent"], one["received"]) for one in case["runs"]] == [(5, 4)]


def test_a_case_that_could_not_be_measured_keeps_the_reason_and_fails():
    given = results([{"case": {"name": "a", "sender": "vm1"}, "error": "pkt-gen gave up"}])
    assert given["cases"] == [{"name": "a", "sender": "vm1", "ports": [], "error": "pkt-gen gave up"}]
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
    given = check_results([host(), host(name="hv2")])
    assert list(given["machines"]) == list(given["topology"]["hosts"]) == ["hv1", "hv2"]


def test_cases_stay_in_their_order_and_each_has_a_result():
    cases = [{"name": "a"}, {"name": "b", "error": "vm9 cannot be reached"}, {"name": "c"},
             {"name": "d", "title": "vm8 on hv1", "not_provable": "no guest"}]
    given = check_results([host()], cases=cases, measured=[{"case": {"name": "c"}, "error": "x"}], lost=["hv3"])
    assert [(case["name"], case["error"]) for case in given["cases"]] == [
        ("hv3-lost", "this host could not be reached, or failed before it was checked"), ("a", "it was not measured"),
        ("b", "vm9 cannot be reached"), ("c", "x")]
    assert given["not_provable"] == [cases[3]]
    assert check_report(given)["verdict"] == "failed"


def test_the_report_takes_what_the_cases_gave():
    measured = [{"case": case, "sent": [run("tx", 1000) for _one in case["send"]],
                 "received": [run("rx", 1000) for _one in case["receive"]]}
                for case in traffic_cases(VMS, "hv1", ["vm1"], parents=[{"name": "pp0", "pipes": 3}])]
    report = check_report(json.loads(json.dumps(results(measured))))
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


BUILD = {"slot": "/opt/ptnet-qemu", "identity": "0f3a", "commit": "292a8b61", "version": "3.0.94"}


def on_fork(name="vm1", **changes):
    """A VM as netmap_info tells it."""
    return dict({"name": name, "hypervisor": "fork", "version": "3.0.94", "package": None,
                 "binary": "/var/lib/netmap-ptnet/qemu/0f3a/root/opt/ptnet-qemu/bin/qemu-system-x86_64",
                 "ports": [{"ifname": port, "mode": "notified"} for port in ("vale1:10", "pp0{1", "pp0{2")]}, **changes)


def on_distribution(name="vm1", **changes):
    return on_fork(name, **dict({
        "hypervisor": "distribution", "version": "11.1.3", "package": "Debian 1:11.1.3+ds-1~bpo13+1",
        "binary": "/usr/bin/qemu-system-x86_64", "ports": [
            {"ifname": "vale1:10", "mode": "automatic"}, {"ifname": "pp0{1", "mode": "polling"}]}, **changes))


def guest(name="vm1"):
    seen = [{"name": "ptnet%d" % index, "mac": "02:00:00:00:00:0%d" % index} for index in range(3)]
    return dict(found(ptnet_interfaces=seen), item=name)


def measured(sender, start, receiver, end):
    return {"case": {"name": "a", "sender": sender, "receiver": receiver, "send": [{"port": one} for one in start],
                     "receive": [{"port": one} for one in end]}, "error": "x"}


def with_vms(*vms, builds=(BUILD,), measured=()):
    return results(list(measured), found=found(vms=list(vms), builds={"netmap": [], "qemu": list(builds)}),
                   guests=[guest()])


@pytest.mark.parametrize(("vm", "qemu", "of_host"), [
    (on_fork(), {"hypervisor": "fork", "version": "3.0.94", "commit": "292a8b61", "identity": "0f3a"}, "0f3a"),
    # It still runs on the build before this one.
    (on_fork(binary="/store/9999/root/opt/ptnet-qemu/bin/q", version=None), {"hypervisor": "fork"}, "0f3a"),
    (on_distribution(), {"hypervisor": "distribution", "version": "11.1.3",
                         "package": "Debian 1:11.1.3+ds-1~bpo13+1"}, None),
    (on_fork(hypervisor=None), {}, "0f3a")])
def test_a_guest_tells_the_qemu_that_runs_it(vm, qemu, of_host):
    machines = with_vms(vm)["machines"]
    assert machines["vm1"]["qemu"] == qemu
    # A fork that is installed and runs nothing says nothing of this run.
    assert machines["hv1"]["qemu"].get("identity") == of_host


def test_a_fork_that_is_no_build_of_ours_is_one_all_the_same():
    assert with_vms(on_fork(), builds=())["machines"]["vm1"]["qemu"] == {"hypervisor": "fork", "version": "3.0.94"}


def test_a_machine_on_a_double_is_rehearsed_as_its_host_is():
    machines = with_vms(on_fork(), builds=[dict(BUILD, version="3.0.94-double")])["machines"]
    assert (machines["hv1"]["doubles"], machines["vm1"]["doubles"]) == (["qemu"], ["qemu"])
    # Nothing runs on it.
    machines = with_vms(on_distribution(), builds=[dict(BUILD, version="3.0.94-double")])["machines"]
    assert (machines["hv1"]["doubles"], machines["vm1"]["doubles"]) == ([], [])


@pytest.mark.parametrize(("vms", "ports"), [
    ([on_fork()], [("netmap:pp0{1", "fork", "notified"), ("netmap:pp0{2", "fork", "notified")]),
    # The second one was declared after the machine was started.
    ([on_distribution()], [("netmap:pp0{1", "distribution", "polling"), ("netmap:pp0{2", "distribution", None)]),
    ([], [("netmap:pp0{1", None, None), ("netmap:pp0{2", None, None)])])
def test_a_case_tells_who_served_its_ports_and_how(vms, ports):
    given = with_vms(*vms, measured=[measured("vm1", ["ptnet1", "ptnet2"], "hv1", ["netmap:pp0}1", "vale1:x"])])
    (case,) = given["cases"]
    assert [(one["vm"], one["port"], one["hypervisor"], one["mode"]) for one in case["ports"]] == [
        ("vm1", *port) for port in ports]


def test_a_guest_may_have_another_name_than_its_machine():
    vms = [dict(VMS[0], name="vm1-of-hv1", machine="vm1")]
    given = results([measured("vm1-of-hv1", ["ptnet1"], "hv1", ["vale1:x"])], vms=vms, found=found(vms=[on_fork()]),
                    guests=[guest("vm1-of-hv1")])
    assert given["machines"]["vm1-of-hv1"]["qemu"]["hypervisor"] == "fork"
    assert given["cases"][0]["ports"][0]["hypervisor"] == "fork"


def test_a_case_within_the_host_has_no_passed_through_port():
    given = with_vms(on_fork(), measured=[measured("hv1", ["vale1:a"], "hv1", ["vale1:b"]), {
        "case": {"name": "own"}, "error": "x"}])
    assert [case["ports"] for case in given["cases"]] == [[], []]


def test_two_machines_on_two_qemus_meet_in_a_case():
    vms = [*VMS, {"name": "vm2", "ports": [{"port": "netmap:pp0}1"}]}]
    there = on_distribution("vm2", ports=[{"ifname": "pp0}1", "mode": "automatic"}])
    (case,) = results(found=found(vms=[on_fork(), there]), vms=vms, guests=[guest(), guest("vm2")],
                      measured=[measured("vm1", ["ptnet1"], "vm2", ["ptnet0"])])["cases"]
    assert [(one["vm"], one["hypervisor"], one["mode"]) for one in case["ports"]] == [
        ("vm1", "fork", "notified"), ("vm2", "distribution", "automatic")]


def test_two_qemus_on_the_same_path_are_compared():
    vms = [{"name": name, "ports": [{"port": "vale1:%d" % number}]} for number, name in ((10, "vm1"), (11, "vm2"))]
    seen = [{"name": "ptnet0", "mac": "02:00:00:00:00:01"}]
    running = [{"pid": 1, "name": name, "hypervisor": hypervisor, "binary": None, "version": "1", "package": None,
                "ports": [{"ifname": "vale1:%d" % number, "mode": "notified"}]}
               for number, name, hypervisor in ((10, "vm1", "distribution"), (11, "vm2", "fork"))]
    measured = [{"case": case, "sent": [run("tx", 1000)],
                 "received": [run("rx", 600 if case["receiver"] == "vm1" else 800)]}
                for case in traffic_cases(vms, "hv1", ["vm1", "vm2"])]
    given = results(measured, vms=vms, found=found(vms=running),
                    guests=[dict(found(ptnet_interfaces=seen), item=name) for name in ("vm1", "vm2")])
    report = check_report(given)
    assert {case["name"]: case["of_fork"] for case in report["cases"]} == {
        "hv1-vale1-native": None, "vale1-10-vm1-to-hv1": 1.0, "vale1-10-hv1-to-vm1": 0.75,
        "vale1-11-vm2-to-hv1": None, "vale1-11-hv1-to-vm2": None,
        # A machine of each QEMU: neither's path.
        "vale1-10-vm1-to-vm2": None, "vale1-11-vm2-to-vm1": None}
    assert [note for case in report["cases"] for note in case["notes"]] == [
        "100 % of the rate on the ptnet fork", "75 % of the rate on the ptnet fork"]
    # Between doubles a ratio says nothing.
    given["machines"]["hv1"]["doubles"] = ["netmap"]
    assert not any(case["of_fork"] for case in check_report(given)["cases"])
