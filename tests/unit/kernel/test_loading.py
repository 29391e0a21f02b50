# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import copy

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel import loading
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import parameters
from hypothesis import given, settings
from hypothesis import strategies as st

DEFAULTS = {name: known.default for name, known in parameters.PARAMETERS.items()}
NOTHING = {"load": False, "parameters": {}, "node": None}
LOAD_TIME = {name for name, known in parameters.PARAMETERS.items() if known.when == parameters.RELOAD}


class System:
    """A kernel that loads and unloads; unloading in use is what must never be tried."""

    ptnet_driver = "ptnetmap-guest-drivers"

    def __init__(self):
        self.now = None
        self.disk = {"path": "/netmap.ko", "version": None, "srcversion": "A", "vermagic": "6.1 SMP"}
        self.running = None
        self.kept = copy.deepcopy(NOTHING)
        self.device = None
        self.groups = {"root"}
        self.refcount = 0
        self.drivers = {}
        self.carries = {}
        self.users = []
        self.fitting = True
        self.conflicts = []
        self.log = []
        self.rebooting = False

    def loaded(self):
        return self.now is not None

    def module(self):
        if self.now is None:
            return None
        return {"refcount": self.refcount, "version": None, "srcversion": self.running, "holders": []}

    def installed(self):
        return self.disk

    def fits(self, installed):
        return self.fitting

    def stale(self, module, installed):
        return module["srcversion"] != installed["srcversion"]

    def parameters(self):
        return dict(self.now, buf_curr_num=0) if self.now is not None else None

    def boot(self):
        return copy.deepcopy(self.kept)

    def node(self):
        return dict(self.device, path="/dev/netmap") if self.device else None

    def processes(self):
        return self.users

    def management(self):
        return self.carries

    def driver_of(self, name):
        return self.drivers.get(name)

    def memory_total(self):
        return 1 << 31

    def boot_conflicts(self):
        return self.conflicts

    def group_exists(self, group):
        return group in self.groups

    def make_group(self, group):
        self.log.append("group")
        self.groups.add(group)

    def write_boot(self, boot):
        self.log.append("boot")
        self.kept = copy.deepcopy(boot)

    def load(self, wanted):
        assert self.now is None
        assert Device.held or self.rebooting
        self.log.append("load")
        self.now = dict(DEFAULTS, **wanted)
        self.running = self.disk["srcversion"]
        self.device = dict(self.kept["node"] or {"group": "root", "mode": "0600"})

    def unload(self):
        assert self.refcount == 0, "unloading in use"
        assert Device.held
        self.log.append("unload")
        self.now = self.device = None

    def write_parameter(self, name, number):
        assert name not in LOAD_TIME
        self.log.append("write %s" % name)
        self.now[name] = number

    def write_node(self, group, mode):
        assert group in self.groups
        self.log.append("node")
        self.device = {"group": group, "mode": mode}


class Device:
    held = False

    def entries(self):
        return []

    @contextlib.contextmanager
    def locked(self, purpose):
        Device.held = True
        try:
            yield
        finally:
            Device.held = False


class Record:
    parents = {}


@pytest.fixture
def system():
    return System()


def run(system, wanted=None, check=False, **options):
    params = dict({"state": "loaded", "parameters": wanted, "persistent": True, "group": "netmap", "mode": "0660",
                   "allow_reload": False}, **options)
    return loading.act(params, check, system, Device(), Record)


def test_four_runs(system):
    predicted = run(system, {"buf_num": 20000}, check=True)
    assert system.log == []
    real = run(system, {"buf_num": 20000})
    assert system.log == ["group", "boot", "load"]
    for key in ("changed", "diff", "loaded", "srcversion", "reload_wanted", "users"):
        assert real[key] == predicted[key]
    assert real["parameters"]["now"]["buf_num"] == 20000
    assert real["parameters"]["boot"] == {"buf_num": 20000}
    system.log.clear()
    assert not run(system, {"buf_num": 20000}, check=True)["changed"]
    assert not run(system, {"buf_num": 20000})["changed"]
    assert system.log == []


def test_a_runtime_parameter_is_written(system):
    run(system)
    system.log.clear()
    result = run(system, {"buf_num": 20000})
    assert system.log == ["boot", "write buf_num"]
    assert result["diff"]["before"]["parameters now"]["buf_num"] == 163840
    assert not result["reload_wanted"]


def test_a_reload_needs_consent(system):
    run(system)
    system.refcount, system.users = 2, [{"pid": 7, "command": "pkt-gen -i x", "holds": ["mapping"]}]
    for expected_change in (True, False):
        result = run(system, {"max_bridges": 16})
        assert result["reload_wanted"]
        assert result["reload_reasons"] == ["max_bridges is 8, declared is 16: decided while netmap loads"]
        assert "process 7" in result["warnings"][0]
        assert result["changed"] is expected_change  # the boot file is written at once
        assert result["parameters"]["boot"] == {"max_bridges": 16}
        assert result["parameters"]["now"]["max_bridges"] == 8
    with pytest.raises(PtnetError, match="process 7") as caught:
        run(system, {"max_bridges": 16}, allow_reload=True)
    assert caught.value.facts["users"][0]["pid"] == 7
    system.refcount = 0
    system.log.clear()
    result = run(system, {"max_bridges": 16}, allow_reload=True)
    assert system.log == ["unload", "load"]
    assert result["changed"]
    assert not result["reload_wanted"]
    assert not run(system, {"max_bridges": 16}, allow_reload=True)["changed"]


