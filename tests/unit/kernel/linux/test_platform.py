# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import grp
import os

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux import platform

MODINFO = """filename:       /lib/modules/%s/extra/netmap.ko
license:        Dual BSD/GPL
alias:          pci:v00001B36d0000000Dsv*sd*bc*sc*i*
depends:        \n\
vermagic:       %s SMP preempt mod_unload modversions
parm:           sink_num:int
"""


class Machine:
    """A tree of files in the shape of /proc, /sys and /etc, and answers of programs."""

    def __init__(self, folder):
        self.root = str(folder)
        self.answers = {}
        self.started = []
        self.linux = platform.Linux(root=self.root, run_program=self.run)

    def put(self, path, text):
        full = self.root + path
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb" if isinstance(text, bytes) else "w") as stream:
            stream.write(text)

    def link(self, path, target):
        os.makedirs(os.path.dirname(self.root + path), exist_ok=True)
        os.symlink(target, self.root + path)

    def text(self, path):
        with open(self.root + path) as stream:
            return stream.read()

    def run(self, argv, timeout, env, allowed, remedy):
        self.started.append(argv)
        status, output, effect = self.answers.get(argv[0], (0, "", None))
        if effect:
            effect()
        if allowed is not None and status not in allowed:
            raise PtnetError("%s failed" % argv[0], found=output, remedy=remedy)
        return status, output

    def load(self, **parameters):
        self.put("/sys/module/netmap/refcnt", "0\n")
        os.makedirs(self.root + "/sys/module/netmap/holders", exist_ok=True)
        for name, value in dict({"buf_num": 163840, "ptnet_gso": "Y", "max_bridges": 8}, **parameters).items():
            self.put("/sys/module/netmap/parameters/%s" % name, "%s\n" % value)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_nothing_loaded_and_nothing_installed(machine):
    machine.answers["modinfo"] = (1, "modinfo: ERROR: Module netmap not found.\n", None)
    assert not machine.linux.loaded()
    assert (machine.linux.module(), machine.linux.installed(), machine.linux.parameters(), machine.linux.node()) == (
        None, None, None, None)
    assert machine.linux.boot() == {"load": False, "parameters": {}, "node": None, "drivers": []}


def test_what_is_loaded(machine):
    machine.load(ptnet_gso="N")
    machine.put("/sys/module/netmap/holders/ixgbe", "")
    assert machine.linux.module() == {"refcount": 0, "version": None, "srcversion": None, "holders": ["ixgbe"],
                                      "built_in": False}
    assert machine.linux.parameters() == {"buf_num": 163840, "ptnet_gso": 0, "max_bridges": 8}
    machine.linux.write_parameter("buf_num", 20000)
    assert machine.linux.parameters()["buf_num"] == 20000


def test_what_is_installed(machine):
    release = os.uname().release
    for built_for, fits in ((release, True), ("0.1-other", False)):
        machine.answers["modinfo"] = (0, MODINFO % (built_for, built_for), None)
        installed = machine.linux.installed()
        assert installed["path"] == "/lib/modules/%s/extra/netmap.ko" % built_for
        assert (installed["version"], installed["srcversion"]) == (None, None)
        assert machine.linux.fits(installed) is fits


def test_kernels(machine, monkeypatch):
    monkeypatch.setattr(machine.linux, "kernel_release", lambda: "6.1.0-9-amd64")
    magic = {"6.1.0-9-amd64": "6.1.0-9-amd64 SMP", "6.1.0-10-amd64": "6.1.0-9-amd64 SMP"}
    for release in ("6.1.0-9-amd64", "6.1.0-10-amd64", "6.1.0-11-cloud-amd64"):
        machine.put("/lib/modules/%s/modules.builtin" % release, "")
        machine.put("/lib/modules/%s/modules.dep" % release, "kernel/x/netmap_tool.ko: \n" + (
            "updates/netmap-ptnet/netmap.ko:\n" if release in magic else ""))
    machine.put("/lib/modules/6.1.0-8-amd64/updates/netmap-ptnet/netmap.ko", "left behind")
    machine.put("/lib/modules/6.1.0-9-amd64/build/Makefile", "")
    machine.put("/usr/src/linux-headers-6.1.0-11-cloud-amd64/Makefile", "")
    asked = []

    def modinfo(argv, allowed=(0,), remedy=None):
        asked.append(argv)
        return 0, MODINFO % (argv[2], magic[argv[2]])

    monkeypatch.setattr(machine.linux, "_program", modinfo)
    kernels = machine.linux.kernels()
    assert [(one["release"], one["running"], one["headers"]) for one in kernels] == [
        ("6.1.0-9-amd64", True, True), ("6.1.0-10-amd64", False, False), ("6.1.0-11-cloud-amd64", False, True)]
    assert [one["netmap"] and one["netmap"]["fits"] for one in kernels] == [True, False, None]
    assert kernels[0]["netmap"]["path"] == "/lib/modules/6.1.0-9-amd64/extra/netmap.ko"
    assert asked == [["modinfo", "-k", release, "netmap"] for release in ("6.1.0-9-amd64", "6.1.0-10-amd64")]


