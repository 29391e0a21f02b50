# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guest's memory: what is taken for it, what is mapped of it, and that nothing of it can end this process.

What comes with a message is ours, so each test hands over duplicates, and counts that all are closed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import select
import socket
import tempfile

import pytest
import vfio_user
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import memory, protocol
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet.protocol import Map, Refused, Unmap

PAGE = mmap.PAGESIZE
LONG = 1 << 64
HIGH = 1 << 32


@pytest.fixture
def ram():
    with vfio_user.memory(16 * PAGE) as descriptor:
        os.pwrite(descriptor, b"low", 64)
        os.pwrite(descriptor, b"high", 8 * PAGE)
        yield descriptor


@pytest.fixture
def guest(ram):
    """Two pieces as QEMU sends them, one read-only, a base address, and a piece that is longer than its file."""
    one = memory.GuestMemory()
    one.map(Map(0, 0, 8 * PAGE, True), [os.dup(ram)])
    one.map(Map(8 * PAGE, HIGH, 8 * PAGE, True), [os.dup(ram)])
    one.map(Map(0, 8 * PAGE, 4 * PAGE, False), [os.dup(ram)])
    one.map(Map(0, 12 * PAGE, 4 * PAGE, True), [])
    one.map(Map(14 * PAGE, 2 * HIGH, 8 * PAGE, True), [os.dup(ram)])
    one.map(Map(0, LONG - PAGE, PAGE, True), [os.dup(ram)])
    yield one
    one.clear()


def code(call, *arguments):
    """The errno of a refusal (int), 0 for none."""
    try:
        call(*arguments)
    except Refused as refused:
        return refused.code
    return 0


# What is remembered

@pytest.mark.parametrize(("address", "size", "expected"), [
    (0, PAGE, errno.EEXIST), (7 * PAGE, PAGE, errno.EEXIST), (8 * PAGE - 1, 1, errno.EEXIST),
    (0, LONG, errno.EEXIST), (HIGH - PAGE, 2 * PAGE, errno.EEXIST), (LONG - 1, 1, errno.EEXIST),
    (16 * PAGE, PAGE, 0), (HIGH - PAGE, PAGE, 0), (LONG - 2 * PAGE, PAGE, 0)])
def test_ranges_that_meet_others(guest, ram, address, size, expected):
    assert code(guest.map, Map(0, address, size, True), [os.dup(ram)]) == expected


def test_more_than_one_descriptor(guest, ram):
    assert code(guest.map, Map(0, 64 * PAGE, PAGE, True), [os.dup(ram), os.dup(ram)]) == errno.EINVAL


def test_too_many(ram):
    one = memory.GuestMemory()
    answers = [code(one.map, Map(0, number * PAGE, PAGE, True), [os.dup(ram)]) for number in range(520)]
    assert answers == [0] * protocol.MAPPINGS_MAX + [errno.E2BIG] * (520 - protocol.MAPPINGS_MAX)
    assert len(one.unmap(Unmap(0, 0, True))) == protocol.MAPPINGS_MAX


def test_ends_of_mappings(guest):
    assert code(guest.unmap, Unmap(PAGE, PAGE, False)) == errno.ENOENT
    assert code(guest.unmap, Unmap(0, 8 * PAGE - 1, False)) == errno.ENOENT
    assert code(guest.unmap, Unmap(64 * PAGE, PAGE, False)) == errno.ENOENT
    # As the kernel does it: all that lie inside go.
    assert [piece.address for piece in guest.unmap(Unmap(0, 12 * PAGE, False))] == [0, 8 * PAGE]
    assert code(guest.unmap, Unmap(0, 12 * PAGE, False)) == errno.ENOENT
    assert len(guest.unmap(Unmap(0, 0, True))) == 4
    assert guest.unmap(Unmap(0, 0, True)) == []


def kinds(folder):
    """Descriptors that are no memory, or none that can be shared: name to what opens them."""
    def pipe():
        ends = os.pipe()
        os.close(ends[0])
        return ends[1]

    def plain_socket():
        return socket.socket(socket.AF_UNIX).detach()

    def epoll():
        one = select.epoll()
        try:
            return os.dup(one.fileno())
        finally:
            one.close()

    def read_only():
        with vfio_user.memory(PAGE) as descriptor:
            return os.open("/proc/self/fd/%d" % descriptor, os.O_RDONLY)

    def write_only():
        with vfio_user.memory(PAGE) as descriptor:
            return os.open("/proc/self/fd/%d" % descriptor, os.O_WRONLY)

    def path_only():
        with vfio_user.memory(PAGE) as descriptor:
            return os.open("/proc/self/fd/%d" % descriptor, os.O_PATH)

    def regular():
        return os.open(os.path.join(folder, "file"), os.O_RDWR | os.O_CREAT)

    opened = {"pipe": pipe, "socket": plain_socket, "epoll": epoll, "read-only": read_only, "write-only": write_only,
              "path": path_only, "regular": regular}
    for name, path, flags in (("zero", "/dev/zero", os.O_RDWR), ("null", "/dev/null", os.O_RDWR),
                              ("proc", "/proc/self/mem", os.O_RDWR), ("folder", "/dev/shm", os.O_RDONLY)):
        opened[name] = lambda path=path, flags=flags: os.open(path, flags)
    return opened


