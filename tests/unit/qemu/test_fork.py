# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ptnet QEMU: its argument vector, what it cannot do, and how it gets its management network."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils import mac
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import archive
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import fork
from vm_params import defined, disk, forward, hypervisor, management, port, values, vector


def test_each_port_has_its_netdev_device_and_slot_in_the_declared_order():
    words = vector(ports=[port("vale1:10"), port("netmap:p0{1", kloop_rx=False, mac="52:54:00:AA:00:01")])
    assert values(words, "-netdev") == [
        "netmap,id=d0,ifname=vale1:10,passthrough=on,klooptx=on,klooprx=on",
        "netmap,id=d1,ifname=p0{1,passthrough=on,klooptx=on,klooprx=off"]
    first, second = (device for device in values(words, "-device") if device.startswith("ptnet-pci"))
    assert first == "ptnet-pci,netdev=d0,mac=%s,addr=0x10" % mac.derive("", "hv1", "fw", "vale1:10")
    assert second == "ptnet-pci,netdev=d1,mac=52:54:00:aa:00:01,addr=0x11"


@pytest.mark.parametrize(("more", "text"), [
    ({"machine": "q35"}, "hypervisor: distribution; .* pcie-root-port"),
    ({"machine": "pc-q35-3.0"}, "pcie-root-port"),
    ({"firmware": "uefi"}, "expected: bios"),
    ({"ports": [port("vale1:1", mode="polling")]}, "mode of port vale1:1 is an option of the port process"),
    ({"ports": [port("vale1:1", pause=0)]}, "pause of port .*found: 0; expected: 20, or nothing"),
    ({"ports": [port("vale1:1", registers="io")]}, "registers of port"),
    ({"ports": [port("vale1:1", pci_ids="freebsd")]}, "pci_ids of port"),
])
def test_what_it_cannot_do_is_refused_with_the_other_way(more, text):
    with pytest.raises(PtnetError, match=text):
        defined(**more)


def test_it_gives_up_system_calls_where_it_was_built_to():
    assert values(vector(seccomp=True), "-sandbox")[0].startswith("on,")
    assert "-sandbox" not in vector(seccomp=False)


def test_it_has_a_port_opened_as_one_of_a_group_and_the_switches_of_the_host():
    fence = hypervisor().fence(defined(ports=[port("vale1:1")]), lambda path: path.upper())
    assert fence == {"devices": ["/dev/netmap"], "groups": ["/DEV/NETMAP"], "tmpfs": [],
                     "directives": {"PrivateNetwork": None}}
    assert hypervisor().fence(defined(), str)["devices"] == []
    assert hypervisor().ports(defined(ports=[port("vale1:1")]), "/usr/bin/python3") is None
    # It opens its ports without us, so before each start it is asked whether it may.
    assert list(hypervisor().files()) == list(archive.wanted())
    asked = hypervisor().ask(defined(ports=[port("vale1:1"), port("netmap:p0{1")]), "/usr/bin/python3")
    assert asked == ["/usr/bin/python3", "-I", archive.PATH, "may-open", "vale1:1", "p0{1"]
    assert hypervisor().ask(defined(), "/usr/bin/python3") == []


def test_it_is_handed_a_connection_to_the_network(tmp_path):
    vm = defined(management=management(forward(2201)))
    words = vector(management=management(forward(2201)))
    assert values(words, "-netdev") == ["socket,id=management,fd=3"]
    launcher = hypervisor().launcher(vm, sys.executable)
    assert launcher[-2:] == [vm["management"]["socket"], "3"]
    assert hypervisor().launcher(defined(management=management(backend="slirp")), sys.executable) == []
    assert hypervisor().launcher(defined(), sys.executable) == []
    # What it executes has the connection as that descriptor, whatever else is open.
    path = str(tmp_path / "s")
    told = "import json,socket,sys;s=socket.socket(fileno=3);s.send(json.dumps(sys.argv).encode())"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        launcher[-2] = path
        subprocess.run([*launcher, sys.executable, "-c", told, "-netdev"], check=True, timeout=60,
                       pass_fds=[listener.fileno()], stdin=subprocess.DEVNULL)
        with listener.accept()[0] as connection:
            assert json.loads(connection.recv(4096)) == ["-c", "-netdev"]
    assert os.path.exists(path)


def test_the_network_that_is_not_there_is_told():
    done = subprocess.run([sys.executable, "-I", "-c", fork.CONNECT, "/nowhere", "3", "/bin/true"], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, text=True)
    assert done.returncode == 1
    assert "FileNotFoundError" in done.stdout


@pytest.mark.parametrize(("disks", "net", "ports", "fits"), [
    (1, management(), ["vale1:%d" % n for n in range(12)], True),
    (1, management(), ["vale1:%d" % n for n in range(13)], False),
    (1, None, ["vale1:%d" % n for n in range(13)], True),
    (8, management(), ["vale1:%d" % n for n in range(6)], False),
    # All NICs are one region, and all pipes of a parent.
    (8, management(), ["p0{%d" % n for n in range(8)] + ["eth%d" % n for n in range(8)], True),
])
def test_memory_devices_take_slots_too(disks, net, ports, fits):
    disks, ports = [disk("/%d" % n) for n in range(disks)], [port(name) for name in ports]
    with contextlib.nullcontext() if fits else pytest.raises(PtnetError, match="memory regions.*at most"):
        defined(fork.Fork, disks=disks, management=net, ports=ports)
