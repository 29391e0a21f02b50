# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM as declared, the argument vector that both QEMUs share, and what they say."""

from __future__ import annotations

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils import mac, vm_identity
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import argv, definition, distribution, fork, messages
from hypothesis import given
from hypothesis import strategies as st
from vm_params import disk, forward, management, params, port, values, vector


@pytest.mark.parametrize("kind", [distribution.Distribution, fork.Fork])
def test_no_value_can_add_options_of_its_own(kind):
    words = vector(kind, disks=[disk("/srv/a,format=raw", serial="root")])
    assert values(words, "-drive") == ["file=/srv/a,,format=raw,format=qcow2,id=disk0,readonly=off,if=none"]
    assert values(words, "-device") == ["virtio-blk-pci,drive=disk0,addr=0x3,serial=root"]


@pytest.mark.parametrize("kind", [distribution.Distribution, fork.Fork])
def test_direct_boot_and_restricted_slirp(kind):
    forwards = [forward(2201), forward(2202, 80)]
    words = vector(kind, management=management(*forwards, backend="slirp"), disks=[], kernel="/boot/k",
                   append="quiet a,b")
    assert values(words, "-netdev") == [
        "user,id=management,restrict=on,hostfwd=tcp:127.0.0.1:2201-:22,hostfwd=tcp:127.0.0.1:2202-:80"]
    assert words[-4:] == ["-kernel", "/boot/k", "-append", "quiet a,b"]


@pytest.mark.parametrize("kind", [distribution.Distribution, fork.Fork])
def test_the_guest_sees_the_same_machine_on_both(kind):
    words = vector(kind, disks=[disk("a.qcow2"), disk("b.qcow2")], management=management(), kernel="/boot/k")
    assert values(words, "-chardev") == [
        "socket,id=console,path=/run/ptnet-vm-fw/console.sock,server=on,wait=off,"
        "logfile=/var/lib/netmap-ptnet/vms/fw/console.log,logappend=on"]
    assert values(words, "-qmp") == ["unix:/run/ptnet-vm-fw/qmp.sock,server=on,wait=off"]
    assert values(words, "-device") == [
        "virtio-net-pci,netdev=management,mac=%s,romfile=,addr=0x2" % mac.derive("", "hv1", "fw", "management"),
        "virtio-blk-pci,drive=disk0,addr=0x3", "virtio-blk-pci,drive=disk1,addr=0x4"]
    assert (values(words, "-cpu"), values(words, "-smp")) == (["host"], ["1"])


