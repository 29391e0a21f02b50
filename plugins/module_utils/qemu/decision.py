# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done to a VM. Pure. Private to netmap.ptnet."""

from __future__ import annotations

from ..change import Change
from .argv import differences

# Run states (query-status of QEMU) that go on with "cont".
PAUSED = ("paused", "io-error", "postmigrate", "prelaunch", "suspended", "watchdog")


class Decision:
    """The steps to take, in order (list of str), and what is reported about them.

    :ivar change: what differs (Change)
    :ivar drift: what a running QEMU was started with, against what it should be (dict, empty when equal)
    :ivar restart_wanted: whether the drift stays because nobody allowed a restart (bool)
    :ivar running: whether the VM runs afterwards (bool)
    """

    def __init__(self):
        self.change = Change()
        self.steps = []
        self.drift = {}
        self.restart_wanted = False
        self.running = False


def removal(have):
    """How to get rid of a VM.

    :param have: as :func:`vm.read` returns it (dict)
    """
    decision = Decision()
    if decision.change.note("power", have["power"], "stopped"):
        decision.steps.append("stop")
    decision.change.note("unit", have["unit"].splitlines(), [])
    decision.change.note("files", have["files"], [])
    if decision.change.changed:
        decision.steps.append("remove")
    return decision


def decide(have, want):
    """How to get from what is to what should be.

    :param have: as :func:`vm.read` returns it (dict)
    :param want: state, unit (its text), argv, enabled, allow_restart, missing_disks (dict)
    """
    decision = Decision()
    change, steps = decision.change, decision.steps
    if have["argv"]:
        decision.drift = differences(have["argv"], want["argv"])
    power = {"started": "running", "stopped": "stopped"}.get(want["state"], have["power"])
    # What may fail comes before the interruption; a stop then goes by the new unit, with its new time limit.
    if change.note("disks", [], want["missing_disks"]):
        steps.append("create_disks")
    if change.note("unit", have["unit"].splitlines(), want["unit"].splitlines()):
        steps.append("write_unit")
    if change.note("systemd", "unit file changed since it was read" if have["reload_needed"] else "", ""):
        steps.append("reload")
    if change.note("enabled", have["enabled"], want["enabled"]):
        steps.append("enable" if want["enabled"] else "disable")
    restarts = bool(decision.drift) and want["state"] == "started" and want["allow_restart"]
    if restarts:
        change.note("argv", decision.drift["running"], decision.drift["wanted"])
    decision.restart_wanted = bool(decision.drift) and power == "running" and not restarts
    if restarts or power == "stopped" != have["power"]:
        steps.append("stop")
    if restarts or power == "running" != have["power"]:
        steps.append("start")
    elif want["state"] == "started" and have["status"] in PAUSED:
        change.note("status", have["status"], "running")
        steps.append("resume")
    decision.running = power == "running"
    change.note("power", have["power"], power)
    return decision
