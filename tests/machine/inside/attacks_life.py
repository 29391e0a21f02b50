# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In the machine: clients that die, rings full of garbage, and the end of the process in the midst of all that."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import threading
import time

import vfio_user
from attacks_memory import Attack
from guest import CONTROL, CREATE, DELETE, frames, until
from vfio_user import NO_REPLY, WRITE, Closed

INDIRECT, MORE = 0x10, 0x20


# Clients that die

def killed(device, *states):
    """A client is killed in one state after the other; its port is free at once, also in the midst of traffic."""
    def act(world, _guest):
        seconds = []
        for number, state in enumerate(states):
            # The last one has the port, those before it only a connection: the first to go gives the port back.
            begun, begin = os.pipe()
            child = os.fork()
            if not child:
                _live(world, device, state, begin)
            os.close(begin)
            os.read(begun, 1)
            os.close(begun)
            os.kill(child, signal.SIGKILL)
            died = time.monotonic()
            os.waitpid(child, 0)
            if number == 0:
                assert world.freed(device), "its port is not free"
                seconds.append(time.monotonic() - died)
            with contextlib.closing(vfio_user.connect(world.path(device), 30)):
                pass
        return "free after %.2f s" % seconds[0]
    return act


def _live(world, device, state, begin):
    """In the child: reach a state, say so, and go on with it until death."""
    signal.alarm(120)
    try:
        if state in ("connected", "half a message"):
            client = vfio_user.Client(world.path(device), 30)
            if state == "half a message":
                client.raw(client.message(1, bytes(50))[:30])
            os.write(begin, b"x")
        else:
            guest = world.connect(device)
            guest.boot()
            if state != "mapped":
                guest.pointers()
                assert guest.control(CREATE) == 0
            os.write(begin, b"x")
        while True:
            time.sleep(60)
    finally:
        os._exit(1)


def killed_under_traffic(device):
    """The guest that is connected goes on in a child, which is killed."""
    def act(world, guest):
        begun, begin = os.pipe()
        child = os.fork()
        if not child:
            try:
                signal.alarm(60)
                os.write(begin, b"x")
                while True:
                    traffic(guest)
            finally:
                os._exit(1)
        os.close(begin)
        os.read(begun, 1)
        os.close(begun)
        # The connection is the child's now.
        world.drop(device)
        time.sleep(0.5)
        assert world.status()[device]["running"]
        os.kill(child, signal.SIGKILL)
        died = time.monotonic()
        os.waitpid(child, 0)
        assert world.freed(device), "its port is not free"
        return "free after %.2f s" % (time.monotonic() - died)
    return act


# Rings full of garbage

def garbage_slots(world, guest):
    """Slots that name buffers that there are not, lengths that do not fit, and memory of others."""
    ring = guest.layout(0)
    chance = world.chance
    for _round in range(60):
        head = guest.ring(0)[0]
        for _slot in range(8):
            index = chance.choice([0, 1, 2, 0x7FFFFFFF, 0xFFFFFFFF, chance.getrandbits(32)])
            length = chance.choice([0, 1, 13, 14, 60, 2048, 2049, 0xFFFF])
            flags = chance.choice([0, 1, MORE, INDIRECT, INDIRECT | MORE, 0xFFFF & ~INDIRECT])
            pointer = chance.choice([0, 1, 0x1000, 0x7FFFFFFFF000, 1 << 47, 0xFFFF888000000000, (1 << 64) - 64])
            ring.slot(head, index, length, flags, pointer)
            head = (head + 1) % ring.slots
        guest.move(0, head)
        guest.sent(2)
    return "%d rounds" % 60


def garbage_region(world, guest):
    """All that the guest can write of its memory region, but for the buffers, is overwritten."""
    for number in range(guest.rings):
        begin = guest.layout(number).begin
        guest.region[begin:begin + 256 + 16 * 1024] = world.chance.randbytes(256 + 16 * 1024)
    guest.region[guest.offset:guest.offset + 128] = b"\xff" * 128
    for _kick in range(50):
        struct.pack_into("<II", guest.ram, 0x8000, *[world.chance.randrange(1024)] * 2)
        struct.pack_into("<II", guest.ram, 0x8040, *[world.chance.randrange(1024)] * 2)
        guest.kick()
        guest.kick(1)
        time.sleep(0.01)


def closed(act):
    """Whatever it did to the memory of its port stays there: the guest goes, and the port with it."""
    def all_of_it(world, guest):
        note = act(world, guest)
        guest.port.close()
        return note
    return all_of_it


# The end of the process

def ended(act):
    """The process is told to end while guests act, and systemd starts it anew: ports free, nothing killed by force."""
    def all_of_it(world, _guest):
        stop, guests = threading.Event(), [world.guest(device) for device in ("d0", "d1")]
        threads = [threading.Thread(target=_until_closed, args=(act, guest, stop)) for guest in guests]
        for thread in threads:
            thread.start()
        time.sleep(1)
        before = world.pid
        begin = time.monotonic()
        os.kill(world.pid, signal.SIGTERM)
        assert until(lambda: not os.path.exists("/proc/%d" % before), 15), "it goes on"
        seconds = time.monotonic() - begin
        stop.set()
        for thread in threads:
            thread.join()
        world.renew()
        assert world.pid != before
        # KillSignal only: a process that had to be killed leaves "timeout" or "signal" behind.
        said = world.journal("killed|timed out|SIGKILL|Traceback")
        assert not said, said
        return "ended after %.2f s" % seconds
    return all_of_it


def _until_closed(act, guest, stop):
    with contextlib.suppress(Closed, OSError):
        while not stop.is_set():
            act(guest)


def traffic(guest):
    guest.send(frames(20, "traffic"))
    guest.sent(5)
    guest.receive()


def on_and_off(guest):
    body = struct.pack("<QII", CONTROL, 0, 4)
    guest.port.raw(b"".join(guest.port.message(WRITE, body + struct.pack("<I", value), NO_REPLY)
                            for value in (CREATE, DELETE) * 20))


TABLE = [
    Attack("a client killed: connected, mapped, in half a message", "", "freed", killed(
        "d4", "mapped", "connected", "half a message")),
    Attack("a client killed while its loop runs", "", "freed", killed("d6", "running")),
    Attack("a client killed under traffic, notified", "d0", "freed", killed_under_traffic("d0")),
    Attack("a client killed under traffic, polling", "d1", "freed", killed_under_traffic("d1")),
    Attack("garbage in the slots", "d2", "closed", closed(garbage_slots)),
    Attack("garbage in the whole region", "d3", "closed", closed(garbage_region)),
    Attack("SIGTERM under traffic", "", "ended", ended(traffic)),
    Attack("SIGTERM while ports go on and off", "", "ended", ended(on_and_off)),
]
