# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import drift, survey_subsets
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.device import Device
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.record import Record
from fake_device import FakeNetmap
from fake_system import FakeSystem


def base(**values):
    return dict({
        "loaded": True, "kernel_release": "6.1",
        "module": {"stale": False, "holders": ["ixgbe"], "refcount": 1, "built_in": False},
        "parameters": {"now": {"buf_size": 2048, "buf_num": 20000}, "boot": {}}, "device": None, "users": [],
        "builds": {"netmap": [{"slot": "6.1", "identity": "abc", "commit": "c0"}], "qemu": []},
        "interfaces": [{"name": "eth1", "driver": "ixgbe"}, {"name": "eth2", "driver": "e1000e"},
                       {"name": "p0", "driver": None}, {"name": "pt", "driver": "ptnetmap-guest-drivers"}],
        "switches": [{"name": "vale1", "ports": [{"name": "eth1", "kind": "attached", "host_stack": True}]}],
        "parents": [{"name": "p0", "present": True, "memory": 9}, {"name": "p1", "present": False, "memory": 8}],
    }, **values)


def nic(name, **values):
    return dict({"name": name, "mtu": 1500, "module": None, "iommu_group": None}, **values)


def test_all_means_every_subset():
    assert survey_subsets.chosen(["all"]) == set(survey_subsets.SUBSETS)
    assert survey_subsets.chosen(["nics"]) == {"nics"}


@pytest.mark.parametrize(("changes", "expected"), [
    ({}, {"eth1": "native", "eth2": "emulated", "p0": "native", "pt": "native"}),
    ({"loaded": False}, {"eth1": "unknown", "eth2": "unknown", "p0": "unknown", "pt": "unknown"}),
    ({"parameters": {"now": {"admode": 2}, "boot": {}}},
     {"eth1": "emulated", "eth2": "emulated", "p0": "native", "pt": "native"}),
    ({"module": {"stale": None, "holders": [], "refcount": None}},
     {"eth1": "unknown", "eth2": "unknown", "p0": "native", "pt": "native"})])
def test_adapter_modes(changes, expected):
    found = [nic("eth1", module="ixgbe"), nic("eth2", module="e1000e"), nic("p0"), nic("pt")]
    result = survey_subsets.nics(base(**changes), found, {"eth1": "the default route"}, "ptnetmap-guest-drivers")
    assert {one["name"]: one["adapter"] for one in result} == expected
    assert (result[0]["switch"], result[0]["carries"]) == ("vale1", "the default route")


def test_mtu_against_the_buffer():
    result = survey_subsets.nics(base(), [nic("eth1", mtu=2048), nic("eth2", mtu=2049), nic("p0", mtu=None)], {}, "x")
    assert [one["mtu_fits"] for one in result] == [True, False, None]


@pytest.mark.parametrize(("changes", "loaded"), [
    ({}, {"identity": "abc", "commit": "c0"}), ({"loaded": False}, None),
    ({"module": {"stale": True}}, None), ({"module": {"stale": None}}, None)])
def test_the_build_that_runs(changes, loaded):
    assert survey_subsets.running_build(base(**changes)) == {
        "installed": {"identity": "abc", "commit": "c0"}, "loaded": loaded}


def test_memory_regions():
    now = {"buf_num": 20000, "if_curr_num": 100, "if_curr_size": 1024}
    found = survey_subsets.regions(base(parameters={"now": now, "boot": {}}))
    assert [(one["name"], one["current"]) for one in found] == [
        ("global", {"if_num": 100, "if_size": 1024}), ("p0", {})]
    assert found[0]["bytes"] > 20000 * 2048
    assert survey_subsets.regions(base(loaded=False)) == []
    # A size that nothing can be laid out in is no reason to fail.
    assert survey_subsets.regions(base(parameters={"now": {"buf_size": 65537}, "boot": {}}))[0]["name"] == "global"


class Commands:
    """What is read of the processes that use netmap."""

    ARGV = {7: ["/opt/q", "-name", "guest=vm1", "-netdev", "netmap,id=d0,ifname=vale1:1,passthrough=on", "-device",
                "ptnet-pci,netdev=d0"], 8: ["pkt-gen", "-i", "vale1:2"]}

    def argv(self, pid):
        return self.ARGV[pid]

    def started(self, _pid):
        return 5

    def program(self, pid):
        return self.ARGV[pid][0]


def test_programs_that_use_netmap(monkeypatch):
    asked = []
    said = {"version": "3.0.94", "package": None}
    monkeypatch.setattr(survey_subsets, "_said", lambda binary: asked.append(binary) or said)
    users = [{"kind": "process", "pid": pid, "name": "x", "holds": []} for pid in (7, 8)]
    users.append({"kind": "driver", "name": "ixgbe", "holds": []})
    found = survey_subsets.read_subsets({"programs"}, None, Commands(), None, None, base(users=users))
    assert sorted(found) == ["pipes", "port_processes", "vms"]
    assert [(one["name"], one["hypervisor"], one["version"], one["package"]) for one in found["vms"]] == [
        ("vm1", "fork", "3.0.94", None)]
    assert asked == ["/opt/q"]


