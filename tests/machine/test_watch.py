# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that is killed in netmap's loop gives its port back, and a console does not fill the disk.

There is no guest: a program lends its thread as QEMU and the port process do. The watch is tried both ways, with the
duplicates that it keeps on kernels before 6.9, and without.
"""

from __future__ import annotations

import shlex
import time

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.places import MACHINES
from ansible_collections.netmap.ptnet.plugins.module_utils.watch.logs import KEEP, LIMIT
from ansible_collections.netmap.ptnet.plugins.module_utils.watch.service import ARCHIVE, UNIT
from emulated import CODE, nightly
from test_power import until

pytestmark = pytest.mark.skipif(not nightly(), reason="takes minutes: NIGHTLY=yes")

PORT, HOLDER, TALKER = "vale8:watched", "ptnet-port-test", "ptnet-vm-test"
SAID = "/run/watch-test"
HOME = MACHINES + "/test"
SECONDS = 1  # in which a port is free
TRIES = 3  # for that, since a busy machine may stop an emulated one for as long
# The fence of the port process, as far as it changes how others see its descriptors.
FENCE = "-p PrivateDevices=yes -p BindPaths=/dev/netmap -p DeviceAllow='/dev/netmap rw' -p PrivateUsers=yes " \
        "-p StandardOutput=file:" + SAID
UTILS = "from ansible_collections.netmap.ptnet.plugins.module_utils"
DROP_IN = "/etc/systemd/system/%s.d/old.conf" % UNIT
# The same code, on a kernel that is told to be older.
OLDER = "[Service]\nExecStart=\nExecStart=/usr/bin/python3 -I -c 'import sys; sys.path.insert(0, \"%s\"); " \
        "from netmap_ptnet.watch import descriptors, main; descriptors.able_of_threads = lambda: False; " \
        "main.main([\"run\"])'\n" % ARCHIVE


def python(machine, *lines):
    return machine.check("PYTHONPATH=%s python3 -c %s" % (CODE, shlex.quote("; ".join(lines)))).strip()


def keep(machine, wanted):
    """Have the watch, or not; returns whether that changed anything (bool)."""
    return python(machine, UTILS + ".change import Change", UTILS + ".watch import service", "change = Change()",
                  "service.keep(change, %s, False)" % wanted, "print(change.changed)") == "True"


def loop(machine, *words):
    return machine.check("PYTHONPATH=%s python3 -m loop %s" % (CODE, " ".join(words))).strip()


def begin(machine, unit, command, options):
    machine.check("systemctl reset-failed %s 2> /dev/null; rm -f %s; systemd-run -q --unit=%s %s "
                  "--setenv=PYTHONPATH=%s %s" % (unit, SAID, unit, options, CODE, command))


def holding(machine):
    """The process of a program whose thread is in the loop (pid)."""
    begin(machine, HOLDER, "python3 -m loop hold " + PORT, FENCE)
    until(lambda: "looping" in machine.ssh("cat " + SAID).text, 60)
    return machine.check("systemctl show -P MainPID " + HOLDER).strip()


def newer(machine):
    """Whether this kernel gives out the descriptors of a thread whose process is dead (bool)."""
    major, minor = machine.check("uname -r").split(".")[:2]
    return (int(major), int(minor)) >= (6, 9)


@pytest.fixture(scope="module", autouse=True)
def _nothing_left(machine):
    yield
    machine.check("systemctl stop %s %s; rm -rf %s %s /run/say %s; true" % (
        HOLDER, TALKER, HOME, SAID, DROP_IN.rpartition("/")[0]))
    keep(machine, False)
    assert not machine.ssh("ls %s" % ARCHIVE)


@pytest.fixture(scope="module", params=["later", "kept"])
def watch(machine, request):
    """The watch, as it is on this kernel or as on one before 6.9."""
    keep(machine, True)
    if request.param == "kept":
        machine.put(DROP_IN, OLDER)
        machine.check("systemctl daemon-reload; systemctl restart " + UNIT)
    elif not newer(machine):
        pytest.skip("the kernel is older than 6.9")
    return request.param


def test_without_the_watch_the_port_stays_busy(machine):
    if not newer(machine):
        pytest.skip("only a reboot would free it")
    keep(machine, False)
    process = holding(machine)
    assert loop(machine, "kill", PORT, process) == "busy"
    assert machine.check("cut -d' ' -f3 /proc/%s/stat" % process).strip() == "Z"
    # To systemd it has not even ended.
    assert machine.ssh("systemctl is-active " + HOLDER)
    assert "which was ended" in python(machine, UTILS + ".watch import main", "main.main(['free', '%s'])" % HOLDER)
    assert float(loop(machine, "open", PORT)) < SECONDS
    until(lambda: not machine.ssh("systemctl is-active " + HOLDER), 10)


def test_it_is_made_once_and_is_fenced(machine):
    assert keep(machine, True)
    assert not keep(machine, True)
    *states, owner = machine.check("systemctl show -P ActiveState -P UnitFileState %s; stat -c %%u /proc/$(systemctl "
                                   "show -P MainPID %s)" % (UNIT, UNIT)).split()
    assert states == ["active", "enabled"]
    assert owner != "0"


def test_a_console_is_bounded(machine):
    keep(machine, True)
    machine.check("install -d -m 700 -o nobody %s; ln -s /etc/passwd %s/qemu.log; mkfifo -m 666 /run/say" % (
        HOME, HOME))
    # systemd opens the file, as it does for QEMU.
    begin(machine, TALKER, "sh -c 'yes \"a line of a guest\" 2> /dev/null | head -n %d; cat /run/say; sleep 60'" % (
        LIMIT // 18 + 1), "-p User=nobody -p StandardOutput=append:%s/console.log" % HOME)
    size = "stat -c %%s %s/console.log" % HOME
    until(lambda: 0 < int(machine.check(size)) <= KEEP, 30)
    machine.check("echo 'the newest line' > /run/say")
    until(lambda: "the newest line" in machine.check("tail -n 1 %s/console.log" % HOME), 10)
    assert machine.check("sort -u %s/console.log" % HOME).splitlines() == ["a line of a guest", "the newest line"]
    assert "root" in machine.check("cat /etc/passwd")
    machine.check("systemctl stop " + TALKER)


def test_a_killed_process_gives_its_port_back(machine, watch):
    for _number in range(TRIES):
        process = holding(machine)
        seconds = float(loop(machine, "kill", PORT, process))
        print("%s: free after %.2f s" % (watch, seconds))
        until(lambda pid=process: not machine.ssh("test -e /proc/%s" % pid), 5)
        until(lambda: machine.ssh("systemctl is-active " + HOLDER).text.strip() == "failed", 5)
        assert "process %s was killed in netmap's loop, which was ended" % process in machine.check(
            "journalctl -o cat -n 1 -u " + UNIT)
        if seconds < SECONDS:
            return
    pytest.fail("never free within %d s" % SECONDS)


def test_a_port_that_is_closed_is_free(machine, watch):
    begin(machine, HOLDER, "python3 -m loop flap %s 7" % PORT, FENCE + " --wait")
    waits = sorted(map(float, machine.check("cat " + SAID).split()))
    print("%s: closed and opened again after %s s" % (watch, waits))
    assert waits[len(waits) // 2] < SECONDS


def test_it_costs_little(machine, watch):
    holding(machine)
    spent = "systemctl show -P CPUUsageNSec " + UNIT
    time.sleep(6)  # The first seconds of a process are looked at more closely.
    before, begun = int(machine.check(spent)), time.monotonic()
    time.sleep(10)
    share = (int(machine.check(spent)) - before) / (time.monotonic() - begun) / 1e9
    print("%s: %.2f %% of an emulated core" % (watch, 100 * share))
    # Of a real one it is 0.05 %; an emulated one is slow, and its clock goes on while it waits for the real one.
    assert share < 0.1
    machine.check("systemctl stop " + HOLDER)
