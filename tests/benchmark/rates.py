# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a port of each QEMU carries and costs: the port process in its three modes against the fork.

    tests/benchmark/rates.py --inventory FILE [--rounds 5] [--seconds 3]

The inventory is that of ``make lab HYPERVISOR=both``, whose two guests are ready: a VALE port and a pipe end each;
``make rates`` has such a lab of its own. All sides take turns in each round; the machine whose turn it is not is
stopped. Packets are counted by the receiver, the processor's time is that of QEMU and of the port process. Exit status:
0, 1 when a pipe lost a packet, 2 when the run itself failed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
FORK, MODES = "fork", ("automatic", "notified", "polling")
IDLE_SECONDS = 20
HOST = "hv1"
# Each side's machine, its VALE port and its pipe, as playbooks/vars/lab.yml declares them.
VM = dict.fromkeys(MODES, ("vm1", "10", "1"))
VM[FORK] = ("vm2", "11", "3")
CASES = ("guest to switch", "switch to guest", "guest to pipe", "pipe to guest")
_RESULT = re.compile(r"(?:Sent|Received) (\d+) packets.* in ([\d.]+) seconds", re.DOTALL)
# stop and cont of QMP, by the names of machines and what each is told.
_QMP = """import json,socket,sys
for vm, word in json.loads(sys.argv[1]).items():
    s = socket.socket(socket.AF_UNIX); s.connect("/run/ptnet-vm-%s/qmp.sock" % vm); f = s.makefile("rw")
    for line in ("qmp_capabilities", word):
        f.write(json.dumps({"execute": line})); f.flush()
        while "return" not in json.loads(f.readline()): pass
"""
_CONTROL = """import socket,sys
s = socket.socket(socket.AF_UNIX); s.connect("/run/ptnet-port-vm1/control"); s.send(sys.argv[1].encode())
print(s.recv(65536).decode())
"""
# Ticks of all processes of the units that are named.
_TICKS = """import os,sys
total = 0
for unit in sys.argv[1:]:
    with open("/sys/fs/cgroup/system.slice/%s/cpu.stat" % unit) as f:
        total += int(f.readline().split()[1])
print(total)
"""