def test_a_newly_installed_build(system):
    run(system)
    system.disk = dict(system.disk, srcversion="B")
    result = run(system)
    assert (result["changed"], result["reload_wanted"], result["srcversion"]) == (False, True, "A")
    predicted = run(system, allow_reload=True, check=True)
    assert not predicted["reload_wanted"]
    result = run(system, allow_reload=True)
    assert result["srcversion"] == predicted["srcversion"] == "B"
    assert not run(system, allow_reload=True)["changed"]


def test_a_reload_is_a_change(system):
    run(system)
    system.disk = dict(system.disk, srcversion="B")
    assert run(system, allow_reload=True, check=True)["changed"]
    assert run(system, allow_reload=True)["changed"]


def test_a_reload_brings_back_what_was_kept_for_boot(system):
    run(system, {"buf_num": 20000})
    system.disk = dict(system.disk, srcversion="B")
    run(system, allow_reload=True)
    assert system.now["buf_num"] == 20000
    assert system.kept["parameters"] == {"buf_num": 20000}


def test_unloading(system):
    run(system, {"buf_num": 20000})
    system.refcount, system.users = 1, []
    with pytest.raises(PtnetError, match="another network namespace"):
        run(system, state="unloaded")
    system.refcount = 0
    assert run(system, state="unloaded", check=True)["changed"]
    result = run(system, state="unloaded")
    assert (result["loaded"], system.kept, system.now) == (False, NOTHING, None)
    assert not run(system, state="unloaded")["changed"]


def test_only_now(system):
    run(system, {"buf_num": 20000}, persistent=False)
    assert (system.kept, system.device) == (NOTHING, {"group": "netmap", "mode": "0660"})
    run(system, {"buf_num": 30000})
    run(system, state="unloaded", persistent=False)
    assert system.kept["parameters"] == {"buf_num": 30000}


def test_the_ptnet_interface_that_carries_us(system):
    run(system)
    system.drivers, system.carries = {"eth0": system.ptnet_driver}, {"eth0": "the default route"}
    with pytest.raises(PtnetError, match="eth0 carries the default route"):
        run(system, state="unloaded")
    with pytest.raises(PtnetError, match="eth0 carries the default route"):
        run(system, {"ptnet_vnet_hdr": 0}, allow_reload=True)
    assert run(system, {"ptnet_vnet_hdr": 0})["reload_wanted"]


@pytest.mark.parametrize(("wanted", "options", "why"), [
    ({"buf_num": 2}, {}, "4 to 1000000"), ({"nonsense": 2}, {}, "unknown"),
    ({}, {"mode": "0666"}, "nothing for others"),
    ({}, {"mode": "rw"}, "octal"), ({}, {"group": "a b"}, "group"), ({}, {"group": 'x"\n'}, "group")])
def test_refused_before_anything_changes(system, wanted, options, why):
    for check in (True, False):
        with pytest.raises(PtnetError, match=why):
            run(system, wanted, check=check, **options)
    assert system.log == []


def test_no_module_for_this_kernel(system):
    system.fitting = False
    with pytest.raises(PtnetError, match="built for 6.1"):
        run(system)
    system.disk = None
    with pytest.raises(PtnetError, match="not installed"):
        run(system)
    assert system.log == []
    assert not run(system, state="unloaded")["changed"]


def test_a_parameter_that_this_build_lacks(system):
    run(system)
    del system.now["sink_num"]
    with pytest.raises(PtnetError, match="no parameter sink_num"):
        run(system, {"sink_num": 2})


def test_what_may_go_wrong_is_warned_of(system):
    system.conflicts = ["/etc/modprobe.d/old.conf"]
    warnings = run(system, {"buf_num": 1000000, "buf_size": 4096})["warnings"]
    assert any("more than this machine has" in one for one in warnings)
    assert any("old.conf" in one for one in warnings)


def test_a_write_that_the_kernel_ignores_is_found(system):
    run(system)
    system.write_parameter = lambda name, number: None
    with pytest.raises(PtnetError, match="did not take"):
        run(system, {"buf_num": 20000})


def attempt(system, **options):
    try:
        return run(system, **options), None
    except PtnetError as error:
        return None, error.message


STEPS = st.lists(st.fixed_dictionaries({
    "wanted": st.one_of(st.none(), st.dictionaries(
        st.sampled_from(["buf_num", "priv_ring_num", "max_bridges", "ptnet_vnet_hdr"]), st.sampled_from([1, 8, 16]))),
    "state": st.sampled_from(["loaded", "loaded", "unloaded"]),
    "persistent": st.booleans(), "allow_reload": st.booleans(), "mode": st.sampled_from(["0660", "640"]),
    "event": st.sampled_from(["", "", "use", "free", "build", "reboot"]),
}), max_size=6)


@settings(max_examples=200, deadline=None)
@given(steps=STEPS)
def test_any_sequence(steps):
    system = System()
    for step in steps:
        options = dict(step)
        event = options.pop("event")
        if event == "use" and system.loaded():
            system.refcount = 2
        elif event == "free":
            system.refcount = 0
        elif event == "build":
            system.disk = dict(system.disk, srcversion=system.disk["srcversion"] + "x")
        elif event == "reboot":
            system.now = system.device = None
            system.refcount = 0
            if system.kept["load"]:
                system.rebooting = True
                system.load(system.kept["parameters"])
                system.rebooting = False
        system.log.clear()
        predicted, refused = attempt(system, check=True, **options)
        assert system.log == []
        real, failed = attempt(system, **options)
        assert failed == refused
        if failed:
            assert system.log == []
            continue
        for key in ("changed", "diff", "loaded", "reload_wanted", "reload_reasons", "users"):
            assert real[key] == predicted[key]
        assert real["changed"] == bool(system.log)
        system.log.clear()
        again = run(system, **options)
        assert not again["changed"]
        assert again["reload_wanted"] == real["reload_wanted"]
        assert system.log == []
