# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import ports
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.changes import ChangeableDevice
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.record import Record
from fake_device import FakeNetmap
from fake_system import FakeSystem, keep_record
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NICS = ["eth1", "eth2", "eth3", "veth1a"]


class Machine:
    def __init__(self, folder, **options):
        self.netmap = FakeNetmap(nics=NICS, lock=str(folder / "lock"), **options)
        self.system = FakeSystem(self.netmap)
        self.folder = str(folder)
        self.device = ChangeableDevice(
            self.netmap.driver_of, frame_limits=self.netmap.frame_limits, open_node=self.netmap.open_node,
            lock=self.netmap.lock)

    def record(self):
        return Record(self.folder)

    def run(self, switch="vale1", wanted=(), check=False, **options):
        params = {"switch": switch, "state": "present", "purge": False, "allow_management": False, "ports": [
            {"name": one.rstrip("^"), "host_stack": one.endswith("^")} for one in wanted]}
        return ports.act(dict(params, **options), check, self.system, self.device, self.record, keep_record)


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path)
    yield machine
    assert machine.netmap.forbidden == []


def test_four_runs(machine):
    wanted = ["eth1", "eth2^"]
    predicted = machine.run(wanted=wanted, check=True)
    assert machine.netmap.changes == []
    assert predicted["changed"]
    real = machine.run(wanted=wanted)
    assert real == predicted
    assert real["ports"] == [{"name": "eth1", "host_stack": False, "kind": "attached"},
                             {"name": "eth2", "host_stack": True, "kind": "attached"}]
    assert real["diff"] == {
        "before": {"ports": [], "boot": []},
        "after": {"ports": ["eth1", "eth2 with host stack"], "boot": ["vale1:eth1", "vale1:eth2 with host stack"]}}
    machine.netmap.changes.clear()
    assert not machine.run(wanted=wanted, check=True)["changed"]
    assert not machine.run(wanted=wanted)["changed"]
    assert machine.netmap.changes == []
    assert machine.record().lines() == ["vale1:eth1", "vale1:eth2 with host stack"]


def test_the_host_stack_is_changed_by_attaching_again(machine):
    machine.run(wanted=["eth1"])
    assert machine.run(wanted=["eth1^"])["changed"]
    assert machine.netmap.names() == ["vale1:eth1", "vale1:eth1^"]
    assert machine.run(wanted=["eth1"])["changed"]
    assert machine.netmap.names() == ["vale1:eth1"]


def test_purge_takes_what_we_made_and_nothing_else(machine):
    machine.netmap.attach_by_hand("vale1:eth3")
    machine.netmap.open_port("vale1:vm1")
    machine.run(wanted=["eth1", "eth2"])
    machine.run(switch="vale2", wanted=["veth1a"])
    machine.run(wanted=["eth2"], purge=True)
    assert sorted(machine.netmap.names()) == ["vale1:eth2", "vale1:eth3", "vale1:vm1", "vale2:veth1a"]
    machine.run(state="absent", purge=True)
    assert sorted(machine.netmap.names()) == ["vale1:eth3", "vale1:vm1", "vale2:veth1a"]
    assert machine.record().lines() == ["vale2:veth1a"]


def test_absent(machine):
    machine.netmap.attach_by_hand("vale1:eth3")
    assert machine.run(wanted=["eth3", "eth1"], state="absent")["diff"]["after"] == {"ports": []}
    assert machine.netmap.names() == []
    assert not machine.run(wanted=["eth3"], state="absent")["changed"]


