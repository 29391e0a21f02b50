# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else has ports on a host, as its units, its record, its switches and its processes tell."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import names
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import unit as process_unit
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import neighbours, supervisor, unit
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu.fork import Fork
from vm_params import defined, hypervisor, port

DRIVERS = {"eth1": "e1000", "eth2": "ixgbe", "eth3": "igb", "pp0": ""}
SERVED = {"id": "d0", "mac": "02:00:00:00:00:07", "mode": "automatic", "pause": 20, "registers": "memory",
          "pci_ids": "qemu"}


@pytest.fixture
def host(monkeypatch, tmp_path):
    """A host with a VM on each QEMU, a port process of its own, a NIC on a switch, and pkt-gen."""
    monkeypatch.setattr(supervisor, "UNITS", str(tmp_path))
    vm = defined(Fork, name="old", ports=[port("pp0{1", trust="shared"), port("vale1:old")])
    fence = dict(hypervisor(Fork).fence(vm, lambda _path: "netmap"), blocks=[])
    texts = {
        "ptnet-vm-old": unit.text(vm, hypervisor(Fork).vector(vm), "/usr/bin/python3", [], [], fence, [], "kvm"),
        "ptnet-vm-new": "[Service]\nExecStart=/usr/bin/qemu-system-x86_64\n",
        "ptnet-port-new": process_unit.text("new", [dict(SERVED, ifname="eth2")], "kvm", "/usr/bin/python3",
                                            vm="ptnet-vm-new.service"),
        "ptnet-port-web": process_unit.text("web", [dict(SERVED, ifname="pp0}2")], "kvm", "/usr/bin/python3"),
        "ptnet-net-new": "ifname=no_port"}
    for name, text in texts.items():
        (tmp_path / (name + ".service")).write_text(text)
    entries = [names.Entry(1, "vale1:eth3", "vale1", "eth3", False, False),
               names.Entry(1, "vale1:old", "vale1", "old", False, False)]
    monkeypatch.setattr(neighbours, "Device", lambda _driver_of: SimpleNamespace(entries=lambda: entries))
    attached = {"vale2": {"eth4": {"kind": "nic"}, "v0": {"kind": "persistent", "memory": "global"},
                          "v1": {"kind": "persistent", "memory": "private"}}}
    monkeypatch.setattr(neighbours, "Record", lambda: SimpleNamespace(attached=attached, parents={"pp1": {}}))
    return SimpleNamespace(driver_of=DRIVERS.get, processes=lambda: [
        {"pid": 7, "command": "/usr/bin/pkt-gen -i eth1", "ports": ("eth1",)},
        {"pid": 8, "command": "qemu-system-x86_64 -name guest=old", "ports": ("pp0{1", "vale1:old")},
        {"pid": 9, "command": "sleep"}])


def test_all_are_told(host):
    assert neighbours.others(host) == [
        ("VM new", "eth2"), ("port process web", "pp0}2"), ("VM old", "pp0{1"), ("VM old", "vale1:old"),
        ("switch vale1", "eth3"), ("switch vale2", "eth4"), ("switch vale2", "v0"), ("process 7, pkt-gen", "eth1")]


def test_nobody_is_his_own_neighbour(host):
    found = neighbours.others(host, ["ptnet-vm-old.service", "ptnet-port-old.service"])
    assert not [one for one in found if one[0] == "VM old" or "process 8" in one[0]]


def test_netmap_need_not_be_there(host, monkeypatch):
    def absent(*_unused):
        raise PtnetError("/dev/netmap cannot be opened")

    monkeypatch.setattr(neighbours, "Device", lambda _driver_of: SimpleNamespace(entries=absent))
    assert ("switch vale2", "eth4") in neighbours.others(host)


@pytest.mark.parametrize("check_mode", [True, False])
def test_refused_before_anything_changes(host, check_mode):
    own = ["ptnet-vm-fw.service"]
    with pytest.raises(PtnetError, match=r"VM new \(eth2\), switch vale1 \(eth3\), .*process 7, pkt-gen \(eth1\);"):
        neighbours.refuse("VM fw", [("vale1:1", "private"), ("eth5", "private")], own, host, check_mode)
    neighbours.refuse("VM fw", [("vale1:1", "private"), ("eth5", "shared"), ("pp1{1", "shared")], own, host, check_mode)


def test_a_parent_that_check_mode_cannot_have_is_wanted_by_the_run(host):
    given = ("VM fw", [("pp2{1", "shared")], [], host)
    neighbours.refuse(*given, True)
    with pytest.raises(PtnetError, match="has no parent"):
        neighbours.refuse(*given, False)
