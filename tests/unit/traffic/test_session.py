# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pkt-gen started, watched and ended; pkt-gen itself is a double."""

from __future__ import annotations

import contextlib
import glob
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from types import SimpleNamespace

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.traffic import output, pktgen, session


@pytest.fixture(scope="module")
def double(tmp_path_factory):
    """The double as a program, run by the Python of these tests (path)."""
    source = os.path.join(os.path.dirname(__file__), "double_of_pkt_gen.py")
    program = tmp_path_factory.mktemp("double") / "pkt-gen"
    program.write_text('#!/bin/sh\nexec "%s" "%s" "$@"\n' % (sys.executable, source))
    program.chmod(0o755)
    return str(program)


def declared(port, function, **more):
    return dict({"port": port, "function": function, "seconds": None, "packets": None, "length": 60, "threads": None,
                 "processors": None, "src_mac": None, "dst_mac": None, "burst": None, "rate": None,
                 "wait_link": None}, **more)


def alive(group):
    """Processes of a group that still run (list of pids); the dead that nobody has waited for do not count."""
    found = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError), open(path) as stream:
            state, _parent, pgrp = stream.read().rpartition(")")[2].split()[:3]
            if int(pgrp) == group and state != "Z":
                found.append(path)
    return found


@pytest.fixture
def measure(tmp_path, monkeypatch, double):
    monkeypatch.setattr(session, "STEP", 0.01)
    monkeypatch.setattr(session, "GRACE", 1)
    started = []
    start = session.command.start

    def remember(*args, **kwargs):
        started.append(start(*args, **kwargs))
        return started[-1]
    monkeypatch.setattr(session.command, "start", remember)

    def run(*runs, idle=0.05, timeout=5):
        checked = [pktgen.check(one) for one in runs]
        return session.measure(checked, double, 0, idle, timeout, tempfile.mkdtemp(dir=tmp_path))
    yield run
    assert started
    for process in started:
        assert process.returncode is not None
        limit = time.monotonic() + 20
        while alive(process.pid) and time.monotonic() < limit:
            time.sleep(0.01)
        assert not alive(process.pid)


def test_receiver_first_and_both_counted(measure, tmp_path, monkeypatch):
    order = tmp_path / "order"
    monkeypatch.setenv("DOUBLE_ORDER", str(order))
    tx, rx = measure(declared("vale1:a", "tx", seconds=0.1), declared("vale1:b", "rx"))
    assert order.read_text().split() == ["vale1:b", "vale1:a"]
    assert (tx["port"], tx["function"], tx["ended"]) == ("vale1:a", "tx", "seconds")
    assert (rx["port"], rx["ended"], rx["packets"], rx["bytes"]) == ("vale1:b", "idle", 300, 18000)
    assert tx["packets"] > 0
    assert rx["log"][-2].startswith("Received 300 packets")


def test_a_number_of_packets_ends_by_itself(measure):
    (tx,) = measure(declared("eth1", "tx", packets=200, wait_link=0))
    assert (tx["ended"], tx["packets"]) == ("done", 200)


def test_a_receiver_without_traffic_ends(measure):
    _tx, rx = measure(declared("vale1:a", "tx", packets=100), declared("vale1:silent", "rx"))
    assert (rx["ended"], rx["packets"]) == ("idle", 0)
    (rx,) = measure(declared("vale1:silent", "rx", seconds=0.05))
    assert (rx["ended"], rx["packets"]) == ("seconds", 0)


def test_timeout_ends_everything_with_what_was_counted(measure):
    (tx,) = measure(declared("vale1:a", "tx", seconds=60), timeout=1)
    assert tx["ended"] == "timeout"
    assert tx["packets"] > 0


def test_deaf_ones_are_killed(measure, monkeypatch):
    monkeypatch.setattr(session, "GRACE", 0.05)
    monkeypatch.setattr(session.Process, "__init__", start_without_bound(session.Process.__init__))
    (tx,) = measure(declared("vale1:deaf", "tx", seconds=0.05))
    assert tx["ended"] == "killed"
    assert tx["packets"] > 0


def start_without_bound(init):
    def start(self, run, binary, _bound, log):
        init(self, run, binary, 30, log)
    return start


