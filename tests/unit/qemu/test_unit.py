# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unit of a VM: what it starts, how it stops, and its fence."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux.service import UNIT as PORTS_UNIT
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import archive
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import distribution, fork, network, unit
from hypothesis import given
from hypothesis import strategies as st
from vm_params import defined, disk, forward, hypervisor, management, port

PYTHON = "/usr/bin/python3"
KINDS = [distribution.Distribution, fork.Fork]


def text_of(kind=distribution.Distribution, ours=(), blocks=(), group_of=os.path.basename, **more):
    vm = defined(kind, **more)
    one = hypervisor(kind)
    helpers = [helper for helper in (one.ports(vm, PYTHON), network.service(vm, one.RECONNECTS)) if helper]
    fence = dict(one.fence(vm, group_of), blocks=blocks)
    return unit.text(vm, one.vector(vm), PYTHON, one.launcher(vm, PYTHON), helpers, fence, ours, group_of(unit.KVM),
                     one.ask(vm, PYTHON))


def value(text, name):
    """The values of a directive (list of str)."""
    return re.findall(r"^%s=((?:.*\\\n)*.*)$" % name, text, re.M)


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


@pytest.mark.parametrize("kind", KINDS)
def test_unit_starts_what_was_asked_for_and_stops_gently(kind):
    more = {"kernel": "/boot/k", "append": 'root="LABEL=a b" x=%i $y', "ports": [port("p0}1")]}
    text = text_of(kind, **more)
    assert parse_exec(value(text, "ExecStart")[0]) == hypervisor(kind).vector(defined(kind, **more))
    stop, old = (parse_exec(line.lstrip("-+")) for line in value(text, "ExecStop"))
    assert stop == [PYTHON, "-I", "-c", unit.POWERDOWN, "/run/ptnet-vm-fw/qmp.sock", "7"]
    assert old == [*stop[:-2], "/var/lib/netmap-ptnet/vms/fw/qmp.sock", "7"]
    compile(unit.POWERDOWN, "stop", "exec")
    for line in ("Restart=on-failure", "StartLimitBurst=10", "TimeoutStopSec=7", "WantedBy=multi-user.target",
                 "User=ptnet-vm-fw", "Group=ptnet-vm-fw", "RuntimeDirectory=ptnet-vm-fw", "RuntimeDirectoryMode=0700"):
        assert line in text.splitlines()


def test_the_fork_is_asked_before_each_start_whether_it_may_open_its_ports():
    own, ask = value(text_of(fork.Fork, ports=[port("vale1:1"), port("p0{1")]), "ExecStartPre")
    assert own[0] == "+"
    # With the rights of QEMU, which suffice: no + in front.
    assert parse_exec(ask) == [PYTHON, "-I", archive.PATH, "may-open", "vale1:1", "p0{1"]
    assert len(value(text_of(fork.Fork), "ExecStartPre")) == 1
    # The port process asks by itself, under the lock.
    assert len(value(text_of(ports=[port("vale1:1")]), "ExecStartPre")) == 1


def test_the_forks_launcher_stands_before_it():
    words = parse_exec(value(text_of(fork.Fork, management=management()), "ExecStart")[0])
    assert words[:3] == [PYTHON, "-I", "-c"]
    assert words[4:7] == ["/run/ptnet-net-fw/passt.sock", "3", "/opt/ptnet-qemu/bin/qemu-system-x86_64"]


def test_it_needs_its_ports_and_wants_its_network():
    text = text_of(ports=[port("vale1:1")], management=management(forward(2201)))
    assert value(text, "Requires") == ["ptnet-port-fw.service"]
    assert value(text, "Wants") == ["ptnet-net-fw.service"]
    assert value(text, "After")[0].endswith(" ptnet-port-fw.service ptnet-net-fw.service")
    assert value(text_of(), "Requires") == []


