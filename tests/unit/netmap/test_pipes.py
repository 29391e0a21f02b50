# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import pipes
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.changes import ChangeableDevice
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.record import Record
from fake_device import FakeNetmap
from fake_system import FakeSystem, keep_record
from hypothesis import given, settings
from hypothesis import strategies as st


class Machine:
    def __init__(self, folder):
        self.netmap = FakeNetmap(nics=["eth1"], lock=str(folder / "lock"))
        self.system = FakeSystem(self.netmap)
        self.folder = str(folder)
        self.device = ChangeableDevice(
            self.netmap.driver_of, frame_limits=self.netmap.frame_limits, open_node=self.netmap.open_node,
            lock=self.netmap.lock)

    def record(self):
        return Record(self.folder)

    def run(self, *parents, check=False, state="present", purge=False):
        plain = {"pipes": 1, "extra_buffers": 0, "tx_slots": 1024, "rx_slots": 1024, "tx_rings": 1, "rx_rings": 1}
        full = [dict(plain, **(one if isinstance(one, dict) else {"name": one})) for one in parents]
        return pipes.act({"parents": full, "state": state, "purge": purge}, check, self.system, self.device,
                         self.record, keep_record)


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path)
    yield machine
    assert machine.netmap.forbidden == []


def test_four_runs(machine):
    wanted = [{"name": "p0", "pipes": 2}, {"name": "p1", "tx_slots": 64, "rx_slots": 32}]
    predicted = machine.run(*wanted, check=True)
    assert machine.netmap.changes == []
    real = machine.run(*wanted)
    assert real == predicted
    assert real["changed"]
    assert real["parents"][0] == {"name": "p0", "tx_slots": 1024, "rx_slots": 1024, "tx_rings": 1, "rx_rings": 1,
                                  "capacity": 5, "memory": 42369024}
    calls = list(machine.netmap.changes)
    assert not machine.run(*wanted, check=True)["changed"]
    assert not machine.run(*wanted)["changed"]
    assert machine.netmap.changes == calls


def test_too_small_a_region_names_the_parameters(machine):
    with pytest.raises(PtnetError, match="priv_if_num of 16 or more, priv_ring_num of 32 or more") as caught:
        machine.run("p0", {"name": "p1", "pipes": 8})
    assert caught.value.facts["raise_parameters"] == {"priv_if_num": 16, "priv_ring_num": 32}
    assert machine.netmap.changes == []
    machine.system.values.update(caught.value.facts["raise_parameters"])
    assert machine.run({"name": "p1", "pipes": 8})["parents"][0]["capacity"] == 8


def test_another_shape_is_drift(machine):
    machine.run("p0")
    for other in ({"tx_slots": 512}, {"rx_rings": 2}, {"pipes": 6}):
        with pytest.raises(PtnetError, match="another shape"):
            machine.run(dict({"name": "p0"}, **other))
    wider = machine.run({"name": "p0", "pipes": 5})
    assert wider["diff"] == {"before": {"boot": ["p0 pipes=1"]}, "after": {"boot": ["p0 pipes=5"]}}
    assert not machine.run({"name": "p0", "pipes": 5})["changed"]


def test_extra_buffers_take_room(machine):
    with pytest.raises(PtnetError, match="5 pipes with 1100 extra buffers an end do not fit on the parent p0; found: "
                                         "room for 4; expected: priv_buf_num of 21242 or more"):
        machine.run({"name": "p0", "pipes": 5, "extra_buffers": 1100})
    assert machine.run({"name": "p0", "pipes": 4, "extra_buffers": 1000})["parents"][0]["capacity"] == 5
    assert not machine.run({"name": "p0", "pipes": 4, "extra_buffers": 1000})["changed"]
    for check in (True, False):
        fewer = machine.run({"name": "p0", "pipes": 4, "extra_buffers": 10}, check=check)
        assert fewer["diff"]["after"]["extra_buffers"] == ["p0 10"]
    assert not machine.run({"name": "p0", "pipes": 4, "extra_buffers": 10})["changed"]
    with pytest.raises(PtnetError, match="room for 3 pipes"):
        machine.run({"name": "p0", "pipes": 4, "extra_buffers": 2000})


