# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done to a VM, as a table."""

from __future__ import annotations

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import decision

VM, PORTS = "ptnet-vm-fw.service", "ptnet-port-fw.service"


HERE = {"units": {VM: "U"}, "enabled": True}
RUNS = dict(HERE, power="running", argv=["q"])
OTHER = dict(RUNS, argv=["p"])
ENDED = "ptnet-port-fw.service has ended, and a running QEMU does not connect to another"


def decide(have, want):
    have = dict({"units": {}, "power": "stopped", "reload_needed": False, "enabled": False, "argv": None,
                 "status": "running", "files": [], "user": "ptnet-vm-fw", "helpers": {}, "program": {},
                 "program_changed": 0.0, "file": None}, **have)
    want = dict({"state": "started", "units": {VM: "U"}, "argv": ["q"], "enabled": True, "allow_restart": False,
                 "missing_disks": [], "user": "ptnet-vm-fw", "helpers": {}, "program": {}, "file": None},
                **want)
    return decision.decide(have, want)


@pytest.mark.parametrize(("have", "want", "steps", "running"), [
    ({}, {}, ["write_units", "enable", "start"], True),
    ({"user": None}, {}, ["create_user", "write_units", "enable", "start"], True),
    (RUNS, {}, [], True),
    (OTHER, {}, [], True),
    (OTHER, {"allow_restart": True}, ["stop", "start"], True),
    (OTHER, {"allow_restart": True, "state": "present"}, [], True),
    (dict(RUNS, status="paused"), {}, ["resume"], True),
    (dict(RUNS, status="paused"), {"state": "present"}, [], True),
    (dict(HERE, reload_needed=True), {}, ["reload", "start"], True),
    (HERE, {"enabled": False, "state": "stopped"}, ["disable"], False),
    (dict(OTHER, units={VM: "old"}), {"allow_restart": True, "enabled": False},
     ["write_units", "disable", "stop", "start"], True),
    (dict(HERE, power="restarting"), {}, ["start"], True),
    (dict(HERE, power="restarting"), {"state": "stopped"}, ["stop"], False),
    (HERE, {"missing_disks": ["/d"], "state": "present"}, ["create_disks"], False),
    # A version 0.1.0 machine that runs as root, from a unit of its own, goes on until a restart is allowed.
    (dict(OTHER, units={VM: "old"}, user=None), {}, ["create_user", "write_units"], True),
    # What is beside QEMU.
    (RUNS, {"units": {VM: "U", PORTS: "P"}}, ["write_units"], True),
    (dict(RUNS, units={VM: "U", PORTS: "P"}), {}, ["write_units"], True),
    (RUNS, {"program": {"/p": "1"}}, ["write_program"], True),
    (dict(RUNS, program={"/p": "1"}), {"program": {"/p": "1"}}, [], True),
])
def test_decision(have, want, steps, running):
    decided = decide(have, want)
    assert decided.steps == steps
    assert decided.running is running
    assert decided.change.changed == bool(steps)
    drifts = bool(have.get("argv")) and have["argv"] != want.get("argv", ["q"])
    assert decided.restart_wanted == (drifts and "stop" not in steps)


@pytest.mark.parametrize(("helper", "reason", "drift"), [
    ({"power": "running", "argv": ["p", "--port", "a"]}, None, {}),
    ({"power": "running", "argv": None}, None, {}),
    ({"power": "running", "argv": ["p", "--port", "b"]}, "ptnet-port-fw.service was started otherwise",
     {"running": ["--port b"], "wanted": ["--port a"]}),
    ({"power": "stopped", "argv": None}, ENDED,
     {"running": ["ptnet-port-fw.service: stopped"], "wanted": ["ptnet-port-fw.service: running"]}),
    (None, ENDED,
     {"running": ["ptnet-port-fw.service: stopped"], "wanted": ["ptnet-port-fw.service: running"]}),
])
def test_the_processes_beside_a_running_qemu_count(helper, reason, drift):
    want = {"helpers": {PORTS: ["p", "--port", "a"]}}
    decided = decide(dict(RUNS, helpers={PORTS: helper} if helper else {}), want)
    assert (decided.drift, decided.reasons) == (drift, [reason] if reason else [])
    assert decided.restart_wanted == bool(reason)
    assert decided.steps == []
    allowed = decide(dict(RUNS, helpers={PORTS: helper} if helper else {}), dict(want, allow_restart=True))
    assert allowed.steps == (["stop", "start"] if reason else [])
    # Beside a QEMU that does not run, nothing is expected to.
    assert decide(HERE, want).drift == {}


@pytest.mark.parametrize(("since", "there", "older"), [
    (5.0, "1", False), (None, "1", False), (3.0, "1", True), (5.0, "0", True), (None, "0", True)])
def test_a_port_process_of_an_older_program_wants_a_restart(since, there, older):
    """As after an upgrade of this collection: the file is new, what runs is not."""
    argv = ["python3", "-I", "/p", "--port", "a"]
    have = dict(RUNS, helpers={PORTS: {"power": "running", "argv": argv, "since": since}}, program={"/p": there},
                program_changed=4.0)
    decided = decide(have, {"helpers": {PORTS: argv}, "program": {"/p": "1"}})
    assert decided.restart_wanted == older
    assert decided.reasons == (["ptnet-port-fw.service runs an older program"] if older else [])
