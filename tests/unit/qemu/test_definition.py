# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM as declared, its argument vector and its unit."""

from __future__ import annotations

import re

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils import mac
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import argv, definition, messages, unit
from hypothesis import given
from hypothesis import strategies as st


def port(name, **more):
    return dict({"port": name, "mac": None, "kloop_tx": True, "kloop_rx": True}, **more)


def disk(path, **more):
    return dict({"path": path, "format": "qcow2", "backing": None, "backing_format": None, "size": None,
                 "read_only": False, "serial": None}, **more)


def params(**more):
    return dict({
        "name": "fw", "state": "started", "binary": "/opt/ptnet-qemu/bin/qemu-system-x86_64", "memory": 512, "cpus": 1,
        "machine": "pc", "cpu": "host", "accelerator": "kvm", "disks": [disk("root.qcow2", size="1G")], "kernel": None,
        "initrd": None, "append": None, "ports": [], "management": None, "enabled": True, "allow_restart": False,
        "timeout": 5, "stop_timeout": 7}, **more)


def vector(**more):
    return argv.vector(definition.define(params(**more)))


def values(words, option):
    return [words[index + 1] for index, word in enumerate(words) if word == option]


def test_each_port_has_its_netdev_device_and_slot_in_the_declared_order():
    words = vector(ports=[port("vale1:10"), port("netmap:p0{1", kloop_rx=False, mac="52:54:00:AA:00:01")])
    assert values(words, "-netdev") == [
        "netmap,id=d0,ifname=vale1:10,passthrough=on,klooptx=on,klooprx=on",
        "netmap,id=d1,ifname=p0{1,passthrough=on,klooptx=on,klooprx=off"]
    first, second = (device for device in values(words, "-device") if device.startswith("ptnet-pci"))
    assert first == "ptnet-pci,netdev=d0,mac=%s,addr=0x10" % mac.derive("fw", "vale1:10")
    assert second == "ptnet-pci,netdev=d1,mac=52:54:00:aa:00:01,addr=0x11"


def test_no_value_can_add_options_of_its_own():
    words = vector(disks=[disk("/srv/a,format=raw", serial="root")])
    assert values(words, "-drive") == ["file=/srv/a,,format=raw,format=qcow2,id=disk0,readonly=off,if=none"]
    assert values(words, "-device") == ["virtio-blk-pci,drive=disk0,addr=0x3,serial=root"]


def test_management_and_direct_boot():
    forwards = [{"host_address": "127.0.0.1", "host_port": 2201, "guest_port": 22},
                {"host_address": "127.0.0.1", "host_port": 2202, "guest_port": 80}]
    words = vector(management={"forwards": forwards, "mac": None}, disks=[], kernel="/boot/k", append="quiet a,b")
    assert values(words, "-netdev") == [
        "user,id=management,hostfwd=tcp:127.0.0.1:2201-:22,hostfwd=tcp:127.0.0.1:2202-:80"]
    assert words[-4:] == ["-kernel", "/boot/k", "-append", "quiet a,b"]


@pytest.mark.parametrize(("more", "text"), [
    ({"name": "Fw"}, "no name for a VM"),
    ({"name": "a" * 33}, "no name for a VM"),
    ({"name": "../x"}, "no name for a VM"),
    ({"name": "fw\n"}, "no name for a VM"),
    ({"machine": "q35"}, "pcie-root-port"),
    ({"binary": "qemu"}, "cannot stand in a service unit"),
    ({"memory": 0}, "too small"),
    ({"disks": []}, "nothing to boot"),
    ({"initrd": "/i"}, "need a kernel"),
    ({"append": "x"}, "need a kernel"),
    ({"kernel": "k"}, "not absolute"),
    ({"kernel": "/k", "append": "a\n-device x"}, "control character"),
    ({"disks": [disk("a/b")]}, "neither absolute"),
    ({"disks": [disk("/a"), disk("/a")]}, "stands twice"),
    ({"disks": [disk("/a", backing="/b")]}, "format of /b is not declared"),
    ({"disks": [disk("/a", backing="/b", backing_format="raw", format="raw")]}, "cannot have a backing"),
    ({"disks": [disk("/a", size="4 G")]}, "is no size"),
    ({"disks": [disk("/a", serial="a,b")]}, "does not fit"),
    ({"disks": [disk("/%d" % n) for n in range(9)]}, "too many disks"),
    ({"ports": [port("vale1:%d" % n) for n in range(17)]}, "too many ports"),
    ({"ports": [port("vale1:1"), port("netmap:vale1:1")]}, "port vale1:1 stands twice"),
    ({"ports": [port("vale1:0123456789")]}, "QEMU"),
    ({"ports": [port("vale1")]}, None),
    ({"ports": [port("vale1:1", mac="01:00:5e:00:00:01")]}, "unicast"),
    ({"ports": [port("vale1:1", mac="00:00:00:00:00:00")]}, "not all zeros"),
    ({"ports": [port("vale1:1", mac="zz:11")]}, "malformed"),
    ({"ports": [port("vale1:1", mac="02:00:00:00:00:01"), port("vale1:2", mac="02:00:00:00:00:01")]}, "MAC address"),
    ({"management": {"mac": None, "forwards": [{"host_address": "::1", "host_port": 1, "guest_port": 1}]}}, "IPv4"),
    ({"management": {"mac": None, "forwards": [{"host_address": "127.0.0.1", "host_port": 0, "guest_port": 1}]}},
     "host_port"),
])
def test_refused_before_anything_happens(more, text):
    with pytest.raises(PtnetError, match=text):
        definition.define(params(**more))


