# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""veth legs, persistent ports, polling, header lengths, and switches that go altogether."""

from __future__ import annotations

import errno
import threading

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import boot, pipes, ports
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.changes import ChangeableDevice
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.record import Record
from fake_device import FakeNetmap
from fake_system import FakeLinks, FakeSystem, keep_record

SINGLE = {"mode": "single", "first_cpu": 1, "cpus": 1}
LEG = {"name": "a1", "kind": "veth", "peer": "b1"}
PORT = {"name": "v0", "kind": "persistent"}
FULL = [{"name": "eth1", "host_stack": True, "polling": SINGLE}, {"name": "eth2", "vnet_header_length": 12}, LEG, PORT,
        {"name": "v1", "kind": "persistent", "memory": "p0", "tx_slots": 64, "rx_rings": 2}]


class Machine:
    def __init__(self, folder):
        self.folder = str(folder)
        self.netmap = FakeNetmap(nics=["eth1", "eth2"], lock=self.folder + "/lock")
        self.system = FakeSystem(self.netmap)
        self.device = ChangeableDevice(
            self.netmap.driver_of, frame_limits=self.netmap.frame_limits, open_node=self.netmap.open_node,
            lock=self.netmap.lock, polling_limits=FakeLinks(self.netmap).polling_limits)

    def record(self):
        return Record(self.folder)

    def run(self, *wanted, check=False, **options):
        params = dict({"switch": "vale1", "ports": list(wanted), "state": "present", "purge": True,
                       "allow_management": False, "only_switches": None}, **options)
        return ports.act(params, check, self.system, self.device, self.record, keep_record)

    def provide(self, *names, **options):
        shape = {"pipes": 1, "tx_slots": 64, "rx_slots": 64, "tx_rings": 1, "rx_rings": 1}
        return pipes.act(dict({"parents": [dict(shape, name=name) for name in names], "state": "present",
                               "purge": False}, **options), False, self.system, self.device, self.record, keep_record)


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path)
    machine.provide("p0")
    machine.netmap.changes.clear()
    yield machine
    assert machine.netmap.forbidden == []


def test_four_runs_with_everything(machine):
    predicted = machine.run(*FULL, check=True)
    assert machine.netmap.changes == []
    assert machine.run(*FULL) == predicted
    assert machine.netmap.changes == [
        "link a1", "raise a1", "ATTACH vale1:a1", "ATTACH vale1:eth1", "POLL vale1:eth1", "ATTACH vale1:eth2",
        "HDR_SET vale1:eth2", "NEWIF v0", "ATTACH vale1:v0", "NEWIF v1", "ATTACH vale1:v1"]
    assert machine.netmap.persistent["v1"]["mem_id"] == machine.netmap.persistent["p0"]["mem_id"]
    assert [port["kind"] for port in predicted["ports"]] == ["attached"] * 3 + ["persistent"] * 2
    assert predicted["ports"][1]["polling"] == SINGLE
    machine.netmap.changes.clear()
    assert not machine.run(*FULL, check=True)["changed"]
    assert not machine.run(*FULL)["changed"]
    assert machine.run()["diff"]["after"] == {"ports": [], "boot": ["p0 pipes=1"]}
    calls = machine.netmap.changes
    assert calls[:6] + calls[8:] == [
        "DETACH vale1:a1", "STOP vale1:eth1", "DETACH vale1:eth1", "DETACH vale1:eth2", "DETACH vale1:v0",
        "DETACH vale1:v1", "unlink a1"]
    assert set(calls[6:8]) == {"DELIF v0", "DELIF v1"}
    assert sorted(machine.netmap.drivers) == ["eth1", "eth2", "p0"]