@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_after_the_ports_of_its_switches_and_leaves_nothing_behind(kind):
    text = text_of(kind, ports=[port("vale1:1")])
    assert PORTS_UNIT in value(text, "After")[0].split()
    # Whatever QEMU started goes with it: "mixed" asks QEMU, then kills the whole control group.
    assert value(text, "KillMode") == ["mixed"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_makes_is_its_users_alone(kind):
    assert value(text_of(kind), "UMask") == ["0077"]


def test_only_files_that_we_made_are_given_to_its_user(tmp_path):
    text = text_of(ours=["/var/lib/netmap-ptnet/vms/fw/root.qcow2"])
    own = parse_exec(value(text, "ExecStartPre")[0])
    assert own[0] == "+" + PYTHON
    assert own[-3:] == ["ptnet-vm-fw", "/var/lib/netmap-ptnet/vms/fw/console.log",
                        "/var/lib/netmap-ptnet/vms/fw/root.qcow2"]
    # The console is made where it is not; the others are not, and a link in the place of one is not followed.
    console, made, link = (str(tmp_path / name) for name in ("console", "made", "link"))
    with open(made, "w"):
        os.chmod(made, 0o644)
    user = subprocess.run(["id", "-un"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    run = [sys.executable, *own[1:4], user]
    subprocess.run([*run, console, made], check=True)
    assert [os.stat(path).st_mode & 0o777 for path in (console, made)] == [0o600, 0o600]
    os.symlink(made, link)
    assert subprocess.run([*run, console, link], check=False, stderr=subprocess.DEVNULL).returncode
    assert subprocess.run([*run, console, str(tmp_path / "absent")], check=False,
                          stderr=subprocess.DEVNULL).returncode
    assert not os.path.exists(tmp_path / "absent")


def test_qemu_sees_its_own_files_and_sockets_alone():
    text = text_of(disks=[disk("root.qcow2", size="1G"), disk("/home/a/b:c%d.raw", format="raw"),
                          disk("/dev/vg/x", format="raw"),
                          disk("/srv/ro.raw", format="raw", read_only=True),
                          disk("o.qcow2", backing="/dev/vdb", backing_format="raw")],
                   blocks=["/dev/vg/x", "/dev/vdb"], kernel="/boot/k", ports=[port("vale1:1")],
                   management=management())
    assert [one.split(":")[0] for one in value(text, "TemporaryFileSystem")] == ["/run", "/run/ptnet-memory"]
    assert value(text, "ReadWritePaths") == ["/var/lib/netmap-ptnet/vms/fw"]
    assert value(text, "BindPaths") == ["/dev/kvm", "/run/ptnet-vm-fw", "/home/a/b\\:c%%d.raw", "/dev/vg/x"]
    assert value(text, "BindReadOnlyPaths") == ["/run/ptnet-port-fw", "/run/ptnet-net-fw", "/srv/ro.raw", "/dev/vdb",
                                                "/boot/k"]
    assert value(text, "DeviceAllow") == ["/dev/kvm rw", "/dev/vdb r", "/dev/vg/x rw"]
    assert value(text, "SupplementaryGroups") == ["kvm"]
    assert value(text, "PrivateNetwork") == ["yes"]
    assert value(text, "RestrictAddressFamilies") == ["AF_UNIX"]


def test_the_fork_gets_the_netmap_device_and_the_hosts_switches_besides():
    text = text_of(fork.Fork, ports=[port("vale1:1")])
    assert value(text, "BindPaths")[:2] == ["/dev/kvm", "/dev/netmap"]
    assert value(text, "DeviceAllow") == ["/dev/kvm rw", "/dev/netmap rw"]
    assert value(text, "SupplementaryGroups") == ["kvm netmap"]
    assert value(text, "PrivateNetwork") == []
    assert value(text, "RestrictAddressFamilies") == ["AF_UNIX"]
    assert value(text_of(fork.Fork), "DeviceAllow") == ["/dev/kvm rw"]
    assert value(text_of(fork.Fork, group_of=lambda _path: None), "SupplementaryGroups") == []


@pytest.mark.parametrize("kind", KINDS)
def test_slirp_needs_the_hosts_network(kind):
    text = text_of(kind, management=management(backend="slirp"))
    assert value(text, "PrivateNetwork") == value(text, "IPAddressDeny") == []
    assert value(text, "RestrictAddressFamilies") == ["AF_UNIX AF_INET AF_INET6"]
    assert value(text, "Wants") == []


def test_what_it_can_use_up_is_bounded():
    text = text_of(memory=1024, cpus=2, ports=[port("vale1:1")])
    assert value(text, "MemoryMax") == ["%dM" % (1024 + 16 + 32 + 256)]
    assert value(text, "TasksMax") == [str(96 + 2 + 4)]
    assert value(text, "LimitCORE") == ["0"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", ["passt", "slirp"])
def test_systemd_finds_it_safe(tmp_path, kind, backend):
    """The figure of ``systemd-analyze security``; that of a running one is measured on a machine."""
    vm = defined(kind, management=management(forward(2201), backend=backend), ports=[port("vale1:1")])
    texts = {"ptnet-vm-fw.service": text_of(kind, management=management(forward(2201), backend=backend),
                                            ports=[port("vale1:1")])}
    helper = network.service(vm, True)
    if helper:
        texts[helper["name"]] = helper["text"]
    for name, text in texts.items():
        path = tmp_path / name
        path.write_text(text)
        done = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--threshold=25", str(path)],
                              check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout
