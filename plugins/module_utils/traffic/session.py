# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several pkt-gen at once, for a bounded time: started in order, watched, always ended. Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import signal
import tempfile
import time

from .. import command
from ..errors import PtnetError
from ..kernel.platform import platform
from ..netmap import guard, opening
from ..netmap.device import Device
from . import background, output, pktgen

STEP = 0.05
# A thread of pkt-gen looks at SIGINT after a poll() of at most 2 s, its main thread after a report.
GRACE = 5
PLACES = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin"


def act(params, check_mode):
    """What the module ``pkt_gen`` does."""
    runs = [pktgen.check(run) for run in params["runs"] or []]
    if params["background"] == "start" and any(run["function"] == "tx" for run in runs):
        raise PtnetError("only receivers run in the background", found="a sender in runs",
                         remedy="send in a task of its own, between start and collect")
    if not runs and params["background"] not in ("collect", "stop"):
        raise PtnetError("there is nothing to run", expected="at least one element in runs")
    for option in ("start_delay", "idle", "timeout", "discard"):
        if params[option] < 0 or (option == "timeout" and not params[option]):
            raise PtnetError("%s is out of range" % option, found=params[option], expected="seconds, 0 or more")
    guard.refuse_opening("pkt-gen", [run["name"] for run in runs], platform().management, params["allow_management"],
                         "check_allow_management")
    if check_mode:
        return {"changed": False, "skipped": True, "msg": "No frames are sent in check mode.", "runs": []}
    if params["background"] == "collect":
        return {"changed": False, "runs": background.collect(background.folder_of(params["job"]), params["timeout"])}
    if params["background"] == "stop":
        background.stop(background.folder_of(params["job"]))
        return {"changed": False, "runs": []}
    opening.refuse_wedging([run["name"] for run in runs], Device(None).entries())
    binary = locate(params["binary"])
    if params["background"] == "start":
        folder = background.folder_of(params["job"])
        background.start(folder, lambda ready: _receive(runs, binary, params, folder, ready))
        return {"changed": False, "runs": []}
    with interrupts_raised(), tempfile.TemporaryDirectory(prefix="pkt-gen-") as folder:
        return {"changed": False, "runs": measure(
            runs, binary, params["start_delay"], params["idle"], params["timeout"], folder)}


def _receive(runs, binary, params, folder, ready):
    with interrupts_raised():
        if params["discard"]:
            # In a folder of its own: what pkt-gen printed here is no figure of the runs that follow.
            with tempfile.TemporaryDirectory(dir=folder) as apart:
                measure([dict(run, seconds=params["discard"]) for run in runs], binary, 0, params["idle"],
                        params["timeout"], apart)
        return measure(runs, binary, 0, params["idle"], params["timeout"], folder, ready,
                       lambda: background.wanted_since(folder))


def locate(binary):
    """The program to run (path).

    :raises PtnetError: it is not there
    """
    path = shutil.which(binary, path=":".join([os.environ.get("PATH", ""), PLACES]))
    if not path:
        raise PtnetError("pkt-gen is not here", found=binary, expected="a program in PATH or in %s" % PLACES,
                         remedy="install netmap with its applications (role netmap.ptnet.netmap), or set binary")
    return path


@contextlib.contextmanager
def interrupts_raised():
    """Turn the signals that would end us into an exception, so that nothing that we started is left behind."""
    def stop(number, _frame):
        raise PtnetError("interrupted by %s" % signal.Signals(number).name)
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Process:
    """One pkt-gen, started.

    :param run: as :func:`pktgen.check` returns it (dict)
    :param binary: pkt-gen (path)
    :param bound: seconds after which timeout(1) ends it, should nobody be left to do so (int)
    :param log: a file for its output (path)
    """

    def __init__(self, run, binary, bound, log):
        self.run = run
        self.text = ""
        self.began = None
        self.last_packet = None
        self.ended = None
        self.end_time = None
        self._log = log
        self._offset = 0
        self._process = command.start(
            ["timeout", "-s", "INT", "-k", str(GRACE), str(bound), *pktgen.vector(run, binary)], log)

    def poll(self):
        """Take in what was printed, and notice the end.

        :raises PtnetError: pkt-gen gave up
        """
        if self.ended:
            return
        over = self._process.poll() is not None
        self._read(over)
        if over:
            # timeout(1) says 124 when it had to end pkt-gen.
            self._conclude("timeout" if self._process.returncode == 124 else "done")
            self._refuse_failure()

    def stop(self, reason):
        """End it: SIGINT, so that it prints its summary, then SIGKILL; ``reason`` is what the result tells."""
        if self.ended:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGINT)
        limit = time.monotonic() + GRACE
        while self._process.poll() is None and time.monotonic() < limit:
            time.sleep(STEP)
        if self._process.poll() is None:
            command.kill_group(self._process)
            self._process.wait()
        self._read(over=True)
        # timeout(1) may have been the one to kill it.
        self._conclude("killed" if self._process.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL) else reason)

    def wait_for(self, pattern, deadline):
        """Wait until it has printed a line.

        :raises PtnetError: it ended instead, or the deadline passed
        """
        while True:
            self.poll()
            if pattern.search(self.text):
                return
            if self.ended or time.monotonic() >= deadline:
                raise PtnetError(
                    "pkt-gen did not get ready on %s" % self.run["port"], found=output.complaint(self.text)[0],
                    remedy="see log_tail; with a slow link raise timeout", log_tail=output.tail(self.text))
            time.sleep(STEP)

    def begin(self):
        """Note that it sends or receives from now on."""
        self.began = time.monotonic()
        if self.run["function"] == "tx" and self.run["rate"]:
            # With -R it begins at the full second after the next one (sender_body in pkt-gen.c).
            self.began += 2 - time.time() % 1

    def result(self):
        """The figures of this run (dict)."""
        return dict(output.measured(self.text, self.run["function"]), port=self.run["port"],
                    function=self.run["function"], ended=self.ended, log=output.tail(self.text))

    def _read(self, over):
        with open(self._log, "rb") as stream:
            stream.seek(self._offset)
            data = stream.read()
        if not over:
            data = data[:data.rfind(b"\n") + 1]
        self._offset += len(data)
        fresh = data.decode("utf-8", "replace")
        self.text += fresh
        if any(packets for packets, _usec in output.reports(fresh)):
            self.last_packet = time.monotonic()

    def _conclude(self, reason):
        self.ended = reason
        self.end_time = time.monotonic()

    def _refuse_failure(self):
        if self._process.returncode in (0, 124) and not output.failed(self.text):
            return
        said, meaning, remedy = output.complaint(self.text)
        if meaning == output.BUSY:
            holders = opening.users(re.sub("^netmap:", "", self.run["name"]))
            said += "; named by " + ", ".join(holders) if holders else ""
        raise PtnetError("pkt-gen gave up on %s%s" % (self.run["port"], ": " + meaning if meaning else ""),
                         found=said, remedy=remedy, log_tail=output.tail(self.text), run=self.run)


def verdict(process, now, senders, idle, collected=None):
    """Why a running process is to end now (str), or None.

    Beside senders of this call, or in the background, a receiver waits for their end or for its collection: a stray
    frame before the first one sent is no traffic.

    :param now: time.monotonic()
    :param senders: all senders of the call (list of Process)
    :param idle: seconds of silence (number)
    :param collected: in the background, when somebody came for the figures (number, 0 for not yet), otherwise None
    """
    if process.run["seconds"] and now - process.began >= process.run["seconds"]:
        return "seconds"
    if process.run["function"] == "tx":
        return None
    if senders:
        if not all(sender.ended for sender in senders):
            return None
        quiet_since = max([sender.end_time for sender in senders] + [process.last_packet or 0])
    elif collected is not None:
        quiet_since = max(collected, process.last_packet or 0) if collected else None
    else:
        quiet_since = process.last_packet
    return "idle" if quiet_since is not None and now - quiet_since >= idle else None


def measure(runs, binary, start_delay, idle, timeout, folder, on_ready=None, collected=None):
    """Run all and return their figures in the order of ``runs`` (list of dict).

    Ports are opened and closed one after the other: netmap hung when pipes with an automatic parent were opened at
    the same time (2 of 6 runs).

    :param runs: as :func:`pktgen.check` returns them (list of dict)
    :param start_delay: seconds between the receivers' readiness and the first sender (number)
    :param idle: seconds of silence that end a receiver (number)
    :param timeout: seconds for everything (number)
    :param folder: a directory for the output (path)
    :param on_ready: called when all ports are open and receiving or sending (callable)
    :param collected: tells since when the figures are waited for, see :func:`verdict` (callable)
    :raises PtnetError: pkt-gen gave up; nothing is left running
    """
    deadline = time.monotonic() + timeout
    processes = [None] * len(runs)
    receivers = [index for index, run in enumerate(runs) if run["function"] == "rx"]
    senders = [index for index, run in enumerate(runs) if run["function"] == "tx"]
    try:
        for group, ready in ((receivers, output.RECEIVING), (senders, output.SENDING)):
            if group is senders and senders and receivers:
                time.sleep(start_delay)
            for index in group:
                processes[index] = Process(runs[index], binary, math.ceil(timeout) + GRACE,
                                           os.path.join(folder, "%d.log" % index))
                processes[index].wait_for(output.OPENED, deadline)
            for index in group:
                processes[index].wait_for(ready, deadline)
                processes[index].begin()
        if on_ready:
            on_ready()
        _watch(processes, [processes[index] for index in senders], idle, deadline, collected)
    finally:
        for process in processes:
            if process:
                process.stop("stopped")
    return [process.result() for process in processes]


def _watch(processes, senders, idle, deadline, collected):
    while True:
        for process in processes:
            process.poll()
        now = time.monotonic()
        waited_for = collected() if collected else None
        for process in processes:
            if not process.ended:
                reason = "timeout" if now >= deadline else verdict(
                    process, now, senders, idle, waited_for)
                if reason:
                    process.stop(reason)
        if all(process.ended for process in processes):
            return
        time.sleep(STEP)