@pytest.mark.parametrize(("before", "after", "calls"), [
    ({"name": "eth1"}, {"name": "eth1", "polling": SINGLE}, ["POLL vale1:eth1"]),
    ({"name": "eth1", "polling": SINGLE}, {"name": "eth1"}, ["STOP vale1:eth1"]),
    ({"name": "eth1", "polling": SINGLE}, {"name": "eth1", "polling": dict(SINGLE, first_cpu=2)},
     ["STOP vale1:eth1", "POLL vale1:eth1"]),
    ({"name": "eth1", "vnet_header_length": 12}, {"name": "eth1", "vnet_header_length": 10}, ["HDR_SET vale1:eth1"]),
    ({"name": "eth1", "vnet_header_length": 12}, {"name": "eth1"}, ["DETACH vale1:eth1", "ATTACH vale1:eth1"]),
    (LEG, dict(LEG, peer="b2"), ["DETACH vale1:a1", "unlink a1", "link a1", "raise a1", "ATTACH vale1:a1"]),
    (LEG, dict(LEG, mac="02:00:00:00:00:01"),
     ["DETACH vale1:a1", "unlink a1", "link a1", "raise a1", "ATTACH vale1:a1"]),
    (LEG, dict(LEG, host_stack=True), ["DETACH vale1:a1", "ATTACH vale1:a1"]),
    (PORT, dict(PORT, tx_slots=64), ["DETACH vale1:v0", "DELIF v0", "NEWIF v0", "ATTACH vale1:v0"]),
])
def test_a_change_does_no_more_than_needed(machine, before, after, calls):
    machine.run(before)
    machine.netmap.changes.clear()
    predicted = machine.run(after, check=True)
    assert machine.run(after) == predicted
    assert predicted["changed"]
    assert machine.netmap.changes == calls
    assert not machine.run(after)["changed"]


MANY = [{"name": "v%d" % number, "kind": "persistent"} for number in range(4)]


def test_persistent_ports_are_deleted_at_once(machine):
    machine.run(*MANY)
    all_there = threading.Barrier(len(MANY), timeout=20)

    def on_change(call):
        if call.startswith("DELIF"):
            all_there.wait()

    machine.netmap.on_change = on_change
    assert machine.run()["changed"]
    assert set(machine.netmap.persistent) == {"p0"}


def test_of_ports_deleted_at_once_one_is_refused(machine):
    machine.run(*MANY)
    machine.netmap.fail["DELIF", "v1"] = errno.EBUSY
    with pytest.raises(PtnetError, match="v1") as refused:
        machine.run()
    assert set(machine.netmap.persistent) == {"p0", "v1"}
    done = refused.value.facts["done"]
    assert set(done[:4]) == {"detach vale1:v%d" % number for number in range(4)}
    assert set(done[4:]) == {"delete vale1:v%d" % number for number in (0, 2, 3)}
    assert machine.run()["changed"]
    assert set(machine.netmap.persistent) == {"p0"}
    assert not machine.run()["changed"]


@pytest.mark.parametrize(("port", "why"), [
    ({"name": "eth1", "peer": "b1"}, "only a veth pair"),
    ({"name": "eth1", "tx_slots": 64}, "its driver's"),
    ({"name": "eth1", "memory": "global"}, "its driver's"),
    ({"name": "a1", "kind": "veth"}, "has no name"),
    (dict(LEG, peer="a1"), "twice"),
    (dict(LEG, mac="01:00:00:00:00:01"), "unicast"),
    (dict(LEG, peer="eth2"), "an interface eth2 exists"),
    (dict(LEG, peer="b%d"), "letters"),
    ({"name": "p0", "kind": "veth", "peer": "b1"}, "one end of a pair"),
    (dict(PORT, host_stack=True), "no host rings"),
    (dict(PORT, polling=SINGLE), "NICs and veth ends only"),
    (dict(PORT, vnet_header_length=12), "never be opened"),
    (dict(PORT, tx_slots=4097), "1 to 4096"),
    (dict(PORT, rx_rings=17), "1 to 16"),
    (dict(PORT, memory="p9"), "is not there"),
    (dict(PORT, memory="eth1"), "is not there"),
    (dict(PORT, name="eth2"), "with the driver veth"),
    (dict(PORT, name="p0"), "pipe parent"),
    (dict(PORT, name="hand"), "others made"),
    ({"name": "eth2", "polling": dict(SINGLE, first_cpu=3)}, "not there"),
    ({"name": "eth2", "polling": dict(SINGLE, cpus=2)}, "polling of eth2"),
    ({"name": "eth2", "polling": {"mode": "multi", "first_cpu": 0, "cpus": 3}}, "leave at least one"),
    ({"name": "eth2", "polling": {"mode": "multi", "first_cpu": 1, "cpus": 1}}, "rings"),
    ({"name": "eth2", "vnet_header_length": 11}, "0, 10 or 12"),
    ({"name": "eth2", "kind": "tap"}, "one of nic"),
])
def test_what_cannot_work_is_refused_before_anything_changes(machine, port, why):
    machine.netmap.make_persistent("hand")
    for check in (True, False):
        with pytest.raises(PtnetError, match=why):
            machine.run(port, *([{"name": "eth1"}] * (port["name"] != "eth1")), check=check)
    assert machine.netmap.changes == []
    assert machine.record().attached == {}