def test_one_failure_ends_all_and_says_why(measure):
    with pytest.raises(PtnetError, match="gave up on vale1:busy: the port is in use") as caught:
        measure(declared("vale1:b", "rx"), declared("vale1:busy", "tx", seconds=5))
    assert "Device or resource busy" in caught.value.message
    assert not any("Usage" in line for line in caught.value.facts["log_tail"])
    with pytest.raises(PtnetError, match="poll error on 3 ring"):
        measure(declared("vale1:broken", "tx", seconds=5))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_an_interrupt_ends_all(measure, number):
    """Of an end, of an SSH connection that goes away, of a terminal's user."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        timer = threading.Timer(0.15, os.kill, (os.getpid(), number))
        timer.start()
        with session.interrupts_raised(), pytest.raises(PtnetError, match="interrupted by " + number.name):
            measure(declared("vale1:a", "tx", seconds=60))
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def process(function, began=0, last_packet=None, ended=None, end_time=None, seconds=None):
    return SimpleNamespace(run={"function": function, "seconds": seconds}, began=began, last_packet=last_packet,
                           ended=ended, end_time=end_time)


@pytest.mark.parametrize(("one", "senders", "reason"), [
    (process("tx", seconds=9), [], "seconds"),
    (process("tx", seconds=11), [], None),
    (process("tx"), [], None),
    (process("rx"), [], None),
    (process("rx", last_packet=9), [], None),
    (process("rx", last_packet=8), [], "idle"),
    (process("rx", last_packet=1), [process("tx")], None),
    (process("rx", last_packet=1), [process("tx", ended="done", end_time=9)], None),
    (process("rx", last_packet=1), [process("tx", ended="done", end_time=8)], "idle"),
    (process("rx", last_packet=9), [process("tx", ended="done", end_time=8)], None),
    (process("rx"), [process("tx", ended="done", end_time=8)], "idle"),
])
def test_verdict_at_ten_with_two_seconds_of_silence(one, senders, reason):
    assert session.verdict(one, 10, senders, 2) == reason


def test_vector_is_complete():
    run = pktgen.check(declared("p0{1", "tx", packets=5, threads=2, processors=3, burst=64, rate=1000))
    assert pktgen.vector(run, "pkt-gen") == [
        "pkt-gen", "-i", "netmap:p0{1", "-f", "tx", "-N", "-T", "200", "-w", "0", "-l", "60", "-n", "5", "-p", "2",
        "-c", "3", "-b", "64", "-R", "1000", "-S", run["src_mac"], "-D", "ff:ff:ff:ff:ff:ff"]
    assert run["src_mac"].startswith("02:")


@pytest.mark.parametrize(("port", "name", "wait"), [
    ("vale1:a", "vale1:a", 0), ("netmap:eth0-1", "netmap:eth0-1", 2), ("tap0", "netmap:tap0", 2),
    ("null", "netmap:null", 2), ("p0}1", "netmap:p0}1", 0)])
def test_names_that_pkt_gen_would_misread_get_their_prefix(port, name, wait):
    run = pktgen.check(declared(port, "rx"))
    assert (run["name"], run["wait_link"]) == (name, wait)


@pytest.mark.parametrize(("run", "text"), [
    (declared("", "rx"), "port name is refused"),
    (declared("a b", "rx"), "port name is refused"),
    (declared("vale1:a", "tx"), "never end"),
    (declared("vale1:a", "tx", seconds=0), "too small"),
    (declared("vale1:a", "tx", packets=-1), "too small"),
    (declared("vale1:a", "tx", seconds=1, length=15), "16 to 65536"),
    (declared("vale1:a", "tx", seconds=1, src_mac="00:00:00:00:00:00"), "not all zeros"),
    (declared("vale1:a", "tx", seconds=1, src_mac="ff:ff:ff:ff:ff:ff"), "unicast"),
    (declared("vale1:a", "rx", wait_link=-1), "negative"),
])
def test_refused_before_anything_is_started(run, text):
    with pytest.raises(PtnetError, match=text):
        pktgen.check(run)


def test_check_mode_runs_nothing(monkeypatch):
    monkeypatch.setattr(session, "measure", None)
    result = session.act({"runs": [declared("vale1:a", "rx")], "start_delay": 0, "idle": 1, "timeout": 1,
                          "discard": 0, "background": None, "job": "default", "binary": "none",
                          "allow_management": False}, True)
    assert (result["changed"], result["skipped"], result["runs"]) == (False, True, [])


@pytest.mark.parametrize("background", [None, "start"])
@pytest.mark.parametrize("check_mode", [True, False])
def test_the_interface_of_the_management_is_not_taken(monkeypatch, background, check_mode):
    monkeypatch.setattr(session, "platform", lambda: SimpleNamespace(management=lambda: {"eth0": "the default route"}))
    params = {"runs": [declared("eth0^", "rx")], "start_delay": 0, "idle": 1, "timeout": 1, "discard": 0,
              "background": background, "job": "default", "binary": "none", "allow_management": False}
    with pytest.raises(PtnetError, match="pkt-gen does not get eth0; .*default route.*check_allow_management"):
        session.act(params, check_mode)
    assert session.act(dict(params, allow_management=True), True)["skipped"]


def test_stop_needs_no_runs_and_no_job(monkeypatch, tmp_path):
    stopped = []
    monkeypatch.setattr(session.background, "stop", stopped.append)
    params = {"runs": None, "start_delay": 0, "idle": 1, "timeout": 1, "discard": 0, "background": "stop", "job": "a",
              "allow_management": False}
    assert session.act(params, False) == {"changed": False, "runs": []}
    assert stopped == ["/run/netmap-ptnet/pkt-gen-a"]
    session.act(params, True)
    assert len(stopped) == 1


def test_missing_pkt_gen_says_what_to_install():
    with pytest.raises(PtnetError, match="role netmap.ptnet.netmap"):
        session.locate("no-such-pkt-gen")


def test_the_double_speaks_as_the_real_one(double):
    words = [double, "-i", "vale1:a", "-f", "rx", "-w", "0", "-n", "100"]
    printed = subprocess.run(words, capture_output=True, text=True, check=True, timeout=10)
    assert output.RECEIVING.search(printed.stderr)
    assert output.measured(printed.stderr + printed.stdout, "rx")["packets"] == 100


def test_what_was_discarded_is_not_counted(tmp_path, monkeypatch, double):
    monkeypatch.setattr(session, "STEP", 0.01)
    monkeypatch.setattr(session.background, "wanted_since", lambda _folder: time.monotonic())
    run = pktgen.check(declared("vale1:b", "rx", packets=100))
    (rx,) = session._receive([run], double, {"discard": 0.02, "idle": 0.05, "timeout": 5}, str(tmp_path), list)
    assert [line.split()[:2] for line in rx["log"] if line.startswith("Received")] == [["Received", "100"]]


@pytest.mark.parametrize(("one", "collected", "reason"), [
    (process("rx", last_packet=1), 0, None),
    (process("rx"), 9, None),
    (process("rx"), 7, "idle"),
    (process("rx", last_packet=9), 7, None),
    (process("rx", seconds=5), 0, "seconds"),
])
def test_a_receiver_in_the_background_waits_for_its_collection(one, collected, reason):
    assert session.verdict(one, 10, [], 2, collected) == reason
