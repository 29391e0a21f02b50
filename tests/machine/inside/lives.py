# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In the machine: a VM that dies in every way there is, in the midst of traffic, and what its ports carry afterwards.

Usage: ``python3 -m lives VM TIMES SEED PORT PIPE HURT``: the unit of the VM is there, its kernel is told
``init=/bin/sh`` on ``ttyS0``, its first port is PORT on a switch, its second one PIPE, one end of a pipe; HURT is a
JSON list of what stands in no line of a healthy kernel's log. Prints a JSON object for each life.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time

from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import names
from loop import device, opening

PACKETS = 20000
BOOT = 180  # seconds
DRIVER = "ptnetmap-guest-drivers"


class Console:
    """A shell of the guest on its serial console."""

    def __init__(self, vm):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect("/run/ptnet-vm-%s/console.sock" % vm)
        self._socket.settimeout(1)
        self._seen, self._count = "", 0

    def close(self):
        self._socket.close()

    def _until(self, pattern, seconds):
        end = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self._seen)
            if match:
                self._seen = self._seen[match.end():]
                return match
            assert time.monotonic() < end, "the guest did not say %r: %r" % (pattern, self._seen[-500:])
            with contextlib.suppress(TimeoutError):
                data = self._socket.recv(65536)
                assert data, "the console has gone"
                self._seen += data.decode("utf-8", "replace")

    def booted(self):
        """Wait for the shell of a boot, and prepare it."""
        end = time.monotonic() + BOOT
        while True:
            try:
                self.run(":", 3)
                break
            except AssertionError:
                assert time.monotonic() < end, "no shell: %r" % self._seen[-500:]
                self._seen = self._seen[-500:]
        self.insist("stty -echo; mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev; "
                    "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; modprobe netmap; "
                    "echo 1 > /proc/sys/kernel/panic")
        # In the order of their PCI addresses, which is that of the VM's ports.
        said = self.insist("for n in /sys/bus/pci/drivers/%s/0*/net/*; do echo port=${n##*/}; done" % DRIVER)
        found = re.findall(r"port=(\w+)", said)
        assert len(found) >= 2, said
        self.insist("; ".join("ip link set %s up" % name for name in found))
        return found[:2]

    def say(self, line):
        """Send a line whose end nobody will see."""
        self._socket.sendall(line.encode() + b"\n")

    def run(self, line, seconds):
        """Run a line and return what it said (str)."""
        self._count += 1
        # The words as typed, which the terminal echoes, do not match the answer; and a boot may swallow the begin of a
        # line, which must not leave a quote open.
        self.say("%s; echo end\\=%d=" % (line, self._count))
        begin = len(self._seen)
        match = self._until("end=%d=" % self._count, seconds)
        return match.string[begin:match.start()]

    def insist(self, line):
        """Run a line that may run twice: the guest's kernel loses some of what is typed while it boots."""
        for _again in range(2):
            with contextlib.suppress(AssertionError):
                return self.run(line, 30)
        return self.run(line, 30)


