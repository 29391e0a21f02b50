# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches the processes of VMs and ports: frees the ports of those that are killed, bounds their logs.

A copy of this file and of what it imports lies on the host and runs there without Ansible, see ``service.py``. It keeps
nothing in files: started again, it looks again. Private to netmap.ptnet.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import socket
import sys
import time

from . import descriptors, logs, rescue
from .processes import Processes, dying, of_kernel

# This file and all that it imports, below module_utils.
SOURCES = ("doubles", "errors", "files", "limits", "mac", "netmap.abi", "netmap.device", "netmap.forbidden",
           "netmap.names", "netmap.opened", "netmap.opening", "netmap.libnetmap", "netmap.lock", "places",
           "ptnet.layout", "qemu.definition", "vm_identity", "watch.descriptors", "watch.logs", "watch.main",
           "watch.processes", "watch.rescue")
# Seconds. A port that its owner closes is busy for one tick longer where duplicates are kept.
TICK = 0.5
SCAN = 2
# For so long after its appearance the descriptors of a process are looked at each tick, for it opens its ports then;
# and then so often: to find another port, or only another log.
YOUNG = 5
LATER = 5
RARELY = 30
# A process that is killed and not stuck ends within this.
GRACE = 0.05
AGAIN = 10
MAX_DUPLICATES = 64


def look_due(age, since, kept):
    """Whether the descriptors of a process are to be looked at again (bool). Pure.

    :param age: seconds since it was first seen (number)
    :param since: seconds since the last look (number)
    :param kept: whether duplicates are kept of it (bool)
    """
    return age < YOUNG or since >= (LATER if kept else RARELY)


class Watched:
    """One process.

    :ivar process: a descriptor that stands for it (int)
    :ivar kept: our duplicates of its descriptors of /dev/netmap, by their numbers there (dict of int)
    :ivar logs: its descriptors of files to be bounded (list of int)
    :ivar any: one that it had at the last look (int)
    :ivar dying: since when it has been ending, None as long as it lives (number)
    """

    def __init__(self, unit, pid, process, now):
        self.unit, self.pid, self.process, self.seen = unit, pid, process, now
        self.kept, self.logs, self.any = {}, [], 0
        self.looked = self.dying = self.tried = None

    def drop(self, numbers=None):
        """Close our duplicates, all or some."""
        for number in list(self.kept) if numbers is None else numbers:
            os.close(self.kept.pop(number))


