# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.watch import processes
from ansible_collections.netmap.ptnet.plugins.module_utils.watch.processes import SLICE, Processes, State

# As Linux 6.1 showed them of a QEMU that was killed while three of its threads were in the loop: its leader, a thread
# that spins, one that sleeps in netmap; and threads of a QEMU that lives, of KVM, and one that is ending.
LEADER = b"320 (qemu-system-x86) Z 1 320 320 0 -1 %d 1 0 0 0 10 20 0 0 20 0 4 0 12 0 0 18446744073709551615 0 0 0 0 " \
         b"0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 9\n" % 0x840858C
SPINS = State("R", 0x84000C0, 256)
SLEEPS = State("S", 0x84000C0, 256)
LIVES = State("S", 0x8400180, 0)
OF_KERNEL = State("S", 0x208040, 0)
ENDS = State("R", 0x84000C4, 0)


def stat(state, name="x"):
    return "7 (%s) %s 1 1 1 0 -1 %d%s %d 0\n" % (name, state.letter, state.flags, " 0" * 21, state.pending)


class Machine(Processes):
    """The files of control groups and processes below a folder."""

    def __init__(self, folder):
        super().__init__(str(folder))
        self.path = folder

    def unit(self, name, *pids):
        folder = self.path / SLICE[1:] / name
        folder.mkdir(parents=True)
        (folder / "cgroup.procs").write_text("".join("%d\n" % pid for pid in pids))

    def process(self, pid, leader, **threads):
        for thread, state in [(pid, leader)] + [(int(name[1:]), state) for name, state in threads.items()]:
            folder = self.path / "proc" / str(pid) / "task" / str(thread)
            folder.mkdir(parents=True)
            (folder / "stat").write_text(stat(state))
        (self.path / "proc" / str(pid) / "stat").write_text(stat(leader))


def test_a_state_is_read_whatever_a_task_calls_itself():
    assert processes.parse(LEADER) == State("Z", 0x840858C, 0)
    for name in ("CPU 0/KVM", ") Z 1 (", "a\nb", ""):
        assert processes.parse(stat(SPINS, name).encode()) == SPINS


@pytest.mark.parametrize(("state", "wanted"), [
    (processes.parse(LEADER), True), (None, True), (SPINS, True), (ENDS, True), (LIVES, False), (OF_KERNEL, False),
    (State("X", 0, 0), True), (State("T", 0, 1 << 18), False)])
def test_who_is_dying(state, wanted):
    assert processes.dying(state) is wanted


@pytest.mark.parametrize(("state", "wanted"), [
    (SPINS, True), (SLEEPS, True), (ENDS, False), (State("Z", 0, 0), False), (OF_KERNEL, False), (None, False)])
def test_who_is_stuck(state, wanted):
    assert processes.stuck(state) is wanted


def test_units_of_others_are_left_alone():
    names = ["ptnet-vm-a-b.service", "ptnet-port-x.service", "ptnet-vm-x.service.d", "ssh.service", "ptnet-vm-x.scope",
             "netmap-ptnet-watch.service", "ptnet-net-x.service", "xptnet-vm-x.service"]
    assert processes.ours(names) == names[:2]


def test_members(tmp_path):
    machine = Machine(tmp_path)
    assert machine.members() == []
    machine.unit("ptnet-vm-b.service", 320, 0, 323)
    machine.unit("ptnet-port-a.service")
    machine.unit("ssh.service", 5)
    (tmp_path / SLICE[1:] / "ptnet-vm-gone.service").mkdir()
    assert machine.members() == [("ptnet-vm-b.service", 320), ("ptnet-vm-b.service", 323)]


def test_a_unit_full_of_processes_is_not_looked_at_without_end(tmp_path):
    machine = Machine(tmp_path)
    machine.unit("ptnet-vm-b.service", *range(1, 1000))
    assert len(machine.members()) == processes.MAX_PROCESSES


def test_stuck_threads(tmp_path):
    machine = Machine(tmp_path)
    machine.process(320, State("Z", 0x840858C, 0), t353=SPINS, t354=SLEEPS, t355=ENDS)
    machine.process(400, LIVES, t401=LIVES)
    machine.process(500, SPINS)
    machine.process(600, State("Z", 0x840858C, 0))
    assert machine.stuck(320) == [353, 354]
    assert machine.stuck(400) == []
    assert machine.stuck(500) == [500]
    assert machine.stuck(600) == machine.stuck(700) == []
    assert machine.state(320, 353) == SPINS
    assert machine.state(700) is None
