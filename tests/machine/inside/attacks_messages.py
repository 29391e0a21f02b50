# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In the machine: attacks with messages, registers and interrupts, and on the connection itself."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
import threading
import time

import vfio_user
from attacks_memory import HIGH, Attack
from guest import ATOK_HIGH, ATOK_LOW, CONTROL, CREATE, DELETE, HEADER, KICKS, KTOA_HIGH, KTOA_LOW, eventfd, until
from vfio_user import HEADER as HEAD
from vfio_user import NO_REPLY, RESET, SET_IRQS, VERSION, WRITE, Client, Closed

STORM = 40


# Interrupts

def wrong_interrupts(_world, guest):
    with contextlib.ExitStack() as stack:
        made = [eventfd() for _number in range(8)]
        stack.callback(vfio_user.close, made)
        with open("/dev/null", "r+b", buffering=0) as null, vfio_user.memory(4096, "[eventfd]") as memory:
            codes = {guest.port.irqs(*arguments, **named) for arguments, named in (
                (([null.fileno()] * 2,), {}), (([memory, made[0]],), {}), (([made[0], null.fileno()],), {}),
                ((made[:3],), {}), ((made,), {"count": 2}), ((made[:1],), {"count": 2}), ((made[:1],), {"start": 2}),
                ((made[:1],), {"start": 0xFFFFFFFF}), (([],), {"count": 0xFFFFFFFF}), ((made[:1],), {"index": 0}),
                ((made[:1],), {"index": 4}), ((made[:1],), {"index": 5}), ((made[:2],), {"flags": 0x21}),
                ((made[:2],), {"flags": 0x14}), ((made[:1],), {"flags": 0xFFFFFFFF}))}
    assert codes == {errno.EINVAL}
    for start in range(3):
        guest.port.irqs([], start=start, count=0, flags=0x21)
    assert guest.port.irqs(guest.eventfds) == 0


def other_interrupts(_world, guest):
    """Each new eventfd makes the loop begin anew, which the kernel logs."""
    others = [eventfd() for _ring in range(guest.rings)]
    begin = time.monotonic()
    for number in range(STORM):
        assert guest.port.irqs(others if number % 2 else guest.eventfds) == 0
    seconds = time.monotonic() - begin
    assert guest.port.irqs(guest.eventfds) == 0
    vfio_user.close(others)
    return "%d in %.1f s" % (STORM, seconds)


def full_interrupts(_world, guest):
    """Nobody reads what the loop signals, and its counters are full."""
    for descriptor in guest.eventfds:
        with contextlib.suppress(BlockingIOError):
            os.read(descriptor, 8)
        os.write(descriptor, (0xFFFFFFFFFFFFFFFE).to_bytes(8, "little"))


# Messages

def unknown_commands(world, guest):
    codes = set()
    strange = [world.chance.randrange(14, 1 << 16) for _number in range(10)]
    for command in [0, 6, 11, 12, 14, 15, 0x8000, 0xFFFF, *strange]:
        codes.add(guest.port.ask(command, world.chance.randbytes(world.chance.randrange(64))).error)
    assert codes == {errno.EOPNOTSUPP}


def short_messages(_world, guest):
    codes = set()
    for command in range(2, 14):
        for length in (0, 1, 15, 19):
            # Without a body, unknown, or long enough.
            if command in (4, 6, 11, 12, RESET) or (command == 7 and length >= 16):
                continue
            codes.add(guest.port.ask(command, b"\xff" * length).error)
    assert codes == {errno.EINVAL}


def every_access(_world, guest):
    """Each region, size and place: nothing but what there is answers, and nothing is written."""
    sizes_tried, count = (0, 1, 3, 8, 4097, 0xFFFFFFFF), 0
    for region in range(10):
        for offset in (0, 1, 4, 128, 4092, 1 << 63, (1 << 64) - 1):
            # All are sent before the first answer is read.
            for size in sizes_tried:
                body = struct.pack("<QII", offset, region, size)
                guest.port.raw(guest.port.message(vfio_user.READ, body)
                               + guest.port.message(WRITE, body + b"\xff" * min(size, 4096)))
            for size in sizes_tried:
                read, written = guest.port.receive(), guest.port.receive()
                assert {read.error, written.error} <= {0, errno.EINVAL}
                assert len(read.body) == (0 if read.error else 16 + size)
                count += 2
    return "%d accesses" % count


