# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs and port processes, told from the command lines that this collection starts them with, and others do."""

from __future__ import annotations

import json

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import layout, managers, port_options, unit
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import running
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu.distribution import Distribution
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu.fork import Fork
from hypothesis import given
from hypothesis import strategies as st
from vm_params import CURRENT, PTNET, port, vector

PORTS = [port("vale1:fw"), port("netmap:p0{1", mode="polling", pci_ids="freebsd")]


def seen(pid, argv, started=100, program=None, holds=("mapping",)):
    user = {"kind": "process", "pid": pid, "name": "".join(argv[:1]), "command": " ".join(argv), "holds": list(holds)}
    return running.Seen(user, argv, started, program)


def offering(pid, name, *names, started=50, **options):
    """A port process as its unit starts it."""
    ports = [port_options.check(dict(options, id="d%d" % index, ifname=ifname, mac="02:00:00:00:00:0%d" % index))
             for index, ifname in enumerate(names)]
    return seen(pid, unit.command(name, ports, "/usr/bin/python3"), started)


def libvirt(*processes):
    """QEMU as another manager starts it, with JSON for each option."""
    argv = [CURRENT, "-name", "guest=web,debug-threads=on", "-netdev", '{"type":"tap","id":"hostnet0"}',
            "-device", '{"driver":"virtio-net-pci","netdev":"hostnet0"}']
    for name, ports in processes:
        argv += [word for one in layout.devices(name, ports) for word in ("-device", managers.device(one))]
    return argv


def test_a_machine_of_the_fork_has_its_ports_open_itself():
    found = running.told([seen(7, vector(Fork, ports=[port("vale1:fw"), port("netmap:p0{1")]), program=PTNET,
                               holds=["descriptor 9", "port vale1:fw", "port p0{1"])])
    machine, = found["vms"]
    assert (machine["pid"], machine["name"], machine["hypervisor"], machine["binary"]) == (7, "fw", "fork", PTNET)
    assert machine["ports"] == [
        {"ifname": name, "id": "d%d" % index, "passthrough": True, "mode": "notified", "pci_ids": "qemu", "pid": 7}
        for index, name in enumerate(["vale1:fw", "p0{1"])]
    assert machine["port_processes"] == []
    assert {"driver": "ptnet-pci", "netdev": "d1"} in machine["devices"]
    assert found["port_processes"] == []
    assert found["pipes"] == [{"name": "p0{1", "pid": 7, "command": PTNET}]


def test_a_machine_of_the_distribution_has_a_process_that_serves_it():
    found = running.told([seen(9, vector(Distribution, ports=PORTS), program=CURRENT),
                          offering(8, "fw", "vale1:fw", "p0{1", mode="polling", pci_ids="freebsd")])
    machine, = found["vms"]
    assert (machine["name"], machine["hypervisor"], machine["binary"]) == ("fw", "distribution", CURRENT)
    assert machine["ports"] == [
        {"ifname": name, "id": "d%d" % index, "passthrough": True, "mode": "polling", "pci_ids": "freebsd", "pid": 8}
        for index, name in enumerate(["vale1:fw", "p0{1"])]
    assert machine["port_processes"] == [{"name": "fw", "pid": 8, "state": "running"}]
    assert {"driver": "vfio-user-pci", "netdev": None} in machine["devices"]
    assert found["port_processes"] == [
        {"pid": 8, "name": "fw", "vm": "fw", "vm_pid": 9, "ports": machine["ports"]}]


def test_a_process_that_waits_serves_nobody():
    found = running.told([offering(8, "web", "vale1:web")])
    assert found["vms"] == []
    process, = found["port_processes"]
    assert (process["name"], process["vm"], process["vm_pid"]) == ("web", None, None)
    assert [(one["ifname"], one["mode"]) for one in process["ports"]] == [("vale1:web", "automatic")]


def test_a_machine_of_another_manager_may_have_several_processes():
    found = running.told([offering(8, "web", "vale1:web"), offering(10, "more", "vale2:web", started=60),
                          seen(9, libvirt(("web", ["vale1:web"]), ("more", ["vale2:web"])))])
    machine, = found["vms"]
    assert (machine["name"], machine["hypervisor"]) == ("web", "distribution")
    assert [(one["ifname"], one["pid"]) for one in machine["ports"]] == [("vale1:web", 8), ("vale2:web", 10)]
    assert [one["vm"] for one in found["port_processes"]] == ["web", "web"]
    assert machine["devices"][0] == {"driver": "virtio-net-pci", "netdev": "hostnet0"}


