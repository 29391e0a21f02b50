# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel import unix, users
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux.platform import Linux
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import names

RELEASE = "6.1.0-9-amd64"
STOCK = "/lib/modules/%s/kernel/drivers/net/%s.ko"
OURS = "/lib/modules/%s/updates/netmap-ptnet/%s.ko"


class Machine:
    """A tree of files, and a modinfo that knows what is installed: (release, name) to (path, depends)."""

    def __init__(self, folder):
        self.root = str(folder)
        self.files = {}
        self.images = {}
        self.started = []
        self.linux = Linux(root=self.root, run_program=self.run)
        self.linux.kernel_release = lambda: RELEASE
        self.linux._ethtool_driver = lambda name: {"va": "veth"}.get(name, "")
        self.put("/sys/class/net/lo/address", "")
        self.put("/sys/module/netmap/refcnt", "0")

    def put(self, path, text=""):
        full = self.root + path
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb" if isinstance(text, bytes) else "w") as stream:
            stream.write(text)

    def tool(self, path):
        self.put(path)
        os.chmod(self.root + path, 0o755)

    def run(self, argv, timeout, env, allowed, remedy):
        self.started.append(" ".join(argv))
        if argv[0] == "modinfo":
            release = argv[2] if argv[1] == "-k" else RELEASE
            if (release, argv[-1]) not in self.files:
                raise PtnetError("modinfo failed")
            path, depends = self.files[release, argv[-1]]
            return 0, "filename:       %s\ndepends:        %s\nvermagic:       %s SMP\n" % (path, depends, release)
        if argv[0] == "lsinitramfs":
            return 0, "\n".join(self.images[argv[1]])
        return 0, ""

    def install(self, name, release=RELEASE, patched=True):
        path = (OURS if patched else STOCK) % (release, name)
        self.files[release, name] = (path, "mdio,netmap" if patched else "mdio")
        self.put(path)

    def kernel(self, release, *listed):
        self.put("/lib/modules/%s/modules.builtin" % release)
        image = "/boot/initrd.img-" + release
        self.put(image)
        self.images[image] = ["usr" + path for path in listed]


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_what_is_loaded_and_installed(machine):
    machine.install("veth")
    machine.install("ixgbe")
    machine.install("e1000", patched=False)
    machine.files[RELEASE, "virtio_net"] = ("(builtin)", "")
    for name in ("veth", "e1000"):
        machine.put("/sys/module/%s/refcnt" % name, "0")
    machine.put("/sys/module/virtio_net/parameters/napi_tx", "Y")
    machine.put("/sys/module/netmap/holders/veth")
    machine.put("/sys/module/e1000/holders/rdma")
    machine.put("/sys/class/net/va/address", "")
    machine.put("/sys/class/net/eth1/address", "")
    os.makedirs(machine.root + "/sys/class/net/eth1/device/driver")
    os.symlink("../../../../module/e1000", machine.root + "/sys/class/net/eth1/device/driver/module")
    found = machine.linux.drivers().read(["veth", "ixgbe", "e1000", "virtio_net", "none"])
    assert {name: (one["loaded"], one["installed"]) for name, one in found.items()} == {
        "veth": ("netmap", "netmap"), "ixgbe": (None, "netmap"), "e1000": ("stock", "stock"),
        "virtio_net": (None, "built in"), "none": (None, None)}
    assert (found["veth"]["interfaces"], found["e1000"]["interfaces"]) == (["va"], ["eth1"])
    assert (found["e1000"]["holders"], found["veth"]["fits"]) == (["rdma"], True)


def test_another_build_of_a_driver_is_seen(machine):
    machine.install("veth")
    note = b"\4\0\0\0\24\0\0\0\3\0\0\0GNU\0" + bytes(range(20))
    machine.put("/sys/module/veth/refcnt", "0")
    machine.put("/sys/module/veth/notes/.note.gnu.build-id", note)
    machine.put("/sys/module/netmap/holders/veth")
    machine.put(OURS % (RELEASE, "veth"), b"\x7fELF" + bytes(64))
    assert machine.linux.drivers().read(["veth"])["veth"]["loaded"] == "other build"
    machine.put(OURS % (RELEASE, "veth"), b"\x7fELF" + note)
    assert machine.linux.drivers().read(["veth"])["veth"]["loaded"] == "netmap"


def test_loading(machine):
    doors = machine.linux.drivers()
    machine.put("/lib/modules/%s/modules.order" % RELEASE,
                "kernel/drivers/net/bonding/bond.ko\nkernel/drivers/net/a-b.o\n")
    machine.put("/lib/modules/%s/kernel/drivers/net/a-b.ko.xz" % RELEASE)
    doors.unload("a_b")
    doors.load("a_b")
    doors.load_stock("a_b")
    assert machine.started == ["rmmod a_b", "modprobe a_b",
                               "insmod /lib/modules/%s/kernel/drivers/net/a-b.ko.xz" % RELEASE]
    with pytest.raises(PtnetError, match="bon is not found"):
        doors.load_stock("bon")


@pytest.mark.parametrize(("listed", "age", "wrong"), [
    ([STOCK % (RELEASE, "ixgbe")], -100, True), ([OURS % (RELEASE, "ixgbe")], 100, False),
    ([OURS % (RELEASE, "ixgbe")], -100, True), ([STOCK % (RELEASE, "igb")], -100, False),
    ([STOCK % (RELEASE, "ixgbe") + ".xz"], -100, True), ([], -100, False)])
