# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hostile QEMU against the real port process in its real unit, on the real netmap: nothing but its own port suffers.

What is tried stands in inside/attacks_*.py; this prints what came of each, and decides. NIGHTLY=yes adds ten minutes of
messages at random, from SEED. ATTACK= names one row, by a part of its name.
"""

from __future__ import annotations

import json
import os
import shlex

import emulated
import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import archive, layout, unit
from emulated import CODE, HURT, nightly

pytestmark = pytest.mark.skipif(not nightly(), reason="takes minutes: NIGHTLY=yes")

PYTHON = "/usr/bin/python3"
GROUP = "attack"
VICTIM, OTHER = "victim", "other"
# The first one notified, the second one polling: what happens under a running loop differs.
MODES = {"d0": {"mode": "notified"}, "d1": {"mode": "polling", "pause": 500}}
SLOTS = 8
GROWTH = 16 << 10  # kB of resident memory, over all attacks on one process
# Lines of the kernel that one attack may cause; what netmap itself says is limited to ten a second and place.
LINES = 500
# But not for each slot that names buffer 0 (netmap_vp_rxsync_locked in netmap_vale.c), which any guest of a switch, the
# fork's too, can write as often as it likes: it is said in docs/security.md, and nobody outside netmap can prevent it.
UNLIMITED = ("garbage in the whole region",)
TIMEOUT = 1800


def ports(name, count):
    """Ports of a process, all on one switch (list of dict)."""
    return [dict({"id": "d%d" % number, "ifname": "vale7:%s%d" % (name[0], number),
                  "mac": "02:00:00:00:%02x:%02x" % (ord(name[0]), number)}, **MODES.get("d%d" % number, {}))
            for number in range(count)]


@pytest.fixture(scope="module")
def processes(machine):
    """The two processes as services, started; they go afterwards."""
    units = " ".join(map(layout.unit, (VICTIM, OTHER)))
    machine.equip()
    machine.put(archive.PATH, archive.content())
    machine.put(archive.LOCK_FILE, archive.LOCK_TEXT)
    for name, count in ((VICTIM, SLOTS), (OTHER, 1)):
        machine.put("/etc/systemd/system/" + layout.unit(name), unit.text(name, ports(name, count), GROUP, PYTHON))
    owner = machine.check("stat -c '%g %a' /dev/netmap").split()
    machine.check("groupadd -f %s && groupadd -f %s && chgrp %s /dev/netmap && chmod 660 /dev/netmap && "
                  "systemd-tmpfiles --create %s && systemctl daemon-reload && systemctl restart %s" % (
                      GROUP, archive.GROUP, archive.GROUP, archive.LOCK_FILE, units))
    yield machine
    machine.check("systemctl stop %s; rm -f /etc/systemd/system/ptnet-port-*.service %s %s; systemctl daemon-reload; "
                  "chgrp %s /dev/netmap; chmod %s /dev/netmap" % (units, archive.LOCK_FILE, archive.PATH, *owner))


def attack(machine):
    """Run all attacks; yields what came of each (dict) as soon as it is known."""
    given = {"victim": layout.directory(VICTIM), "other": layout.directory(OTHER), "unit": layout.unit(VICTIM),
             "hurt": list(HURT), "seed": emulated.seed(), "long": nightly(),
             "only": os.environ.get("ATTACK")}
    process = machine.begin("echo %s | PYTHONPATH=%s timeout %d python3 -m attack" % (
        shlex.quote(json.dumps(given)), CODE, TIMEOUT))
    said = []
    for line in process.stdout:
        if line.startswith("{"):
            yield json.loads(line)
        else:
            said.append(line)
    assert process.wait() == 0, "".join(said[-20:])


def test_nothing_but_its_own_port_suffers(processes):
    print("\n%-58s %-8s %6s %8s %5s  %s" % ("attack", "then", "s", "kB", "lines", "outcome"))
    wrong, before, last = [], None, {}
    for row in attack(processes):
        last = row
        if row["attack"] == "all":
            break
        before = before or row["memory"]
        grown = row.get("memory", 0) - before
        flood = row["lines"] > LINES and row["attack"] not in UNLIMITED
        faults = list(filter(None, [
            row["wrong"], "; ".join(row["hurt"]), "%d kB more memory" % grown if grown > GROWTH else "",
            "%d lines of the kernel" % row["lines"] if flood else ""]))
        print("%-58s %-8s %6.1f %8s %5d  %s" % (
            row["attack"], row["expected"], row.get("seconds", 0), row.get("memory", ""), row["lines"],
            "; ".join(["WRONG: " + fault for fault in faults] or [row["note"] or "nothing else suffered"])))
        # What a start of a port says is no matter; the rest is what a guest can put into the kernel's log.
        for line in row["sample"]:
            if "csb_init" not in line and "kloop busy_wait" not in line:
                print("    kernel: " + line[:150])
        wrong += ["%s: %s" % (row["attack"], fault) for fault in faults]
    assert wrong == []
    assert last["attack"] == "all"
    assert last["tracebacks"] == []
