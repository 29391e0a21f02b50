# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two devices, asked without a socket: what a guest and its QEMU can say to them, and what comes of it."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import struct

import pytest
import vfio_user
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import opened
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import devices, loop, port_options
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet.protocol import Message, Refused
from fake_opened import HDR_SET, MEMORY, POINTERS, START
from guest import ATOK, ATOK_HIGH, ATOK_LOW, CONTROL, CREATE, DELETE, HEADER, KICKS, KTOA, KTOA_HIGH, KTOA_LOW, eventfd

DECLARED = {"id": "d0", "ifname": "vale1:10", "mac": "02:00:00:00:00:01", "mode": "notified"}
RAM = 1 << 20


class Asked:
    """A device, asked directly; what a message brings is duplicated first."""

    def __init__(self, device):
        self.device = device

    def ask(self, command, body=b"", descriptors=()):
        return self.device.answer(Message(1, command, 0, body), [os.dup(one) for one in descriptors])

    def write(self, offset, value, region=0):
        data = value if isinstance(value, bytes) else value.to_bytes(4, "little")
        self.ask(vfio_user.WRITE, struct.pack("<QII", offset, region, len(data)) + data)

    def read(self, offset, region=0, count=4):
        return int.from_bytes(self.ask(vfio_user.READ, struct.pack("<QII", offset, region, count))[0][16:], "little")

    def map(self, address, size, descriptors=()):
        self.ask(vfio_user.DMA_MAP, struct.pack("<IIQQQ", 32, 3, 0, address, size), descriptors)

    def unmap(self, address, size, flags=0):
        return self.ask(vfio_user.DMA_UNMAP, struct.pack("<IIQQ", 24, flags, address, size))[0]

    def irqs(self, descriptors, start=0, count=None, flags=0x24, index=2):
        count = len(descriptors) if count is None else count
        self.ask(vfio_user.SET_IRQS, struct.pack("<IIIII", 20, flags, index, start, count), descriptors)

    def pointers(self, atok, ktoa):
        for high, low, address in ((ATOK_HIGH, ATOK_LOW, atok), (KTOA_HIGH, KTOA_LOW, ktoa)):
            self.write(high, address >> 32)
            self.write(low, address & 0xFFFFFFFF)

    def control(self, command):
        self.write(CONTROL, command)
        return self.read(CONTROL)


@pytest.fixture
def make(port, said):
    """Make the device of the open port; ``device.told`` counts how often it said that it polls."""
    made = []

    def one(**options):
        told = []
        made.append(devices.PortDevice(port, port_options.check(dict(DECLARED, **options)), said.append,
                                       lambda: told.append(1)))
        made[-1].told = told
        return made[-1]

    yield one
    for one in made:
        one.disconnected()
        # They stay as long as the process.
        vfio_user.close(one.loop.kicks)


@pytest.fixture
def device(make):
    return make()


@pytest.fixture
def guest(device):
    """A guest with memory: its interface can come up."""
    one = Asked(device)
    with vfio_user.memory(RAM) as ram:
        one.map(0, RAM, [ram])
        yield one


def log(device):
    return device.port._node.log


# Life

def test_a_life(device, guest, wait):
    for _boot in range(3):
        assert guest.read(0) == 0
        guest.write(0, 1)
        assert guest.read(0) == 1
        guest.pointers(ATOK, KTOA)
        guest.write(HEADER, 12)
        assert (guest.read(HEADER), device.port._node.netmap.headers["vale1:10"]) == (12, 12)
        assert guest.control(CREATE) == 0
        assert guest.control(CREATE) == 0
        wait(lambda: device.port._node._running)
        assert device.status() == {"id": "d0", "port": "vale1:10", "open": True, "mode": "notified", "running": True,
                                   "polls": False, "kicks": device.kicks}
        assert guest.control(DELETE) == 0
        assert not device.port._node._running
        assert guest.control(DELETE) == 0
        guest.pointers(0, 0)
        # Removed, started again, or reset: it begins as it was.
        guest.pointers(ATOK, KTOA)
        assert guest.control(CREATE) == 0
        guest.ask(vfio_user.RESET)
        assert not device.loop.running
        assert (guest.read(0), guest.read(ATOK_LOW), guest.control(CREATE)) == (0, 0, errno.ENXIO)


