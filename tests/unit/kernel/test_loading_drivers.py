# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NIC drivers with netmap support, as ``netmap_module`` loads them."""

from __future__ import annotations

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from fake_kernel import run


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
    ("e1000", "/e1000.ko, which does not use netmap"), ("igb", "does not fit the running kernel"),
    ("nothing", "no driver nothing")])
def test_a_driver_that_is_not_built_is_refused_and_foretold_where_it_may_be_built_before(system, name, why):
    with pytest.raises(PtnetError, match=why):
        run(system, drivers=["ixgbe", name], allow_reload=True)
    foretold = run(system, drivers=["ixgbe", name], allow_reload=True, check=True)
    assert (foretold["changed"], foretold["drivers"]) == (True, {"ixgbe": "netmap", name: "netmap"})
    assert "not installed for the running kernel: the driver %s" % name in foretold["warnings"][0]
    assert system.log == []


@pytest.mark.parametrize(("name", "why"), [
    ("virtio_net", "built into this kernel"), ("a b", "refused"),
    ("netmap", "refused"), ("x\n", "refused"), ("../x", "refused"), ("", "refused")])
def test_a_driver_that_cannot_be_is_refused_before_anything_changes(system, name, why):
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