@pytest.mark.parametrize("kind", sorted(kinds("")))
def test_descriptors_that_are_no_memory(kind):
    # Not below pytest's own folder, which may be a tmpfs.
    with tempfile.TemporaryDirectory(dir=os.path.expanduser("~")) as folder:
        assert code(memory.GuestMemory().map, Map(0, 0, PAGE, True), [kinds(folder)[kind]()]) == errno.EINVAL


@pytest.mark.parametrize("size", [0, 1, PAGE])
def test_other_memory_files(size):
    with tempfile.TemporaryFile(dir="/dev/shm") as file:
        file.truncate(size)
        one = memory.GuestMemory()
        one.map(Map(0, 0, PAGE, True), [os.dup(file.fileno())])
        assert code(lambda: one.window(0, 64, 64).close()) == (0 if size == PAGE else errno.EFAULT)
        one.clear()


# What is mapped

@pytest.mark.parametrize(("address", "size", "expected"), [
    (0, 64, 0), (64, 128, 0), (8 * PAGE - 64, 64, 0), (PAGE - 64, 128, 0), (HIGH, 2048, 0),
    (HIGH + 8 * PAGE - 64, 64, 0), (2 * HIGH + PAGE, 64, 0), (LONG - 64, 64, 0),
    # Beyond the end of its piece, in two pieces, in none.
    (8 * PAGE - 64, 128, errno.EFAULT), (HIGH - 64, 128, errno.EFAULT), (HIGH + 8 * PAGE, 64, errno.EFAULT),
    (1 << 40, 64, errno.EFAULT), (LONG - 64, 128, errno.EFAULT), (LONG, 64, errno.EFAULT),
    # Read-only, without a descriptor, beyond the end of the file.
    (8 * PAGE, 64, errno.EFAULT), (12 * PAGE, 64, errno.EFAULT), (2 * HIGH + 2 * PAGE, 64, errno.EFAULT),
    (2 * HIGH + 2 * PAGE - 64, 128, errno.EFAULT),
    (1, 64, errno.EINVAL), (32, 64, errno.EINVAL), (HIGH + 63, 64, errno.EINVAL)])
def test_windows(guest, address, size, expected):
    opened = []
    assert code(lambda: opened.append(guest.window(address, size, 64))) == expected
    for window in opened:
        assert (window.guest, window.size) == (address, size)
        assert window.address % 64 == 0
        assert len(window.read()) == size
        window.close()


def test_a_window_is_the_guests_memory(guest, ram):
    with contextlib.closing(guest.window(HIGH, 64, 64)) as window:
        assert window.read()[:4] == b"high"
        ctypes.memmove(window.address, b"from the kernel", 15)
        assert os.pread(ram, 15, 8 * PAGE) == b"from the kernel"
        os.pwrite(ram, b"FROM", 8 * PAGE)
        assert ctypes.string_at(window.address, 15) == b"FROM the kernel" == window.read()[:15]


def test_a_window_outlives_its_piece(guest):
    window = guest.window(64, 64, 64)
    guest.clear()
    assert window.read()[:3] == b"low"
    assert ctypes.string_at(window.address, 3) == b"low"
    window.close()


def test_a_file_that_is_cut_while_it_is_looked_at(guest, monkeypatch):
    monkeypatch.setattr(memory.os, "fstat", lambda _descriptor: os.stat_result([0] * 10))
    assert code(lambda: guest.window(HIGH + PAGE, 64, 64)) == errno.EFAULT


@pytest.mark.parametrize("seals", ["F_SEAL_WRITE", "F_SEAL_FUTURE_WRITE"])
def test_memory_that_is_sealed(ram, seals):
    number = {"F_SEAL_WRITE": fcntl.F_SEAL_WRITE, "F_SEAL_FUTURE_WRITE": 0x10}[seals]
    fcntl.fcntl(ram, fcntl.F_ADD_SEALS, number)
    one = memory.GuestMemory()
    one.map(Map(0, 0, PAGE, True), [os.dup(ram)])
    assert code(one.window, 0, 64, 64) == errno.EFAULT
    one.clear()


def test_a_file_that_is_cut_does_not_end_us(guest, ram):
    window = guest.window(HIGH, 2 * PAGE, 64)
    for size in (9 * PAGE, 8 * PAGE + 1, 0):
        os.ftruncate(ram, size)
        assert len(window.read()) == max(0, size - 8 * PAGE)
    assert code(guest.window, 0, 64, 64) == errno.EFAULT
    os.ftruncate(ram, 16 * PAGE)
    assert window.read() == bytes(2 * PAGE)
    window.close()


def test_windows_leave_nothing_mapped(guest):
    def mapped():
        with open("/proc/self/maps", encoding="utf-8") as stream:
            return sum("memfd:ram" in line for line in stream)

    windows = [guest.window(64 * number, 64, 64) for number in range(8)]
    assert mapped() == 8
    for window in windows:
        window.close()
    assert mapped() == 0
