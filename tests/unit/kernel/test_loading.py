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
NOTHING = {"load": False, "parameters": {}, "node": None, "drivers": []}
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
        self.interface_drivers = {}
        self.carries = {}
        self.users = []
        self.fitting = True
        self.conflicts = []
        self.log = []
        self.rebooting = False
        self.built_in = False
        self.unsigned_paths = []
        self.nics = Nics(self)

    def loaded(self):
        return self.now is not None

    def module(self):
        if self.now is None:
            return None
        holders = sorted(name for name, kind in self.nics.loaded.items() if kind != "stock")
        return {"refcount": self.refcount + len(holders), "version": None, "srcversion": self.running,
                "holders": holders, "built_in": self.built_in}

    def installed(self):
        return self.disk

    def fits(self, installed):
        return self.fitting

    def unsigned(self, paths):
        return [path for path in paths if path in self.unsigned_paths]

    def drivers(self):
        return self.nics

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
        return self.interface_drivers.get(name)

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
        assert self.module()["refcount"] == 0, "unloading in use"
        assert Device.held
        assert not self.built_in
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


class Nics:
    """The drivers of a kernel: ``loaded`` is netmap or stock, ``disk`` what modprobe would load."""

    def __init__(self, system):
        self.system = system
        self.loaded = {}
        self.disk = {"ixgbe": "netmap", "veth": "netmap", "e1000": "stock", "virtio_net": "built in", "igb": "netmap"}
        self.nics = {"ixgbe": ["eth1"]}
        self.above = {}
        self.stale_images = {}
        self.broken = {}
        self.foreign = False

    def read(self, names):
        return {name: {"loaded": self.loaded.get(name), "installed": self.disk.get(name), "path": "/%s.ko" % name,
                       "fits": name != "igb", "interfaces": self.nics.get(name, []) if name in self.loaded else [],
                       "holders": self.above.get(name, [])} for name in names}

    def images(self, names):
        return {release: kept for release, there in self.stale_images.items()
                for kept in [[name for name in there if name in names]] if kept}

    def rebuild(self, release):
        self.system.log.append("initramfs %s" % release)
        del self.stale_images[release]

    def foreign_initramfs(self):
        return self.foreign

    def unload(self, name):
        self.system.log.append("rmmod %s" % name)
        del self.loaded[name]

    def load(self, name):
        if name in self.broken:
            raise PtnetError("modprobe failed", found=self.broken[name])
        assert self.system.now is not None, "a driver before netmap"
        self.system.log.append("modprobe %s" % name)
        self.loaded[name] = "netmap"

    def load_stock(self, name):
        self.system.log.append("insmod %s" % name)
        self.loaded[name] = "stock"

    def settle(self):
        pass


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
    parents = {"pp0": {"pipes": 3, "tx_slots": 512, "rx_slots": 512, "tx_rings": 1, "rx_rings": 1}}


@pytest.fixture
def system():
    return System()


def run(system, wanted=None, check=False, **options):
    params = dict({"state": "loaded", "parameters": wanted, "persistent": True, "group": "netmap", "mode": "0660",
                   "allow_reload": False, "allow_management": False, "drivers": []}, **options)
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


def test_memory_is_told(system):
    result = run(system, {"priv_buf_num": 600})
    assert result["memory"] == {
        "nics": parameters.global_memory({}), "port": parameters.private_region({}, 1024, 1024)["bytes"],
        "parents": {"pp0": parameters.private_region({}, 512, 512)["bytes"]}}
    assert run(system, state="unloaded")["memory"] == {}


def test_a_driver_goes_over_to_netmap_with_consent(system):
    system.nics.loaded = {"ixgbe": "stock"}
    result = run(system, drivers=["ixgbe"])
    assert system.log == ["group", "boot", "load"]
    assert (result["reload_reasons"], result["drivers"]) == (["ixgbe is loaded without netmap support"],
                                                             {"ixgbe": "stock"})
    assert system.kept["drivers"] == ["ixgbe"]
    system.log.clear()
    predicted = run(system, drivers=["ixgbe"], allow_reload=True, check=True)
    assert system.log == []
    result = run(system, drivers=["ixgbe"], allow_reload=True)
    assert (result["diff"], result["changed"]) == (predicted["diff"], True)
    assert (result["drivers"], result["reload_wanted"]) == ({"ixgbe": "netmap"}, False)
    assert system.log == ["rmmod ixgbe", "modprobe ixgbe"]
    system.log.clear()
    assert not run(system, drivers=["ixgbe"], allow_reload=True)["changed"]
    assert run(system, {"max_bridges": 16}, drivers=["ixgbe"], allow_reload=True)["changed"]
    assert system.log == ["boot", "rmmod ixgbe", "unload", "load", "modprobe ixgbe"]


