# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux.platform import Linux
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux.reading import Reading
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import survey
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.device import Device
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.record import Record
from fake_device import FakeNetmap


def no_program(argv, **_options):
    raise PtnetError("%s cannot be started" % argv[0])


@pytest.fixture
def netmap():
    return FakeNetmap(nics=["eth1"])


@pytest.fixture
def system(tmp_path, netmap):
    def put(path, text=""):
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    put("proc/meminfo", "MemTotal: 2048000 kB\nMemAvailable: 1 kB\n")
    for number, name in ((5, "eth1"), (3, "eth2")):
        folder = "sys/devices/pci0000:00/0000:00:0%d.0" % number
        put("%s/net/%s/address" % (folder, name), "52:54:00:00:00:0%d\n" % number)
        (tmp_path / "sys/class/net").mkdir(parents=True, exist_ok=True)
        os.symlink(tmp_path / folder / "net" / name, tmp_path / "sys/class/net" / name)
        os.symlink("../..", tmp_path / folder / "net" / name / "device")
        os.symlink("/drivers/ptnetmap-guest-drivers", tmp_path / folder / "driver")
    put("sys/class/net/lo/address", "00:00:00:00:00:00\n")
    system = Linux(root=str(tmp_path), run_program=no_program)
    system._ethtool_driver = lambda name: ""
    system.put = put
    return system


def read(system, netmap, store):
    return survey.act({"store": str(store)}, False, system, Device(netmap.driver_of, open_node=netmap.open_node))


def test_a_machine_without_netmap(system, netmap, tmp_path):
    netmap.loaded = False
    result = read(system, netmap, tmp_path)
    assert (result["loaded"], result["switches"], result["parents"], result["users"]) == (False, [], [], [])
    assert (result["memory"], result["kvm"], result["device"]) == (2000, False, None)
    assert result["parameters"] == {"now": {}, "boot": {}}
    assert result["builds"] == {"netmap": [], "qemu": []}
    assert result["module"]["installed"] is None
    assert "warnings" not in result
    json.dumps(result)


def test_ptnet_interfaces_come_in_the_order_of_pci(system, netmap, tmp_path):
    result = read(system, netmap, tmp_path)
    assert [(one["name"], one["pci"], one["mac"]) for one in result["ptnet_interfaces"]] == [
        ("eth2", "0000:00:03.0", "52:54:00:00:00:03"), ("eth1", "0000:00:05.0", "52:54:00:00:00:05")]
    assert {"name": "lo", "driver": None, "mac": "00:00:00:00:00:00"} in result["interfaces"]


def test_everything_is_listed_and_nothing_queried(system, netmap, tmp_path):
    system.put("sys/module/netmap/refcnt", "3\n")
    system.put("netmap/installed.json", json.dumps({
        "6.1.0": {"identity": "abc", "places": ["/x"], "complete": False}}))
    system.put("netmap/abc/manifest.json", json.dumps({"commit": "x", "files": {"/m/veth.ko": {}, "/bin/lb": {}}}))
    netmap.attach_by_hand("vale1:eth1", host_stack=True)
    netmap.open_port("vale1:10")
    netmap.make_persistent("v0")
    netmap.attach_by_hand("vale2:v0")
    netmap.open_port("v0")
    record = Record(str(tmp_path))
    record.parents["p0"] = {"capacity": 5}
    record.save()
    result = read(system, netmap, tmp_path)
    assert result["switches"] == [
        {"name": None, "ports": [{"name": "v0", "host_stack": False, "kind": "stuck"}]},
        {"name": "vale1", "ports": [{"name": "10", "host_stack": False, "kind": "ephemeral"},
                                    {"name": "eth1", "host_stack": True, "kind": "attached"}]}]
    assert result["stuck"] == ["v0"]
    assert result["parents"] == [{"name": "p0", "pipes": 1, "capacity": 5, "present": False}]
    assert result["builds"]["netmap"] == [{"slot": "6.1.0", "identity": "abc", "commit": "x", "version": None,
                                           "modules": ["veth"], "complete": False}]
    assert {user["name"] for user in result["users"]} == {"vale1:10", "vale1:eth1", "vale1:eth1^", "v0"}
    assert (netmap.changes, netmap.forbidden, result["changed"]) == ([], [], False)
    json.dumps(result)


def test_a_plain_run_reads_no_subset(system, netmap, tmp_path):
    params = {"store": str(tmp_path), "gather": []}
    device = Device(netmap.driver_of, open_node=netmap.open_node)
    result = survey.act(params, False, system, device, reading=None)
    assert not {"kernels", "security", "nics", "memory_regions", "namespaces", "drift", "pipes", "abi"} & set(result)


def test_a_subset_is_added_to_the_plain_values(system, netmap, tmp_path):
    system.put("sys/class/net/eth9/mtu", "9000\n")
    params = {"store": str(tmp_path), "gather": ["nics", "memory"]}
    result = survey.act(params, True, system, Device(netmap.driver_of, open_node=netmap.open_node),
                        Reading(system, str(tmp_path), None))
    assert {"loaded", "nics", "memory_regions"} <= set(result)
    assert "drift" not in result
    assert [one["mtu"] for one in result["nics"] if one["name"] == "eth9"] == [9000]
    json.dumps(result)


def test_a_device_that_cannot_be_opened_is_a_warning(system, netmap, tmp_path):
    system.put("sys/module/netmap/refcnt", "0\n")
    netmap.loaded = False
    assert "cannot be opened" in read(system, netmap, tmp_path)["warnings"][0]


@pytest.mark.parametrize(("text", "expected"), [
    ('ID=debian\nVERSION_ID="12"\n', ("debian", "12", [])),
    ("# x\nID=\"rocky\"\nVERSION_ID='9.4'\nID_LIKE=\"rhel centos fedora\"\n",
     ("rocky", "9.4", ["rhel", "centos", "fedora"])),
    ("ID=arch\n", ("arch", "", []))])
def test_distribution(tmp_path, text, expected):
    (tmp_path / "os-release").write_text(text)
    assert tuple(survey.distribution(str(tmp_path / "os-release")).values()) == expected


def test_a_system_without_os_release(tmp_path):
    assert survey.distribution(str(tmp_path / "none"))["distribution"] == os.uname().sysname.lower()