@pytest.mark.parametrize(("processes", "pid", "state"), [
    ([], None, "gone"),
    ([offering(8, "other", "vale1:fw")], None, "gone"),
    # QEMU connects as it starts and never again: a younger process is none of its own.
    ([offering(8, "fw", "vale1:fw", started=101)], 8, "restarted"),
    ([offering(8, "fw", "vale1:fw", started=100)], 8, "running"),
    ([offering(8, "fw", "vale1:fw", started=None)], 8, "running"),
    ([offering(8, "fw", "vale1:fw", started=101), offering(12, "fw", "vale1:fw")], 12, "running")])
def test_what_became_of_the_process_of_a_machine(processes, pid, state):
    found = running.told([seen(9, vector(Distribution, ports=PORTS[:1])), *processes])
    machine, = found["vms"]
    assert machine["port_processes"] == [{"name": "fw", "pid": pid, "state": state}]
    assert bool(machine["ports"]) is (state == "running")
    served = [one["pid"] for one in found["port_processes"] if one["vm_pid"] == 9]
    assert served == ([pid] if state == "running" else [])


def test_a_device_may_be_written_in_any_of_the_ways_of_qemu():
    words = "vfio-user-pci,socket.type=unix,socket.path=/run/ptnet-port-web/d0"
    found = running.told([offering(8, "web", "vale1:web", "vale1:two"), seen(9, ["qemu", "-device", words])])
    machine, = found["vms"]
    assert machine["name"] is None
    # A port that it does not take is not its own.
    assert [one["ifname"] for one in machine["ports"]] == ["vale1:web"]


def test_ports_that_are_not_passed_through():
    netdev = "netmap,id=d1,ifname=netmap:p0{1"
    for device, passthrough, hypervisor in (("virtio-net-pci", "", None), ("ptnet-pci", "", "fork"),
                                            ("ptnet-pci", ",passthrough=on", "fork")):
        argv = ["qemu", "-netdev", netdev + passthrough, "-device", device + ",netdev=d1", "-netdev"]
        machine, = running.told([seen(7, argv)])["vms"]
        assert machine["hypervisor"] == hypervisor
        assert machine["ports"] == [{"ifname": "p0{1", "id": "d1", "passthrough": bool(passthrough), "pid": 7,
                                     "mode": "notified" if passthrough else None,
                                     "pci_ids": "qemu" if device == "ptnet-pci" else None}]


def test_other_programs_hold_pipes_and_are_no_machines():
    tools = [seen(8, ["pkt-gen", "-i", "netmap:p0}1"], holds=["port vale1:1", "port p0}1"]), seen(5, [""]), seen(6, []),
             seen(9, ["qemu", "-device", '{"driver":"vfio-user-pci","socket":{"path":"/run/spdk/cntrl"}}'])]
    assert running.told(tools) == {
        "pipes": [{"name": "p0}1", "pid": 8, "command": "pkt-gen"}], "vms": [], "port_processes": []}


@given(st.lists(st.one_of(
    st.sampled_from(["-name", "-netdev", "-device", "--name", "--port", "/x/ptnet.pyz", "netmap,", "guest", "fw", "{",
                     '{"driver":[],"socket":7}', '{"driver":"vfio-user-pci","socket":{"path":["/run/x"]}}',
                     '{"driver":"vfio-user-pci","socket":{"path":"/run/ptnet-port-fw/d0"}}', '{"a":' * 5000,
                     "vfio-user-pci,socket.path=/run/ptnet-port-../d0", "id=d0,ifname=vale1:1", "[1]"]),
    st.text(max_size=30)), max_size=10))
def test_no_command_line_breaks_the_reader(words):
    found = running.told([seen(7, ["x", *words])])
    json.dumps(found)
    for one in found["vms"]:
        assert all(layout.check_name(process["name"]) for process in one["port_processes"])