def test_another_build_is_seen(machine):
    machine.load()
    note = b"\4\0\0\0\24\0\0\0\3\0\0\0GNU\0" + bytes(range(20))
    installed = {"path": "/lib/netmap.ko", "srcversion": None}
    module = {"srcversion": None}
    assert machine.linux.stale(module, installed) is None
    machine.put("/sys/module/netmap/notes/.note.gnu.build-id", note)
    machine.put("/lib/netmap.ko", b"\x7fELF" + bytes(500) + note + bytes(500))
    assert machine.linux.stale(module, installed) is False
    machine.put("/lib/netmap.ko", b"\x7fELF" + bytes(500) + note[:-1] + b"x" + bytes(500))
    assert machine.linux.stale(module, installed) is True
    machine.put("/lib/netmap.ko", b"compressed")
    assert machine.linux.stale(module, installed) is None
    assert machine.linux.stale({"srcversion": "A"}, dict(installed, srcversion="B")) is True
    assert machine.linux.stale({"srcversion": "A"}, dict(installed, srcversion="A")) is False


def test_boot_files(machine):
    boot = {"load": True, "parameters": {"max_bridges": 16, "buf_num": 20000},
            "node": {"group": "netmap", "mode": "0660"}, "drivers": ["ixgbe", "veth"]}
    machine.linux.write_boot(boot)
    assert machine.linux.boot() == boot
    assert machine.text(platform.MODPROBE_FILE).endswith("\noptions netmap buf_num=20000 max_bridges=16\n")
    assert machine.text(platform.LOAD_FILE).endswith("\nnetmap\nixgbe\nveth\n")
    assert 'KERNEL=="netmap", SUBSYSTEM=="misc", GROUP="netmap", MODE="0660"' in machine.text(platform.RULE_FILE)
    assert os.stat(machine.root + platform.RULE_FILE).st_mode & 0o777 == 0o644
    assert machine.started == [["udevadm", "control", "--reload"]]
    machine.linux.write_boot(boot)
    assert len(machine.started) == 1
    nothing = {"load": False, "parameters": {}, "node": None, "drivers": []}
    machine.linux.write_boot(nothing)
    assert machine.linux.boot() == nothing
    assert not any(os.path.exists(machine.root + path) for path in (
        platform.MODPROBE_FILE, platform.LOAD_FILE, platform.RULE_FILE))


def test_other_files_that_speak_of_netmap(machine):
    machine.linux.write_boot({"load": True, "parameters": {"buf_num": 5000}, "node": None, "drivers": []})
    machine.put("/etc/modprobe.d/old.conf", "# mine\noptions netmap buf_num=7\n")
    machine.put("/etc/modprobe.d/other.conf", "options netmapper x=1\n")
    machine.put("/lib/modprobe.d/dist.conf", "blacklist netmap\n")
    assert machine.linux.boot_conflicts() == ["/etc/modprobe.d/old.conf", "/lib/modprobe.d/dist.conf"]


def test_load_passes_parameters(machine):
    machine.answers["modprobe"] = (0, "", machine.load)
    machine.linux.load({"max_bridges": 16, "buf_num": 20000})
    assert machine.started == [["modprobe", "netmap", "buf_num=20000", "max_bridges=16"],
                               ["udevadm", "settle", "--timeout=20"]]


@pytest.mark.parametrize(("said", "advice"), [
    ("modprobe: ERROR: could not insert 'netmap': Key was rejected by service", "Secure Boot"),
    ("modprobe: ERROR: could not insert 'netmap': Exec format error\nInvalid module format", "running kernel"),
    ("modprobe: FATAL: Module netmap not found in directory /lib/modules/6.1.0", "install netmap"),
    ("Unknown symbol in module", "depmod"),
    ("Operation not permitted", "container"),
    ("something new", "dmesg")])
def test_load_errors_are_explained(machine, said, advice):
    machine.answers["modprobe"] = (1, said, None)
    with pytest.raises(PtnetError, match=advice) as caught:
        machine.linux.load({})
    assert said in caught.value.message