def test_what_to_raise_is_said_for_all_parents(machine):
    with pytest.raises(PtnetError, match="7 pipes do not fit on the parent p0") as caught:
        machine.run({"name": "p0", "pipes": 7}, {"name": "p1", "pipes": 8, "tx_slots": 64, "rx_slots": 64})
    machine.system.values.update(caught.value.facts["raise_parameters"])
    both = [{"name": "p0", "pipes": 7}, {"name": "p1", "pipes": 8, "tx_slots": 64, "rx_slots": 64}]
    assert machine.run(*both)["changed"]


def test_raised_parameters_do_not_widen_what_exists(machine):
    machine.run("p0")
    machine.system.values.update(priv_if_num=20, priv_ring_num=40)
    with pytest.raises(PtnetError, match="room for 5 pipes"):
        machine.run({"name": "p0", "pipes": 8})


def test_a_parent_in_use_stays_and_names_its_user(machine):
    machine.run("p0", "p1")
    machine.netmap.pipes["p0"] = ["1"]
    machine.system.running = [{"pid": 7, "command": "pkt-gen -i netmap:p0{1", "holds": []},
                              {"pid": 8, "command": "pkt-gen -i vale1:1", "holds": []}]
    with pytest.raises(PtnetError, match="stop process 7") as caught:
        machine.run("p0", state="absent")
    assert [user["pid"] for user in caught.value.facts["users"]] == [7]
    assert set(machine.record().parents) == {"p0", "p1"}
    machine.netmap.pipes.clear()
    assert machine.run("p0", state="absent")["changed"]


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize(("name", "why"), [
    ("eth1", "driver veth"), ("hand", "not made by this collection"), ("held", "attached as vale1:held"),
    ("lost", "stuck"), ("vale1", "no val in front"), ("a" * 14, "at most 13"), ("p{1", "letters")])
def test_what_is_not_ours_is_left_alone(machine, name, why, state):
    for one in ("hand", "held", "lost"):
        machine.netmap.make_persistent(one)
    machine.netmap.attach_by_hand("vale1:held")
    machine.netmap.attach_by_hand("vale1:lost")
    machine.netmap.open_port("lost")
    for check in (True, False):
        with pytest.raises(PtnetError, match=why):
            machine.run("p0", name, state=state, check=check)
    assert machine.netmap.changes == []


def test_ours_attached_by_somebody_is_not_queried(machine):
    machine.run("p0", "p1")
    machine.netmap.attach_by_hand("vale1:p0")
    for options in ({"state": "present"}, {"state": "absent"}):
        with pytest.raises(PtnetError, match="on a VALE switch"):
            machine.run("p0", **options)
    with pytest.raises(PtnetError, match="on a VALE switch"):
        machine.run(state="absent", purge=True)
    assert not machine.run("p1")["changed"]


def test_purge_takes_what_we_made_and_nothing_else(machine):
    machine.netmap.make_persistent("hand")
    machine.run("p0", "p1", "p2")
    assert [one["name"] for one in machine.run("p1", purge=True)["parents"]] == ["p1"]
    machine.run(state="absent", purge=True)
    assert set(machine.netmap.persistent) == {"hand"}
    assert machine.record().parents == {}


def test_after_a_reboot_parents_come_back(machine):
    machine.run("p0")
    machine.netmap.persistent.clear()
    del machine.netmap.drivers["p0"]
    assert machine.run("p0")["changed"]


def test_what_failed_to_come_back_stays_recorded(machine):
    machine.run("p0", "p1")
    machine.netmap.__init__(lock=machine.netmap.lock)
    machine.netmap.fail["NEWIF", "p0"] = 12
    with pytest.raises(PtnetError, match="memory ran out"):
        machine.run("p0")
    assert machine.record().lines() == ["p0 pipes=1", "p1 pipes=1"]
    assert machine.run("p0", state="absent")["changed"]
    assert machine.record().lines() == ["p1 pipes=1"]
    assert machine.run("p0", purge=True)["changed"]
    assert machine.record().lines() == ["p0 pipes=1"]


def test_a_refused_creation_leaves_no_record(machine):
    machine.netmap.fail["NEWIF", "p1"] = 12
    with pytest.raises(PtnetError, match="memory ran out"):
        machine.run("p0", "p1")
    assert set(machine.record().parents) == {"p0"}


def test_too_little_memory(machine):
    machine.system.memory = 60 << 20
    with pytest.raises(PtnetError, match="60 MiB"):
        machine.run("p0", "p1")
    assert machine.run("p0")["changed"]


def test_check_mode_before_netmap_is_loaded(machine):
    machine.netmap.loaded = False
    result = machine.run("p0", check=True)
    assert result["changed"]
    assert "not loaded" in result["warnings"][0]