@given(st.text(), st.text())
def test_derived_addresses_are_stable_local_and_unicast(vm, name):
    derived = mac.derive(vm, name)
    assert derived == mac.derive(vm, name) == mac.check(derived, "x")
    assert int(derived[:2], 16) & 3 == 2


def test_drift_names_the_options_that_differ():
    now = vector(memory=512, ports=[port("vale1:1")])
    then = vector(memory=1024, ports=[port("vale1:1")])
    assert argv.differences(now, list(now)) == {}
    assert argv.differences(now, then) == {"running": ["-m 512"], "wanted": ["-m 1024"]}


def test_drift_sees_order_and_repetition():
    now, then = ["q", "-device", "a", "-device", "b"], ["q", "-device", "b", "-device", "a"]
    assert argv.differences(now, then)
    assert argv.differences(["q", "-S"], ["q", "-S", "-S"])


def parse_exec(line):
    """A command line read by the rules of systemd.service(5) and systemd.unit(5)."""
    line = line.replace("\\\n", " ")
    words = re.findall(r'"(?:[^"\\]|\\.)*"|\S+', line, re.S)
    unescape = {"n": "\n", "t": "\t"}
    return [re.sub(r"\\(.)", lambda match: unescape.get(match[1], match[1]), word[1:-1] if word[0] == '"' else word)
            .replace("%%", "%").replace("$$", "$") for word in words]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs"))
                        | st.sampled_from(' "\\%$;{}\n\t'))))
def test_escaped_arguments_come_back_unchanged(words):
    escaped = [unit.escape(word) for word in words]
    assert parse_exec(" ".join(escaped)) == words
    assert not any(re.search(r"(?<!%)%(%%)*(?!%)", word) for word in escaped)


def test_unit_starts_what_was_asked_for_and_stops_gently():
    vm = definition.define(params(kernel="/boot/k", append='root="LABEL=a b" x=%i $y', ports=[port("p0}1")]))
    words = argv.vector(vm)
    text = unit.text(vm, words, "/usr/bin/python3")
    start = re.search(r"^ExecStart=((?:.*\\\n)*.*)$", text, re.M)[1]
    assert parse_exec(start) == words
    stop = parse_exec(re.search(r"^ExecStop=-(.*)$", text, re.M)[1])
    assert stop == ["/usr/bin/python3", "-c", unit.POWERDOWN, vm["qmp"], "7"]
    compile(unit.POWERDOWN, "stop", "exec")
    for line in ("Restart=on-failure", "StartLimitBurst=10", "TimeoutStopSec=7", "WantedBy=multi-user.target"):
        assert line in text.splitlines()


@pytest.mark.parametrize(("line", "what"), [
    ("Failed to open(/dev/netmap): No such file or directory", "netmap is not loaded on this host"),
    ("Failed to open(/dev/netmap): Permission denied", "QEMU may not open /dev/netmap"),
    ("Failed to register nosuch0: No such device or address", "there is no port nosuch0 on this host"),
    ("Failed to register vale1: Cannot allocate memory", "netmap has no room for port vale1"),
    ("Could not access KVM kernel module: No such file or directory", "KVM is not available, and ptnet needs it"),
    ("Could not set up host forwarding rule 'tcp:127.0.0.1:20022-:22'",
     "the management forward tcp:127.0.0.1:20022-:22 cannot be opened"),
    ('-drive file=a,format=qcow2: Failed to get "write" lock', "a disk is in use by another process"),
    ("error: failed to set MSR 0x10a to 0x9", "KVM refuses a register that this CPU model sets"),
    ("PCI: slot 2 function 0 not available for virtio-blk-pci, in use by virtio-net-pci",
     "the PCI bus of the VM is full"),
    ("something new", "QEMU ended"),
])
def test_known_texts_become_sentences(line, what):
    explained = messages.explain(["noise", "qemu-system-x86_64: " + line])
    assert explained[0] == what
    assert explained[1] or what == "QEMU ended"


def test_a_busy_port_is_named():
    what, remedy, busy = messages.explain(["qemu-system-x86_64: Failed to register p0{1: Device or resource busy"])
    assert (what, busy) == ("port p0{1 is in use", "p0{1")
    assert "each end of a pipe" in remedy
