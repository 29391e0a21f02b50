# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import grp
import os
import subprocess

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel import loading
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.freebsd import service as rc
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.freebsd.platform import (
    DEVFS_FILE,
    LOADER_FILE,
    SYSCTL_FILE,
    FreeBSD,
)

# As the manual pages of FreeBSD 14 show these programs' answers; nobody recorded them on a machine.
ANSWERS = {
    "sysctl -n dev.netmap.buf_num": "163840",
    "sysctl dev.netmap": "dev.netmap.buf_num: 163840\ndev.netmap.max_bridges: 8\ndev.netmap.name: text",
    "ifconfig -l": "em0 lo0 ptnet0 p0",
    "ifconfig -a": "em0: flags=8863<UP,BROADCAST> metric 0 mtu 1500\n",
    "ifconfig -C": "bridge lo tap",
    "sysctl -n dev.ptnet.0.%driver": "ptnet",
    "sysctl -n dev.em.0.%driver": "em",
    "sysctl -n dev.ptnet.0.%location": "slot=4 function=0 dbsf=pci0:0:4:0",
    "route -n get default": "   route to: default\n  interface: em0\n",
    "fstat -m /dev/netmap": """\
USER     CMD          PID   FD MOUNT      INUM MODE         SZ|DV R/W NAME
root     pkt-gen       77    3 /dev         52 crw-rw----  netmap rw  /dev/netmap
root     pkt-gen       77 mmap /dev         52 crw-rw----  netmap rw  /dev/netmap
root     valectl       80    4 /dev         52 crw-rw----  netmap rw  /dev/netmap""",
    "ps -ww -o args= -p 77": "pkt-gen -i vale1:10 -f rx",
    "sysctl -n hw.pagesize vm.stats.vm.v_free_count vm.stats.vm.v_inactive_count": "4096\n100\n20",
    "sysctl -n hw.physmem": "2147483648",
}
MODULE = {"kldstat -q -n netmap.ko": ""}


class Device:
    def entries(self):
        return []

    def locked(self, purpose):
        return contextlib.nullcontext()


class Record:
    parents = {}


class Machine:
    def __init__(self, folder):
        self.root = str(folder)
        self.answers = dict(ANSWERS)
        self.started = []
        self.freebsd = FreeBSD(root=self.root, run_program=self.run)

    def run(self, argv, timeout, allowed=(0,), remedy=None):
        self.started.append(" ".join(argv))
        text = self.answers.get(" ".join(argv))
        if text is None and allowed is not None:
            text = ""
        return (1, "") if text is None else (0, text)

    def text(self, path):
        with open(self.root + path) as stream:
            return stream.read()


@pytest.fixture
def machine(tmp_path):
    (tmp_path / "etc").mkdir()
    return Machine(tmp_path)


@pytest.fixture
def freebsd(machine):
    return machine.freebsd


def test_reading(freebsd, monkeypatch):
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    assert freebsd.loaded()
    assert freebsd.parameters() == {"buf_num": 163840, "max_bridges": 8}
    assert [freebsd.driver_of(name) for name in ("em0", "lo0", "ptnet0", "p0", "p1")] == ["em", "lo", "ptnet", "", None]
    assert freebsd.bus_address_of("ptnet0") == "0000:00:04.0"
    assert freebsd.management() == {"em0": "the default route"}
    assert freebsd.processes() == [
        {"pid": 77, "command": "pkt-gen -i vale1:10 -f rx", "holds": ["descriptor 3", "mapping"],
         "ports": ["vale1:10"]},
        {"pid": 80, "command": "valectl", "holds": ["descriptor 4"], "ports": []}]
    assert (freebsd.memory_total(), freebsd.memory_available()) == (2 << 30, 120 * 4096)


def test_built_in_or_a_module(machine):
    assert machine.freebsd.module()["built_in"]
    assert machine.freebsd.installed()["path"] == "/boot/kernel/kernel"
    machine.answers.update(MODULE)
    assert not machine.freebsd.module()["built_in"]
    del machine.answers["sysctl -n dev.netmap.buf_num"]
    assert (machine.freebsd.module(), machine.freebsd.installed()) == (None, None)


def test_loading_and_unloading(machine):
    machine.freebsd.load({"buf_num": 20000, "max_bridges": 16})
    machine.freebsd.write_parameter("verbose", 1)
    machine.freebsd.unload()
    assert machine.started == ["kenv dev.netmap.buf_num=20000", "kenv dev.netmap.max_bridges=16", "kldload -n netmap",
                               "sysctl dev.netmap.verbose=1", "kldunload netmap"]


def test_drivers_are_refused(freebsd):
    with pytest.raises(PtnetError, match="own drivers have netmap support"):
        freebsd.drivers()


@pytest.mark.parametrize("built_in", [True, False])
def test_boot_files_leave_foreign_lines(machine, built_in):
    if not built_in:
        machine.answers.update(MODULE)
    with open(machine.root + SYSCTL_FILE, "w") as stream:
        stream.write("kern.x=1\ndev.netmap.verbose=1\n")
    boot = {"load": True, "parameters": {"buf_num": 20000, "max_bridges": 16},
            "node": {"group": "netmap", "mode": "0660"}, "drivers": []}
    for _twice in range(2):
        machine.freebsd.write_boot(boot)
        assert machine.freebsd.boot() == boot
        assert machine.text(SYSCTL_FILE) == (
            "kern.x=1\ndev.netmap.verbose=1\n# BEGIN netmap.ptnet\ndev.netmap.buf_num=20000\n# END netmap.ptnet\n")
        # rc.d/devfs takes the rest of a line as the owner, so nothing may follow it.
        assert machine.text(DEVFS_FILE) == (
            "# BEGIN netmap.ptnet\nown netmap root:netmap\nperm netmap 0660\n# END netmap.ptnet\n")
        assert machine.text(LOADER_FILE).splitlines()[1:] == ([] if built_in else ['netmap_load="YES"']) + [
            'dev.netmap.buf_num="20000"', 'dev.netmap.max_bridges="16"']
    nothing = {"load": False, "parameters": {}, "node": None, "drivers": []}
    machine.freebsd.write_boot(nothing)
    assert machine.freebsd.boot() == nothing
    assert machine.text(SYSCTL_FILE) == "kern.x=1\ndev.netmap.verbose=1\n"
    assert not os.path.exists(machine.root + LOADER_FILE)


