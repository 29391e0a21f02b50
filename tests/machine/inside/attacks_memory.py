# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In the machine: attacks with the guest's memory, which QEMU lends to the port process, and with what lies in it."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import select
import socket
import struct
import tempfile
import time
from collections import namedtuple

import vfio_user
from guest import ATOK, CREATE, DELETE, ENTRY, HIGH, KTOA, RAM

# ``then``: "refused" nothing happened to its own traffic, "stopped" its port has to be started anew, "closed" its
# connection has ended, "ended" the process has.
Attack = namedtuple("Attack", "name device then act")
LONG = 1 << 64
PAGE = mmap.PAGESIZE
_PUNCH = 3  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
_MFD_HUGETLB = 4


def pointers(atok, ktoa, prepare=None):
    """The rings' pointers somewhere; the port must not come up, and comes up where they belong."""
    def act(_world, guest):
        guest.control(DELETE)
        with vfio_user.memory(4 * PAGE) as other:
            if prepare:
                prepare(guest, other)
            guest.pointers(atok, ktoa)
            code = guest.control(CREATE)
            assert code, "the port came up"
            guest.pointers()
            return errno.errorcode[code]
    return act


def _read_only(guest, other):
    assert guest.port.map(2 * HIGH, 4 * PAGE, other, flags=1) == 0


def _bare(guest, _other):
    assert guest.port.map(2 * HIGH, 4 * PAGE) == 0


def _beyond(guest, other):
    assert guest.port.map(2 * HIGH, 8 * PAGE, other) == 0


def _at_the_end(guest, other):
    assert guest.port.map(LONG - 4 * PAGE, 4 * PAGE, other) == 0


