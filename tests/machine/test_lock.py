# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many at once, and one that is killed: on the real kernel nothing is lost and nothing breaks.

Without the lock, concurrent changes of one port panicked this kernel 2 of 2 times.
"""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.lock import NAME
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.record import FILE
from ansible_collections.netmap.ptnet.plugins.module_utils.places import RUN, STORE
from emulated import nightly

RECORD = "%s/%s" % (STORE, FILE)
LOCK = "%s/%s" % (RUN, NAME)
# Whoever another machine's user is: no group of this one, and not root.
STRANGER = "setpriv --reuid=nobody --regid=nogroup --clear-groups"
ALIASES = 20 if nightly() else 8
SHARED = ("la", "lb")
KILLS = 10 if nightly() else 4
SMALL = {"tx_slots": 64, "rx_slots": 64}
# Every alias is the same host, so that all its forks meet there.
PLAY = [{
    "hosts": "aliases", "gather_facts": False, "tasks": [
        {"name": "Own and shared ports come", "netmap.ptnet.vale_port": {
            "switch": "vale3", "ports": [{"name": "{{ inventory_hostname }}"}, {"name": "la"}, {"name": "lb"}]}},
        {"name": "Own parents come", "netmap.ptnet.netmap_pipe": {
            "parents": [dict(SMALL, name="p{{ inventory_hostname }}")]}},
        {"name": "Own ports go", "netmap.ptnet.vale_port": {
            "switch": "vale3", "state": "absent", "ports": [{"name": "{{ inventory_hostname }}"}]}},
    ]}]
GONE = [["vale_port", {"switch": "vale3", "state": "absent", "purge": True}],
        ["netmap_pipe", {"state": "absent", "purge": True}]]
HERE = [["vale_port", {"switch": "vale3", "purge": True, "ports": [{"name": name} for name in SHARED]}],
        ["netmap_pipe", {"purge": True, "parents": [dict(SMALL, name="pl%d" % number) for number in (1, 2)]}]]


@pytest.fixture(scope="module", autouse=True)
def _ends(machine):
    """netmap with small pools (a port of 1024 slots takes 42 MB), and one end of a veth pair for everybody."""
    assert settled(machine.steps([
        ["vale_port", {"switch": switch, "state": "absent", "purge": True}] for switch in ("vale1", "vale2")
    ] + GONE + [["netmap_module", {"parameters": {"buf_num": 40000, "generic_ringsize": 64, "priv_buf_num": 600}}]]))
    names = " ".join(list(SHARED) + aliases())
    machine.check("for n in %s; do ip link show $n >/dev/null 2>&1 || ip link add $n type veth peer name q$n; "
                  "ip link set $n up; done" % names)


def aliases():
    return ["a%02d" % number for number in range(ALIASES)]


def settled(told):
    """Whether a run went to its end (bool)."""
    assert not any(line.get("failed") for line in told), told
    return "effects" in told[-1]


def agree(machine):
    """The kernel's list and the record name the same; returns the ports and the parents (sets of str)."""
    told = machine.steps([["netmap_info", {}]])[0]["result"]
    text = machine.ssh("cat " + RECORD).text
    record = json.loads(text) if text.startswith("{") else {"attached": {}, "parents": {}}
    listed = {port["name"] for one in told["switches"] for port in one["ports"]}
    assert {name for nics in record["attached"].values() for name in nics} == listed
    parents = {one["name"] for one in told["parents"] if one["present"]}
    assert parents == set(record["parents"])
    assert told["stuck"] == []
    return listed, parents


def test_two_runs_at_once_on_the_same_ports(machine):
    come, go = {"switch": "vale3", "ports": [{"name": "la"}, {"name": "lb"}]}, \
        {"switch": "vale3", "state": "absent", "purge": True}
    for _round in range(4 if nightly() else 1):
        with ThreadPoolExecutor() as pool:
            results = list(pool.map(lambda options: machine.module("vale_port", **options), (come, go)))
        assert not any(result.get("failed") for result in results), results
        agree(machine)
    assert settled(machine.steps(GONE))


