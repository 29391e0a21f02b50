# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In the machine: messages at random, of the right form and with any content, with descriptors of any kind."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time

import vfio_user
from attacks_memory import Attack
from guest import ATOK, HIGH, KTOA, RAM, eventfd
from vfio_user import NO_REPLY, Closed

SECONDS = 600
_CHECK = 10  # seconds between two looks at those that go on
_GROWTH = 32 << 10  # kB
# So many in ten thousand messages are such as end the connection.
_BROKEN = 5
_WORDS = (0, 0, 0, 1, 2, 3, 4, 7, 8, 12, 16, 20, 24, 32, 52, 56, 60, 64, 0x20, 0x21, 0x24, 128, 132, 136, 0x1000, ATOK,
          KTOA, RAM, RAM // 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFC0, 0xFFFFFFFF)
_LONGS = (0, 0, 4, 52, 56, 60, 64, 44, 8, 128, 132, ATOK, KTOA, RAM // 2, HIGH, HIGH + RAM // 2, 1 << 63,
          (1 << 64) - 64, (1 << 64) - 1)
# What the fields of a request are: one letter of struct each.
_BODIES = {2: "IIQQQ", 3: "IIQQ", 4: "IIII", 5: "IIIIQQ", 6: "II", 7: "IIII", 8: "IIIII", 9: "QII",
           10: "QII", 11: "QQ", 12: "QQ", 13: "", 14: "I"}
_LIKELY = (2, 2, 3, 5, 7, 8, 8, 9, 9, 10, 10, 10, 10, 10, 10, 13)


class Fuzz:
    """Messages from one source of random choices, to the devices of one process."""

    DEVICES = ("d0", "d1", "d2", "d3", "d4", "m0", "m1")

    def __init__(self, world):
        self._world, self._chance = world, world.chance
        self._clients = {}
        self.messages = self.closed = self.processes = 0

    def client(self):
        """A client of a device that is still connected, or connects; at times all begin anew (device, Client)."""
        device = self._chance.choice(self.DEVICES)
        if device not in self._clients:
            self._clients[device] = vfio_user.connect(self._world.path(device), 120)
        return device, self._clients[device]

    def one(self):
        device, client = self.client()
        command, body, descriptors = self._request()
        ended = False
        try:
            if self._chance.randrange(10000) < _BROKEN:
                client.raw(self._chance.randbytes(self._chance.randrange(1, 200)), descriptors)
                client.socket.settimeout(0.2)
                with contextlib.suppress(socket.timeout):
                    client.receive()
                ended = True
            elif self._chance.random() < 0.3:
                client.send(command, body, descriptors, NO_REPLY)
            else:
                vfio_user.close(client.ask(command, body, descriptors).descriptors)
        except (Closed, AssertionError, struct.error):
            ended = True
        finally:
            vfio_user.close(descriptors)
        if ended:
            self._drop(device)
        self.messages += 1

    def _drop(self, device):
        self._clients.pop(device).close()
        self.closed += 1
        if self.closed % 20 == 0:
            # Most have lost their ports by now.
            self.close()
            self._world.renew()
            self.processes += 1

    def close(self):
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def _request(self):
        chance = self._chance
        # Not a second greeting, which ends the connection.
        command = chance.choice(_LIKELY) if chance.random() < 0.9 else chance.choice([*_BODIES, 99, 0xFFFF])
        body = b""
        for kind in _BODIES.get(command, "I"):
            limit = {"H": 16, "I": 32, "Q": 64}[kind]
            value = chance.choice(_LONGS if kind == "Q" else _WORDS) if chance.random() < 0.9 else \
                chance.getrandbits(limit)
            body += struct.pack("<" + kind, value & ((1 << limit) - 1))
        if command == 10 and chance.random() < 0.9:
            # A register, most of the time; the port is seldom switched on, for that is held up.
            offset = chance.choice([0, 8, 44, 52, 56, 60, 64, 128, 132, 4 if chance.random() < 0.05 else 24])
            body = struct.pack("<QIII", offset, 0, 4, chance.choice(_WORDS))
        elif chance.random() < 0.2:
            body += chance.randbytes(chance.choice([1, 4, 4, 4, 8, 100, 4096]))
        if chance.random() < 0.05:
            body = body[:chance.randrange(len(body) + 1)]
        count = chance.choice([0, 0, 1, 1, 2, 8]) if command in (2, 8) or chance.random() < 0.02 else 0
        return command, body, [chance.choice(_OPENERS)() for _one in range(count)]


def _memory():
    descriptor = os.memfd_create("fuzz", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, RAM)
    return descriptor


_OPENERS = (_memory, _memory, _memory, eventfd, eventfd, eventfd, lambda: os.open("/dev/null", os.O_RDWR),
            lambda: socket.socket(socket.AF_UNIX).detach(), lambda: os.open("/etc/passwd", os.O_RDONLY))


def act(world, _guest):
    world.drop_all()
    world.renew()
    fuzz, before, lines = Fuzz(world), world.measures(), 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        look = time.monotonic() + _CHECK
        while time.monotonic() < look:
            fuzz.one()
        assert world.honest() == ""
        assert world.measures()["memory"] < before["memory"] + _GROWTH, world.measures()
        new = world.log.lines()
        assert not world.log.hurt(new), world.log.hurt(new)
        lines += len(new)
    fuzz.close()
    return "%d messages, %d connections ended, %d processes, %d lines of the kernel" % (
        fuzz.messages, fuzz.closed, 1 + fuzz.processes, lines)


ROW = Attack("messages at random, for %d minutes" % (SECONDS // 60), "", "ended", act)