@pytest.mark.parametrize(("wanted", "options", "why"), [
    (["eth9"], {}, "no interface"),
    (["p0"], {}, "pipe parents"),
    (["vm1"], {}, "VM ports come and go"),
    (["vm1"], {"state": "absent"}, "stop the VM"),
    (["eth3"], {}, "attached as vale2:eth3"),
    (["eth1", "eth1"], {}, "twice"),
    ([], {}, "nothing to do"),
    (["eth1,id=x"], {}, "letters"),
    (["lost"], {}, "reboot"),
    (["lost"], {"state": "absent"}, "reboot"),
    (["held"], {"state": "absent"}, "persistent"),
    (["eth2"], {}, "allow_management"),
    (["eth1"], {"switch": "vale-1"}, "switch"),
])
def test_refused_before_anything_changes(machine, wanted, options, why):
    machine.netmap.make_persistent("p0")
    machine.netmap.make_persistent("held")
    machine.netmap.attach_by_hand("vale1:held")
    machine.netmap.make_persistent("lost")
    machine.netmap.attach_by_hand("vale3:lost")
    machine.netmap.open_port("lost")
    machine.netmap.attach_by_hand("vale2:eth3")
    machine.netmap.open_port("vale1:vm1")
    machine.system.kept = {"eth2": "the default route"}
    for check in (True, False):
        with pytest.raises(PtnetError, match=why):
            machine.run(wanted=["eth1"] * ("eth1" not in wanted and bool(wanted)) + wanted, check=check, **options)
    assert machine.netmap.changes == []


def test_the_management_nic_with_consent_or_without_need(machine):
    machine.system.kept = {"eth1": "the SSH connection from 192.0.2.1"}
    assert machine.run(wanted=["eth1"], allow_management=True)["changed"]
    assert not machine.run(wanted=["eth1"])["changed"]
    with pytest.raises(PtnetError, match="192.0.2.1"):
        machine.run(wanted=["eth1"], state="absent")


def test_stuck_ports_are_warned_of(machine):
    machine.netmap.make_persistent("v0")
    machine.netmap.attach_by_hand("vale1:v0")
    machine.netmap.open_port("v0")
    assert "v0 is stuck" in machine.run(switch="vale2", wanted=["eth1"])["warnings"][0]


def test_a_ninth_switch(tmp_path):
    machine = Machine(tmp_path, max_bridges=2)
    machine.netmap.open_port("vale1:1")
    machine.netmap.open_port("vale2:1")
    with pytest.raises(PtnetError, match="max_bridges to 3"):
        machine.run(switch="vale3", wanted=["eth1"])
    assert machine.run(switch="vale2", wanted=["eth1"])["changed"]


def test_a_full_switch(machine):
    for number in range(251):
        machine.netmap.open_port("vale1:%d" % number)
    with pytest.raises(PtnetError, match="no room for eth2"):
        machine.run(wanted=["eth1", "eth2"])
    assert machine.run(wanted=["eth1"])["changed"]
    with pytest.raises(PtnetError, match="no room"):
        machine.run(wanted=["eth1", "eth2"])


def test_an_error_with_the_effect_is_no_error(machine):
    machine.netmap.fail["ATTACH", "vale1:eth1"] = "late"
    assert machine.run(wanted=["eth1"])["changed"]
    machine.netmap.fail["DETACH", "vale1:eth1"] = "late"
    assert machine.run(wanted=["eth1"], state="absent")["changed"]
    assert machine.record().attached == {}


def test_what_netmap_says_is_not_believed(machine):
    machine.netmap.fail["ATTACH", "vale1:eth1"] = 0
    with pytest.raises(PtnetError, match="vale1:eth1 is not as it should be afterwards; found: not on the switch"):
        machine.run(wanted=["eth1", "eth2"])
    assert machine.run(wanted=["eth1", "eth2"])["changed"]
    machine.netmap.fail["DETACH", "vale1:eth1"] = 0
    with pytest.raises(PtnetError, match="vale1:eth1 is not as it should be afterwards; found: host_stack=False"):
        machine.run(wanted=["eth1"], state="absent")
    assert set(machine.netmap.names()) == {"vale1:eth1", "vale1:eth2"}


def test_an_interrupted_run_heals(machine):
    machine.netmap.busy = {"eth2"}
    with pytest.raises(PtnetError, match="open in netmap mode") as caught:
        machine.run(wanted=["eth1", "eth2", "eth3"])
    assert caught.value.facts["done"] == ["attach vale1:eth1"]
    assert machine.record().lines() == ["vale1:eth1"]
    machine.netmap.busy = set()
    assert machine.run(wanted=["eth1", "eth2", "eth3"])["changed"]
    assert machine.netmap.names() == ["vale1:eth1", "vale1:eth2", "vale1:eth3"]