class Machine:
    """A machine of the inventory, reached by one connection that stays.

    :param folder: where the connection's socket lies (path)
    """

    def __init__(self, name, variables, folder):
        self._argv = ["ssh", *shlex.split(variables["ansible_ssh_common_args"]), "-o", "ControlMaster=auto",
                      "-o", "ControlPath=%s/%s" % (folder, name), "-o", "ControlPersist=600", "-o", "ConnectTimeout=90",
                      "-i", variables["ansible_ssh_private_key_file"], "-p", str(variables["ansible_port"]),
                      "%s@%s" % (variables["ansible_user"], variables["ansible_host"])]

    def begin(self, *words):
        return subprocess.Popen([*self._argv, shlex.join(words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)

    def run(self, *words):
        process = self.begin(*words)
        text = process.communicate(timeout=300)[0]
        if process.returncode:
            raise RuntimeError("%s: %s" % (shlex.join(words), text))
        return text

    def python(self, code, *words):
        return self.run("python3", "-c", code, *words)


class Bench:
    """The lab, and which machine of it runs.

    :param machines: name to :class:`Machine`
    :param seconds: how long is sent (float)
    """

    def __init__(self, machines, seconds):
        self._machines, self._seconds, self._side = machines, seconds, None

    def turn(self, side):
        """It is a side's turn: its machine runs, the other one stands still, the ports are in its mode."""
        vm = VM[side][0]
        words = {other: "cont" if other == vm else "stop" for other, _vale, _pipe in VM.values()}
        self._machines[HOST].python(_QMP, json.dumps(words))
        if side in MODES:
            said = json.loads(self._machines[HOST].python(_CONTROL, json.dumps({"mode": side})))
            assert {port["mode"] for port in said} == {side}, said
        self._side = side

    def cost(self, seconds_of):
        """What the side's processes cost while something runs: per cent of a core (float), and what it returned."""
        vm = VM[self._side][0]
        units = ["ptnet-vm-%s.service" % vm] + (["ptnet-port-%s.service" % vm] if self._side != FORK else [])
        begin, used = time.monotonic(), int(self._machines[HOST].python(_TICKS, *units))
        value = seconds_of()
        used = int(self._machines[HOST].python(_TICKS, *units)) - used
        return 100 * used / 1e6 / (time.monotonic() - begin), value

    def send(self, case):
        """One measurement. Returns packets sent and received, seconds, and per cent of a core (dict)."""
        vm, vale, pipe = VM[self._side]
        switched, outward = "switch" in case, case.startswith("guest")
        ends = {vm: "netmap:ptnet0" if switched else "netmap:ptnet1",
                HOST: "vale1:bench" if switched else "netmap:pp0}" + pipe}
        sender, receiver = (vm, HOST) if outward else (HOST, vm)
        listening = self._machines[receiver].begin(
            "timeout", "-s", "INT", str(int(self._seconds) + 60), "pkt-gen", "-i", ends[receiver], "-f", "rx", "-w",
            "1", "-T", "500")
        time.sleep(4 if receiver == vm else 2)
        sending = ("timeout", "-s", "INT", str(self._seconds + 2), "pkt-gen", "-i", ends[sender], "-f", "tx", "-w", "1",
                   "-T", "500")
        percent, sent = self.cost(lambda: self._machines[sender].begin(*sending).communicate(timeout=120)[0])
        self._machines[receiver].run("sh", "-c", "sleep 1; pkill -INT pkt-gen")
        received = listening.communicate(timeout=120)[0]
        told = [_RESULT.search(text) for text in (sent, received)]
        if not all(told):
            raise RuntimeError("%s, %s: %s\n%s" % (self._side, case, sent[-500:], received[-500:]))
        return {"sent": int(told[0].group(1)), "received": int(told[1].group(1)), "seconds": float(told[0].group(2)),
                "percent": percent}


def measure(bench, rounds):
    """All sides in turns (dict of side and case to a list of measurements); ``idle`` is a case."""
    found = {}
    for number in range(rounds):
        # What decides is measured in each round, what is printed beside it in the first two.
        for side in (FORK, *MODES) if number < 2 else (FORK, MODES[0]):
            bench.turn(side)
            for case in CASES:
                try:
                    one = bench.send(case)
                except (RuntimeError, subprocess.SubprocessError) as error:
                    # A connection to an emulated machine breaks now and then, and half an hour was measured before.
                    print("once more: %s" % error, flush=True)
                    one = bench.send(case)
                found.setdefault((side, case), []).append(one)
                print("round %d  %-10s %-16s sent %9d  received %9d  %5.0f Kpps  %3.0f %%" % (
                    number + 1, side, case, one["sent"], one["received"], _rate(one), one["percent"]), flush=True)
    for side in (FORK, *MODES):
        bench.turn(side)
        time.sleep(3)
        percent, _nothing = bench.cost(lambda: time.sleep(IDLE_SECONDS))
        found[side, "idle"] = [{"percent": percent}]
    return found


def _rate(one):
    return one["received"] / one["seconds"] / 1e3


def report(found):
    """Print the figures; returns the exit status (int)."""
    print("\nKpps at the receiver, median of the rounds; in brackets its ratio to the fork, and per cent of a core")
    print("%-18s" % "" + "".join("%24s" % side for side in (FORK, *MODES)))
    ratios = {}
    for case in CASES:
        cells = []
        for side in (FORK, *MODES):
            rate, base = (statistics.median(map(_rate, found[one, case])) for one in (side, FORK))
            ratios.setdefault(side, []).append(rate / base)
            cells.append("%8.0f (%4.2f, %3.0f %%)" % (
                rate, rate / base, statistics.median(one["percent"] for one in found[side, case])))
        print("%-18s" % case + "".join("%24s" % cell for cell in cells))
    print("%-18s" % "idle" + "".join("%22.1f %%" % found[side, "idle"][0]["percent"] for side in (FORK, *MODES)))
    print("%-18s" % "all cases" + "".join("%24s" % ("%.2f" % statistics.geometric_mean(ratios[side]))
                                          for side in (FORK, *MODES)) + "   (geometric mean of the ratios)")
    lost = [(side, case) for (side, case), ones in found.items() if "pipe" in case
            for one in ones if one["received"] < one["sent"]]
    print("no pipe lost a packet" if not lost else "pipes lost packets: %s" % lost)
    return 1 if lost else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inventory", required=True)
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="(default: %(default)s)")
    given = parser.parse_args()
    listed = json.loads(subprocess.check_output(
        [os.path.join(os.path.dirname(sys.executable), "ansible-inventory"), "-i", given.inventory, "--list"]))
    with tempfile.TemporaryDirectory() as folder:
        machines = {name: Machine(name, listed["_meta"]["hostvars"][name], folder)
                    for name in (HOST, *dict.fromkeys(vm for vm, _vale, _pipe in VM.values()))}
        bench = Bench(machines, given.seconds)
        try:
            return report(measure(bench, given.rounds))
        except (RuntimeError, subprocess.SubprocessError) as error:
            print(error)
            return 2
        finally:
            # Both machines run again, as they were found.
            with contextlib.suppress(RuntimeError, subprocess.SubprocessError):
                machines[HOST].python(_QMP, json.dumps({vm: "cont" for vm, _vale, _pipe in VM.values()}))


if __name__ == "__main__":
    sys.exit(main())
