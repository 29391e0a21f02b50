# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power that fails in the middle of a change, and again while the machine boots: the next run heals it."""

from __future__ import annotations

import json
import os
import re
import threading
import time

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux.service import UNIT
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.record import FILE
from ansible_collections.netmap.ptnet.plugins.module_utils.places import STORE
from emulated import nightly

# One end of each pair is attached; something has to make pairs at boot.
PAIRS = ("va", "vb", "vc")
# A service that makes interfaces before the network and the restoration start.
BEFORE_NETWORK = """\
[Unit]
Before=network.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c '%s'
[Install]
WantedBy=multi-user.target
"""
PAIRS_UNIT = BEFORE_NETWORK % (
    "for n in %s; do ip link add $n type veth peer name peer_$n; ip link set $n up; done" % " ".join(PAIRS))
# Tells on the console that the restoration begins.
MARK = "restoration begins"
DROP_IN = "[Service]\nExecStartPre=/bin/sh -c 'echo %s > /dev/ttyS0'\n" % MARK
# Where files of ours lie; drafts of an interrupted change have no business there after the next run.
FOLDERS = ("/etc/modprobe.d /etc/modules-load.d /etc/udev/rules.d /etc/systemd/system /lib/modules " +
           STORE + " /usr/local")
DRAFTS = "find %s -name '*.new' -o -name '*.netmap-ptnet' -o -name '*.making-*' 2>/dev/null" % FOLDERS
SMALL = {"tx_slots": 64, "rx_slots": 64}
NUMBER = 10 if nightly() else 2


@pytest.fixture(scope="module")
def states(machine):
    """Three declarations: clean, A and B; each the steps of a run (dict of list)."""
    machine.put("/etc/systemd/system/machine-pairs.service", PAIRS_UNIT)
    machine.put("/etc/systemd/system/%s.d/mark.conf" % UNIT, DROP_IN)
    machine.check("systemctl daemon-reload && systemctl enable --now machine-pairs && sync")
    build = installed(machine)
    clean = [["vale_port", {"switch": switch, "state": "absent", "purge": True}] for switch in ("vale1", "vale2")]
    clean += [["netmap_pipe", {"state": "absent", "purge": True}], ["netmap_module", {"state": "unloaded"}],
              ["netmap_build", {"state": "absent"}]]

    def declared(parameters, one, two, parents):
        return [["netmap_build", build], ["netmap_module", {"parameters": parameters}],
                # First where ports leave: vb goes from vale2 to vale1.
                ["vale_port", {"switch": "vale2", "purge": True, "ports": two}],
                ["vale_port", {"switch": "vale1", "purge": True, "ports": one}],
                ["netmap_pipe", {"purge": True, "parents": parents}]]

    return {
        "clean": clean,
        "A": declared({"priv_ring_num": 32, "verbose": 0, "buf_num": 40000}, [{"name": "va", "host_stack": True}],
                      [{"name": "vb"}], [dict(SMALL, name="pp0", pipes=2), dict(SMALL, name="pp1")]),
        "B": declared({"priv_ring_num": 40, "priv_if_num": 12, "buf_num": 40000}, [{"name": "vc"}, {"name": "vb"}], [],
                      [dict(SMALL, name="pp1"), dict(SMALL, name="pp2", pipes=3)]),
    }


def installed(machine):
    """How the role installed netmap, as options of ``netmap_build`` (dict)."""
    archive = machine.check("ls %s/shipped/netmap-*.tar.gz" % STORE).split()[0]
    return {"identity": re.search(r"netmap-(\w+)\.tar", archive)[1], "archive": archive}


def run(machine, steps):
    """One whole run that has to end well: what each step changed (dict of str: bool), number of effects (int)."""
    told = machine.steps(steps)
    assert "effects" in told[-1], told[-1]
    assert not any(line.get("failed") for line in told), [line for line in told if line.get("failed")]
    return [(line["step"], line["changed"]) for line in told[:-1]], told[-1]["effects"]


def heal(machine, steps):
    """The next run after an interruption, and the one after it, which finds nothing to do."""
    run(machine, steps)
    assert not any(changed for _step, changed in run(machine, steps)[0])
    assert machine.ssh(DRAFTS).text == ""
    agree(machine, steps)


def agree(machine, steps):
    """What the kernel lists, what is recorded, and what is declared are the same."""
    (told,) = [line for line in machine.steps([["netmap_info", {}]]) if "step" in line]
    found = told["result"]
    switches = {(one["name"], port["name"]) for one in found["switches"] for port in one["ports"]}
    parents = {one["name"] for one in found["parents"] if one["present"]}
    assert len(parents) == len(found["parents"])
    wanted = [options for step, options in steps if step == "vale_port" and options.get("ports")]
    assert switches == {(one["switch"], port["name"]) for one in wanted for port in one["ports"]}
    assert parents == {parent["name"] for step, options in steps if step == "netmap_pipe"
                       for parent in options.get("parents", [])}
    record = json.loads(machine.ssh("cat %s/%s" % (STORE, FILE)).text or "null") \
        if FILE in machine.ssh("ls " + STORE).text else {"attached": {}}
    assert {(switch, name) for switch, nics in record["attached"].items() for name in nics} == switches
    assert found["stuck"] == []


