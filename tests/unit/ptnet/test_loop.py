# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop of one port against a port of the fake netmap, whose loop keeps its thread until it is told to end."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import random
import struct
import threading

import pytest
import vfio_user
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import loop as loop_module
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet.loop import AUTOMATIC, NOTIFIED, POLLING, Loop, Pace
from fake_opened import ENTRY, START
from guest import eventfd

MOVED = object  # pointers that differ each time
KICKS, WITHIN, QUIET = Pace.KICKS, Pace.WITHIN, Pace.QUIET


# When automatic changes over

@pytest.mark.parametrize(("times", "polls"), [
    ([], False), ([0.0] * (KICKS - 1), False), ([0.0] * KICKS, True),
    ([WITHIN / KICKS * number for number in range(KICKS)], True),
    ([WITHIN / KICKS * 1.1 * number for number in range(KICKS)], False),
    ([WITHIN / KICKS * 1.1 * number for number in range(KICKS * 50)], False),
    ([-100.0] * (KICKS - 1) + [0.0], False), ([-100.0] * (KICKS - 1) + [0.0] * (KICKS - 1), False),
    ([-100.0] * 500 + [0.0] * KICKS, True)])
def test_when_polling_begins(times, polls):
    pace = Pace()
    assert [pace.kicked(now, lambda: b"a") for now in times][-1:] == ([polls] if times else [])


@pytest.mark.parametrize(("seen", "quiet"), [
    ([(0.0, b"a")], False), ([(0.0, b"a"), (QUIET - 0.01, b"a")], False), ([(0.0, b"a"), (QUIET, b"a")], True),
    ([(0.0, b"a"), (QUIET, b"b")], False), ([(0.0, b"a"), (0.5, b"b"), (1.0, b"b")], False),
    ([(0.0, b"a"), (0.5, b"b"), (0.5 + QUIET, b"b")], True), ([(5.0, b""), (5.0 + QUIET, b"")], True)])
def test_when_polling_ends(seen, quiet):
    pace = Pace()
    assert [pace.polled(*one) for one in seen][-1] == quiet


def test_a_change_begins_to_count_anew():
    pace = Pace()
    for _kick in range(KICKS):
        pace.kicked(0.0, lambda: b"a")
    pace.polled(0.0, b"a")
    pace.changed()
    assert not pace.kicked(0.0, lambda: b"a")
    assert not pace.polled(QUIET, b"a")


def test_kicks_without_packets_change_nothing():
    """Else a guest that sends nothing would have the loop change over, with a line in the kernel's log each time."""
    pace = Pace()
    assert pace.polled(0.0, b"a") + pace.polled(QUIET, b"a") == 1
    pace.changed()
    assert not any(pace.kicked(0.0, lambda: b"a") for _kick in range(10 * KICKS))
    assert pace.kicked(0.0, lambda: b"b")


# The loop

@pytest.fixture
def pointers():
    """Memory for the rings' pointers: of the guest, and of the kernel from half of it."""
    memory = mmap.mmap(-1, 4096)
    yield memory
    memory.close()


@pytest.fixture
def make(port, pointers, said):
    """Make a loop on the port, which has taken its pointers."""
    made = []

    def one(mode=NOTIFIED, pause=1000):
        begin = ctypes.c_char.from_buffer(pointers)
        address = ctypes.addressof(begin)
        del begin
        port.take_pointers(address, address + 2048)
        made.append(Loop(port, 2, mode, pause, "ptnet-d0", said.append))
        return made[-1]

    yield one
    for one in made:
        one.stop()
        # They stay as long as the process.
        vfio_user.close(one.kicks)


def starts(port):
    return port._node.log.count(START)


def send(memory, ring, head):
    struct.pack_into("<II", memory, ENTRY * ring, head, head)


def sent(memory, ring):
    return struct.unpack_from("<I", memory, 2048 + ENTRY * ring)[0]


def looping(port):
    return port._node._running


def test_a_life(make, port, wait):
    loop = make()
    assert not loop.running
    loop.stop()
    loop.restart()
    assert starts(port) == 0
    for number in range(1, 4):
        loop.start()
        loop.start()
        wait(lambda: looping(port))
        assert loop.running
        assert starts(port) == number
        assert port._node._pairs == [(loop.kicks[0], -1), (loop.kicks[1], -1)]
        loop.stop()
        assert not looping(port)
        assert not loop.running


def test_a_stop_before_the_loop_has_begun(make, port, monkeypatch):
    """The thread is there, the kernel's loop is not yet: the wish is kept, and the loop ends as it begins."""
    loop, gate, real = make(), threading.Event(), port.loop

    def late(*args):
        gate.wait(5)
        real(*args)

    monkeypatch.setattr(port, "loop", late)
    loop.start()
    threading.Timer(0.05, gate.set).start()
    loop.stop()
    assert not looping(port)
    # The kernel keeps a wish that came after the end; the loop begins all the same.
    port.stop()
    loop.start()
    loop.stop()
    gate.set()


def test_a_wish_that_came_too_late_does_not_end_the_next_loop(make, port, pointers, wait):
    loop = make()
    port.stop()
    loop.start()
    wait(lambda: starts(port) == 2)
    send(pointers, 0, 5)
    loop.kick(0, MOVED)
    wait(lambda: sent(pointers, 0) == 5)