@pytest.mark.parametrize(("more", "text"), [
    ({"name": "Fw"}, "no name for a VM"),
    ({"name": "a" * 33}, "no name for a VM"),
    ({"name": "../x"}, "no name for a VM"),
    ({"name": "fw\n"}, "no name for a VM"),
    ({"machine": "microvm"}, "expected: pc, q35"),
    ({"machine": "pc,dump-guest-core=on"}, "not known here"),
    ({"binary": "qemu"}, "cannot stand in a service unit"),
    ({"memory": 0}, "too small"),
    ({"memory": 1 << 30}, "memory of VM fw is too large; found: 1073741824; expected: 1 to 16777216 MiB"),
    ({"cpus": 256}, "cpus of VM fw is too large.*1 to 255"),
    ({"stop_timeout": 10 ** 12}, "too large"),
    ({"disks": []}, "nothing to boot"),
    ({"initrd": "/i"}, "need a kernel"),
    ({"append": "x"}, "need a kernel"),
    ({"kernel": "k"}, "not absolute"),
    ({"kernel": "/a b"}, "without blanks"),
    ({"kernel": "/k", "append": "a\n-device x"}, "control character"),
    ({"disks": [disk("a/b")]}, "neither absolute"),
    ({"disks": [disk('/a"b')]}, "without blanks"),
    ({"disks": [disk("/a"), disk("/a")]}, "stands twice"),
    ({"disks": [disk("/a", backing="/b")]}, "format of /b is not declared"),
    ({"disks": [disk("/a", backing="/b", backing_format="raw", format="raw")]}, "cannot have a backing"),
    ({"disks": [disk("/a", backing="/a", backing_format="qcow2")]}, "disk /a is its own backing file"),
    ({"disks": [disk("/a", size="4 G")]}, "is no size"),
    ({"disks": [disk("/a", serial="a,b")]}, "does not fit"),
    ({"disks": [disk("/%d" % n) for n in range(9)]}, "too many disks"),
    ({"ports": [port("vale1:%d" % n) for n in range(17)]}, "too many ports"),
    ({"ports": [port("vale1:%d" % n) for n in range(300)]}, "too many ports; found: 300; expected: at most 16"),
    ({"ports": [port("vale1:1"), port("netmap:vale1:1")]}, "port vale1:1 stands twice"),
    ({"ports": [port("vale1:0123456789")]}, "QEMU"),
    ({"ports": [port("vale1")]}, None),
    ({"ports": [port("vale1:1", mac="01:00:5e:00:00:01")]}, "unicast"),
    ({"ports": [port("vale1:1", mac="00:00:00:00:00:00")]}, "not all zeros"),
    ({"ports": [port("vale1:1", mac="zz:11")]}, "malformed"),
    ({"ports": [port("vale1:1", mac="02:00:00:00:00:01"), port("vale1:2", mac="02:00:00:00:00:01")]}, "MAC address"),
    ({"management": management(forward(1, 1, "::1"))}, "IPv4"),
    ({"management": management(forward(0, 1))}, "host_port"),
    ({"management": management(forward(1), forward(1, 80))}, "forward 127.0.0.1:1 stands twice"),
    ({"management": management(forward(1), forward(1, 80, "0.0.0.0"))}, "0.0.0.0 is every address"),
])
def test_refused_before_anything_happens(more, text):
    with pytest.raises(PtnetError, match=text):
        definition.define(params(**more))


@given(st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True))
def test_every_vm_has_a_user_of_its_own_that_linux_takes(name):
    user = definition.user(name)
    assert len(user) <= 32
    assert user.startswith(("ptnet-vm-", "ptnet-vmh-"))
    # So that no short name is the hash of a long one.
    assert (user == "ptnet-vm-" + name) == (len(name) <= 23)


@given(st.text(), st.text())
def test_derived_addresses_are_stable_local_and_unicast(vm, name):
    derived = mac.derive(vm, name)
    assert derived == mac.derive(vm, name) == mac.check(derived, "x")
    assert int(derived[:2], 16) & 3 == 2


@pytest.mark.parametrize("other", [{"host": "hv2.example.org"}, {"fleet": "lab2"}, {"name": "fx"}])
def test_vms_of_one_name_on_two_hosts_share_no_address_and_are_told_apart_by_their_guests(other):
    both = [definition.define(params(ports=[port("vale1:1")], management=management(), **more)) for more in ({}, other)]
    for one, two in zip(*[(vm["ports"][0]["mac"], vm["management"]["mac"], vm["identity"].uuid()) for vm in both]):
        assert one != two


@pytest.mark.parametrize("kind", [distribution.Distribution, fork.Fork])
def test_the_guest_reads_who_it_is(kind):
    (value,) = values(vector(kind, host="hv1,serial=x.example.org"), "-smbios")
    wanted = vm_identity.Identity("", "hv1,serial=x.example.org", "fw")
    assert value == "type=1,uuid=%s,serial=hv1?serial?x.example.org/fw" % wanted.uuid()
    assert vm_identity.stranger(vm_identity.answers("uuid=" + wanted.uuid()), wanted) is None


@pytest.mark.parametrize("more", [{"host": "h\n"}, {"host": "h" * 256}, {"fleet": "a\0b"}])
def test_a_host_that_is_no_line_of_text_is_refused(more):
    with pytest.raises(PtnetError, match="of VM fw is not usable"):
        definition.define(params(**more))


