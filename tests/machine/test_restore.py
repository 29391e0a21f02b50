# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that can be declared comes back with a reboot, before anybody runs anything, and what cannot is told.

The NIC is a virtio-net that is plugged in here; it stays over a reboot from within, not over a cut of the power.
"""

from __future__ import annotations

import re
import time

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux.ethtool import OFFLOADS
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux.service import UNIT
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.service import ARCHIVE
from emulated import nightly
from test_power import BEFORE_NETWORK, console, installed, until

LINKS = "/etc/systemd/system/machine-links.service"
# ra has two rings: with polling mode multi ring 1 is polled on CPU 1. All polling is there, so that a CPU is left.
RA = "ip link add ra numtxqueues 2 numrxqueues 2 type veth peer name peer_ra numtxqueues 2 numrxqueues 2 && " \
     "ip link set ra up"
ALL_LINKS = RA + "; ip link set eth1 up"
# An interface that does not come, and one that takes the name of a parent.
FEWER_LINKS = "ip link set eth1 up; ip link add pp0 type veth peer name peer_pp0"
DROP_IN = "/etc/systemd/system/%s.d/wait.conf" % UNIT
# The same code, with less patience for interfaces.
SHORT_WAIT = "[Service]\nExecStart=\nExecStart=/usr/bin/python3 -I -c 'import sys; sys.path.insert(0, \"%s\"); " \
             "from netmap_ptnet.netmap import boot; sys.exit(1 if boot.restore(wait=3) else 0)'\n" % ARCHIVE
SMALL = {"tx_slots": 64, "rx_slots": 64}
PARENTS = [dict(SMALL, name="pp0", pipes=2), dict(SMALL, name="pp1")]
SINGLE = {"mode": "single", "first_cpu": 1, "cpus": 1}
MULTI = {"mode": "multi", "first_cpu": 1, "cpus": 1}
ONE = [{"name": "eth1", "host_stack": True, "polling": SINGLE},
       {"name": "l1", "kind": "veth", "peer": "host1", "mac": "02:00:00:00:00:01"},
       dict(SMALL, name="v1", kind="persistent"), dict(SMALL, name="v2", kind="persistent", memory="global")]
TWO = [{"name": "ra", "polling": MULTI}, {"name": "l2", "kind": "veth", "peer": "host2", "vnet_header_length": 12},
       dict(SMALL, name="v3", kind="persistent", memory="pp0", tx_rings=2, rx_rings=2)]
LABELS = {"pp0", "pp1", "vale1:eth1 (polling)", "vale1:l1 (veth)", "vale1:v1 (persistent)", "vale1:v2 (persistent)",
          "vale2:l2 (veth)", "vale2:ra (polling)", "vale2:v3 (persistent)"}
SWITCHES = {"vale1": {("eth1", True), ("l1", False), ("v1", False), ("v2", False)},
            "vale2": {("l2", False), ("ra", False), ("v3", False)}}
# With mitigation a timer's hard interrupt sends frames from one emulated NIC to the next, and the kernel warns of that
# (generic_timer_handler in netmap_linux.c, seen with eth1 and l1).
PARAMETERS = {"priv_if_num": 12, "priv_ring_num": 40, "buf_num": 40000, "generic_ringsize": 128, "generic_mit": 0}
GONE = [["vale_port", {"only_switches": []}], ["netmap_pipe", {"state": "absent", "purge": True}]]
INFO = ["netmap_info", {"gather": ["drift"]}]
NICS = ["netmap_info", {"gather": ["nics"]}]
PORTS = [["netmap_pipe", {"purge": True, "parents": PARENTS}],
         ["vale_port", {"switch": "vale1", "purge": True, "ports": ONE}],
         ["vale_port", {"switch": "vale2", "purge": True, "ports": TWO}]]


@pytest.fixture(scope="module", autouse=True)
def _declared(machine):
    """The interfaces, netmap, and everything on two switches, whatever was there before."""
    if not machine.ssh("test -e /sys/class/net/eth1"):
        machine.monitor("netdev_add hubport,id=extra,hubid=1")
        machine.monitor("device_add virtio-net-pci,netdev=extra,id=extra,mac=52:54:00:12:34:57,romfile=")
        until(lambda: machine.ssh("test -e /sys/class/net/eth1"), 60)
    machine.put(LINKS, BEFORE_NETWORK % ALL_LINKS)
    machine.check("rm -f %s; systemctl daemon-reload; systemctl enable machine-links; %s" % (DROP_IN, ALL_LINKS))
    results(machine, *GONE, ["netmap_build", installed(machine)],
            ["netmap_module", {"parameters": PARAMETERS, "allow_reload": True}], *PORTS)
    yield
    results(machine, *GONE)
    machine.check("systemctl disable machine-links; rm -f %s %s; systemctl daemon-reload; ip link del ra" % (
        LINKS, DROP_IN))


def reboot(machine):
    """An orderly one; returns the seconds until every service had ended its start (float)."""
    begin, before = time.monotonic(), console(machine).count("reboot: Restarting")
    machine.ssh("systemctl reboot")
    until(lambda: console(machine).count("reboot: Restarting") > before, 120)
    machine.wait()
    return time.monotonic() - begin


def results(machine, *steps):
    """What the steps of a run that has to end well returned (list of dict).

    All in one call: each start of Python takes seconds in an emulated machine.
    """
    told = machine.steps(steps)
    assert not any(line.get("failed") for line in told), told
    assert "effects" in told[-1], told[-1]
    return [line["result"] for line in told[:-1]]


def switches(told):
    return {one["name"]: {(port["name"], port["host_stack"]) for port in one["ports"]} for one in told["switches"]}


def polled(machine):
    """The kernel threads that poll: who made each (pid), and its CPUs (list of str)."""
    # Other processes may end meanwhile, which grep would tell.
    return sorted(machine.ssh("grep -ls ^nmkth: /proc/[0-9]*/comm | while read f; do echo $(cut -d: -f2 $f) $(sed -n "
                              "'s/^Cpus_allowed_list:\\t//p' ${f%comm}status); done").text.splitlines())


def journal(machine):
    """What the service said at this boot (dict of item: what became of it)."""
    lines = machine.check("journalctl -b -o cat --no-pager -t python3 -u %s" % UNIT).splitlines()
    return dict(line.split(": ", 1) for line in lines if re.match(r"(?:pp\d|vale\w+:\w+)", line))


def test_everything_comes_back(machine):
    seconds = reboot(machine)
    service = machine.check("systemctl show -P ActiveState -P ExecMainPID %s" % UNIT).split()
    assert "active" in service
    assert journal(machine) == dict.fromkeys(LABELS, "restored")
    # First comes what only looks.
    told, *again = results(machine, INFO, *PORTS, NICS)
    assert switches(told) == SWITCHES
    assert {one["name"] for one in told["parents"] if one["present"]} == {"pp0", "pp1"}
    assert told["drift"] == told["stuck"] == []
    # The service itself has them polled, not a later run.
    (pid,) = set(service) - {"active"}
    assert polled(machine) == ["%s 1" % pid] * 2
    assert {"host1": "02:00:00:00:00:01"}.items() <= {one["name"]: one["mac"] for one in told["interfaces"]}.items()
    *again, nics = again
    assert [one["changed"] for one in again] == [False] * 3
    # Pairs of ours send whole frames, with their checksums.
    offloads = {one["name"]: set(one["offloads"]) & set(OFFLOADS) for one in nics["nics"]}
    assert [offloads[name] for name in ("l1", "host1", "l2", "host2")] == [set()] * 4
    assert offloads["ra"]
    print("everything came back in %.0f s" % seconds)


def test_what_cannot_come_back_is_told_and_the_rest_comes(machine):
    machine.put(LINKS, BEFORE_NETWORK % FEWER_LINKS)
    if not nightly():
        machine.put(DROP_IN, SHORT_WAIT)
    seconds = reboot(machine)
    assert machine.ssh("systemctl is-active %s" % UNIT).text.strip() == "failed"
    said = journal(machine)
    assert set(said) == LABELS
    lost = {"pp0": "found: an interface with the driver veth", "vale2:ra (polling)": "found: no interface of this name",
            "vale2:v3 (persistent)": "found: pp0; expected: private, global, or a pipe parent"}
    for label, outcome in said.items():
        assert outcome == "restored" if label not in lost else (
            outcome.startswith("not restored: ") and lost[label] in outcome), (label, outcome)
    (told,) = results(machine, INFO)
    assert switches(told) == {"vale1": SWITCHES["vale1"], "vale2": {("l2", False)}}
    assert told["drift"] == [
        {"what": "port vale2:ra", "now": "absent", "boot": "attached"},
        {"what": "port vale2:v3", "now": "absent", "boot": "attached"},
        {"what": "parent pp0", "now": "absent", "boot": "present"}]
    assert len(polled(machine)) == 1
    # What was in the way is put right; the next run makes the rest.
    machine.check("ip link del pp0; " + RA)
    *healed, told = results(machine, *PORTS, *PORTS, INFO)
    assert [one["changed"] for one in healed] == [True, False, True] + [False] * 3
    assert switches(told) == SWITCHES
    assert told["drift"] == []
    print("all but %d came back in %.0f s, the next run made them" % (len(lost), seconds))


def test_the_role_empties_a_switch_that_is_no_longer_declared(machine):
    # Polling threads would leave Ansible little of an emulated CPU.
    one, two = ([{key: port[key] for key in port if key != "polling"} for port in ports] for ports in (ONE, TWO))
    given = {"ports_switches": [{"name": "vale1", "interfaces": one}], "ports_pipe_parents": PARENTS,
             "ports_purge": True}
    results(machine, PORTS[0], ["vale_port", {"switch": "vale1", "purge": True, "ports": one}],
            ["vale_port", {"switch": "vale2", "purge": True, "ports": two}])
    assert polled(machine) == []
    predicted, done, again = (played(machine, *arguments, **given) for arguments in (["--check"], [], []))
    assert predicted == done
    assert predicted[0] == 1
    for name in ("l2", "ra", "v3"):
        assert re.search(r"^ *-    - %s" % name, done[1], re.MULTILINE), done[1]
    assert again == (0, "")
    (told,) = results(machine, INFO)
    assert switches(told) == {"vale1": SWITCHES["vale1"]}
    assert told["drift"] == []
    # Of what was on it, what others made is still there.
    assert {"ra", "l2", "host2", "v3"} & {one["name"] for one in told["interfaces"]} == {"ra"}


def played(machine, *arguments, **given):
    """Run the role: how many tasks changed anything (int), and the differences that it showed (str)."""
    answer = machine.playbook("playbooks/host.yml", "--tags", "ports", "--diff", *arguments, **given)
    assert answer, answer
    tasks, _recap, summary = answer.text.partition("\nRecap")
    shown = [line for line in tasks.splitlines() if re.match(r" {4}[-+ @]", line)]
    return int(re.search(r"changed=(\d+)", summary)[1]), "\n".join(shown)