def test_after_a_reboot_the_record_is_history(machine):
    machine.run(wanted=["eth1", "eth2"])
    machine.netmap.bridges = [{} for _unused in range(8)]
    assert machine.run(wanted=["eth1"], purge=True)["changed"]
    assert machine.record().lines() == ["vale1:eth1"]


def test_what_failed_to_come_back_stays_recorded(machine):
    machine.run(wanted=["eth1", "eth2"])
    machine.netmap.bridges = [{} for _unused in range(8)]
    machine.netmap.busy = {"eth1"}
    with pytest.raises(PtnetError, match="open in netmap mode"):
        machine.run(wanted=["eth1"])
    assert machine.record().lines() == ["vale1:eth1", "vale1:eth2"]
    gone = machine.run(wanted=["eth1"], state="absent")
    assert gone["diff"] == {"before": {"boot": ["vale1:eth1", "vale1:eth2"]}, "after": {"boot": ["vale1:eth2"]}}


def test_a_nic_that_others_attached_is_recorded_but_not_purged(machine):
    machine.netmap.attach_by_hand("vale1:eth3")
    assert machine.run(wanted=["eth3"])["diff"]["after"] == {"boot": ["vale1:eth3"]}
    assert not machine.run(wanted=["eth3"])["changed"]
    machine.run(state="absent", purge=True)
    assert machine.netmap.names() == ["vale1:eth3"]
    assert machine.record().lines() == []


def test_a_nic_is_recorded_on_one_switch(machine):
    machine.run(wanted=["eth1", "eth2"])
    machine.netmap.bridges = [{} for _unused in range(8)]
    machine.run(switch="vale2", wanted=["eth1"])
    assert machine.record().lines() == ["vale1:eth2", "vale2:eth1"]


def test_consent_is_recorded(machine):
    machine.system.kept = {"eth1": "the default route"}
    machine.run(wanted=["eth1"], allow_management=True)
    assert machine.record().attached["vale1"]["eth1"]["allow_management"]


def test_a_nic_that_was_deleted_while_attached(machine):
    machine.run(wanted=["eth1"])
    del machine.netmap.drivers["eth1"]
    assert machine.run(state="absent", purge=True)["changed"]
    assert machine.netmap.names() == []


def test_check_mode_before_netmap_is_loaded(machine):
    machine.netmap.loaded = False
    result = machine.run(wanted=["eth1"], check=True)
    assert result["changed"]
    assert "not loaded" in result["warnings"][-1]
    with pytest.raises(PtnetError, match="load netmap first"):
        machine.run(wanted=["eth1"])


def test_check_mode_before_buffers_are_sized(machine):
    """Netmap will be loaded with buffers for the declared NICs (role netmap, netmap_nics)."""
    machine.netmap.loaded, machine.netmap.mtus["eth1"] = False, 9000
    assert machine.run(wanted=["eth1"], check=True)["changed"]
    machine.netmap.loaded = True
    with pytest.raises(PtnetError, match="MTU 9000"):
        machine.run(wanted=["eth1"], check=True)


def test_what_is_to_go_is_gone_where_netmap_is_not_loaded(machine):
    machine.run(wanted=["eth1"])
    machine.netmap.__init__(nics=NICS, lock=machine.netmap.lock)
    machine.netmap.loaded = False
    predicted = machine.run(state="absent", purge=True, check=True)
    real = machine.run(state="absent", purge=True)
    assert (real["diff"], real["changed"], real["ports"]) == (predicted["diff"], True, [])
    assert "warnings" not in real
    assert machine.record().lines() == []
    assert not machine.run(state="absent", purge=True)["changed"]
    assert not machine.run(wanted=["eth1"], state="absent")["changed"]