@pytest.mark.parametrize("mode", [NOTIFIED, POLLING])
def test_no_wake_up_is_lost(make, port, pointers, wait, mode):
    loop = make(mode)
    chance = random.Random(7)
    loop.start()
    for head in range(1, 200):
        send(pointers, head % 2, head)
        if chance.random() < 0.3:
            # What is there when it begins is seen without a kick.
            loop.restart()
        else:
            loop.kick(head % 2, MOVED)
        wait(lambda head=head: sent(pointers, head % 2) == head)
    assert not port._node.netmap.forbidden


def test_kicks_before_the_start_are_not_lost(make, pointers, wait):
    loop = make()
    send(pointers, 1, 9)
    loop.kick(1, MOVED)
    loop.start()
    wait(lambda: sent(pointers, 1) == 9)


def test_interrupts(make, port, pointers, wait):
    loop, first, second = make(), eventfd(), eventfd()
    loop.interrupts([first, -1])
    assert starts(port) == 0
    loop.start()
    wait(lambda: looping(port))
    loop.interrupts([first, -1], others=False)
    assert starts(port) == 1
    loop.interrupts([first, second])
    wait(lambda: starts(port) == 2)
    wait(lambda: port._node._pairs == list(zip(loop.kicks, [first, second])))
    send(pointers, 1, 3)
    loop.kick(1, MOVED)
    wait(lambda: sent(pointers, 1) == 3)
    wait(lambda: _counted(second) == 1)
    loop.interrupts([-1, -1])
    # What it was given may be closed now: the kernel has let go of it.
    for descriptor in (first, second):
        os.close(descriptor)
    send(pointers, 1, 4)
    loop.kick(1, MOVED)
    wait(lambda: sent(pointers, 1) == 4)


def _counted(descriptor):
    try:
        return int.from_bytes(os.read(descriptor, 8), "little")
    except BlockingIOError:
        return 0


def test_a_list_that_is_changed_later_is_none_of_the_loops(make):
    loop, eventfds = make(), [-1, -1]
    loop.interrupts(eventfds)
    eventfds[0] = 99
    assert loop._interrupts == [-1, -1]


def test_modes(make, port, wait):
    loop = make(POLLING, pause=321)
    assert loop.polls
    loop.start()
    wait(lambda: looping(port))
    assert port._node._pairs == [(-1, -1), (-1, -1)]
    assert [loop.kick(0, MOVED) for _kick in range(40)] == [False] * 40
    loop.stop()
    loop = make(AUTOMATIC)
    assert not loop.polls
    assert [loop.kick(0, MOVED) for _kick in range(KICKS)] == [False] * (KICKS - 1) + [True]
    # Nothing runs, so nothing is started by a change.
    loop.poll(True)
    assert not loop.running
    assert [loop.kick(0, MOVED) for _kick in range(KICKS)] == [False] * KICKS
    loop.start()
    wait(lambda: looping(port) and port._node._pairs == [(-1, -1), (-1, -1)])
    loop.poll(False)
    wait(lambda: looping(port) and port._node._pairs == [(kick, -1) for kick in loop.kicks])


def test_an_error_ends_the_thread_and_is_told(make, port, said, wait):
    port._node.netmap.fail[START, "vale1:10"] = errno.EINVAL
    loop = make()
    loop.start()
    wait(lambda: said)
    assert "ptnet-d0: the loop ended: netmap refused to start the loop of vale1:10" in said[0]
    loop.stop()
    loop.start()
    wait(lambda: looping(port))


def test_a_stop_that_is_refused_is_tried_again(make, port, monkeypatch):
    monkeypatch.setattr(loop_module, "_JOIN", 0.01)
    loop, real, refusals = make(), port.stop, [1, 2, 3]

    def stop():
        if refusals:
            refusals.pop()
            raise PtnetError("not now")
        return real()

    loop.start()
    monkeypatch.setattr(port, "stop", stop)
    loop.stop()
    assert not refusals
    assert not looping(port)


def test_its_thread_takes_no_signals(make, port, wait):
    """One that is pending would make the kernel's loop spin."""
    loop = make()
    loop.start()
    wait(lambda: looping(port))
    status = _status(loop._thread.native_id)
    assert status["Name"] == "ptnet-d0"
    # All but SIGKILL and SIGSTOP, and the two that the C library keeps for itself.
    assert int(status["SigBlk"], 16) | 1 << 8 | 1 << 18 | 3 << 31 == (1 << 64) - 1


def _status(thread):
    with open("/proc/self/task/%d/status" % thread, encoding="ascii") as stream:
        return dict(line.strip().split(":\t", 1) for line in stream if ":\t" in line.strip())


def test_starts_and_stops_at_random(make, port, pointers, wait):
    loop, chance, head = make(AUTOMATIC, 50), random.Random(11), 0
    for _step in range(300):
        step = chance.choice([loop.start, loop.stop, loop.restart, lambda: loop.poll(True), lambda: loop.poll(False),
                              lambda: loop.kick(0, MOVED), lambda: loop.running or port.stop()])
        step()
        assert loop.running == (loop._thread is not None)
    loop.start()
    for head in range(1, 20):
        send(pointers, 0, head)
        loop.kick(0, MOVED)
        wait(lambda head=head: sent(pointers, 0) == head)