def test_check_mode_before_netmap_is_loaded_and_the_parent_made(machine):
    """In check mode netmap_pipe, which comes before, could make nothing."""
    wanted = dict(PORT, memory="p9")
    machine.netmap.loaded = False
    foretold = machine.run(wanted, check=True)
    assert foretold["changed"]
    assert "predicted as if netmap.ptnet.netmap_pipe had made p9" in foretold["warnings"]
    with pytest.raises(PtnetError, match="is not there"):
        machine.run(dict(PORT, memory=PORT["name"]), check=True)
    machine.netmap.loaded = True
    with pytest.raises(PtnetError, match="p9.*netmap_pipe made"):
        machine.run(wanted, check=True)


def test_a_pair_of_others_is_attached_but_not_removed(machine):
    FakeLinks(machine.netmap).make("a1", "b1", "02:00:00:00:00:01")
    machine.run(LEG)
    assert machine.netmap.pairs["a1"]["up"]
    machine.netmap.pairs["a1"]["up"] = False
    assert machine.run(LEG)["diff"]["before"]["ports"][0].endswith("(down)")
    with pytest.raises(PtnetError, match="has another peer"):
        machine.run(dict(LEG, peer="b2"))
    machine.run()
    assert "a1" in machine.netmap.pairs
    assert machine.netmap.names() == []


def test_a_persistent_port_that_somebody_has_open_is_never_attached(machine):
    machine.netmap.fail["ATTACH", "vale1:v0"] = 12
    with pytest.raises(PtnetError, match="memory ran out") as caught:
        machine.run(PORT)
    assert caught.value.facts["done"] == ["create vale1:v0"]
    machine.netmap.opened.add("v0")
    with pytest.raises(PtnetError, match="a program has the port"):
        machine.run(PORT)
    with pytest.raises(PtnetError, match="a program has the port"):
        machine.run()
    machine.netmap.close_port("v0")
    machine.run()
    assert sorted(machine.netmap.drivers) == ["eth1", "eth2", "p0"]


def test_a_port_opened_in_the_last_instant_is_left_alone(machine):
    machine.netmap.on_change = lambda text: text.startswith("ATTACH") and machine.netmap.opened.add("v0")
    with pytest.raises(PtnetError):
        machine.run(PORT)
    # What hurts is the DETACH that would follow; it is never asked for.
    assert machine.netmap.half_attached == {"v0"}
    machine.netmap.on_change = None
    assert machine.record().attached["vale1"]["v0"]["held"]
    for wanted in ([], [dict(PORT, tx_slots=64)]):
        with pytest.raises(PtnetError, match="cannot be detached safely"):
            machine.run(*wanted)


def test_polling_of_others_is_replaced_and_never_stops_a_detach(machine):
    machine.netmap.attach_by_hand("vale1:eth1")
    machine.netmap.polled["vale1:eth1"] = (1, 2, 1)
    machine.run({"name": "eth1", "polling": SINGLE})
    assert machine.netmap.polled["vale1:eth1"] == (1, 1, 1)
    machine.netmap.attach_by_hand("vale1:eth2")
    machine.netmap.polled["vale1:eth2"] = (1, 2, 1)
    machine.run({"name": "eth2"}, state="absent", purge=False)
    assert machine.netmap.names() == ["vale1:eth1"]


