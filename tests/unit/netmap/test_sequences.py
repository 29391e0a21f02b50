# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random sequences of desired states, for ports and for pipe parents, on one machine.

Whatever happened before: no forbidden request, check mode predicts the run, the second run changes nothing, and the
record knows all that is ours. A run that ends anywhere is healed by the next one.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import pipes, ports
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.changes import ChangeableDevice
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.record import Record
from fake_device import FakeNetmap
from fake_system import FakeLinks, FakeSystem, keep_record
from hypothesis import given, settings
from hypothesis import strategies as st

NICS = ["eth1", "eth2"]
NAMES = ["a0", "a1"]
PARENT = {"pipes": 1, "tx_slots": 64, "rx_slots": 64, "tx_rings": 1, "rx_rings": 1}


class Killed(BaseException):
    """The run ends here, as by kill -9."""


class Machine:
    def __init__(self, folder):
        self.folder = folder
        self.netmap = FakeNetmap(nics=NICS, lock=folder + "/lock")
        self.system = FakeSystem(self.netmap)
        self.device = ChangeableDevice(
            self.netmap.driver_of, frame_limits=self.netmap.frame_limits, open_node=self.netmap.open_node,
            lock=self.netmap.lock, polling_limits=FakeLinks(self.netmap).polling_limits)

    def record(self):
        return Record(self.folder)

    def run(self, step, check=False):
        kind, params = step
        act = pipes.act if kind == "parents" else ports.act
        return act(dict(params), check, self.system, self.device, self.record, keep_record)

    def attempt(self, step, check=False):
        try:
            return self.run(step, check), None
        except PtnetError as error:
            return None, error

    def kill_at(self, number):
        counter = itertools.count()

        def count(_text):
            if next(counter) == number:
                raise Killed

        self.netmap.on_change = count

    def state(self):
        netmap = self.netmap
        return (netmap.names(), sorted(netmap.drivers), sorted(netmap.polled.items()), sorted(netmap.headers.items()),
                {name: {key: shape[key] for key in shape if key != "mem_id"}
                 for name, shape in netmap.persistent.items()})


def ports_of(switch="vale1", wanted=(), **options):
    return "ports", dict({"switch": switch, "ports": list(wanted), "state": "present", "purge": False,
                          "allow_management": False, "only_switches": None}, **options)


def optional(values):
    return st.none() | st.sampled_from(values)


POLLING = optional([{"mode": "single", "first_cpu": 1, "cpus": 1}, {"mode": "single", "first_cpu": 9, "cpus": 1},
                    {"mode": "multi", "first_cpu": 0, "cpus": 1}, {"mode": "multi", "first_cpu": 0, "cpus": 2}])
NIC = st.fixed_dictionaries({"name": st.sampled_from(NICS + NAMES), "host_stack": st.booleans(), "polling": POLLING,
                             "vnet_header_length": st.sampled_from([0, 0, 12])})
VETH = st.fixed_dictionaries({"name": st.sampled_from(NAMES + ["eth1"]), "kind": st.just("veth"),
                              "peer": st.sampled_from(["b0", "b1", "a1"]), "host_stack": st.booleans(),
                              "polling": POLLING})
PERSISTENT = st.fixed_dictionaries({"name": st.sampled_from(NAMES + ["p0"]), "kind": st.just("persistent"),
                                    "tx_slots": st.sampled_from([None, 64]),
                                    "memory": st.sampled_from([None, "private", "global", "p0"])})
PORTS = st.builds(
    ports_of, switch=st.sampled_from(["vale1", "vale2", None]),
    wanted=st.lists(st.one_of(NIC, VETH, PERSISTENT), unique_by=lambda port: port["name"], max_size=3),
    state=st.sampled_from(["present", "present", "present", "absent"]), purge=st.booleans(),
    only_switches=optional([[], ["vale1"], ["vale2"]]))