def test_a_parameter_that_one_file_lost_is_written_again(machine):
    boot = {"load": True, "parameters": {"buf_num": 20000}, "node": None, "drivers": []}
    machine.freebsd.write_boot(boot)
    os.unlink(machine.root + SYSCTL_FILE)
    assert machine.freebsd.boot()["parameters"] == {}
    machine.freebsd.write_boot(boot)
    assert machine.freebsd.boot() == boot


def test_the_whole_module(machine, tmp_path, monkeypatch):
    """netmap_module itself, on a kernel with netmap built in: parameters now and at boot, never an unload."""
    group = grp.getgrgid(os.getgid()).gr_name
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/netmap").touch(mode=0o600)
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    params = {"state": "loaded", "parameters": {"buf_num": 20000, "max_bridges": 16}, "persistent": True,
              "group": group, "mode": "0660", "allow_reload": True, "allow_management": False, "drivers": []}
    for name in ("fstat -m /dev/netmap", "ifconfig -l"):
        machine.answers[name] = ""

    def written(name, number):
        machine.answers["sysctl dev.netmap"] = machine.answers["sysctl dev.netmap"].replace("163840", str(number))

    monkeypatch.setattr(machine.freebsd, "write_parameter", written)
    for changed in (True, False):
        result = loading.act(params, False, machine.freebsd, Device(), Record)
        assert (result["changed"], result["reload_wanted"]) == (changed, True)
        assert "a reboot does it" in result["reload_reasons"][0]
        assert result["parameters"] == {"now": {"buf_num": 20000, "max_bridges": 8}, "boot": params["parameters"]}
    with pytest.raises(PtnetError, match="built into"):
        loading.act(dict(params, state="unloaded"), False, machine.freebsd, Device(), Record)
    assert not [line for line in machine.started if line.startswith("kldunload")]


def test_persistent_ports_are_seen_before_an_unload(machine, tmp_path, monkeypatch):
    """They take no reference there, so the kernel would let netmap go from under them."""
    machine.answers.update(MODULE, **{"fstat -m /dev/netmap": ""})
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/netmap").touch()
    monkeypatch.setattr(Record, "parents", {"p0": {}})
    params = {"state": "unloaded", "parameters": None, "persistent": True, "group": "netmap", "mode": "0660",
              "allow_reload": False, "allow_management": False, "drivers": []}
    with pytest.raises(PtnetError, match="parent p0 .persistent port"):
        loading.act(params, False, machine.freebsd, Device(), Record)


def test_the_rc_script(machine, tmp_path):
    service = machine.freebsd.port_service()
    assert (service.read(), service.wanted(b"code")[rc.ARCHIVE]) == ({}, b"code")
    wanted = service.wanted(b"code")
    service.write(wanted)
    assert service.read() == wanted
    path = machine.root + rc.SCRIPT
    assert os.stat(path).st_mode & 0o777 == 0o555
    assert subprocess.run(["sh", "-n", path], check=False).returncode == 0
    script = machine.text(rc.SCRIPT)
    for line in ("# PROVIDE: netmap_ptnet_ports", "# REQUIRE: FILESYSTEMS netif NETWORKING",
                 'rcvar="netmap_ptnet_ports_enable"'):
        assert line in script.splitlines()
    assert machine.text("/etc/rc.conf.d/netmap_ptnet_ports").endswith('netmap_ptnet_ports_enable="YES"\n')
    service.write({})
    assert service.read() == {}


@pytest.mark.parametrize("status", [0, 1])
def test_the_rc_script_runs_the_code(machine, tmp_path, status):
    """With a stand-in for rc.subr that does what rc.subr(8) documents."""
    service = machine.freebsd.port_service()
    (tmp_path / "rc.subr").write_text('load_rc_config() { :; }\nrun_rc_command() { eval "\\${${1}_cmd:-exit 64}"; }\n')
    (tmp_path / "code.py").write_text("print('p0: restored')\nraise SystemExit(%d)\n" % status)
    (tmp_path / "logger").write_text("#!/bin/sh\nexec cat > %s/logged\n" % tmp_path)
    (tmp_path / "logger").chmod(0o755)
    text = service.wanted(b"")[rc.SCRIPT].decode()
    text = text.replace("/etc/rc.subr", "%s/rc.subr" % tmp_path)
    text = text.replace(rc.ARCHIVE, "%s/code.py" % tmp_path)
    (tmp_path / "script").write_text(text)
    ended = subprocess.run(["sh", str(tmp_path / "script"), "start"], capture_output=True, text=True, check=False,
                           env=dict(os.environ, PATH="%s:%s" % (tmp_path, os.environ["PATH"])))
    assert (ended.returncode, ended.stdout, (tmp_path / "logged").read_text()) == (
        status, "p0: restored\n", "p0: restored\n")