@pytest.mark.parametrize("loaded", [True, False])
def test_check_mode_before_parameters_are_raised(machine, loaded):
    """In check mode netmap_module, which comes before, has raised nothing."""
    wanted = {"name": "p0", "pipes": 8}
    machine.netmap.loaded = loaded
    foretold = machine.run(wanted, check=True)
    assert "raised priv_if_num to 16 and priv_ring_num to 32" in foretold["warnings"][-1]
    machine.netmap.loaded = True
    with pytest.raises(PtnetError, match="8 pipes do not fit"):
        machine.run(wanted)
    machine.system.parameters = lambda: {"priv_if_num": 16, "priv_ring_num": 32}
    real = machine.run(wanted)
    assert (real["diff"], real["parents"]) == (foretold["diff"], foretold["parents"])
    with pytest.raises(PtnetError, match="cannot hold so many pipes"):
        machine.run({"name": "p1", "pipes": 50, "tx_rings": 8, "rx_rings": 8}, check=True)


def test_what_is_to_go_is_gone_where_netmap_is_not_loaded(machine):
    machine.run("p0", "p1")
    machine.netmap.__init__(nics=[], lock=machine.netmap.lock)
    machine.netmap.loaded = False
    machine.netmap.drivers["p1"] = ""  # a bridge that somebody made since
    predicted = machine.run("p0", state="absent", purge=True, check=True)
    real = machine.run("p0", state="absent", purge=True)
    assert (real["diff"], real["changed"], real["parents"]) == (predicted["diff"], True, [])
    assert machine.record().lines() == []
    assert not machine.run("p0", state="absent", purge=True)["changed"]
    with pytest.raises(PtnetError, match="load netmap first"):
        machine.run("p0")


@pytest.mark.parametrize("number", [{"pipes": 0}, {"pipes": 51}, {"extra_buffers": -1},
                                    {"extra_buffers": 1000001}, {"tx_slots": 0}, {"tx_slots": 4097}, {"rx_rings": 17}])
def test_numbers_out_of_range(machine, number):
    with pytest.raises(PtnetError, match=next(iter(number))):
        machine.run(dict(number, name="p0"))


def attempt(machine, *wanted, **options):
    try:
        return machine.run(*wanted, **options), None
    except PtnetError as error:
        return None, error.message


STEPS = st.lists(st.tuples(
    st.lists(st.sampled_from(["p0", "p1", "p2", "eth1", "hand"]), unique=True, max_size=3),
    st.sampled_from([64, 1024]), st.sampled_from(["present", "absent"]), st.booleans(),
    st.sampled_from(["", "reboot", "use p0", "free p0", "attach p1", "late"])), max_size=8)


@settings(max_examples=80, deadline=None)
@given(steps=STEPS)
def test_any_sequence(tmp_path_factory, steps):
    machine = Machine(tmp_path_factory.mktemp("machine"))
    netmap = machine.netmap
    netmap.make_persistent("hand")
    for chosen, slots, state, purge, event in steps:
        if event == "reboot":
            netmap.__init__(nics=["eth1"], lock=netmap.lock)
        elif event == "use p0" and "p0" in netmap.persistent:
            netmap.pipes["p0"] = ["1"]
        elif event == "free p0":
            netmap.pipes.clear()
        elif event == "attach p1" and "p1" in netmap.persistent and not netmap.names():
            netmap.attach_by_hand("vale1:p1")
        wanted = [{"name": name, "tx_slots": slots, "rx_slots": slots} for name in chosen]
        calls = len(netmap.changes)
        predicted, refused = attempt(machine, *wanted, check=True, state=state, purge=purge)
        assert len(netmap.changes) == calls
        if event == "late":
            netmap.fail.update({("NEWIF", "p0"): "late", ("DELIF", "p1"): "late"})
        real, failed = attempt(machine, *wanted, state=state, purge=purge)
        if failed:
            assert failed == refused or "refused to delete" in failed
            assert not refused or len(netmap.changes) == calls
        else:
            assert refused is None
            assert real == predicted
            calls = len(netmap.changes)
            again = machine.run(*wanted, state=state, purge=purge)
            assert not again["changed"]
            assert again["parents"] == real["parents"]
            assert len(netmap.changes) == calls
        netmap.fail.clear()
        assert netmap.forbidden == []
        assert set(netmap.persistent) - {"hand"} <= set(machine.record().parents)