PARENTS = st.builds(
    lambda chosen, state, purge: ("parents", {"parents": [dict(PARENT, name=name) for name in chosen], "state": state,
                                              "purge": purge}),
    st.lists(st.sampled_from(["p0", "a0"]), unique=True, max_size=2), st.sampled_from(["present", "absent"]),
    st.booleans())
EVENTS = st.sampled_from(["", "", "", "open p0", "close p0", "open a0", "close a0", "open vale1:a0", "close vale1:a0",
                          "hand vale2:eth2", "fail", "late", "reboot", "vanish eth2", "appear eth2", "kill 1", "kill 2",
                          "kill 4", "busy eth1", "free eth1", "pipe p0", "unpipe p0"])
STEPS = st.lists(st.tuples(EVENTS, st.one_of(PORTS, PORTS, PARENTS)), min_size=1, max_size=5)


def happen(machine, event):
    netmap, (word, _space, name) = machine.netmap, event.partition(" ")
    if word == "open" and ":" in name and name.split(":")[1] not in netmap.drivers:
        if name not in netmap.names():
            netmap.open_port(name)
    elif word == "open" and name in netmap.persistent and not netmap._find(name):
        # Opened while attached the port would be stuck: nothing of ours causes it, nothing heals it.
        netmap.opened.add(name)
    elif word == "close":
        netmap.close_port(name)
    elif word == "hand" and name.split(":")[1] in netmap.drivers and not netmap._find(name.split(":")[1]):
        netmap.attach_by_hand(name)
    elif word == "reboot":
        netmap.__init__(nics=NICS, lock=netmap.lock)
    elif word == "vanish" and not netmap._find(name):
        netmap.drivers.pop(name, None)
    elif word == "appear":
        netmap.drivers[name] = "veth"
    elif word in ("busy", "free"):
        (netmap.busy.add if word == "busy" else netmap.busy.discard)(name)
    elif word == "pipe" and name in netmap.persistent:
        netmap.pipes[name] = ["1"]
    elif word == "unpipe":
        netmap.pipes.pop(name, None)
    elif word in ("fail", "late"):
        answer = 16 if word == "fail" else "late"
        for one in ("vale1:eth1", "vale2:a0", "vale1:a1"):
            netmap.fail.update({("ATTACH", one): answer, ("DETACH", one): answer})
    elif word == "kill":
        machine.kill_at(int(name))


def ours_on_record(machine):
    """Every persistent port, and every pair that was made, is known."""
    record = machine.record()
    known = set(record.parents) | {name for there in record.attached.values() for name in there}
    return set(machine.netmap.persistent) | set(machine.netmap.pairs) <= known


def tried(steps, folder):
    machine = Machine(folder)
    netmap = machine.netmap
    for event, step in steps:
        before = machine.state()
        happen(machine, event)
        if event == "reboot":
            before = machine.state()
        netmap.on_change, watch = None, netmap.on_change
        failing, netmap.fail = netmap.fail, {}
        happened = machine.state()
        predicted, refused = machine.attempt(step, check=True)
        assert machine.state() == happened, "check mode changed something"
        netmap.on_change, netmap.fail = watch, failing
        try:
            real, failed = machine.attempt(step)
        except Killed:
            real, failed = None, None
            assert ours_on_record(machine), "a killed run left something unknown"
        finished = netmap.on_change is None or real is not None
        netmap.on_change, netmap.fail = None, {}
        assert netmap.forbidden == []
        assert ours_on_record(machine)
        if refused:
            assert failed
            assert failed.message == refused.message
            assert machine.state() == happened, (before, "a refusal changed something")
        elif failed or not finished:
            if event.startswith("kill") and not failed:
                # Whoever holds an interface open would be in the way of any run.
                for held in (netmap.busy, netmap.opened, netmap.pipes):
                    held.clear()
                _after, wrong = machine.attempt(step)
                assert wrong is None, "a killed run was not healed: %s" % wrong
                assert not machine.run(step)["changed"]
        else:
            assert real == predicted
            calls = list(netmap.changes)
            again = machine.run(step)
            assert not again["changed"], again["diff"]
            assert again.get("ports") == real.get("ports")
            assert netmap.changes == calls, "the second run changed something"
        assert netmap.forbidden == []
        assert not netmap.half_attached