def test_a_driver_that_nobody_loaded_needs_no_consent(system):
    result = run(system, drivers=["veth.c"])
    assert system.log == ["group", "boot", "load", "modprobe veth"]
    assert not result["reload_wanted"]
    # A driver that is not declared is in the way of a reload, and named.
    with pytest.raises(PtnetError, match="driver veth .depends on netmap.*name these drivers"):
        run(system, {"max_bridges": 16}, allow_reload=True)


@pytest.mark.parametrize(("name", "why"), [
    ("e1000", "/e1000.ko, which does not use netmap"), ("virtio_net", "built into this kernel"),
    ("igb", "does not fit the running kernel"), ("nothing", "no driver nothing"), ("a b", "refused"),
    ("netmap", "refused"), ("x\n", "refused"), ("../x", "refused"), ("", "refused")])
def test_a_driver_without_netmap_is_refused_before_anything_changes(system, name, why):
    for check in (True, False):
        with pytest.raises(PtnetError, match=why):
            run(system, drivers=["ixgbe", name], allow_reload=True, check=check)
    assert system.log == []


def test_the_driver_under_the_management_stays(system):
    run(system, drivers=[])
    system.nics.loaded, system.carries = {"ixgbe": "stock"}, {"eth1": "the SSH connection from 192.0.2.1"}
    system.log.clear()
    with pytest.raises(PtnetError, match="eth1 of driver ixgbe carries the SSH connection.*allow_management"):
        run(system, drivers=["ixgbe"], allow_reload=True)
    assert system.log == []
    assert run(system, drivers=["ixgbe"])["reload_wanted"]
    result = run(system, drivers=["ixgbe"], allow_reload=True, allow_management=True)
    assert result["drivers"] == {"ixgbe": "netmap"}
    with pytest.raises(PtnetError, match="eth1 of driver ixgbe carries"):
        run(system, {"max_bridges": 16}, drivers=["ixgbe"], allow_reload=True)
    # Another driver than the one that carries us may move.
    system.nics.loaded["veth"] = "stock"
    assert run(system, drivers=["ixgbe", "veth"], allow_reload=True)["drivers"] == {"ixgbe": "netmap", "veth": "netmap"}


def test_a_driver_in_use_stays(system):
    run(system)
    system.nics.loaded, system.nics.above = {"ixgbe": "stock"}, {"ixgbe": ["rdma"]}
    with pytest.raises(PtnetError, match="used by rdma"):
        run(system, drivers=["ixgbe"], allow_reload=True)
    system.nics.above, system.refcount = {}, 2
    system.users = [{"pid": 7, "command": "pkt-gen -i eth1", "holds": ["mapping"], "ports": ["vale1:1"]}]
    with pytest.raises(PtnetError, match="process 7 .pkt-gen -i eth1; port vale1:1"):
        run(system, drivers=["ixgbe"], allow_reload=True)
    assert system.nics.loaded == {"ixgbe": "stock"}


@pytest.mark.parametrize("broken", ["driver", "netmap"])
def test_after_a_failure_the_nics_have_a_driver(system, broken, monkeypatch):
    run(system)
    system.nics.loaded = {"ixgbe": "stock"}
    if broken == "driver":
        system.nics.broken = {"ixgbe": "Unknown symbol"}
    else:
        def fail(_wanted):
            raise PtnetError("netmap cannot be loaded", found="a bad day", remedy="wait")
        system.nics.broken = {"ixgbe": "it needs netmap"}
        monkeypatch.setattr(system, "load", fail)
    with pytest.raises(PtnetError, match="(?s)(Unknown symbol|a bad day).*drivers now: ixgbe stock") as caught:
        run(system, {"max_bridges": 16} if broken == "netmap" else None, drivers=["ixgbe"], allow_reload=True)
    assert caught.value.facts["drivers"] == {"ixgbe": "stock"}