class Life:
    """One VM, its guest, and the other ends of its ports on the host."""

    def __init__(self, vm, port, pipe):
        self.vm, self.port, self.pipe = vm, port, pipe
        self.unit, self.ports_unit = "ptnet-vm-%s.service" % vm, "ptnet-port-%s.service" % vm
        self.process = os.path.exists("/etc/systemd/system/" + self.ports_unit)
        self.far = names.parse(pipe).peer().kernel_name()
        self.console = self.interfaces = None
        self._background = []

    def pid(self, unit):
        return int(run("systemctl", "show", "-P", "MainPID", unit))

    def boot(self, start=True):
        if self.console:
            self.console.close()
            self.console = None
        if start:
            run("systemctl", "restart", self.unit)
        end = time.monotonic() + 20
        while not self.console:
            try:
                self.console = Console(self.vm)
            except OSError:
                assert time.monotonic() < end, "no console"
                time.sleep(0.2)
        self.interfaces = self.console.booted()

    # Traffic

    def carries(self):
        """Send both ways over both ports; a pipe loses nothing. Returns packets by path (dict of int)."""
        switch, pipe = self.interfaces
        beside = "%s:life" % self.port.partition(":")[0]
        return {"pipe out": self._out(pipe, "netmap:" + self.far, PACKETS),
                "pipe in": self._in(pipe, "netmap:" + self.far, PACKETS),
                "switch out": self._out(switch, beside, 1000), "switch in": self._in(switch, beside, 1000)}

    def _out(self, interface, far, packets):
        with receiving(far, packets) as heard:
            time.sleep(1)
            # A switch loses packets, a pipe waits: enough is sent that enough arrives.
            self.console.run("timeout 20 pkt-gen -i netmap:%s -f tx -w 1 -n %d > /dev/null 2>&1" % (
                interface, packets if "}" in far or "{" in far else 50 * packets), 60)
        return heard()

    def _in(self, interface, far, packets):
        self.console.say("timeout 25 pkt-gen -i netmap:%s -f rx -w 1 -n %d > /tmp/rx 2>&1; echo heard\\=" % (
            interface, packets))
        time.sleep(3)
        lossless = "}" in far or "{" in far
        run("timeout", "20", "pkt-gen", "-i", far, "-f", "tx", "-w", "1", "-n",
            str(packets if lossless else 50 * packets), "-T", "500", allowed=None)
        self.console._until("heard=", 60)
        said = self.console.run("grep -o 'Received [0-9]* packets' /tmp/rx", 20)
        return int((re.findall(r"Received (\d+)", said) or [0])[-1])

    def busy(self):
        """Traffic that goes on until its end: out of both ports, and into the switch's."""
        switch, pipe = self.interfaces
        beside = self.port.partition(":")[0]
        for words in (("-i", "netmap:" + self.far, "-f", "rx"), ("-i", beside + ":sink", "-f", "rx"),
                      ("-i", beside + ":source", "-f", "tx", "-R", "20000")):
            self._background.append(subprocess.Popen(
                ["pkt-gen", *words, "-w", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        for interface in (switch, pipe):
            self.console.run("(pkt-gen -i netmap:%s -f tx -w 1 > /dev/null 2>&1 &)" % interface, 20)
        time.sleep(3)

    def calm(self):
        for process in self._background:
            process.send_signal(signal.SIGINT)
            process.wait()
        self._background.clear()

    # Deaths

    def free(self, pids):
        """Wait until processes have gone and the ports can be opened.

        :returns: the seconds until the processes had gone, and from then on until the ports were free, without those
            that it takes here to open ports that are free (dict of float)
        """
        begin = time.monotonic()
        while any(os.path.exists("/proc/%d" % pid) for pid in pids):
            assert time.monotonic() - begin < 10, "processes that do not end"
            time.sleep(0.01)
        times = [time.monotonic()]
        for _again in range(2):
            for name in (self.port, self.pipe):
                port, _seconds = opening(self.door, name)
                assert port, "%s is busy" % name
                port.close()
            times.append(time.monotonic())
        return {"ended": round(times[0] - begin, 2), "free": round(max(0.0, 2 * times[1] - times[0] - times[2]), 2)}

    def _kill(self, unit, number):
        pids = [pid for pid in (self.pid(self.unit), self.process and self.pid(self.ports_unit)) if pid]
        os.kill(self.pid(unit), number)
        if unit != self.unit:
            # QEMU lives on, without ports.
            pids.remove(self.pid(self.unit))
        told = self.free(pids)
        self.calm()
        self.boot()
        return told

    def reboot(self):
        self.console.say("echo b > /proc/sysrq-trigger")
        self.calm()
        self.boot(start=False)

    def crash(self):
        self.console.say("echo c > /proc/sysrq-trigger")
        self.calm()
        self.boot(start=False)

    def unbind(self):
        self.calm()
        self.console.run("pkill -INT pkt-gen; sleep 1; cd /sys/bus/pci/drivers/%s; for d in 0*:10.0 0*:11.0; do "
                         "a=$(echo $d); echo $a > unbind; echo $a > bind; done; cd /" % DRIVER, 60)
        self.interfaces = self.console.booted()

    def term(self):
        return self._kill(self.unit, signal.SIGTERM)

    def kill(self):
        return self._kill(self.unit, signal.SIGKILL)

    def term_process(self):
        return self._kill(self.ports_unit, signal.SIGTERM)

    def kill_process(self):
        return self._kill(self.ports_unit, signal.SIGKILL)

    def deaths(self):
        alone = ["term_process", "kill_process"] if self.process else []
        return ["reboot", "unbind", "crash", "term", "kill", *alone]


@contextlib.contextmanager
def receiving(port, packets):
    """Receive so many packets, or what comes within a time; what is yielded returns the number afterwards."""
    process = subprocess.Popen(["timeout", "-s", "INT", "30", "pkt-gen", "-i", port, "-f", "rx", "-w", "1", "-n",
                                str(packets)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield lambda: int((re.findall(r"Received (\d+) packets", said[0]) or [0])[-1])
    finally:
        said = [process.communicate()[0]]


def run(*argv, allowed=(0,)):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert allowed is None or done.returncode in allowed, (argv, done.stdout)
    return done.stdout


def main(vm, times, seed, port, pipe, hurt):
    life, chance = Life(vm, port, pipe), random.Random(int(seed))
    life.door = device()
    plan = []
    while len(plan) < int(times):
        plan += chance.sample(life.deaths(), len(life.deaths()))
    drop_in = "/run/systemd/system/%s.d/lives.conf" % life.unit
    os.makedirs(os.path.dirname(drop_in), exist_ok=True)
    # Who looks whether a port is free must not be overtaken.
    with open(drop_in, "w", encoding="utf-8") as stream:
        stream.write("[Service]\nRestart=no\n")
    run("systemctl", "daemon-reload")
    try:
        life.boot()
        for death in plan[:int(times)]:
            run("dmesg", "--clear")
            told = {"vm": vm, "death": death}
            try:
                life.busy()
                told.update(getattr(life, death)() or {})
                told["carried"] = life.carries()
            except AssertionError as error:
                told["wrong"] = str(error)
                life.calm()
                life.boot()
            told["kernel"] = [line for line in run("dmesg").splitlines()
                              if any(word in line.lower() for word in json.loads(hurt))]
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
    finally:
        life.calm()
        os.unlink(drop_in)
        run("systemctl", "daemon-reload")


if __name__ == "__main__":
    main(*sys.argv[1:])
