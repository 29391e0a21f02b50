# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.netmap.ptnet.plugins.module_utils.diagnosis import loops
from ansible_collections.netmap.ptnet.plugins.module_utils.watch.processes import SLICE

STAT = "7 (%s) %s 1 1 1 0 -1 %d" + " 0" * 21 + " %d 0\n"
ARGV = ["/opt/ptnet-qemu/bin/qemu-system-x86_64", "-name", "guest=vm1,debug-threads=on", "-netdev",
        "netmap,id=d0,ifname=vale1:10,passthrough=on", "-netdev", "netmap,id=d1,ifname=pp0{1,passthrough=on"]


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def process(root, unit, pid, leader, *threads, argv=None):
    """A process of a unit; of each thread its name, state letter and pending signals."""
    put(root / SLICE[1:] / unit / "cgroup.procs", "%d\n" % pid)
    put(root / ("proc/%d/stat" % pid), STAT % ("x", leader, 4 if leader == "Z" else 0, 0))
    for number, (name, letter, pending) in enumerate(threads, pid + 1):
        folder = root / ("proc/%d/task/%d" % (pid, number))
        put(folder / "stat", STAT % (name, letter, 0, pending))
        put(folder / "comm", name + "\n")
        put(folder / "cmdline", "\0".join(argv or ARGV) + "\0")


def test_nothing_runs(tmp_path):
    found = loops.read(str(tmp_path))
    assert (found["stuck"], found["members"], found["running"]) == ([], 0, False)


def test_dead_processes_whose_threads_are_not(tmp_path):
    process(tmp_path, "ptnet-vm-vm1.service", 320, "Z", ("CPU 0/KVM", "R", 256), ("CPU 0/KVM", "S", 256))
    process(tmp_path, "ptnet-port-fw.service", 400, "Z", ("ptnet-loop-0", "R", 256),
            argv=["python3", "-I", "x.pyz", "--port", "id=d0,ifname=p0{1,mode=auto"])
    process(tmp_path, "ptnet-vm-vm2.service", 500, "S", ("CPU 0/KVM", "R", 0))
    process(tmp_path, "netmap-ptnet-watch.service", 600, "S")
    found = loops.read(str(tmp_path))
    assert found["stuck"] == [
        {"unit": "ptnet-port-fw.service", "pid": 400, "threads": ["ptnet-loop-0"], "ports": ["p0{1"]},
        {"unit": "ptnet-vm-vm1.service", "pid": 320, "threads": ["CPU 0/KVM"] * 2, "ports": ["vale1:10", "pp0{1"]}]
    assert found["members"] == 3
    assert found["running"]