POINTERS = [
    ("nowhere", 1 << 40, KTOA, None), ("at 0, none", 0, 0, None), ("beyond a piece", RAM // 2 - 64, KTOA, None),
    ("between two pieces", HIGH - 64, KTOA, None), ("of all ones", LONG - 64, LONG - 64, None),
    ("across 2^64", LONG - 64, KTOA, _at_the_end), ("not aligned", ATOK + 4, KTOA, None),
    ("not aligned to an entry", ATOK, KTOA + 32, None), ("the same", ATOK, ATOK, None),
    ("overlapping", ATOK, ATOK + ENTRY, None), ("read-only", 2 * HIGH, KTOA, _read_only),
    ("for the kernel read-only", ATOK, 2 * HIGH, _read_only), ("without a descriptor", 2 * HIGH, KTOA, _bare),
    ("beyond the file's end", 2 * HIGH + 4 * PAGE, KTOA, _beyond),
    ("across the file's end", 2 * HIGH + 4 * PAGE - 64, KTOA, _beyond)]


def cut(size):
    """The file behind the pointers is cut while the loop uses them."""
    def act(_world, guest):
        os.ftruncate(guest.descriptor, size)
        for _kick in range(20):
            guest.kick()
            guest.kick(1)
        time.sleep(0.3)
        os.ftruncate(guest.descriptor, RAM)
        time.sleep(0.1)
    return act


def punch(_world, guest):
    library = ctypes.CDLL(None, use_errno=True)
    for _time in range(50):
        assert library.fallocate(guest.descriptor, _PUNCH, ctypes.c_long(0), ctypes.c_long(RAM)) == 0
        guest.kick()


def unmap(_world, guest):
    assert guest.port.unmap(0, RAM // 2) == 0
    for _kick in range(20):
        guest.kick()
    assert guest.control(CREATE) == errno.ENXIO


def map_again_and_again(_world, guest):
    """Pieces come and go beside the running loop, which must not care."""
    for number in range(20):
        assert guest.port.map(2 * HIGH + number * RAM, RAM, guest.descriptor) == 0
        assert guest.port.unmap(2 * HIGH + number * RAM, RAM) == 0


def many(world, guest):
    clients = [guest.port, guest.device]
    before = world.measures()["descriptors"]
    for client in clients:
        for number in range(600):
            client.send(vfio_user.DMA_MAP, struct.pack("<IIQQQ", 32, 3, 0, 2 * HIGH + number * PAGE, PAGE),
                        [guest.descriptor], vfio_user.NO_REPLY)
    assert {client.map(3 * HIGH, PAGE, guest.descriptor) for client in clients} == {errno.E2BIG}
    held = world.measures()["descriptors"] - before
    # Nobody else is short of descriptors for it.
    assert world.honest() == ""
    with contextlib.closing(vfio_user.connect(world.path("m4"))):
        pass
    for client in clients:
        client.unmap(2 * HIGH, HIGH)
    assert world.measures()["descriptors"] <= before
    return "on two devices: %d descriptors" % held


def wrong_ranges(_world, guest):
    codes = set()
    for address, size, offset, flags in (
            (0, RAM, 0, 3), (PAGE, PAGE, 0, 3), (RAM // 2 - 1, 2, 0, 3), (0, LONG - 1, 0, 3), (2 * HIGH, 0, 0, 3),
            (LONG - 1, 2, 0, 3), (2 * HIGH, PAGE, LONG - PAGE, 3), (2 * HIGH, PAGE, 1 << 63, 3),
            (2 * HIGH, PAGE, 0, 0), (2 * HIGH, PAGE, 0, 0xFFFFFFFF)):
        codes.add(guest.port.map(address, size, guest.descriptor, offset, flags))
    for address, size, flags in (
            (PAGE, PAGE, 0), (1 << 40, PAGE, 0), (0, 0, 0), (LONG - 1, 2, 0), (0, 0, 1), (0, 0, 4)):
        codes.add(guest.port.unmap(address, size, flags))
    assert 0 not in codes
    return _codes(codes)


def kinds(_world, guest):
    """Descriptors that are no memory: none may be mapped, whatever their kind."""
    refused, taken, skipped = set(), [], []
    for name, make in _kinds().items():
        try:
            descriptor = make()
        except OSError as error:
            skipped.append("%s (%s)" % (name, error.strerror))
            continue
        code = guest.port.map(2 * HIGH, PAGE, descriptor)
        os.close(descriptor)
        if code:
            refused.add(name)
        else:
            taken.append(name)
            guest.port.unmap(2 * HIGH, PAGE)
    assert not taken, taken
    # A page that somebody else has to provide: a FUSE server needs a library that is not in the image.
    return "%d kinds refused; skipped: %s" % (len(refused), ", ".join([*skipped, "FUSE (no server here)"]))


def _kinds():
    def pipe():
        ends = os.pipe()
        os.close(ends[0])
        return ends[1]

    def mode(flags):
        def make():
            with vfio_user.memory(PAGE) as descriptor:
                return os.open("/proc/self/fd/%d" % descriptor, flags)
        return make

    def epoll():
        one = select.epoll()
        try:
            return os.dup(one.fileno())
        finally:
            one.close()

    def regular():
        # Not below /tmp, which may be a tmpfs.
        with tempfile.TemporaryFile(dir="/var/lib") as file:
            file.truncate(PAGE)
            return os.dup(file.fileno())

    def userfaultfd():
        descriptor = ctypes.CDLL(None, use_errno=True).syscall(323, os.O_CLOEXEC)
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return descriptor

    def device(path, flags=os.O_RDWR):
        return lambda: os.open(path, flags)

    return {
        "pipe": pipe, "socket": lambda: socket.socket(socket.AF_UNIX).detach(), "epoll": epoll, "regular": regular,
        "read-only": mode(os.O_RDONLY), "write-only": mode(os.O_WRONLY), "path": mode(os.O_PATH),
        "userfaultfd": userfaultfd, "zero": device("/dev/zero"), "null": device("/dev/null"),
        "netmap": device("/dev/netmap"), "kmsg": device("/dev/kmsg"), "memory of a process": device("/proc/self/mem"),
        "folder of memory": device("/dev/shm", os.O_RDONLY), "disk": device("/dev/vda"),
        "terminal": device("/dev/ptmx"), "folder": device("/", os.O_RDONLY), "sysfs": device("/sys/power/state")}


def sealed(_world, guest):
    """Memory that cannot be written any more: taken as memory, refused for pointers."""
    notes = []
    for name, seal in (("write", 8), ("future write", 0x10), ("shrink, grow", 6)):
        with vfio_user.memory(4 * PAGE) as other:
            fcntl.fcntl(other, fcntl.F_ADD_SEALS, seal)
            assert guest.port.map(2 * HIGH, 4 * PAGE, other) == 0
            guest.control(DELETE)
            guest.pointers(2 * HIGH)
            code = guest.control(CREATE)
            notes.append("%s: %s" % (name, errno.errorcode.get(code, "taken")))
            assert bool(code) == (name != "shrink, grow")
            guest.port.unmap(2 * HIGH, 4 * PAGE)
    return ", ".join(notes)


def huge_pages(_world, guest):
    """Memory of huge pages is what large guests have."""
    with open("/proc/sys/vm/nr_hugepages", "w", encoding="ascii") as stream:
        stream.write("2")
    try:
        other = os.memfd_create("huge", os.MFD_CLOEXEC | _MFD_HUGETLB)
        os.ftruncate(other, 2 << 20)
        mmap.mmap(other, 2 << 20).close()
    except OSError as error:
        return "skipped: %s" % error.strerror
    try:
        assert guest.port.map(2 * HIGH, 2 << 20, other) == 0
        guest.control(DELETE)
        guest.pointers(2 * HIGH + 0x5040, 2 * HIGH + 0x9040)
        code = guest.control(CREATE)
        guest.control(DELETE)
        assert code == 0, "refused: " + errno.errorcode[code]
    finally:
        guest.port.unmap(2 * HIGH, 2 << 20)
        os.close(other)
        with open("/proc/sys/vm/nr_hugepages", "w", encoding="ascii") as stream:
            stream.write("0")
    return "taken"


def garbage_pointers(world, guest):
    """What a guest writes into its pointers: no value may do more than stop its own port."""
    slots = 1024
    for value in (slots, slots - 1, slots + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1, 0):
        for ring in range(guest.rings):
            for head, cur in ((value, value), (value, 0), (0, value)):
                struct.pack_into("<IIII", guest.ram, ATOK + ENTRY * ring, head, cur, value, value)
                guest.kick(ring)
    for _round in range(200):
        struct.pack_into("<4I", guest.ram, ATOK + ENTRY * world.chance.randrange(guest.rings),
                         *[world.chance.getrandbits(32) for _word in range(4)])
        guest.kick()
    # What it may only read is overwritten as well.
    guest.ram[KTOA:KTOA + ENTRY * guest.rings] = b"\xff" * (ENTRY * guest.rings)
    time.sleep(0.1)


TABLE = [
    *[Attack("pointers " + name, "d%d" % (number % 4), "stopped", pointers(atok, ktoa, prepare))
      for number, (name, atok, ktoa, prepare) in enumerate(POINTERS)],
    Attack("file cut to nothing under a notified loop", "d0", "stopped", cut(0)),
    Attack("file cut to nothing under a polling loop", "d1", "stopped", cut(0)),
    Attack("file cut in the midst of the pointers", "d1", "stopped", cut(KTOA + 32)),
    Attack("holes punched under a notified loop", "d0", "stopped", punch),
    Attack("holes punched under a polling loop", "d1", "stopped", punch),
    Attack("memory unmapped under a notified loop", "d2", "stopped", unmap),
    Attack("memory unmapped under a polling loop", "d1", "stopped", unmap),
    Attack("memory comes and goes", "d0", "refused", map_again_and_again),
    Attack("600 mappings on each of two devices", "d3", "refused", many),
    Attack("ranges that wrap, overlap or are none", "d0", "refused", wrong_ranges),
    Attack("descriptors that are no memory", "d1", "refused", kinds),
    Attack("sealed memory", "d2", "stopped", sealed),
    Attack("huge pages", "d3", "stopped", huge_pages),
    Attack("garbage in the pointers, notified", "d0", "stopped", garbage_pointers),
    Attack("garbage in the pointers, polling", "d1", "stopped", garbage_pointers),
]


def _codes(codes):
    return ", ".join(sorted(errno.errorcode[code] for code in codes))
