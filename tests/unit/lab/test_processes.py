# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Only our own user's marked processes are found and ended."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import time

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.lab import processes

# Never a machine of a real lab: these tests run beside one.
FOLDER = "/nowhere/unit-%d/machines/lab/" % os.getpid()
NAME = FOLDER + "hv1.example.org"


@pytest.fixture
def start():
    """Start a process with these arguments; it waits for its standard input to end."""
    started = []

    def run(*words):
        process = subprocess.Popen(["sh", "-c", "read line", *words], stdin=subprocess.PIPE)
        started.append(process)
        # Popen returns a moment before the kernel shows the new command line.
        while not pathlib.Path("/proc/%d/cmdline" % process.pid).read_bytes():
            time.sleep(0.001)
        return process
    yield run
    for process in started:
        process.stdin.close()
        process.wait()


def mark(folder, name="lab/hv1"):
    return "-name", processes.MARK + name, "-x", "-qmp", "unix:%s/qmp,server=on,wait=off" % folder


def test_machines_are_found_by_their_folder(start):
    one, two, other = start(*mark(NAME + "a")), start(*mark(NAME + "a")), start(*mark(NAME + "b"))
    assert {name: sorted(pids) for name, pids in processes.machines([NAME + "a"]).items()} == {
        NAME + "a": sorted([one.pid, two.pid])}
    everything = processes.machines()
    assert everything[NAME + "b"] == [other.pid]
    assert NAME + "a" in everything
    assert processes.machines([NAME]) == {}


def test_machines_of_one_name_in_two_caches_are_two(start):
    """One user, two checkouts with caches of their own: the second lab killed the machines of the first."""
    one, two = start(*mark("/nowhere/a/machines/lab/hv1")), start(*mark("/nowhere/b/machines/lab/hv1"))
    assert processes.machines(["/nowhere/a/machines/lab/hv1"]) == {"/nowhere/a/machines/lab/hv1": [one.pid]}
    processes.kill(processes.machines(["/nowhere/b/machines/lab/hv1"]))
    assert (one.poll(), two.poll()) == (None, -signal.SIGKILL)


def test_a_cache_behind_a_link_is_the_same_one(start, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    process = start(*mark(tmp_path / "link/machines/lab/hv1"))
    folder = str(tmp_path.resolve() / "real/machines/lab/hv1")
    assert processes.machines([folder]) == {folder: [process.pid]}


@pytest.mark.parametrize("words", [
    ("-name", "another", *mark(NAME)[3:]),
    ("-title", *mark(NAME)[1:]),
    mark(NAME)[:3],
    (*mark(NAME)[:3], "-qmp", "tcp:%s/qmp" % NAME),
    (*mark(NAME)[:3], "-qmp", "unix:%s/other,server=on" % NAME),
    (mark(NAME)[1], "-name", "x", *mark(NAME)[2:]),
])
def test_other_processes_are_not(start, words):
    start(*words)
    assert processes.machines([NAME]) == {}


def test_those_of_other_users_are_not(start, monkeypatch):
    start(*mark(NAME))
    user = os.geteuid()
    monkeypatch.setattr(processes.os, "geteuid", lambda: user + 1)
    assert processes.machines([NAME]) == {}


def test_kill_ends_the_given_ones_alone_and_returns_when_they_are_over(start):
    wanted, other = start(*mark(NAME + "a")), start(*mark(NAME + "b"))
    processes.kill(processes.machines([NAME + "a"]))
    assert wanted.poll() == -signal.SIGKILL
    assert other.poll() is None
    assert processes.machines([NAME + "a"]) == {}


def test_a_process_that_is_gone_already_is_no_error(start):
    process = start(*mark(NAME))
    found = processes.machines([NAME])
    process.kill()
    process.wait()
    processes.kill(found)
    processes.kill({})


def test_a_free_port_can_be_bound():
    with socket.socket() as server:
        server.bind(("127.0.0.1", processes.free_port()))