def test_power_fails_in_the_middle_of_a_change(machine, states, chance):
    order = ["clean", "A", "B"]
    # Once round without a cut, to know how many effects each change has.
    run(machine, states["clean"])
    effects = {}
    for name in ["A", "B", "clean"]:
        changed, effects[name] = run(machine, states[name])
        assert any(one for _step, one in changed)
    machine.check("sync")
    for number in range(1, NUMBER + 1):
        name = order[number % len(order)]
        at = chance.randint(2, effects[name])
        committed = chance.random() < 0.5
        told = machine.steps(states[name], at=at)
        assert "reached" in told[-1], told[-1]
        if committed:
            # The journal goes to the disk with the names of all files, and of the contents only what was flushed.
            machine.check("date > /root/other; sync /root/other")
        machine.cut()
        seconds = machine.start()
        heal(machine, states[name])
        print("cut %d of %d: to %s, before effect %d of %d (%s), %s; booted in %.0f s, healed" % (
            number, NUMBER, name, at, effects[name], told[-1]["effect"].split(" b")[0],
            "journal committed" if committed else "nothing committed", seconds))


def test_what_a_run_has_done_outlives_the_power(machine, states):
    """Right after its end, with no moment for the kernel to write back: all comes back, and without another run."""
    run(machine, states["clean"])
    run(machine, states["A"])
    machine.check("date > /root/other; sync /root/other")
    machine.cut()
    machine.start()
    agree(machine, states["A"])
    assert not any(changed for _step, changed in run(machine, states["A"])[0])


def test_power_fails_while_the_ports_are_restored(machine, states, chance):
    run(machine, states["A"])
    took = machine.check("systemctl start %s; systemctl restart %s; systemctl show -P ExecMainStartTimestampMonotonic "
                         "-P ExecMainExitTimestampMonotonic %s" % (UNIT, UNIT, UNIT)).split()
    seconds = (int(took[1]) - int(took[0])) / 1e6
    for number in range(1, (4 if nightly() else 1) + 1):
        machine.cut()
        with open(os.path.join(machine.folder, "console.log"), "w"):
            pass
        machine.start(wait=False)
        until(lambda: MARK in console(machine), 120)
        delay = chance.uniform(0, seconds)
        time.sleep(delay)
        machine.cut()
        machine.start()
        state = machine.ssh("systemctl is-active %s" % UNIT).text.strip()
        assert state == "active", machine.ssh("journalctl -u %s -b --no-pager" % UNIT)
        agree(machine, states["A"])  # what was declared came back without a run
        heal(machine, states["A"])
        print("cut %d in the boot, %.1f s into the restoration (%.1f s): healed" % (number, delay, seconds))


@pytest.mark.skipif(not nightly(), reason="the cuts above are those of the same modules: NIGHTLY=yes")
def test_power_fails_under_a_playbook(machine, states, chance):
    """The same with Ansible itself, roles netmap and ports, at a random task."""
    run(machine, states["clean"])
    machine.check("sync")
    given = {"netmap_parameters": {"priv_ring_num": 32, "buf_num": 40000},
             "ports_switches": [{"name": "vale1", "interfaces": [{"name": "va"}]}],
             "ports_pipe_parents": [dict(SMALL, name="pp0", pipes=2)], "netmap_build_host": "builder"}
    for number in range(1, 4):
        with machine.running_playbook("playbooks/host.yml", "--tags", "netmap,ports", **given) as process:
            at = chance.randint(2, 7)
            seen = tasks(process, at)
            time.sleep(chance.uniform(0, 3))
            machine.cut()
            process.wait()
        machine.start()
        answer = machine.playbook("playbooks/host.yml", "--tags", "netmap,ports", **given)
        assert answer, answer
        again = machine.playbook("playbooks/host.yml", "--tags", "netmap,ports", **given)
        assert again, again
        assert not re.search(r"changed=[1-9]", again.text), again
        assert machine.ssh(DRAFTS).text == ""
        print("cut %d of a playbook, after its task %d (%s): healed" % (number, at, seen))
        if number < 3:
            run(machine, states["clean"])


def tasks(process, number):
    """Read until a playbook has done its n-th task, or ends; returns the task's line (str)."""
    count, line = 0, ""
    for line in process.stdout:
        count += bool(re.match(r"  (ok|changed|skipped|FAILED) ", line))
        if count >= number:
            break
    threading.Thread(target=process.stdout.read, daemon=True).start()
    return line.strip()


def console(machine):
    with open(os.path.join(machine.folder, "console.log"), encoding="utf-8", errors="replace") as stream:
        return stream.read()


def until(true, seconds):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "not within %d s" % seconds
        time.sleep(0.1)