def test_an_initramfs_with_another_build(machine, listed, age, wrong):
    machine.install("ixgbe")
    machine.kernel(RELEASE, *listed)
    image = machine.root + "/boot/initrd.img-" + RELEASE
    now = os.stat(machine.root + OURS % (RELEASE, "ixgbe")).st_mtime
    os.utime(image, (now + age, now + age))
    doors = machine.linux.drivers()
    assert doors.images(["ixgbe"]) == {}
    machine.tool("/usr/sbin/update-initramfs")
    assert doors.images(["ixgbe"]) == ({RELEASE: ["ixgbe"]} if wrong else {})


def test_every_kernel_that_has_the_driver_with_netmap_is_looked_at(machine):
    machine.tool("/usr/sbin/update-initramfs")
    for release in (RELEASE, "6.1.0-10-amd64", "6.1.0-11-amd64"):
        machine.kernel(release, STOCK % (release, "ixgbe"))
        machine.install("ixgbe", release, patched=release != "6.1.0-11-amd64")
        os.utime(machine.root + "/boot/initrd.img-" + release, (1, 1))
    doors = machine.linux.drivers()
    assert doors.images(["ixgbe"]) == {RELEASE: ["ixgbe"], "6.1.0-10-amd64": ["ixgbe"]}
    assert [line for line in machine.started if line.startswith("lsinitramfs")] == [
        "lsinitramfs /boot/initrd.img-" + release for release in (RELEASE, "6.1.0-10-amd64")]
    doors.rebuild(RELEASE)
    assert machine.started[-1] == "update-initramfs -u -k " + RELEASE


def test_another_tool_for_the_initramfs(machine):
    doors = machine.linux.drivers()
    assert not doors.foreign_initramfs()
    machine.tool("/usr/bin/dracut")
    assert doors.foreign_initramfs()
    machine.tool("/usr/sbin/update-initramfs")
    assert not doors.foreign_initramfs()


def test_signatures(machine):
    machine.put("/m/signed.ko", b"\x7fELF code~Module signature appended~\n")
    machine.put("/m/plain.ko", b"\x7fELF code")
    machine.put("/m/packed.ko.xz", b"\xfd7zXZ")
    paths = ["/m/signed.ko", "/m/plain.ko", "/m/packed.ko.xz", "/m/none.ko"]
    assert machine.linux.unsigned(paths) == []
    machine.put("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    assert machine.linux.unsigned(paths) == ["/m/plain.ko"]
    machine.put("/sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
    machine.put("/sys/module/module/parameters/sig_enforce", "Y\n")
    assert machine.linux.unsigned(paths) == ["/m/plain.ko"]


@pytest.mark.parametrize(("words", "ports"), [
    (["pkt-gen", "-i", "vale1:10", "-f", "rx"], ["vale1:10"]),
    (["qemu", "-netdev", "netmap,ifname=vale1:vm,id=a", "-netdev", "netmap,id=b,ifname=netmap:p0{1"],
     ["vale1:vm", "p0{1"]),
    (["qemu", "-netdev", "netmap,id=d0,ifname=p0{1,passthrough=on", "-netdev", "tap,id=t,ifname=tap0"], ["p0{1"]),
    (["python3", "x.pyz", "--port", "id=d0,ifname=eth1,mac=02:00:00:00:00:01", "--port", "id=d1,ifname=vale1:a"],
     ["eth1", "vale1:a"]),
    (["bridge", "-i", "netmap:eth1", "-i", "netmap:eth1^"], ["eth1", "eth1^"]),
    (["vi", "/tmp/netmap", "interval:3", "http://x/netmap://y"], [])])
def test_ports_in_a_command_line(words, ports):
    assert unix.ports_in(words) == ports


class System:
    def __init__(self, processes, drivers):
        self.processes = lambda: processes
        self.driver_of = drivers.get


def test_users_are_named_with_what_they_hold():
    entries = names.listed([(0, "vale1:10"), (0, "vale1:11"), (0, "vale1:eth1"), (0, "vale1:v0"), (0, "stuck")])
    system = System([{"pid": 7, "command": "pkt-gen -i vale1:10", "holds": ["descriptor 3"], "ports": ["vale1:10"]}],
                    {"eth1": "ixgbe", "v0": "", "p0": ""})
    module = {"refcount": 9, "holders": ["ixgbe"]}
    found = users.users(system, module, entries, ["p0", "gone"])
    assert users.named(found) == (
        "process 7 (pkt-gen -i vale1:10; port vale1:10), driver ixgbe (depends on netmap), "
        "port vale1:10 (opened by process 7), port vale1:11 (on a VALE switch, opened by a program), "
        "port vale1:eth1 (attached to a VALE switch: NIC of driver ixgbe), "
        "port vale1:v0 (attached to a VALE switch: persistent port), port stuck (stuck until a reboot), "
        "parent p0 (persistent port)")


@pytest.mark.parametrize(("refcount", "left"), [(1, None), (3, "2, perhaps")])
def test_references_that_nobody_explains(refcount, left):
    found = users.users(System([], {}), {"refcount": refcount, "holders": ["ixgbe"]}, [], [])
    assert [user["kind"] for user in found] == ["driver"] + ["unknown"] * bool(left)
    assert left is None or found[1]["holds"][0].startswith(left)
