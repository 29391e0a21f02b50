# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import parameters
from fake_kernel import NOTHING, System, run
from hypothesis import given, settings
from hypothesis import strategies as st


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


@pytest.mark.parametrize(("installed", "fits"), [(False, True), (True, False)])
def test_a_bare_host_is_foretold(system, installed, fits):
    """In check mode netmap_build, which comes before, has installed nothing."""
    disk, system.fitting = system.disk, fits
    system.disk = disk if installed else None
    foretold = run(system, {"buf_num": 20000}, check=True)
    assert (foretold["changed"], foretold["loaded"], system.log) == (True, True, [])
    assert "not installed for the running kernel: netmap;" in foretold["warnings"][0]
    system.disk, system.fitting = disk, True
    assert run(system, {"buf_num": 20000})["diff"] == foretold["diff"]
    assert "warnings" not in run(system, {"buf_num": 20000}, check=True)


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
