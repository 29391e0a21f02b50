# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import select

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.watch import descriptors, logs, main, rescue
from ansible_collections.netmap.ptnet.plugins.module_utils.watch.processes import State

UNIT, PID = "ptnet-vm-fw.service", 320
LIVES, ZOMBIE, KILLED = State("S", 0x400000, 0), State("Z", 0x40000C, 0), State("R", 0x400000, 256)
GONE = State("X", 4, 0)


class Host:
    """A kernel with one unit and its process; every duplicate is a real descriptor, of nothing."""

    def __init__(self, monkeypatch, folder, late):
        self._folder = folder
        self.threads = {PID: LIVES, 321: LIVES}
        self.open = {5: "/dev/netmap", 6: "/dev/netmap", 7: "socket:[1]"}
        self.files = {}  # of numbers that were opened again
        self.listed, self.late, self.now = True, late, 0.0
        self.given, self.stopped, self.closed, self.looks, self.said = {}, [], [], 0, []
        self.answer = self._end_all
        self._end = os.pipe()
        close = os.close
        monkeypatch.setattr(descriptors, "open_process", self._open_process)
        monkeypatch.setattr(descriptors, "links", self._links)
        monkeypatch.setattr(descriptors, "take_device", self._take)
        monkeypatch.setattr(descriptors, "same", self._same)
        monkeypatch.setattr(descriptors, "has", lambda _pid, number: self.threads[PID] == LIVES and number in self.open)
        monkeypatch.setattr(rescue, "_stop", self._stop)
        monkeypatch.setattr(rescue, "PATIENCE", 0.02)
        monkeypatch.setattr(os, "close", lambda number: (self.given.pop(number, None), close(number)))
        self.watch = main.Watch(self, late, self.said.append, lambda: self.now)

    # What the kernel shows

    def members(self):
        return [(UNIT, PID)] if self.listed else []

    def state(self, pid, thread=None):
        return self.threads.get(thread or pid)

    def stuck(self, pid):
        leader = self.threads.get(pid)
        if leader not in (None, ZOMBIE, KILLED):
            return []
        return [thread for thread, state in self.threads.items() if state == KILLED]

    def folder(self, pid, thread=None):
        return str(self._folder / str(thread or pid))

    def _open_process(self, pid, thread=False):
        if thread and not self.late:
            raise OSError(22, "Invalid argument")
        return os.dup(self._end[0])

    def _links(self, folder):
        self.looks += 1
        return dict(self.open) if self.threads[int(os.path.basename(folder))] in (LIVES, KILLED) else {}

    def _take(self, _process, number):
        # A duplicate of a leader's descriptors can be had as long as it has not ended; of a thread's likewise.
        if number not in self.open or (self.threads[PID] == ZOMBIE and not self.late):
            return None
        taken = os.open("/dev/null", os.O_RDONLY)
        self.given[taken] = (number, self.files.get(number))
        return taken

    def _same(self, _pid, number, taken):
        return self.threads[PID] != ZOMBIE and number in self.open and (
            self.given[taken] == (number, self.files.get(number)))

    # What is done

    def _stop(self, number):
        assert self.threads[PID] in (ZOMBIE, KILLED), "a living process was told to stop"
        self.stopped.append(self.given[number][0])
        return self.answer()

    def _end_all(self):
        self.threads.update(dict.fromkeys(self.threads, ZOMBIE))
        return True

    def kept(self):
        return sorted(number for number, _file in self.given.values())

    def tick(self, seconds=main.TICK):
        self.now += seconds
        self.watch.tick()


@pytest.fixture
def old(monkeypatch, tmp_path):
    return Host(monkeypatch, tmp_path, late=False)


@pytest.fixture
def new(monkeypatch, tmp_path):
    return Host(monkeypatch, tmp_path, late=True)


def kill(host, leader=ZOMBIE):
    host.threads.update({PID: leader, 321: KILLED})


def test_duplicates_are_kept_and_follow_the_owner(old):
    old.tick()
    assert old.kept() == [5, 6]
    for _number in range(3):
        old.tick()
        assert old.kept() == [5, 6]
    del old.open[5]
    old.tick()
    assert old.kept() == [6]
    # One is opened again under the same number, one under that of something else before.
    duplicate = dict(old.given)
    old.open[7] = "/dev/netmap"
    old.files[6] = "another"
    old.tick()
    assert old.kept() == [6, 7]
    assert old.given != duplicate
    assert (6, "another") in old.given.values()


def test_a_port_is_opened_again_at_any_time(old):
    while old.now < 2 * main.YOUNG:
        old.tick()
    for number in range(3):
        old.files[5] = number
        old.tick()
        assert sorted(old.given.values()) == [(5, number), (6, None)]


def test_where_they_can_be_had_later_none_is_kept(new):
    for _number in range(3):
        new.tick()
    assert new.kept() == []


