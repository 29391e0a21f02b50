# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The distribution's QEMU: its argument vector, its PCI slots, and the port process beside it."""

from __future__ import annotations

import json

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import archive
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import distribution, fork
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu.distribution import Distribution
from hypothesis import given
from hypothesis import strategies as st
from vm_params import defined, disk, forward, hypervisor, management, port, values
from vm_params import vector as vector_of


def vector(**more):
    return vector_of(Distribution, **more)


def devices(words):
    return [json.loads(device) for device in values(words, "-device") if device.startswith("{")]


def test_the_memory_is_one_that_the_port_process_can_map():
    words = vector(memory=1024)
    assert values(words, "-machine") == ["pc,accel=kvm,memory-backend=ram,hpet=off"]
    assert values(words, "-object") == [
        "memory-backend-file,id=ram,size=1024M,share=on,mem-path=/run/ptnet-memory,align=2M"]
    assert values(words, "-m") == ["1024"]
    assert values(words, "-sandbox") == ["on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]


def test_memory_devices_come_first_and_ports_where_the_guest_expects_them():
    found = devices(vector(ports=[port("vale1:10"), port("vale1:11"), port("p0{1"), port("p0{2")]))
    assert found[3] == {"driver": "vfio-user-pci", "id": "d0", "addr": "0x10",
                        "socket": {"type": "unix", "path": "/run/ptnet-port-fw/d0"}}
    assert [(one["id"], one["addr"]) for one in found] == [
        ("m0", "0xb.0"), ("m1", "0xb.1"), ("m2", "0xb.2"),
        ("d0", "0x10"), ("d1", "0x11"), ("d2", "0x12"), ("d3", "0x13")]
    assert [one.get("multifunction", False) for one in found] == [True] + [False] * 6
    assert "multifunction" not in devices(vector(ports=[port("vale1:10")]))[0]


@pytest.mark.parametrize("kind", [Distribution, fork.Fork])
def test_a_guest_writes_only_what_it_may(kind):
    words = vector_of(kind, disks=[disk("/a"), disk("/b", read_only=True)])
    assert ["readonly=on" in drive.split(",") for drive in values(words, "-drive")] == [False, True]


@given(st.integers(0, 16), st.integers(0, 8))
def test_all_that_may_be_declared_fits_on_the_bus(ports, disks):
    words = vector(ports=[port("vale%d:1" % number) for number in range(ports)], management=management(),
                   disks=[disk("/d%d" % number) for number in range(disks)], kernel="/k")
    taken = [one["addr"] for one in devices(words)]
    taken += [device.partition("addr=")[2].partition(",")[0] for device in values(words, "-device") if device[0] != "{"]
    slots = [(int(one.partition(".")[0], 16), int(one.partition(".")[2] or 0)) for one in taken]
    assert len(set(slots)) == len(slots) == 2 * ports + disks + 1
    assert {slot for slot, _function in slots} <= set(range(2, 32))
    # Function 0 of a slot that has others says so.
    flagged = {one["addr"].partition(".")[0] for one in devices(words) if one.get("multifunction")}
    assert flagged == {hex(slot) for slot, function in slots if function == 1}


@pytest.mark.parametrize(("more", "text"), [
    ({"ports": [port("vale1:1", kloop_tx=False)]}, "kloop_tx of port vale1:1 cannot be off.*hypervisor: fork"),
    ({"ports": [port("vale1:1", kloop_rx=False)]}, "kloop_rx of port vale1:1 cannot be off"),
    ({"ports": [port("vale1:1", pause=1000001)]}, "pause of port vale1:1 is refused.*0 to 1000000"),
    ({"ports": [port("vale1:1", pause=-1)]}, "pause of port"),
    ({"ports": [port("vale1:%d" % n) for n in range(16)], "machine": "q35"}, "found: 16; expected: at most 15"),
])
def test_what_it_cannot_do_is_refused_with_the_reason(more, text):
    with pytest.raises(PtnetError, match=text):
        defined(Distribution, **more)


@pytest.mark.parametrize("machine", ["pc", "q35", "pc-i440fx-10.1", "pc-q35-11.0"])
def test_its_machines(machine):
    assert values(vector(machine=machine), "-machine") == [machine + ",accel=kvm,memory-backend=ram,hpet=off"]


def test_uefi_has_variables_of_its_own():
    words = vector(firmware="uefi", disks=[disk("/d")])
    assert values(words, "-drive")[:2] == [
        "file=/usr/share/OVMF/OVMF_CODE_4M.fd,format=raw,unit=0,readonly=on,if=pflash",
        "file=/var/lib/netmap-ptnet/vms/fw/uefi-vars.fd,format=raw,unit=1,readonly=off,if=pflash"]


def test_it_connects_to_the_network_by_itself_and_again():
    words = vector(management=management(forward(2201)))
    assert values(words, "-netdev") == [
        "stream,id=management,server=off,reconnect-ms=1000,addr.type=unix,addr.path=/run/ptnet-net-fw/passt.sock"]
    assert hypervisor(Distribution).launcher(defined(Distribution, management=management()), "/p") == []


def test_the_port_process_belongs_to_the_vm_and_lets_its_group_in():
    vm = defined(Distribution, ports=[port("vale1:10", mode="polling", pause=5, registers="io", pci_ids="freebsd")])
    service = hypervisor(Distribution).ports(vm, "/usr/bin/python3")
    assert (service["name"], service["directory"]) == ("ptnet-port-fw.service", "/run/ptnet-port-fw")
    assert service["argv"][:3] == ["/usr/bin/python3", "-I", archive.PATH]
    assert "id=d0,ifname=vale1:10,mac=%s,mode=polling,pause=5,registers=io,pci_ids=freebsd" % vm["ports"][0]["mac"] \
        in service["argv"]
    assert "PartOf=ptnet-vm-fw.service\n" in service["text"]
    assert "Group=ptnet-vm-fw\n" in service["text"]
    assert hypervisor(Distribution).ports(defined(Distribution), "/usr/bin/python3") is None
    assert archive.PATH in hypervisor(Distribution).files()


@pytest.mark.parametrize(("there", "huge"), [("/", ",huge=always"), ("/absent", "")])
def test_qemu_itself_gets_no_device_of_netmap_and_no_network(monkeypatch, there, huge):
    monkeypatch.setattr(distribution, "_HUGE_PAGES", there)
    vm = defined(Distribution, ports=[port("vale1:10")])
    assert hypervisor(Distribution).fence(vm, str) == {
        "devices": [], "groups": [], "directives": {},
        "tmpfs": ["/run/ptnet-memory:mode=1777,size=514M,nosuid,nodev,noexec" + huge]}