@settings(settings.get_profile("sequences"))
@given(steps=STEPS)
def test_any_sequence(steps):
    folder = tempfile.mkdtemp()
    try:
        tried(steps, folder)
    finally:
        shutil.rmtree(folder)


def test_an_interface_is_not_made_where_a_vm_has_a_port_of_its_name(tmp_path):
    machine = Machine(str(tmp_path))
    machine.netmap.open_port("vale1:a0")
    for port in ({"name": "a0", "kind": "veth", "peer": "b0"}, {"name": "a0", "kind": "persistent"}):
        with pytest.raises(PtnetError, match="VM ports come and go"):
            machine.run(ports_of(switch="vale2", wanted=[port]))
    assert machine.netmap.changes == []


FULL = [{"name": "eth1", "host_stack": True, "polling": {"mode": "single", "first_cpu": 1, "cpus": 1}},
        {"name": "eth2", "vnet_header_length": 12}, {"name": "a0", "kind": "persistent", "memory": "p0"},
        {"name": "a1", "kind": "veth", "peer": "b1"}, {"name": "a2", "kind": "persistent"}]
OTHER = [{"name": "eth1", "polling": {"mode": "multi", "first_cpu": 0, "cpus": 1}}, {"name": "eth2"},
         {"name": "a0", "kind": "persistent", "tx_slots": 64}, {"name": "a1", "kind": "veth", "peer": "b2"}]
CHANGES = [([], ports_of(wanted=FULL, purge=True)), ([ports_of(wanted=FULL)], ports_of(wanted=OTHER, purge=True)),
           ([ports_of(wanted=FULL)], ports_of(state="absent", purge=True)),
           ([ports_of(wanted=FULL)], ports_of(switch=None, only_switches=[])),
           ([ports_of(wanted=FULL)], ports_of(switch="vale2", wanted=OTHER, only_switches=[]))]


@pytest.mark.parametrize("change", range(len(CHANGES)))
def test_a_run_killed_at_any_request_is_healed_by_the_next(tmp_path, change):
    earlier, step = CHANGES[change]
    parent = ("parents", {"parents": [dict(PARENT, name="p0")], "state": "present", "purge": False})
    wholes = []
    for number in itertools.count():
        folder = tmp_path / str(number)
        folder.mkdir()
        machine = Machine(str(folder))
        for one in [parent] + earlier:
            machine.run(one)
        machine.kill_at(number)
        try:
            machine.run(step)
            wholes.append(machine.state())
            break
        except Killed:
            machine.netmap.on_change = None
        assert ours_on_record(machine)
        predicted = machine.run(step, check=True)
        assert machine.run(step) == predicted
        assert not machine.run(step)["changed"]
        assert machine.netmap.forbidden == []
        # And the other way: what a killed run left is purged as well.
        wholes.append(machine.state())
        machine.run(ports_of(switch=None, only_switches=[]))
        assert machine.netmap.names() == []
        assert sorted(machine.netmap.drivers) == ["eth1", "eth2", "p0"]
        assert machine.record().attached == {}
    assert number >= 5
    order = [(sorted(names), drivers, polled, headers, shapes) for names, drivers, polled, headers, shapes in wholes]
    assert all(one == order[0] for one in order)


@pytest.mark.parametrize("change", range(len(CHANGES)))
def test_the_record_is_written_twice(tmp_path, monkeypatch, change):
    machine = Machine(str(tmp_path))
    for one in [("parents", {"parents": [dict(PARENT, name="p0")], "state": "present", "purge": False})] \
            + CHANGES[change][0]:
        machine.run(one)
    saved = []
    monkeypatch.setattr(Record, "save", lambda self, save=Record.save: (saved.append(1), save(self)))
    machine.run(CHANGES[change][1])
    assert len(saved) == 2
    machine.run(CHANGES[change][1])
    assert len(saved) == 2
