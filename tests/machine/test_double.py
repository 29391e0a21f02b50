# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules on the double of netmap: it counts the calls that crash the real one, and fails when it is told to.

Its contract: tests/doubles/netmap, parameters ``double``, ``forbidden_calls``, ``forbidden_last`` and ``fault_*``.
"""

from __future__ import annotations

import json
import os
import shlex

import emulated
import lab
import pytest
from emulated import CODE, nightly

DOUBLE = os.path.join(lab.ROOT, "tests/doubles/netmap")
PARAMETERS = "/sys/module/netmap/parameters/"
STATES = 400 if nightly() else 40
ENDS = ("d0", "d1", "d2", "d3")
PARENTS = ("q0", "q1", "q2")
SMALL = {"tx_slots": 64, "rx_slots": 64}
NEWIF, ATTACH, DETACH, DELIF = 8, 3, 4, 9
PORT = ["vale_port", {"switch": "vale1", "ports": [{"name": "d0"}]}]
NO_PORT = ["vale_port", {"switch": "vale1", "state": "absent", "purge": True, "only_switches": []}]
PARENT = ["netmap_pipe", {"parents": [dict(SMALL, name="q0")]}]
NO_PARENT = ["netmap_pipe", {"state": "absent", "purge": True}]


@pytest.fixture(scope="module")
def double():
    """A host with the double in the place of netmap; at the end no forbidden call was made."""
    keep = os.environ.get("KEEP") == "yes"
    one = emulated.Emulated(os.environ.get("DOUBLE_LAB", "counter"), netmap_source=DOUBLE)
    try:
        if not (keep and one.running()):
            one.create()
        one.wait()
        one.equip()
        one.check("for n in %s; do ip link show $n >/dev/null 2>&1 || ip link add $n type veth peer name p$n; "
                  "ip link set $n up; done" % " ".join(ENDS))
        assert one.check("cat %sdouble" % PARAMETERS).strip() in ("Y", "1")
        reload(one)
        yield one
        assert forbidden(one) == 0, one.check("cat %sforbidden_last" % PARAMETERS)
        assert one.hurt() == []
    finally:
        if not keep:
            one.remove()


def forbidden(machine):
    return int(machine.check("cat %sforbidden_calls" % PARAMETERS))


def reload(machine):
    """The double as it loads, with its count at 0."""
    assert_done(machine.steps([NO_PORT, NO_PARENT]))
    machine.check("modprobe -r netmap && modprobe netmap")


def assert_done(told):
    assert told, "nothing was said"
    assert not any(line.get("failed") for line in told), told
    assert "effects" in told[-1], told


def refusal(machine, step):
    """What a step says that has to fail (str)."""
    failed = [line for line in machine.steps([step]) if line.get("failed")]
    assert failed, "it did not fail"
    return failed[0]["msg"]


def test_the_count_counts(double):
    """Else the assertion at the end of every run could not fail."""
    double.check("PYTHONPATH=%s python3 -m forbidden" % CODE)
    assert forbidden(double) == 1
    assert double.check("cat %sforbidden_last" % PARAMETERS).strip()
    reload(double)
    assert forbidden(double) == 0


def test_random_states_are_reached_without_a_forbidden_call(double, chance):
    states = [a_state(chance) for _number in range(STATES)]
    answer = double.check("echo %s | PYTHONPATH=%s python3 -m sequence" % (shlex.quote(json.dumps(states)), CODE),
                          timeout=1800)
    told = json.loads(answer.splitlines()[-1])
    assert told["wrong"] == []
    assert told["changed"] > STATES // 4, told
    print("%(states)d states, %(changed)d changed something" % told, "%d refused" % len(told["refused"]))
    assert forbidden(double) == 0


def a_state(chance):
    """Ports of a switch, or parents of pipes, in some of the ways that a user may want them (module and options)."""
    if chance.random() < 0.35:
        parents = chance.sample(PARENTS, chance.randint(0, 3))
        absent = not parents or chance.random() < 0.3
        return ["netmap_pipe", {"state": "absent" if absent else "present",
                                "purge": not parents or chance.random() < 0.5,
                                "parents": [dict(SMALL, name=name, pipes=chance.randint(1, 2)) for name in parents]}]
    ports = chance.sample(ENDS, chance.randint(0, 3))
    absent = not ports or chance.random() < 0.3
    return ["vale_port", {"switch": chance.choice(["vale1", "vale2"]), "state": "absent" if absent else "present",
                          "purge": not ports or chance.random() < 0.5,
                          "ports": [{"name": name, "host_stack": chance.random() < 0.3} for name in ports]}]


@pytest.mark.parametrize(("fault", "request_type", "before", "step", "words"), [
    ("nomem", NEWIF, [NO_PARENT], PARENT, "memory ran out"),
    ("busy", ATTACH, [NO_PORT], PORT, "attached already, or a program has the interface open"),
    ("nomem", ATTACH, [NO_PORT], PORT, "max_bridges"),
    ("busy", DETACH, [PORT], NO_PORT, "a program holds the port, or polling is on"),
    ("busy", DELIF, [PARENT], NO_PARENT, "a program has the port, or a pipe of it, open"),
], ids=["newif-enomem", "attach-ebusy", "attach-enomem", "detach-ebusy", "delif-ebusy"])
def test_an_error_of_the_kernel_is_explained_and_healed(double, fault, request_type, before, step, words):
    assert_done(double.steps(before))
    double.check("echo %d,1 > %sfault_%s" % (request_type, PARAMETERS, fault))
    assert words in refusal(double, step)
    double.check("echo 0 > %sfault_%s" % (PARAMETERS, fault))
    assert_done(double.steps([step]))
    assert not any(line.get("changed") for line in double.steps([step]))


def test_a_load_that_fails_says_what_the_kernel_said(double):
    assert_done(double.steps([NO_PORT, NO_PARENT, ["netmap_module", {"state": "unloaded", "persistent": False}]]))
    double.check("echo options netmap fault_load=12 > /etc/modprobe.d/fault.conf")
    message = refusal(double, ["netmap_module", {"persistent": False}])
    assert "netmap cannot be loaded" in message
    assert "Cannot allocate memory" in message
    double.check("rm /etc/modprobe.d/fault.conf")
    assert_done(double.steps([["netmap_module", {"persistent": False}]]))


def test_another_version_of_the_interface_is_refused(double):
    double.check("echo 20 > %sabi_version" % PARAMETERS)
    try:
        assert "netmap refused" in refusal(double, PORT)
    finally:
        double.check("echo 14 > %sabi_version" % PARAMETERS)
    assert_done(double.steps([PORT, NO_PORT]))