@pytest.mark.parametrize(("region", "offset", "count"), [
    (0, ATOK_LOW, 1), (0, ATOK_LOW, 2), (0, ATOK_LOW, 8), (0, ATOK_LOW + 1, 4), (0, ATOK_LOW + 2, 4), (1, ATOK_LOW, 4),
    (6, ATOK_LOW, 4), (8, ATOK_LOW, 4)])
def test_a_register_is_reached_by_words_of_its_own_region_alone(guest, region, offset, count):
    guest.pointers(ATOK, KTOA)
    assert guest.read(ATOK_LOW) == ATOK
    assert guest.read(offset, region, count) == 0
    guest.write(offset, b"\xff" * count, region)
    assert guest.read(ATOK_LOW) == ATOK


def test_a_reset_takes_back_what_was_configured(guest):
    before = guest.read(4, 7)
    guest.write(4, 0x0407, 7)
    assert guest.read(4, 7) != before
    guest.ask(vfio_user.RESET)
    assert guest.read(4, 7) == before


def test_what_was_unmapped_is_said_in_its_own_words(guest):
    asked = struct.pack("<IIQQ", 24, 0, 0, RAM)
    assert guest.ask(vfio_user.DMA_UNMAP, asked + b"a bitmap, or what follows")[0] == asked


@pytest.mark.parametrize(("atok", "ktoa", "answer"), [
    (0, 0, errno.ENXIO), (ATOK, 0, errno.ENXIO), (0, KTOA, errno.ENXIO), (ATOK, ATOK, errno.EINVAL),
    (ATOK, ATOK + 64, errno.EINVAL), (ATOK + 64, ATOK, errno.EINVAL), (ATOK, ATOK + 128, 0), (RAM - 128, 0x40, 0),
    # What is refused when it is written is not there when the interface comes up.
    (ATOK + 1, KTOA, errno.ENXIO), (ATOK, KTOA + 32, errno.ENXIO), (RAM - 64, KTOA, errno.ENXIO),
    (ATOK, RAM, errno.ENXIO), (1 << 40, KTOA, errno.ENXIO), ((1 << 64) - 64, KTOA, errno.ENXIO),
    ((1 << 64) - 128, KTOA, errno.ENXIO)])
def test_where_the_pointers_may_be(device, guest, atok, ktoa, answer):
    guest.pointers(atok, ktoa)
    assert guest.control(CREATE) == answer
    assert (POINTERS in log(device)) == (answer == 0)
    # Right ones heal it.
    guest.pointers(ATOK, KTOA)
    assert guest.control(CREATE) == 0


def test_new_pointers_stop_the_loop(device, guest):
    guest.pointers(ATOK, KTOA)
    assert guest.control(CREATE) == 0
    guest.write(ATOK_LOW, 0x4000)
    assert not device.loop.running
    assert guest.control(CREATE) == 0


def test_memory_that_goes_takes_the_loop_with_it(device, guest):
    guest.pointers(ATOK, KTOA)
    assert guest.control(CREATE) == 0
    with vfio_user.memory(RAM) as other:
        guest.map(2 * RAM, RAM, [other])
        # Other memory is no matter.
        assert guest.unmap(2 * RAM, RAM) == struct.pack("<IIQQ", 24, 0, 2 * RAM, RAM)
        assert device.loop.running
        guest.unmap(0, 0, 2)
        assert not device.loop.running
        assert guest.control(CREATE) == errno.ENXIO


def test_kicks(device, guest, wait):
    guest.pointers(ATOK, KTOA)
    guest.write(KICKS, 0)
    guest.control(CREATE)
    wait(lambda: device.port._node._running)
    for offset in (KICKS, KICKS + 4, KICKS + 8, KICKS + 124, KICKS + 2):
        guest.write(offset, 0)
    assert device.kicks == 3