def registers(world, guest):
    """Any value to any register that does no more than keep it, and kicks of rings that there are not."""
    harmless = [offset for offset in range(0, 256, 4) if offset not in (
        CONTROL, HEADER, ATOK_HIGH, ATOK_LOW, KTOA_HIGH, KTOA_LOW)]
    for number in range(1000):
        guest.port.write(world.chance.choice(harmless), world.chance.getrandbits(32), posted=number % 100 != 0)
    assert guest.port.register(28) == 1


def starts(_world, guest):
    """The port is switched on and off, as fast as messages go."""
    begin = time.monotonic()
    body = struct.pack("<QII", CONTROL, 0, 4)
    for _time in range(24):
        for value in (CREATE, DELETE):
            guest.port.send(WRITE, body + struct.pack("<I", value), flags=NO_REPLY)
    guest.port.register(CONTROL)
    return "%d in %.1f s" % (24, time.monotonic() - begin)


def headers(_world, guest):
    for number in range(STORM):
        guest.port.write(HEADER, (0, 10, 12, 11, 0xFFFFFFFF)[number % 5])
    guest.port.write(HEADER, 0)


def addresses(world, guest):
    values = [0, 1, 64, 0x8000, 0x9000, 0x7FFC0, 0xFFFFFFC0, world.chance.getrandbits(32)]
    for _number in range(STORM):
        guest.port.write(world.chance.choice([ATOK_HIGH, ATOK_LOW, KTOA_HIGH, KTOA_LOW]), world.chance.choice(values))


def resets(_world, guest):
    for _time in range(20):
        assert guest.port.ask(RESET).error == 0
        guest.kick()


def wrong_descriptors(world, guest):
    before = world.measures()["descriptors"]
    for command in (4, 5, 7, 9, 10, 13, 3, 99):
        assert guest.port.ask(command, bytes(64), [guest.descriptor] * 8).error
    assert guest.port.ask(2, struct.pack("<IIQQQ", 32, 3, 0, 2 * HIGH, 4096), [guest.descriptor] * 2).error
    assert world.measures()["descriptors"] <= before