def test_unloading_gives_the_nics_back_to_the_kernel(system):
    run(system, drivers=["ixgbe"])
    with pytest.raises(PtnetError, match="driver ixgbe"):
        run(system, state="unloaded", drivers=["ixgbe"])
    assert system.loaded()
    system.log.clear()
    predicted = run(system, state="unloaded", drivers=["ixgbe"], allow_reload=True, check=True)
    result = run(system, state="unloaded", drivers=["ixgbe"], allow_reload=True)
    assert (result["diff"], result["drivers"]) == (predicted["diff"], {"ixgbe": "stock"})
    assert system.log == ["boot", "rmmod ixgbe", "unload", "insmod ixgbe"]
    assert not run(system, state="unloaded", drivers=["ixgbe"], allow_reload=True)["changed"]


def test_the_initramfs_is_made_anew_before_anything_is_unloaded(system):
    system.nics.loaded = {"ixgbe": "stock"}
    system.nics.stale_images = {"6.1-old": ["ixgbe"], "6.1": ["ixgbe"]}
    predicted = run(system, drivers=["ixgbe"], allow_reload=True, check=True)
    result = run(system, drivers=["ixgbe"], allow_reload=True)
    assert system.log == ["group", "boot", "initramfs 6.1", "initramfs 6.1-old", "rmmod ixgbe", "load",
                          "modprobe ixgbe"]
    assert result["diff"] == predicted["diff"]
    assert result["diff"]["before"]["initramfs"] == {"6.1-old": ["ixgbe"], "6.1": ["ixgbe"]}
    assert not run(system, drivers=["ixgbe"])["changed"]
    system.nics.stale_images = {"6.1": ["ixgbe"]}
    assert not run(system, drivers=["ixgbe"], persistent=False)["changed"]
    system.nics.foreign = True
    assert "dracut" in run(system, drivers=["ixgbe"])["warnings"][0]


def test_a_kernel_that_wants_signatures(system):
    run(system)
    system.unsigned_paths = [None, "/ixgbe.ko"]
    system.disk = dict(system.disk, path="/netmap.ko")
    assert not run(system)["changed"]
    system.log.clear()
    with pytest.raises(PtnetError, match="no signature on /ixgbe.ko.*sign_key"):
        run(system, drivers=["ixgbe"])
    system.unsigned_paths = ["/netmap.ko"]
    with pytest.raises(PtnetError, match="no signature on /netmap.ko.*mokutil"):
        run(system, {"max_bridges": 16}, allow_reload=True)
    assert system.log == []


def test_netmap_that_is_built_in(system):
    run(system)
    system.built_in = True
    with pytest.raises(PtnetError, match="built into this kernel"):
        run(system, state="unloaded")
    result = run(system, {"max_bridges": 16}, allow_reload=True)
    assert (result["reload_wanted"], result["reload_reasons"]) == (True, [
        "max_bridges is 8, declared is 16: decided while netmap loads; netmap is built into this kernel, so a reboot "
        "does it"])
    assert system.kept["parameters"] == {"max_bridges": 16}


def test_a_user_that_came_late(system, monkeypatch):
    run(system)
    seen = []

    def module():
        seen.append(1)
        return {"refcount": len(seen) - 1, "version": None, "srcversion": "A", "holders": [], "built_in": False}

    monkeypatch.setattr(system, "module", module)
    with pytest.raises(PtnetError, match="1 new references"):
        run(system, {"max_bridges": 16}, allow_reload=True)
    assert system.loaded()


def test_a_node_that_stays_wrong(system):
    run(system)
    system.device, system.write_node = {"group": "root", "mode": "0600"}, lambda group, mode: None
    with pytest.raises(PtnetError, match="not as declared"):
        run(system)


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
    system.interface_drivers, system.carries = {"eth0": system.ptnet_driver}, {"eth0": "the default route"}
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
    "event": st.sampled_from(["", "", "use", "free", "build", "reboot", "stock", "driver build", "carry"]),
    "drivers": st.sampled_from([[], ["ixgbe"], ["veth", "ixgbe"]]), "allow_management": st.booleans(),
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
        elif event == "carry":
            system.carries = {} if system.carries else {"eth1": "the default route"}
        elif event == "stock" and "ixgbe" not in system.nics.loaded:
            system.nics.loaded["ixgbe"] = "stock"
        elif event == "driver build" and system.nics.loaded.get("ixgbe") == "netmap":
            system.nics.loaded["ixgbe"] = "other build"
        elif event == "build":
            system.disk = dict(system.disk, srcversion=system.disk["srcversion"] + "x")
        elif event == "reboot":
            system.now = system.device = None
            system.nics.loaded = {}
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