def test_an_error_of_netmap_is_the_guests_answer(device, guest, said):
    guest.pointers(ATOK, KTOA)
    device.port._node.netmap.fail[POINTERS, "vale1:10"] = errno.ENOMEM
    assert guest.control(CREATE) == errno.ENOMEM
    assert not device.loop.running
    device.port._node.netmap.fail[HDR_SET, "vale1:10"] = errno.EINVAL
    guest.write(HEADER, 12)
    assert guest.read(HEADER) == 0
    assert "d0: netmap refused to take the rings' pointers of vale1:10" in said[0]


@pytest.fixture
def slept(monkeypatch):
    """The limit of guests, and how long somebody was held up (list of float)."""
    waits = []
    monkeypatch.setattr(loop, "_BEGIN_SECONDS", 1.0)
    monkeypatch.setattr(loop.time, "sleep", waits.append)
    return waits


def test_many_starts_are_held_up(device, guest, slept):
    guest.pointers(ATOK, KTOA)
    for _start in range(50):
        assert guest.control(CREATE) == 0
        assert guest.control(DELETE) == 0
    assert slept == [1.0] * 30
    assert log(device).count(START) <= 50


def test_many_new_interrupts_are_held_up(device, guest, slept):
    """Each has the loop begin anew, and comes as fast as a hostile QEMU sends messages."""
    guest.pointers(ATOK, KTOA)
    assert guest.control(CREATE) == 0
    with contextlib.ExitStack() as stack:
        for _change in range(50):
            made = eventfd()
            stack.callback(os.close, made)
            guest.irqs([made])
    assert slept == [1.0] * 31
    guest.control(DELETE)


def test_starts_that_netmap_refuses_are_held_up(device, guest, slept):
    """Each is a line in the kernel's log, under netmap's lock."""
    guest.pointers(ATOK, KTOA)
    for _start in range(50):
        device.port._node.netmap.fail[POINTERS, "vale1:10"] = errno.EFAULT
        assert guest.control(CREATE) == errno.EFAULT
    assert slept == [1.0] * 30


def test_many_header_lengths_are_held_up(guest, slept):
    for number in range(50):
        guest.write(HEADER, 12 * (number % 2))
    assert slept == [1.0] * 30


def test_a_guest_does_not_fill_the_log(guest, said):
    for _start in range(100):
        assert guest.control(CREATE) == errno.ENXIO
    assert len(said) == 20
    assert said[-1].endswith("(no more of this is told)")


def test_a_loop_that_netmap_refused_is_none(device, guest, wait):
    guest.pointers(ATOK, KTOA)
    device.port._node.netmap.fail[START, "vale1:10"] = errno.ENOMEM
    assert guest.control(CREATE) == 0
    wait(lambda: not device.status()["running"])
    assert guest.control(CREATE) == 0
    wait(lambda: device.port._node._running)
    assert device.status()["running"]


# Interrupts

def test_the_same_eventfds_under_other_numbers_are_what_the_next_loop_gets(device, guest, wait):
    with contextlib.ExitStack() as stack:
        made = [eventfd() for _number in range(2)]
        stack.callback(vfio_user.close, made)
        guest.pointers(ATOK, KTOA)
        guest.irqs(made)
        assert guest.control(CREATE) == 0
        guest.irqs(made)
        device.loop.restart()
        wait(lambda: device.port._node._running)
        assert [irq for _kick, irq in device.port._node._pairs] == device._eventfds


def test_interrupts(device, guest, wait):
    with contextlib.ExitStack() as stack:
        made = [eventfd() for _number in range(3)]
        stack.callback(vfio_user.close, made)
        guest.pointers(ATOK, KTOA)
        guest.irqs(made[:2])
        assert guest.control(CREATE) == 0
        wait(lambda: device.port._node._running)
        starts = log(device).count(START)
        # The same once more is no change; another one restarts the loop, without new pointers.
        guest.irqs(made[:2])
        assert log(device).count(START) == starts
        guest.irqs([made[2]], start=1)
        wait(lambda: log(device).count(START) == starts + 1)
        assert log(device).count(POINTERS) == 1
        guest.irqs([], count=1, start=1)
        assert device._eventfds[1] == -1
        guest.irqs([], flags=0x21)
        assert device._eventfds == [-1, -1]


