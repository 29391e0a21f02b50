# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The declared state on a host, as its kernel and systemd show it, and what comes back after a reboot.

All that is looked at is read once: a command takes a moment on an emulated machine, the start of a module seconds.
"""

from __future__ import annotations

import json
import pathlib
import shlex

import pytest
import yaml
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.names import qemu_ifname
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.sizing import size

VARIABLES = pathlib.Path(__file__).parents[3] / "playbooks/vars/lab.yml"
DECLARED = yaml.safe_load(VARIABLES.read_text(encoding="utf-8"))["__lab_host"]
PARENTS = DECLARED["ports_pipe_parents"]
NEEDED = size(DECLARED["vms_machines"], parents=PARENTS)["parameters"]
VMS = pytest.mark.parametrize("vm", DECLARED["vms_machines"], ids=lambda vm: vm["name"])

testinfra_hosts = ["netmap_hosts"]

# Runs on the host: files, and what systemd says of units and the kernel of their processes.
LOOK = r"""
import glob, json, os, subprocess
def text(path):
    try:
        return open(path).read()
    except OSError:
        return None
files = glob.glob("/sys/module/netmap/parameters/*") + ["/etc/modprobe.d/netmap-ptnet.conf",
    "/etc/modules-load.d/netmap-ptnet.conf", "/var/lib/netmap-ptnet/ports.json"]
units = {}
for path in glob.glob("/etc/systemd/system/*ptnet*.service"):
    shown = subprocess.run(["systemctl", "show", "--property=ActiveState,UnitFileState,MainPID,User,Result",
                            os.path.basename(path)], stdout=subprocess.PIPE, universal_newlines=True).stdout
    unit = dict(line.split("=", 1) for line in shown.splitlines())
    unit["status"] = dict(line.split(":", 1) for line in (text("/proc/%s/status" % unit["MainPID"]) or "").splitlines())
    units[os.path.basename(path)] = unit
booted = int(text("/proc/stat").split("btime ")[1].split()[0])
node = os.stat("/dev/netmap")
print(json.dumps({"files": {path: text(path) for path in files}, "units": units, "mode": oct(node.st_mode & 0o7777),
    "group": [line.split(":")[0] for line in text("/etc/group").splitlines() if ":%d:" % node.st_gid in line],
    "drivers": {name: os.path.exists("/sys/class/net/%s/device" % name) for name in os.listdir("/sys/class/net")},
    "rebooted": os.stat("/var/lib/netmap-ptnet/restore.pyz").st_mtime < booted}))
"""


@pytest.fixture(scope="module")
def seen(host):
    """What the host's files, units and processes say (dict)."""
    return json.loads(host.check_output("python3 -c " + shlex.quote(LOOK)))


@pytest.fixture(scope="module")
def info(host):
    """What netmap_info reads from netmap and the processes (dict)."""
    return host.ansible("netmap.ptnet.netmap_info", json.dumps({"gather": ["programs", "drift"]}))


def test_netmap_has_the_parameters_that_are_needed_now_and_at_the_next_boot(seen, info):
    assert NEEDED
    words = seen["files"]["/etc/modprobe.d/netmap-ptnet.conf"].split()
    for name, value in NEEDED.items():
        assert seen["files"]["/sys/module/netmap/parameters/" + name].strip() == str(value)
        assert "%s=%d" % (name, value) in words
    assert "netmap" in seen["files"]["/etc/modules-load.d/netmap-ptnet.conf"].split()
    assert info["loaded"]
    assert info["load_at_boot"]
    assert not info["module"]["stale"]


def test_the_device_is_for_its_group(seen):
    assert (seen["mode"], seen["group"]) == ("0o660", ["netmap"])


def test_the_parents_of_pipes_have_their_sizes(host, seen):
    # In check mode it asks the kernel what there is, and would say what differs.
    plan = host.ansible("netmap.ptnet.netmap_pipe", json.dumps({"parents": PARENTS}))
    assert not plan["changed"], plan.get("diff")
    there = {parent["name"]: parent for parent in plan["parents"]}
    recorded = json.loads(seen["files"]["/var/lib/netmap-ptnet/ports.json"])["parents"]
    for parent in PARENTS:
        assert seen["drivers"][parent["name"]] is False
        one, record = there[parent["name"]], recorded[parent["name"]]
        assert {key: one[key] for key in ("tx_slots", "rx_slots")} == {
            key: parent[key] for key in ("tx_slots", "rx_slots")}
        assert one["capacity"] >= parent["pipes"]
        assert (record["pipes"], record["tx_slots"], record["memory"]) == (
            parent["pipes"], parent["tx_slots"], one["memory"])


@VMS
def test_the_ports_of_a_machine_are_open_and_on_their_switches(info, vm):
    switches = {switch["name"]: {port["name"]: port for port in switch["ports"]} for switch in info["switches"]}
    wanted = [qemu_ifname(port["port"]) for port in vm["ports"]]
    for name in wanted:
        switch, colon, port = name.partition(":")
        if colon:
            assert switches[switch][port] == {"name": port, "host_stack": False, "kind": "ephemeral"}
    machine = next(one for one in info["vms"] if one["name"] == vm["name"])
    assert [port["ifname"] for port in machine["ports"]] == wanted
    assert all(port["passthrough"] and port["pid"] for port in machine["ports"])
    assert all(process["state"] == "running" for process in machine["port_processes"])


def test_the_kernel_lost_no_port_and_the_next_boot_brings_the_same(info):
    assert (info["stuck"], info["drift"], info["boot_conflicts"]) == ([], [], [])
    assert info["restoration"]["wanted"]
    assert info["restoration"]["enabled"]
    assert info["restoration"]["current"]


def test_the_services_are_there_and_come_back(seen):
    units = seen["units"]
    for name, unit in units.items():
        if name != "netmap-ptnet-ports.service":
            assert unit["ActiveState"] == "active", (name, unit)
    for name in ["netmap-ptnet-ports.service", "netmap-ptnet-watch.service"] + [
            "ptnet-vm-%s.service" % vm["name"] for vm in DECLARED["vms_machines"]]:
        assert units[name]["UnitFileState"] == "enabled"
    if seen["rebooted"]:
        # What stands in these tests is then what it restored, in time for the machines.
        restored = units["netmap-ptnet-ports.service"]
        assert (restored["ActiveState"], restored["Result"]) == ("active", "success")


def test_their_processes_are_nobodys_and_fenced(seen):
    running = {name: unit for name, unit in seen["units"].items() if unit["MainPID"] != "0"}
    assert len(running) >= 3, running
    for name, unit in running.items():
        status = unit["status"]
        assert set(status["Uid"].split()).isdisjoint({"0"}), name
        assert status["NoNewPrivs"].strip() == "1", name
        assert status["Seccomp"].strip() == "2", name
        # The watch looks into other processes; passt makes a world of its own.
        if name.startswith(("ptnet-vm-", "ptnet-port-")):
            assert int(status["CapEff"], 16) == 0, name
    for vm in DECLARED["vms_machines"]:
        assert running["ptnet-vm-%s.service" % vm["name"]]["User"] == "ptnet-vm-%s" % vm["name"]
