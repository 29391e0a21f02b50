# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.watch import descriptors, logs

UNIT = "ptnet-vm-fw.service"
HOME = "/var/lib/netmap-ptnet/vms/fw"


def test_the_files_of_a_unit():
    assert logs.paths(UNIT) == [HOME + "/console.log", HOME + "/qemu.log"]
    assert logs.paths("ptnet-port-fw.service") == []


def test_their_descriptors():
    links = {0: "/dev/null", 1: HOME + "/qemu.log", 2: HOME + "/qemu.log", 10: HOME + "/console.log",
             11: HOME + "/disk.qcow2", 12: "/var/lib/netmap-ptnet/vms/other/console.log",
             13: HOME + "/console.log (deleted)", 14: "socket:[1]"}
    assert logs.numbers(links, UNIT) == [10, 1]
    assert logs.numbers(links, "ptnet-port-fw.service") == []


@pytest.mark.parametrize(("tail", "kept"), [
    (b"f of a line\nnext\nlast", b"next\nlast"), (b"\nnext\n", b"next\n"), (b"no end", b"no end"), (b"", b""),
    (b"only\n", b"")])
def test_lines_stay_whole(tail, kept):
    assert logs.whole(tail) == kept


def fill(path, lines):
    path.write_bytes(b"".join(b"line %04d\n" % number for number in range(lines)))


@pytest.mark.parametrize("append", [os.O_APPEND, 0])
def test_the_writer_goes_on(tmp_path, append):
    path = tmp_path / "console.log"
    fill(path, 200)
    writer = os.open(path, os.O_WRONLY | append)
    os.lseek(writer, 0, os.SEEK_END)
    assert logs.bound(os.dup(writer), limit=1000, keep=100) == 2000
    os.write(writer, b"after\n")
    found = path.read_bytes()
    # A line has 10 bytes: the cut is before one of them, which nobody can know.
    assert found == b"".join(b"line %04d\n" % number for number in range(191, 200)) + b"after\n"
    assert logs.bound(writer, limit=1000, keep=100) == 0
    assert path.read_bytes() == found


def test_one_line_without_end_is_cut_all_the_same(tmp_path):
    path = tmp_path / "console.log"
    path.write_bytes(b"x" * 2000)
    assert logs.bound(os.open(path, os.O_WRONLY | os.O_APPEND), limit=1000, keep=100) == 2000
    assert path.read_bytes() == b"x" * 100


def test_a_sparse_file_takes_no_memory(tmp_path):
    path = tmp_path / "console.log"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
        stream.seek(0, os.SEEK_END)
        stream.write(b"\nend\n")
    assert logs.bound(os.open(path, os.O_WRONLY), limit=1000, keep=100) == (1 << 40) + 5
    assert path.read_bytes() == b"end\n"


def test_nothing_but_a_file_that_its_owner_writes_is_cut(tmp_path):
    path = tmp_path / "console.log"
    fill(path, 200)
    assert logs.bound(os.open(path, os.O_RDONLY), limit=1000, keep=100) == 0
    assert path.stat().st_size == 2000
    os.mkfifo(tmp_path / "pipe")
    assert logs.bound(os.open(tmp_path / "pipe", os.O_RDWR), limit=-1, keep=100) == 0
    assert logs.bound(os.open("/dev/null", os.O_WRONLY), limit=-1, keep=100) == 0


def test_nothing_else_is_touched(tmp_path):
    """Neither what the name leads to by now, nor a second name of another file."""
    path, other = tmp_path / "console.log", tmp_path / "other"
    fill(path, 200)
    fill(other, 200)
    writer = os.open(path, os.O_WRONLY | os.O_APPEND)
    path.rename(tmp_path / "away")
    path.symlink_to(other)
    assert logs.bound(writer, limit=1000, keep=100) == 2000
    assert other.stat().st_size == 2000
    assert (tmp_path / "away").stat().st_size == 90


needs_duplicates = pytest.mark.skipif(not descriptors.able(), reason="this kernel gives out no duplicates")


@pytest.fixture
def child(tmp_path):
    """A process that has a log open, and /dev/null as its number 9."""
    with open(tmp_path / "console.log", "ab") as log, subprocess.Popen(
            [sys.executable, "-c", "import os; os.dup2(os.open('/dev/null', os.O_RDWR), 9); print(1); input()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as process:
        process.stdout.readline()
        yield process
        process.kill()


@needs_duplicates
def test_duplicates_of_another_process(child, tmp_path):
    pidfd = descriptors.open_process(child.pid)
    links = descriptors.links("/proc/%d" % child.pid)
    assert links[2] == str(tmp_path / "console.log")
    assert links[9] == "/dev/null"
    fill(tmp_path / "console.log", 200)
    taken = descriptors.take(pidfd, 2)
    assert os.fstat(taken).st_ino == os.stat(tmp_path / "console.log").st_ino
    assert logs.bound(taken, limit=1000, keep=100) == 2000
    null = descriptors.take_device(pidfd, 9)
    assert stat.S_ISCHR(os.fstat(null).st_mode)
    assert descriptors.same(child.pid, 9, null)
    assert [descriptors.has(child.pid, number) for number in (2, 9, 77)] == [True, True, False]
    assert not descriptors.same(child.pid, 2, null)
    assert not descriptors.same(child.pid, 77, null)
    before = sorted(os.listdir("/proc/self/fd"))
    for number in (2, 77):
        assert descriptors.take_device(pidfd, number) is None
    assert descriptors.able()
    descriptors.able_of_threads()
    assert sorted(os.listdir("/proc/self/fd")) == before
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not descriptors.has(child.pid, 9)
    child.wait()
    assert descriptors.links("/proc/%d" % child.pid) == {}
    assert descriptors.take_device(pidfd, 9) is None
    with pytest.raises(OSError, match=r"\[Errno"):
        descriptors.open_process(child.pid)
