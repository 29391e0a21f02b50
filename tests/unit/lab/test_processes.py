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
NAME = "unit-%d" % os.getpid()


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


def mark(name):
    return "-name", processes.MARK + name


def test_marked_processes_are_found_by_name(start):
    one, two, other = start(*mark(NAME + "a")), start(*mark(NAME + "a")), start(*mark(NAME + "b"))
    assert {name: sorted(pids) for name, pids in processes.machines([NAME + "a"]).items()} == {
        NAME + "a": sorted([one.pid, two.pid])}
    everything = processes.machines()
    assert everything[NAME + "b"] == [other.pid]
    assert NAME + "a" in everything
    assert processes.machines([NAME]) == {}


@pytest.mark.parametrize("words", [
    ("-name", NAME),
    ("-title", processes.MARK + NAME),
    (processes.MARK + NAME, "-name"),
    ("-name=" + processes.MARK + NAME, "x"),
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