def kicks(world, guest):
    """Kicks with nothing to send, as fast as they go, from a guest that never waits."""
    count = 100000 if world.long else 5000
    one = guest.port.message(WRITE, struct.pack("<QII", KICKS, 0, 4) + bytes(4), NO_REPLY)
    for _part in range(count // 100):
        guest.port.raw(one * 100)
    guest.port.register(0)
    return "%d kicks" % count


def nonsense(world, guest):
    """Refusals as fast as they go: the log must not grow with them."""
    count = 100000 if world.long else 10000
    one = guest.port.message(99, b"", NO_REPLY)
    for _part in range(count // 100):
        guest.port.raw(one * 100)
    guest.port.register(0)
    return "%d messages" % count


def second(world, _guest):
    for _time in range(10):
        with Client(world.path("d0")) as other:
            assert other.closed()


def control_calls(_world, guest):
    """What QEMU holds to map the memory is a descriptor of /dev/netmap: it is no port, but it answers."""
    shown = guest.device.region(1)
    header = bytearray(struct.pack("=HHI64sQQ", 14, 14, 0, b"vale7:v0", 0, 0))
    try:
        fcntl.ioctl(shown.descriptor, 0xC0586997, header, True)
    except OSError as error:
        return "KLOOP_STOP: %s" % errno.errorcode[error.errno]
    finally:
        os.close(shown.descriptor)
    return "KLOOP_STOP answers, for the null port alone"


# The connection

def spent(act):
    """Attacks that end the connection, one after the other from a device whose port the first one has cost."""
    def all_of_it(world, guest):
        act(world, guest.port)
        world.drop("d5")
        with vfio_user.connect(world.path("d5"), 60) as client:
            act(world, client)
    return all_of_it


def sizes(world, client):
    client.raw(client.message(4, size=1 << 30))
    assert client.closed()
    for size in (0, 15, 8193, (1 << 32) - 1):
        with vfio_user.connect(world.path("d5"), 60) as other:
            other.raw(other.message(4, size=size) + bytes(8192))
            assert other.closed()


def answers(world, client):
    client.raw(HEAD.pack(1, 4, 16, 1, 0))
    assert client.closed()
    for flags in (2, 15, 0xFFFFFFFF):
        with vfio_user.connect(world.path("d5"), 60) as other:
            other.raw(HEAD.pack(1, 4, 16, flags, 0))
            assert other.closed()


def greetings(world, client):
    client.send(VERSION, bytes(4))
    assert client.closed()
    for body in (b"", b"\0\0\0\0" + b"[" * 8000, b"\0\0\0\0\xff", b"\1\0\0\0{}"):
        with _raw(world) as other:
            assert other.ask(VERSION, body).error == errno.EINVAL
            other.send(4)
            assert other.closed()


@contextlib.contextmanager
def _raw(world):
    """A connection that was not greeted, as soon as there is room for it."""
    kept = []

    def free():
        client = Client(world.path("d5"), 20)
        client.socket.settimeout(0.3)
        try:
            client.receive()
        except socket.timeout:
            client.socket.settimeout(20)
            kept.append(client)
            return True
        except Closed:
            client.close()
            return False

    assert until(free, 60)
    with contextlib.closing(kept[0]) as client:
        yield client


def descriptors(world, client):
    with vfio_user.memory(4096) as memory:
        for given in (9, 100, 253):
            with contextlib.suppress(Closed):
                client.raw(client.message(SET_IRQS, bytes(20)), [memory] * given)
            assert client.closed()
            client = vfio_user.connect(world.path("d5"), 60)
        text = client.message(SET_IRQS, bytes(20))
        with contextlib.suppress(Closed):
            for place in range(len(text) - 1):
                client.raw(text[place:place + 1], [memory] * 4)
        assert client.closed()
        client.close()


def halves(world, client):
    """A client that stops in the midst, and one that says nothing at all: nobody waits for them."""
    client.raw(client.message(WRITE, bytes(100))[:50])
    time.sleep(0.1)
    assert world.honest() == ""
    client.close()
    with _raw(world):
        assert world.honest() == ""
    with _raw(world) as other:
        other.raw(b"\1")
        assert world.honest() == ""


def deaf(world, client):
    """A client that asks and never listens."""
    client.socket.settimeout(1)
    with contextlib.suppress(socket.timeout):
        for _message in range(2000):
            client.raw(client.message(vfio_user.READ, struct.pack("<QII", 0, 7, 4096)) * 10)
    assert world.honest() == ""
    client.close()


def connections(world, client):
    """Connections that come and go."""
    client.close()

    def come_and_go():
        for _time in range(100):
            with contextlib.suppress(Closed, OSError), Client(world.path("d5")) as other:
                other.socket.settimeout(0.05)
                other.raw(b"\0" * 10)

    threads = [threading.Thread(target=come_and_go) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


TABLE = [
    Attack("interrupts that are none", "d0", "refused", wrong_interrupts),
    Attack("eventfds that nobody reads", "d2", "refused", full_interrupts),
    Attack("new eventfds without end", "d2", "refused", other_interrupts),
    Attack("unknown commands", "d0", "refused", unknown_commands),
    Attack("messages that are too short", "d1", "refused", short_messages),
    Attack("reads and writes of every size everywhere", "d1", "refused", every_access),
    Attack("registers at random", "d0", "refused", registers),
    Attack("descriptors with messages that have none", "d3", "refused", wrong_descriptors),
    Attack("a second connection", "d0", "refused", second),
    Attack("kicks without end", "d0", "refused", kicks),
    Attack("kicks without end, automatic", "d2", "refused", kicks),
    Attack("nonsense without end", "d3", "refused", nonsense),
    Attack("switched on and off without end", "d3", "stopped", starts),
    Attack("header lengths without end", "d0", "stopped", headers),
    Attack("addresses of the pointers at random", "d1", "stopped", addresses),
    Attack("resets without end", "d2", "stopped", resets),
    Attack("calls on the descriptor of the memory", "d2", "refused", control_calls),
    *[Attack(name, "d5", "closed", spent(act)) for name, act in (
        ("sizes that no message has", sizes), ("answers instead of requests", answers),
        ("greetings that are none", greetings), ("too many descriptors", descriptors),
        ("half messages and silence", halves), ("questions without listening", deaf),
        ("connections that come and go", connections))],
]