@pytest.mark.parametrize(("late", "pause"), [(False, main.LATER), (True, main.RARELY)])
def test_an_old_process_is_looked_at_less_often(monkeypatch, tmp_path, late, pause):
    host = Host(monkeypatch, tmp_path, late)
    host.tick(0)
    while host.now < main.YOUNG:
        host.tick()
    young, begin = host.looks, host.now
    while host.now < begin + 4 * pause:
        host.tick()
    assert young == main.YOUNG / main.TICK
    assert host.looks - young == 4


@pytest.mark.parametrize("leader", [ZOMBIE, KILLED])
@pytest.mark.parametrize("late", [True, False])
def test_a_killed_process_is_freed(monkeypatch, tmp_path, late, leader):
    host = Host(monkeypatch, tmp_path, late)
    host.tick()
    kill(host, leader)
    host.tick()
    # It may still end by itself.
    assert host.stopped == []
    host.tick(main.GRACE)
    assert set(host.stopped) == {5, 6}
    assert host.kept() == []
    assert host.said == ["%s: process 320 was killed in netmap's loop, which was ended after 0.05 s; its ports are free"
                         % UNIT]
    host.tick()
    host.listed = False
    host.tick(main.SCAN)
    assert len(host.said) == 1


def test_a_process_that_ends_by_itself_is_let_go_at_once(old):
    old.tick()
    old.threads = {PID: ZOMBIE, 321: GONE}
    old.tick()
    assert old.kept() == []
    old.listed = False
    old.tick(main.SCAN)
    assert old.stopped == old.said == []


def test_a_kill_between_two_looks_loses_nothing(old, monkeypatch):
    """The duplicates cannot be had again, but the process seemed to live when the look began."""
    old.tick()
    monkeypatch.setattr(descriptors, "same", lambda *_arguments: kill(old))
    old.tick()
    assert old.kept() == [5, 6]
    old.tick()
    assert set(old.stopped) == {5, 6}


def test_what_stays_stuck_is_told_once(old):
    old.open.clear()
    old.tick()
    kill(old)
    for _number in range(100):
        old.tick()
    assert old.said == ["%s: process 320 was killed, but 1 threads stay in the kernel: this kernel gives no descriptor "
                        "of it. To do: reboot the machine" % UNIT]


def test_a_refusal_of_netmap_is_told(old):
    def refuse():
        raise PtnetError("netmap refused to stop the loop of port")

    old.answer = refuse
    old.tick()
    kill(old)
    old.tick()
    old.tick()
    assert "netmap refused to stop the loop of port" in old.said[0]
    assert old.kept() == []


def test_a_thread_that_goes_on_is_told_and_tried_again(new):
    new.answer = lambda: True
    new.tick()
    kill(new)
    new.tick()
    new.tick()
    assert "they went on" in new.said[0]
    new.answer = new._end_all
    for _number in range(int(main.AGAIN / main.TICK) + 1):
        new.tick()
    assert "which was ended" in new.said[1]
    assert len(new.said) == 2


def test_the_end_of_a_process_wakes_the_watch_once(old):
    old.tick()
    poll = old.watch._poll
    os.write(old._end[1], b"x")
    assert [event for _number, event in poll.poll(0)] == [select.POLLIN]
    kill(old)
    old.tick()
    assert poll.poll(0) == []


def test_a_large_log_is_cut(old, monkeypatch, tmp_path):
    log = tmp_path / "console.log"
    log.write_bytes(b"line\n" * 2000)
    (tmp_path / "320/fd").mkdir(parents=True)
    (tmp_path / "320/fd/9").symlink_to(log)
    old.open[9] = "/var/lib/netmap-ptnet/vms/fw/console.log"
    monkeypatch.setattr(descriptors, "take", lambda _process, _number: os.open(log, os.O_WRONLY | os.O_APPEND))
    monkeypatch.setattr(logs, "LIMIT", 5000)
    monkeypatch.setattr(logs, "KEEP", 1000)
    old.tick()
    assert log.read_bytes() == b"line\n" * 199
    assert old.said == ["%s: descriptor 9, a log of 10000 bytes, was cut to its newest lines" % UNIT]


def test_freed_by_hand(new):
    assert main.free(processes=new, say=new.said.append) == 0
    kill(new)
    assert main.free("ptnet-vm-other", new, new.said.append) == 0
    assert new.said == ["nothing is stuck"] * 2
    assert main.free("ptnet-vm-fw", new, new.said.append) == 0
    assert new.said[2] == UNIT + ": process 320 was killed in netmap's loop, which was ended; its ports are free"
    assert new.kept() == []


def test_what_an_old_kernel_cannot_free_by_hand(old):
    kill(old)
    assert main.free(processes=old, say=old.said.append) == 1
    assert "reboot the machine" in old.said[0]