def test_lockdown_is_seen(machine):
    machine.put("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    machine.answers["modprobe"] = (1, "modprobe: ERROR: could not insert 'netmap': Operation not permitted", None)
    with pytest.raises(PtnetError, match="Secure Boot"):
        machine.linux.load({})


def test_a_module_that_stays(machine):
    machine.load()
    with pytest.raises(PtnetError, match="still loaded"):
        machine.linux.unload()
    assert machine.started == [["modprobe", "-r", "netmap"]]


def test_the_device_node(machine):
    machine.put("/dev/netmap", "")
    group = grp.getgrgid(os.getgid()).gr_name
    machine.linux.write_node(group, "0640")
    assert machine.linux.node() == {"path": "/dev/netmap", "mode": "0640", "group": group}


def test_drivers(machine, monkeypatch):
    asked = {"veth0": "veth", "p0": ""}
    monkeypatch.setattr(machine.linux, "_ethtool_driver", asked.__getitem__)
    for name in ("eth0", "veth0", "p0"):
        machine.put("/sys/class/net/%s/address" % name, "52:54:00:00:00:01\n")
    machine.put("/sys/class/net/bonding_masters", "")
    machine.link("/sys/class/net/eth0/device/driver", "../../../bus/pci/drivers/ptnetmap-guest-drivers")
    assert machine.linux.interfaces() == ["eth0", "p0", "veth0"]
    assert [machine.linux.driver_of(name) for name in ("eth0", "veth0", "p0", "none")] == [
        platform.PTNET_DRIVER, "veth", "", None]
    assert machine.linux.address_of("eth0") == "52:54:00:00:00:01"


def test_the_loopback_interface_has_no_driver_here():
    assert platform.Linux().driver_of("lo") == ""


def test_bus_address(machine):
    folder = "/sys/devices/pci0000:00/0000:00:1c.0/0000:04:00.0"
    machine.put(folder + "/net/eth1/address", "52:54:00:00:00:01\n")
    machine.link("/sys/class/net/eth1", machine.root + folder + "/net/eth1")
    machine.link(folder + "/net/eth1/device", "../..")
    assert machine.linux.bus_address_of("eth1") == "0000:04:00.0"
    assert machine.linux.bus_address_of("lo") is None


def test_processes(machine):
    def process(pid, command, links, maps=""):
        machine.put("/proc/%d/cmdline" % pid, command)
        machine.put("/proc/%d/comm" % pid, "thread\n")
        machine.put("/proc/%d/maps" % pid, maps)
        os.makedirs("%s/proc/%d/fd" % (machine.root, pid))
        for number, target in enumerate(links):
            machine.link("/proc/%d/fd/%d" % (pid, number), target)

    mapping = "7f0000000000-7f0002a00000 rw-s 00000000 00:05 123                        %s\n"
    process(10, "bash\0", ["/dev/tty"], mapping % "/lib/x.so")
    process(20, "pkt-gen\0-i\0vale1:1\0", ["/dev/null", "/dev/netmap"], mapping % "/dev/netmap")
    process(30, "old\0", ["/dev/null"], mapping % "/dev/netmap (deleted)")
    process(40, "", ["/dev/netmap"])
    process(50, "trap\0", ["/dev/netmap2"], mapping % "/home/x/dev/netmap")
    machine.put("/proc/self/cmdline", "")
    assert machine.linux.processes() == [
        {"pid": 20, "command": "pkt-gen -i vale1:1", "holds": ["descriptor 1", "mapping"], "ports": ["vale1:1"]},
        {"pid": 30, "command": "old", "holds": ["mapping"], "ports": []},
        {"pid": 40, "command": "thread", "holds": ["descriptor 0"], "ports": []}]


def test_a_mapping_whose_name_went_with_its_mount_is_seen(machine):
    # The port process opened the node below a mount of its own. When it has died the mount is gone, and QEMU, which
    # still maps the region, shows it as "/".
    machine.put("/dev/netmap", "")
    node = os.stat(machine.root + "/dev/netmap")
    line = "7f0000000000-7f0002a00000 rw-s 00000000 %02x:%02x %d                        /\n"
    here = os.major(node.st_dev), os.minor(node.st_dev)
    for pid, inode in ((10, node.st_ino), (20, node.st_ino + 1)):
        machine.put("/proc/%d/cmdline" % pid, "qemu\0")
        machine.put("/proc/%d/maps" % pid, line % (*here, inode))
    assert [(one["pid"], one["holds"]) for one in machine.linux.processes()] == [(10, ["mapping"])]


def test_memory(machine):
    machine.put("/proc/meminfo", "MemTotal:  2048000 kB\nMemFree: 1 kB\nMemAvailable:  1024 kB\n")
    assert (machine.linux.memory_total(), machine.linux.memory_available()) == (2048000 * 1024, 1 << 20)