@pytest.mark.parametrize(("count", "start", "flags", "index", "given"), [
    (2, 0, 0x24, 2, "p"), (2, 0, 0x24, 2, "eee"), (1, 0, 0x24, 2, "ee"), (2, 0, 0x21, 2, "ee"), (2, 0, 0x14, 2, "ee"),
    (1, 0, 0x24, 0, "e"), (1, 0, 0x24, 3, "e"), (1, 2, 0x24, 2, "e"), (1, 0xFFFFFFFF, 0x24, 2, "e"),
    (0, 0, 0x24, 2, "e"), (2, 0, 0x24, 2, "ep"), (1, 0, 0x24, 2, "m"), (1, 0, 0x64, 2, "e")])
def test_interrupts_that_are_refused(device, guest, count, start, flags, index, given):
    make = {"e": eventfd, "p": lambda: os.open("/dev/null", os.O_RDWR), "m": lambda: os.memfd_create("[eventfd]")}
    made = [make[kind]() for kind in given]
    try:
        with pytest.raises(Refused):
            guest.irqs(made, start, count, flags, index)
    finally:
        vfio_user.close(made)
    assert device._eventfds == [-1, -1]


def test_switching_off_from_a_vector_on(device, guest):
    """No interrupts at all, but not from the first one: the list stays as long as it is."""
    for start in (0, 1, 2, 2, 1):
        with contextlib.suppress(Refused):
            guest.irqs([], start=start, count=0, flags=0x21)
    assert device._eventfds == [-1, -1]


def test_eventfds_are_closed_when_they_cannot_be_compared(device, guest, monkeypatch):
    """Where descriptors have run out, those that went are closed all the same."""
    made = [eventfd(), eventfd()]
    guest.irqs(made)
    with monkeypatch.context() as patch:
        patch.setattr(devices, "_identity", _none_left)
        with pytest.raises(OSError, match="Too many"):
            guest.irqs(made)
    vfio_user.close(made)


def _none_left(_descriptor):
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


# Messages

@pytest.mark.parametrize("command", [command for command in range(16) if command not in (2, 8)])
def test_descriptors_with_the_wrong_message(guest, command):
    with vfio_user.memory(RAM) as ram, pytest.raises(Refused):
        guest.ask(command, bytes(64), [ram] * 8)


@pytest.mark.parametrize("command", [0, 1, 6, 11, 12, 14, 15, 0xFFFF])
def test_commands_that_there_are_not(guest, command):
    with pytest.raises(Refused) as refused:
        guest.ask(command)
    assert refused.value.code == errno.EOPNOTSUPP


def test_regions(guest, port, door):
    with contextlib.closing(opened.open_region(door, port.shape["mem_id"])) as region:
        memory = Asked(devices.MemoryDevice(port.pools, region, "io", "qemu"))
        sizes = {(one, index): _region(asked, index) for one, asked in (("port", guest), ("memory", memory))
                 for index in range(9)}
        assert {key: value for key, value in sizes.items() if value[0]} == {
            ("port", 0): (256, 3, None, None), ("port", 2): (4096, 3, None, None), ("port", 7): (256, 3, None, None),
            ("memory", 0): (128, 3, None, None), ("memory", 1): (1 << 22, 15, MEMORY, region.fileno()),
            ("memory", 7): (256, 3, None, None)}
        assert memory.read(0) == MEMORY
        memory.write(0, 5)
        assert memory.read(0) == MEMORY
        with pytest.raises(Refused):
            _region(guest, 9)
        memory.device.disconnected()


def _region(asked, index):
    body, descriptor = asked.ask(vfio_user.REGION_INFO, struct.pack("<IIIIQQ", 64, 0, index, 0, 0, 0))
    mapped = struct.unpack_from("<Q", body, 56)[0] if len(body) == 64 else None
    return struct.unpack_from("<Q", body, 16)[0], struct.unpack_from("<I", body, 4)[0], mapped, descriptor