class Watch:
    """All of them.

    :param processes: the machine (processes.Processes)
    :param late: whether duplicates can be had when a process is dead already, and need not be kept; by default
        what this kernel can (bool)
    :param say: takes a line for the journal
    """

    def __init__(self, processes=None, late=None, say=None, clock=time.monotonic):
        self._processes = processes or Processes()
        self._late = descriptors.able_of_threads() if late is None else late
        self._say = say or _say
        self._clock = clock
        self._watched, self._spared = {}, set()
        self._scanned = None
        self._poll = select.poll()

    def tick(self):
        """Look once at what is due."""
        now = self._clock()
        scan = self._scanned is None or now - self._scanned >= SCAN
        if scan:
            self._scanned = now
            self._scan(now)
        for one in self._watched.values():
            if one.dying is None:
                self._living(one, now, scan)
            if one.dying is not None:
                self._dying(one, now)

    def wait(self):
        """Until the next tick, or the end of a process."""
        soon = any(one.dying is not None and one.tried is None for one in self._watched.values())
        self._poll.poll(int(1000 * (GRACE if soon else TICK)))

    def _scan(self, now):
        members = self._processes.members()
        for key in set(self._watched) - set(members):
            self._forget(self._watched.pop(key))
        self._spared &= set(members)
        for unit, pid in members:
            if (unit, pid) in self._watched or (unit, pid) in self._spared:
                continue
            if of_kernel(self._processes.state(pid)):
                self._spared.add((unit, pid))
                continue
            # It may have ended meanwhile. Readable when its leader ends, or all of it, which is seen here next.
            with contextlib.suppress(OSError):
                one = Watched(unit, pid, descriptors.open_process(pid, self._late), now)
                self._watched[unit, pid] = one
                self._poll.register(one.process, select.POLLIN)

    def _forget(self, one):
        one.drop()
        if one.dying is None:
            self._poll.unregister(one.process)
        os.close(one.process)

    def _living(self, one, now, scan):
        """Bring up to date what is kept of a process, unless it was killed: then what was kept stays."""
        gone = [number for number, kept in one.kept.items() if not descriptors.same(one.pid, number, kept)]
        # Whoever closes one may open it again, under the same number.
        due = gone or one.looked is None or look_due(now - one.seen, now - one.looked, not self._late)
        # The state costs most of all, and whoever has its descriptors lives (a leader that is in the loop itself, as in
        # no program of ours, is noticed at the next look). In this order: what was not there of a process that lives
        # afterwards was closed by it.
        if (due or not (one.kept or descriptors.has(one.pid, one.any))) and dying(self._processes.state(one.pid)):
            one.dying = now
            self._poll.unregister(one.process)
            return
        one.drop(gone)
        if due:
            one.looked = now
            found = descriptors.links(self._processes.folder(one.pid))
            one.logs, one.any = logs.numbers(found, one.unit), min(found, default=0)
            numbers = [] if self._late else rescue.device_numbers(found)[:MAX_DUPLICATES]
            for number in set(numbers) - set(one.kept):
                taken = descriptors.take_device(one.process, number)
                if taken is not None:
                    one.kept[number] = taken
        if scan:
            self._bound(one)

    def _bound(self, one):
        for number in one.logs:
            with contextlib.suppress(OSError):
                if os.stat("%s/fd/%d" % (self._processes.folder(one.pid), number)).st_size <= logs.LIMIT:
                    continue
                taken = descriptors.take(one.process, number)
                try:
                    size = logs.bound(taken, logs.LIMIT, logs.KEEP)
                finally:
                    os.close(taken)
                if size:
                    self._say("%s: descriptor %d, a log of %d bytes, was cut to its newest lines" % (
                        one.unit, number, size))

    def _dying(self, one, now):
        if not self._processes.stuck(one.pid):
            one.drop()
            return
        if now - one.dying < GRACE or (one.tried is not None and now - one.tried < AGAIN):
            return
        first, one.tried = one.tried is None, now
        kept, one.kept = list(one.kept.values()), {}
        outcome = rescue.rescue(self._processes, one.pid, kept)
        if outcome is not None and (first or not outcome.left):
            self._say("%s: %s" % (one.unit, told(one.pid, outcome, self._clock() - one.dying)))


def told(pid, outcome, seconds=None):
    """What became of a killed process, in words (str). Pure.

    :param outcome: from :func:`rescue.rescue` (Outcome)
    :param seconds: since it was seen dying, where that is known (float)
    """
    if not outcome.left:
        return "process %d was killed in netmap's loop, which was ended%s; its ports are free" % (
            pid, " after %.2f s" % seconds if seconds is not None else "")
    why = outcome.failure or ("they went on" if outcome.stopped else "this kernel gives no descriptor of it")
    return "process %d was killed, but %d threads stay in the kernel: %s. To do: reboot the machine" % (
        pid, len(outcome.left), why)


def watch():
    """Watch for ever."""
    if not descriptors.able():
        _say("this kernel gives no descriptor of another process (Linux 5.6), or does not let us have it: a process "
             "that is killed keeps its ports busy until a reboot, and logs are not bounded")
    one = Watch()
    one.tick()
    _ready()
    while True:
        one.wait()
        one.tick()


def free(unit=None, processes=None, say=None):
    """Free what is stuck now; returns the exit status (int): 1 when something stays stuck.

    :param unit: of one unit only, with or without ``.service`` (str)
    """
    processes, say, status, found = processes or Processes(), say or _say, 0, False
    for name, pid in processes.members():
        if unit in (None, name, name[:-len(".service")]):
            outcome = rescue.rescue(processes, pid)
            if outcome is not None:
                found = True
                say("%s: %s" % (name, told(pid, outcome)))
                status = 1 if outcome.left else status
    if not found:
        say("nothing is stuck")
    return status


def _say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _ready():
    """Tell systemd that we watch (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            connection.sendto(b"READY=1", "\0" + address[1:] if address.startswith("@") else address)


def main(argv=None):
    """The command line; returns the exit status (int)."""
    parser = argparse.ArgumentParser(prog="netmap-ptnet-watch", description=(
        "Free the netmap ports of processes that were killed, and bound the logs of virtual machines."))
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="watch for ever (netmap-ptnet-watch.service)")
    one = commands.add_parser("free", help="free what is stuck now")
    one.add_argument("unit", nargs="?", help="a unit, such as ptnet-vm-fw.service (default: all of them)")
    given = parser.parse_args(argv)
    if given.command == "free":
        return free(given.unit)
    try:
        return watch()
    except KeyboardInterrupt:
        return 0