def test_a_damaged_record_is_not_overwritten(machine, tmp_path):
    (tmp_path / "ports.json").write_text("{")
    with pytest.raises(PtnetError, match="record"):
        machine.run(wanted=["eth1"])
    assert (tmp_path / "ports.json").read_text() == "{"
    (tmp_path / "ports.json").write_text(json.dumps({"format": 2}))
    with pytest.raises(PtnetError, match="format 2"):
        machine.run(wanted=["eth1"])


def attempt(machine, **options):
    try:
        return machine.run(**options), None
    except PtnetError as error:
        return None, error


STEPS = st.lists(st.fixed_dictionaries({
    "switch": st.sampled_from(["vale1", "vale2"]),
    "wanted": st.lists(st.sampled_from(NICS + ["gone", "p0"]), unique=True, max_size=4).flatmap(
        lambda chosen: st.tuples(*[st.sampled_from([name, name + "^"]) for name in chosen])),
    "state": st.sampled_from(["present", "absent"]),
    "purge": st.booleans(),
    "event": st.sampled_from(["", "open vale1:vm", "close vale1:vm", "hand vale2:eth3", "vanish eth2", "appear eth2",
                              "busy eth1", "free eth1", "fail", "late"]),
}), max_size=8)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_sequence(tmp_path_factory, steps):
    machine = Machine(tmp_path_factory.mktemp("machine"))
    machine.netmap.make_persistent("p0")
    by_hand = set()
    for step in steps:
        word, _space, name = step["event"].partition(" ")
        _happen(machine, word, name, by_hand)
        options = {key: step[key] for key in ("switch", "wanted", "state", "purge")}
        calls = len(machine.netmap.changes)
        before = machine.netmap.names()
        predicted, refused = attempt(machine, check=True, **options)
        assert len(machine.netmap.changes) == calls, "check mode changed something"
        if word in ("fail", "late"):
            for nic in NICS:
                code = 16 if word == "fail" else "late"
                machine.netmap.fail.update({("ATTACH", "vale1:" + nic): code, ("DETACH", "vale2:" + nic): code})
        real, failed = attempt(machine, **options)
        if refused:
            assert failed.message == refused.message
            assert machine.netmap.names() == before
        elif failed:
            assert "done" in failed.facts
        else:
            assert real == predicted
            calls = len(machine.netmap.changes)
            again = machine.run(**options)
            assert not again["changed"]
            assert again["ports"] == real["ports"]
            assert len(machine.netmap.changes) == calls, "the second run changed something"
        machine.netmap.fail.clear()
        assert machine.netmap.forbidden == []
        ours = {"%s:%s" % (switch, nic) for switch, nics in machine.record().attached.items() for nic in nics}
        declared_away = {name for name in by_hand if name not in machine.netmap.names()}
        by_hand -= declared_away
        attached = {name for name in machine.netmap.names() if not name.endswith("^") and not name.endswith(":vm")}
        assert attached - by_hand <= ours, "something of ours is not on record"


def _happen(machine, word, name, by_hand):
    netmap = machine.netmap
    if word == "open" and name not in netmap.names():
        netmap.open_port(name)
    elif word == "close":
        netmap.close_port(name)
    elif word == "hand" and not any(one.endswith("eth3") for one in netmap.names()):
        netmap.attach_by_hand(name)
        by_hand.add(name)
    elif word == "vanish":
        netmap.drivers.pop(name, None)
    elif word == "appear":
        netmap.drivers[name] = "veth"
    elif word == "busy":
        netmap.busy.add(name)
    elif word == "free":
        netmap.busy.discard(name)


def test_a_nic_whose_frames_do_not_fit_is_refused_before_anything_changes(machine):
    machine.netmap.mtus["eth2"] = 9000
    for check in (True, False):
        with pytest.raises(PtnetError, match="eth2 cannot be attached; found: MTU 9000, buffers of 2048") as caught:
            machine.run(ports=[{"name": "eth1"}, {"name": "eth2"}], check=check)
        assert "buf_size" in caught.value.remedy
    assert machine.netmap.changes == []