def test_many_forks_over_one_host(machine, tmp_path):
    inventory = tmp_path / "aliases.yml"
    hosts = dict.fromkeys(aliases(), {})
    inventory.write_text(yaml.safe_dump({"aliases": {"hosts": hosts, "vars": machine.connection()}}))
    play = tmp_path / "play.yml"
    play.write_text(yaml.safe_dump(PLAY))
    begin = time.monotonic()
    answer = machine.playbook(str(play), "--forks", str(ALIASES), "--inventory", str(inventory))
    wrong = re.findall("^.*(?:failed=[1-9]|unreachable=[1-9]|found:|FAILED).*$", answer.text, re.MULTILINE)
    assert answer, wrong
    assert agree(machine) == (set(SHARED), {"p" + name for name in aliases()})
    print("%d forks, 3 tasks: %.0f s" % (ALIASES, time.monotonic() - begin))
    assert settled(machine.steps(GONE))
    assert agree(machine) == (set(), set())


def test_a_killed_run_is_healed_by_the_next(machine, chance):
    here, gone = [machine.steps(steps) for steps in (HERE, GONE)]
    assert settled(here)
    assert settled(gone)
    for number in range(KILLS):
        steps, whole = ((HERE, here), (GONE, gone))[number % 2]
        told = machine.steps(steps, at=chance.randint(1, whole[-1]["effects"]), then="kill")
        assert "reached" in told[-1], told
        listed = {port["name"] for one in machine.steps([["netmap_info", {}]])[0]["result"]["switches"]
                  for port in one["ports"]}
        record = json.loads(machine.ssh("cat " + RECORD).text or '{"attached": {}}')
        # The record may know of more than there is, as when killed before the kernel was asked; never of less.
        assert listed <= {name for nics in record["attached"].values() for name in nics}
        assert settled(machine.steps(steps))
        again = machine.steps(steps)
        assert not any(line.get("changed") for line in again), again
        agree(machine)
        print("kill %d of %d before effect %s: healed" % (number + 1, KILLS, told[-1]["effect"].split(" b")[0]))


def test_a_killed_process_of_ansible_leaves_no_lock_behind(machine):
    """kill -9 from outside, while Ansible's own process for the module works."""
    options = HERE[0][1]
    with ThreadPoolExecutor() as pool:
        run = pool.submit(machine.module, "vale_port", **options)
        machine.ssh("for i in $(seq 200); do pkill -9 -f AnsiballZ_vale_por[t] && exit; "
                    "pkill -9 -f 'python3 .*ansible.*vale_por[t]' && exit; sleep 0.05; done")
        run.result()
    result = machine.module("vale_port", **options)
    assert not result.get("failed"), result
    assert machine.module("vale_port", **options)["changed"] is False
    assert agree(machine)[0] == set(SHARED)
    assert settled(machine.steps(GONE))


def test_another_user_holds_up_nothing(machine):
    """Not with our lock, which no stranger opens or replaces, nor with the one that lay in /run/lock before."""
    assert settled(machine.steps(HERE))
    assert machine.check("stat -c '%%U %%a' %s" % LOCK).split()[0] == "root"
    assert machine.check("stat -c %%A %s" % RUN)[7:10] in ("---", "r-x")
    for attempt in ("flock --nonblock %s true", "cat %s", "rm -f %s", "ln -sf /etc/passwd %s", "mv %s /tmp/lock"):
        assert not machine.ssh("%s %s" % (STRANGER, attempt % LOCK)), attempt
    machine.check("rm -f /run/lock/netmap-ptnet.lock; setsid -f %s flock /run/lock/netmap-ptnet.lock sleep 120 "
                  ">/dev/null 2>&1" % STRANGER)
    begin = time.monotonic()
    assert settled(machine.steps(GONE))
    assert time.monotonic() - begin < 100
    assert agree(machine) == (set(), set())
