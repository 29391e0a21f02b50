# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In the machine: a hostile QEMU tries what it can on one port process, while honest guests go on beside it.

Usage: ``python3 -m attack`` with ``victim`` and ``other`` (folders of the sockets), ``unit`` (of the victim), ``hurt``
(words of a kernel log), ``seed`` and ``long`` as one JSON object on the standard input. Prints one JSON object a line:
what came of each attack.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import time
import traceback

import attacks_life
import attacks_memory
import attacks_messages
import fuzz
from guest import Guest, meet, until
from vfio_user import Closed

PATIENCE = 60  # seconds until a process has begun anew
NEIGHBOUR = "d7"  # the port of the attacked process whose guest is honest


class KernelLog:
    """What the kernel says from now on."""

    def __init__(self, hurt):
        self._hurt = hurt
        self._descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.lseek(self._descriptor, 0, os.SEEK_END)

    def lines(self):
        """The new lines (list of str)."""
        found = []
        while True:
            try:
                text = os.read(self._descriptor, 8192).decode("utf-8", "replace")
            except BlockingIOError:
                return found
            except BrokenPipeError:  # more than the kernel keeps
                found.append("lines were lost")
                continue
            found.append(text.split(";", 1)[-1].split("\n", 1)[0])

    def hurt(self, lines):
        """Those that say that the kernel was hurt (list of str)."""
        return [line for line in lines if any(word in line.lower() for word in self._hurt)]


class World:
    """Two port processes and their guests: one of each stays honest, the others attack.

    :ivar chance: the source of random choices (random.Random)
    :ivar long: whether the long form is wanted (bool)
    """

    def __init__(self, given):
        self.victim, self.unit, self.long = given["victim"], given["unit"], given["long"]
        self.chance = random.Random(given["seed"])
        self.log = KernelLog(given["hurt"])
        self._number, self._begin = 0, time.time()
        self._guests = {}
        self.bystander = self._up(Guest(given["other"]))
        self.meet()

    def meet(self):
        """The honest guest of the attacked process, which keeps it going."""
        self.neighbour = self._up(self.connect(NEIGHBOUR, 120))
        self.pid = struct.unpack("iii", self.neighbour.port.socket.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        # Whoever listened made the socket: the process itself.
        with open("/proc/%d/cmdline" % self.pid, encoding="utf-8") as stream:
            assert "ptnet.pyz" in stream.read()

    def renew(self):
        """All clients go, so the process ends; systemd starts it anew."""
        self.neighbour.close()
        self.drop_all()
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return self.meet()
            except (Closed, OSError):
                # The old one takes a connection now and then while it ends.
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    @staticmethod
    def _up(guest):
        guest.boot()
        assert guest.up() == 0
        return guest

    def connect(self, device, patience=30):
        """A guest of the attacked process, its port switched off."""
        return Guest(self.victim, device, "m" + device[1:], patience)

    def guest(self, device):
        """The guest that attacks from a device; the same one as long as it is connected. Its port is up, unless an
        earlier attack has cost it."""
        if device not in self._guests:
            guest = self.connect(device)
            self._guests[device] = self._up(guest) if self.status()[device]["open"] else guest
        return self._guests[device]

    def drop(self, device):
        """The guest of a device goes, if there is one."""
        if device in self._guests:
            self._guests.pop(device).close()

    def drop_all(self):
        for device in list(self._guests):
            self.drop(device)

    def path(self, device):
        return "%s/%s" % (self.victim, device)

    def status(self):
        """What the attacked process says of itself (dict of id: dict)."""
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as one:
            one.settimeout(20)
            one.connect(self.path("control"))
            one.sendall(b"{}")
            return {port["id"]: port for port in json.loads(one.recv(65536))}

    def freed(self, device):
        """Whether a port is given back within a second (bool)."""
        return until(lambda: not self.status()[device]["open"], 1 if self.quiet() else 10)

    @staticmethod
    def quiet():
        """Whether this machine has time (bool)."""
        return os.getloadavg()[0] < 3

    def honest(self, guest=None):
        """Whether honest guests still reach one another, and another guest (str): empty, or what was wrong."""
        self._number += 1
        guests = [self.bystander, self.neighbour] + ([guest] if guest else [])
        return meet(guests, "check %d" % self._number)

    def measures(self):
        """Resident memory in kB, descriptors and threads of the attacked process (dict of int)."""
        with open("/proc/%d/status" % self.pid, encoding="utf-8") as stream:
            status = dict(line.split(":", 1) for line in stream)
        return {"memory": int(status["VmRSS"].split()[0]), "threads": int(status["Threads"]),
                "descriptors": len(os.listdir("/proc/%d/fd" % self.pid))}

    def journal(self, pattern):
        """What the attacked process and systemd said of it since the begin (list of str).

        :param pattern: of the lines that count (regular expression)
        """
        argv = ["journalctl", "--unit", self.unit, "--since", "@%d" % self._begin, "--output", "cat", "--no-pager"]
        said = subprocess.run(argv, stdout=subprocess.PIPE, check=True, text=True).stdout
        return [line for line in said.splitlines() if re.search(pattern, line)]


def again(guest):
    """The guest boots once more on the connection that it has."""
    guest.port.unmap(0, 0, 2)
    guest.ram[:] = bytes(len(guest.ram))
    guest.boot()
    code = guest.up()
    return "" if code == 0 else "the port does not come up: errno %d" % code


def attempt(world, row):
    """One attack, and what came of it (dict)."""
    result = {"attack": row.name, "device": row.device, "expected": row.then, "wrong": "", "note": ""}
    wrong = []
    try:
        guest = world.guest(row.device) if row.device else None
        world.log.lines()
        begin = time.monotonic()
        result["note"] = row.act(world, guest) or ""
        result["seconds"] = round(time.monotonic() - begin, 2)
        if row.then == "refused":
            wrong.append(world.honest(guest))
        elif row.then == "stopped":
            wrong.append(again(guest) or world.honest(guest))
        elif row.then == "closed":
            world.drop(row.device)
            wrong.append("" if world.freed(row.device) else "its port is not free")
        if row.then != "refused" and row.then != "stopped":
            wrong.append(world.honest())
        result.update(world.measures())
    except (AssertionError, OSError, Closed, KeyError, ValueError) as error:
        wrong.append("%s at %s" % (error or type(error).__name__, traceback.extract_tb(error.__traceback__)[-1][:3]))
        world.drop(row.device)
    lines = world.log.lines()
    result["wrong"] = "; ".join(filter(None, wrong))
    result["lines"], result["sample"], result["hurt"] = len(lines), _sample(lines), world.log.hurt(lines)
    return result


def _sample(lines):
    """Lines that differ, without their numbers (list of str)."""
    found = {}
    for line in lines:
        text = line.partition("] ")[2] if line.startswith("[") else line
        found.setdefault("".join(letter for letter in text if not letter.isdigit()), line)
    return list(found.values())[:6]


def main():
    given = json.load(sys.stdin)
    world = World(given)
    tell(dict(world.measures(), attack="none", wrong=world.honest(), lines=0, sample=[], hurt=[], note="",
              expected="refused", seconds=0, device=""))
    for table in (attacks_memory.TABLE, attacks_messages.TABLE, attacks_life.TABLE, [fuzz.ROW] if world.long else []):
        for row in table:
            if (given["only"] or "") in row.name:
                tell(attempt(world, row))
    # An error that nobody expected is told by Python itself.
    tell({"attack": "all", "tracebacks": world.journal("Traceback|Error:")[:5]})


def tell(result):
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