@pytest.mark.parametrize("region", range(9))
def test_every_size_and_offset(guest, region):
    for offset in (0, 1, 4, 127, 128, 252, 255, 256, 4092, 1 << 32, (1 << 64) - 4096):
        for count in (1, 2, 3, 4, 8, 4096):
            assert 0 <= guest.read(offset, region, count) < 1 << (8 * count)
            guest.write(offset, b"\xff" * count, region)


def test_a_port_with_too_many_rings(netmap, door):
    netmap.shape.update(tx_rings=17, rx_rings=16)
    with contextlib.closing(opened.open_port(door, "vale1:11", [])) as port, \
            pytest.raises(PtnetError, match="33 rings"):
        devices.PortDevice(port, port_options.check(DECLARED), print, print)


# A port that is given back

def test_a_port_is_given_back_while_the_device_stays(device, guest, netmap):
    guest.pointers(ATOK, KTOA)
    assert guest.control(CREATE) == 0
    device.release()
    device.release()
    assert netmap.free()
    assert not device.status()["open"]
    assert guest.control(CREATE) == errno.ENXIO
    assert guest.control(DELETE) == 0
    for offset in (KICKS, HEADER, ATOK_LOW, KTOA_LOW):
        guest.write(offset, 10)
    device.quiet(0)
    guest.ask(vfio_user.RESET)
    guest.irqs([], flags=0x21)


def test_a_port_goes_with_its_client(device, guest, netmap):
    guest.pointers(ATOK, KTOA)
    assert guest.control(CREATE) == 0
    device.disconnected()
    assert netmap.free()
    assert guest.control(CREATE) == errno.ENXIO


def test_automatic(port, make, wait, monkeypatch):
    device = make(mode="automatic")
    guest = Asked(device)
    with vfio_user.memory(RAM) as ram:
        guest.map(0, RAM, [ram])
        guest.pointers(ATOK, KTOA)
        assert guest.control(CREATE) == 0
        assert not device.loop.polls
        for _kick in range(20):
            guest.write(KICKS, 0)
        assert device.loop.polls
        assert device.told == [1]
        wait(lambda: port._node._pairs == [(-1, -1)] * 2)
        assert len(device._pointers()) == 16
        pointers = b"still"
        monkeypatch.setattr(device, "_pointers", lambda: pointers)
        device.quiet(100.0)
        device.quiet(100.5)
        pointers = b"moved"
        device.quiet(101.5)
        assert device.loop.polls
        device.quiet(102.6)
        assert not device.loop.polls
        # A new start begins notified.
        device.loop.poll(True)
        guest.control(DELETE)
        guest.control(CREATE)
        assert not device.loop.polls


def test_a_mode_that_is_changed_while_a_kick_comes(make, monkeypatch):
    device = make(mode="automatic")
    monkeypatch.setattr(device.loop, "kick", lambda _ring, _pointers: device.change(
        dict(device.declared, mode="notified")) or True)
    device._kick(0)
    assert not device.loop.polls


# Anything at all

def test_random_messages(device, guest, said):
    chance = random.Random(5)
    for _message in range(4000):
        command = chance.randrange(16)
        length = chance.choice([0, 4, 8, 16, 20, 24, 32, chance.randrange(64)])
        body = b"".join(chance.choice(_WORDS) for _word in range(length // 4))
        descriptors = [chance.choice(_OPENERS)() for _one in range(chance.choice([0, 0, 1, 2, 4]))]
        with contextlib.suppress(Refused):
            guest.ask(command, body, descriptors)
        vfio_user.close(descriptors)
        assert len(device._eventfds) == 2
    device.disconnected()
    assert not device.loop.running


_WORDS = [struct.pack("<I", value) for value in (
    0, 0, 0, 1, 2, 3, 4, 7, 9, 0x20, 0x21, 0x24, 56, 64, 128, 132, 0x8000, 0x9000, RAM, 0x7FFFFFFF, 0x80000000,
    0xFFFFFFFF)]


def _memory():
    descriptor = os.memfd_create("ram")
    os.ftruncate(descriptor, RAM)
    return descriptor


_OPENERS = [eventfd, _memory, _memory, lambda: os.open("/dev/null", os.O_RDWR)]