def test_a_program_at_no_known_place_is_not_started():
    # It is whatever its process says.
    assert survey_subsets._said("/bin/false") == {"version": None, "package": None}


def record(tmp_path, **attached):
    one = Record(str(tmp_path))
    one.attached.update(attached)
    return one


def test_drift(tmp_path):
    seen = base(switches=[
        {"name": "vale1", "ports": [{"name": "eth1", "kind": "attached", "host_stack": True},
                                    {"name": "10", "kind": "ephemeral", "host_stack": False}]},
        {"name": "vale2", "ports": [{"name": "eth2", "kind": "attached", "host_stack": False}]},
        {"name": None, "ports": [{"name": "v0", "kind": "stuck", "host_stack": False}]}],
        module={"stale": True, "built_in": False}, device={"group": "root", "mode": "0600"})
    boot = {"load": False, "parameters": {"buf_num": 30000, "bogus": 1}, "node": {"group": "netmap", "mode": "0660"}}
    kept = record(tmp_path, vale1={"eth1": {"host_stack": False}}, vale3={"eth3": {"host_stack": False}})
    found = {one["what"]: (one["now"], one["boot"]) for one in drift.drift(seen, boot, kept)}
    assert found == {
        "loaded": (True, False), "build": ("another than installed", "as installed"),
        "parameter buf_num": (20000, 30000), "parameter bogus": (None, 1),
        "device": ({"group": "root", "mode": "0600"}, {"group": "netmap", "mode": "0660"}),
        "port vale1:eth1": ("attached with the host stack", "attached"), "port vale2:eth2": ("attached", "absent"),
        "port vale3:eth3": ("absent", "attached"), "parent p1": ("absent", "present")}


def test_no_drift(tmp_path):
    seen = base(parents=[], parameters={"now": {"buf_num": 163840, "buf_curr_num": 5}, "boot": {}})
    kept = record(tmp_path, vale1={"eth1": {"host_stack": True}})
    assert drift.drift(seen, {"load": True, "parameters": {}, "node": None}, kept) == []


class Service:
    def __init__(self, files):
        self.files = files

    def read(self):
        return self.files

    def wanted(self, archive):
        return {"/code": archive, "/unit": b"unit"}


class Reading:
    def __init__(self, spaces=()):
        self.spaces = spaces

    def service(self):
        return {"active": "active", "result": "success"}

    def namespaces(self):
        return [{"inode": 1, "name": name, "pid": None, "path": name} for name in self.spaces]

    def look_into(self, path, act):
        if path == "closed":
            raise PtnetError("a network namespace cannot be read")
        return json.loads(json.dumps(act(["eth1"])))


@pytest.mark.parametrize(("change", "enabled", "current"), [
    (lambda files: None, True, True), (lambda files: files.update({"/code": b"old"}), True, False),
    (lambda files: files.pop("/unit"), False, None)])
def test_the_service_that_restores(tmp_path, change, enabled, current):
    from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.boot_service import archive

    system = FakeSystem(FakeNetmap())
    service = Service(Service({}).wanted(archive()))
    change(service.files)
    system.port_service = lambda: service
    found = survey_subsets.restoration(record(tmp_path, vale1={"eth1": {}}), system, Reading())
    assert found == {"wanted": True, "enabled": enabled, "current": current, "active": "active", "result": "success"}


def test_a_machine_without_a_service_manager(tmp_path):
    def none():
        raise PtnetError("no systemd")

    system = FakeSystem(FakeNetmap())
    system.port_service = none
    found = survey_subsets.restoration(record(tmp_path), system, Reading())
    assert (found["wanted"], found["enabled"], found["current"]) == (False, False, None)


def test_ports_of_other_namespaces_are_listed_and_never_queried():
    netmap = FakeNetmap(nics=["eth1"])
    netmap.attach_by_hand("vale1:eth1", host_stack=True)
    netmap.open_port("vale1:10")
    device = Device(netmap.driver_of, open_node=netmap.open_node)
    result = survey_subsets.read_subsets({"namespaces"}, None, Reading(["red", "closed"]), device, None, base())
    red, closed = result["namespaces"]
    assert [port["kind"] for port in red["switches"][0]["ports"]] == ["ephemeral", "attached"]
    assert (closed["switches"], closed["error"]) == ([], "a network namespace cannot be read.")
    assert (netmap.changes, netmap.forbidden) == ([], [])