def test_switches_that_are_no_longer_declared_go(machine):
    machine.run(LEG, PORT)
    machine.netmap.attach_by_hand("vale1:eth1")
    machine.run({"name": "eth2"}, switch="vale2")
    moved = machine.run(LEG, switch="vale2", only_switches=["vale2"])
    assert moved["diff"]["after"]["ports of vale1"] == ["eth1"]
    assert sorted(machine.netmap.names()) == ["vale1:eth1", "vale2:a1"]
    assert not machine.run(LEG, switch="vale2", only_switches=["vale2"])["changed"]
    assert machine.run(switch=None, only_switches=[])["changed"]
    assert machine.netmap.names() == ["vale1:eth1"]
    assert not machine.run(switch=None, only_switches=[])["changed"]
    for options in ({"switch": None}, {"switch": None, "only_switches": [], "ports": [LEG]}):
        with pytest.raises(PtnetError, match="no switch"):
            machine.run(**options)


def test_the_hosts_leg_may_be_the_management(machine):
    machine.run(LEG)
    machine.system.kept = {"b1": "the default route"}
    with pytest.raises(PtnetError, match="b1 is left alone"):
        machine.run()
    assert machine.run(allow_management=True)["changed"]


def test_everything_comes_back_after_a_reboot(machine):
    machine.run(*FULL)
    before, said = machine.record().lines(), []
    mac = machine.netmap.pairs["a1"]["mac"]
    machine.netmap.__init__(nics=["eth1", "eth2"], lock=machine.netmap.lock)
    assert boot.restore(machine.system, machine.device, machine.record, wait=0, say=said.append) == 0
    assert said == ["p0: restored", "vale1:a1 (veth): restored", "vale1:eth1 (polling): restored",
                    "vale1:eth2: restored", "vale1:v0 (persistent): restored", "vale1:v1 (persistent): restored"]
    assert machine.netmap.pairs["a1"]["mac"] == mac
    assert machine.netmap.polled == {"vale1:eth1": (1, 1, 1)}
    assert machine.netmap.headers == {"vale1:eth2": 12}
    assert machine.record().lines() == before
    assert not machine.run(*FULL)["changed"]
    # Attached by others before we came: nothing is known of polling, so it is switched on again.
    machine.netmap.polled.clear()
    assert boot.restore(machine.system, machine.device, machine.record, wait=0, say=said.append) == 0
    assert machine.netmap.polled == {"vale1:eth1": (1, 1, 1)}
    assert not machine.run(*FULL)["changed"]


def test_many_ports_cost_one_list_before_and_one_after(machine):
    listed = []
    ioctl = machine.netmap.ioctl

    def counting(number, header):
        listed.append(bytes(header)[2])
        return ioctl(number, header)

    machine.netmap.ioctl = counting
    many = [{"name": "v%d" % number, "kind": "persistent"} for number in range(250)]
    machine.run(*many)
    assert listed.count(5) == 1 + 251
    assert len(listed) == 252 + 500
    listed.clear()
    machine.run(*many)
    assert len(listed) == 251


def test_the_nic_that_brings_the_hosts_leg_its_packets_stays(machine):
    machine.run(LEG, PORT)
    machine.netmap.attach_by_hand("vale1:eth1")
    machine.system.kept = {"b1": "the default route", "a1": "b1 and with it the default route"}
    with pytest.raises(PtnetError, match="eth1 is left alone; found: a1 on the same switch carries b1 and with it the"):
        machine.run({"name": "eth1"}, state="absent", purge=False)
    # Nobody is cut off by another one that comes, nor by a port without a NIC that goes.
    assert machine.run(LEG, PORT, {"name": "eth2"})["changed"]
    assert machine.run({"name": "eth1"}, state="absent", purge=False, allow_management=True)["changed"]