def test_drift_names_the_options_that_differ():
    now = vector(memory=512, ports=[port("vale1:1")])
    then = vector(memory=1024, ports=[port("vale1:1")])
    assert argv.differences(now, list(now)) == {}
    assert argv.differences(now, then) == {"running": ["-m 512"], "wanted": ["-m 1024"]}


def test_drift_sees_order_and_repetition():
    now, then = ["q", "-device", "a", "-device", "b"], ["q", "-device", "b", "-device", "a"]
    assert argv.differences(now, then)
    assert argv.differences(["q", "-S"], ["q", "-S", "-S"])


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
    ("-blockdev: Could not open '/a': Permission denied", "disk /a cannot be opened by the user of the VM"),
    ("something new", "QEMU ended"),
])
def test_known_texts_become_sentences(line, what):
    explained = messages.explain(["noise", "qemu-system-x86_64: " + line], (fork.Fork.MESSAGES, messages.TABLE))
    assert explained[0] == what
    assert explained[1] or what == "QEMU ended"


def test_a_busy_port_is_named():
    what, remedy, busy = messages.explain(["qemu-system-x86_64: Failed to register p0{1: Device or resource busy"],
                                          (fork.Fork.MESSAGES,))
    assert (what, busy) == ("port p0{1 is in use", "p0{1")
    assert "each end of a pipe" in remedy


def test_an_error_of_our_own_program_is_taken_apart():
    error = PtnetError("port vale1:1 is in use", found="named by VM a (process 1)", expected="a port that nobody has",
                       remedy="end its user")
    assert messages.ours(["vale1:2: open", error.message]) == {
        "what": error.what, "found": error.found, "expected": error.expected, "remedy": error.remedy}
    assert messages.ours(["vale1:2: open"]) == messages.ours([]) == {}


@pytest.mark.parametrize("name", [
    "..", ".", "disks.json", "console.log", "uefi-vars.fd", "a.qcow2.new", "/srv/../etc/x", "/srv//x", "//srv/x",
    "/srv/x/.",
    definition.STATE_DIRECTORY + "/fw/qemu.log", definition.STATE_DIRECTORY + "/other/root.qcow2",
    definition.STATE_DIRECTORY + "/fw", definition.STATE_DIRECTORY])
def test_a_disk_is_no_file_of_ours_and_of_no_other_vm(name):
    with pytest.raises(PtnetError, match="disk"):
        definition.define(params(disks=[disk(name, size="1G")]))


@pytest.mark.parametrize("name", ["root.qcow2", "...", "/srv/x", definition.STATE_DIRECTORY + "-too/x",
                                  definition.STATE_DIRECTORY + "/fw/root.qcow2",
                                  definition.STATE_DIRECTORY + "/fw/more/data.qcow2"])
def test_other_disks_are_taken(name):
    assert definition.define(params(disks=[disk(name, size="1G")]))["disks"][0]["path"].endswith(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "disks.json", "-a", "A", "a" * 33, "a\n"])
def test_names_of_vms_that_are_refused(name):
    with pytest.raises(PtnetError, match="no name for a VM"):
        definition.directory(name)


@pytest.mark.parametrize(("option", "value"), [
    ("cpu_quota", 0), ("cpu_quota", -5), ("cpu_quota", 10**6), ("io_weight", 0), ("io_weight", 10001),
    ("allowed_cpus", ""), ("allowed_cpus", "a"), ("allowed_cpus", "3-2"), ("allowed_cpus", "1,,2"),
    ("allowed_cpus", "1\nUser=root"), ("allowed_cpus", "-1")])
def test_limits_that_cannot_be_are_refused(option, value):
    with pytest.raises(PtnetError, match="%s of VM fw is" % option):
        definition.define(params(**{option: value}))


def test_limits_are_what_systemd_calls_them():
    assert definition.define(params())["limits"] == {}
    assert definition.define(params(cpu_quota=50, allowed_cpus="0,4-7", io_weight=1))["limits"] == {
        "CPUQuota": "50%", "AllowedCPUs": "0,4-7", "IOWeight": "1"}
