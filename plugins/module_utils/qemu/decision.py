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
    :ivar drift: what the running processes were started with, against what they should be (dict, empty when equal)
    :ivar reasons: why a running VM differs, in words (list of str)
    :ivar restart_wanted: whether the drift stays because nobody allowed a restart (bool)
    :ivar running: whether the VM runs afterwards (bool)
    """

    def __init__(self):
        self.change = Change()
        self.steps = []
        self.drift = {}
        self.reasons = []
        self.restart_wanted = False
        self.running = False


def removal(have):
    """How to get rid of a VM.

    :param have: as :func:`service.read` returns it (dict)
    """
    decision = Decision()
    if decision.change.note("power", have["power"], "stopped"):
        decision.steps.append("stop")
    for name, text in have["units"].items():
        decision.change.note(name, text.splitlines(), [])
    decision.change.note("user", have["user"], None)
    decision.change.note("files", have["files"], [])
    if decision.change.changed:
        decision.steps.append("remove")
    return decision


def decide(have, want):
    """How to get from what is to what should be.

    :param have: as :func:`service.read` returns it (dict)
    :param want: state, user, argv, ``file`` (device and inode of QEMU, None where that says nothing), enabled,
        allow_restart, missing_disks, ``units`` (name to text, the VM's first),
        ``helpers`` (name to argument vector, of the units beside it), ``program`` (files, path to digest) (dict)
    """
    decision = Decision()
    change, steps = decision.change, decision.steps
    _drift(decision, have, want)
    power = {"started": "running", "stopped": "stopped"}.get(want["state"], have["power"])
    # What may fail comes before the interruption; a stop then goes by the new unit, with its new time limit.
    if change.note("user", have["user"], want["user"]):
        steps.append("create_user")
    if change.note("disks", [], want["missing_disks"]):
        steps.append("create_disks")
    if change.note("program", {path: have["program"].get(path) for path in want["program"]}, want["program"]):
        steps.append("write_program")
    texts = [name for name in {**want["units"], **have["units"]}
             if change.note(name, have["units"].get(name, "").splitlines(), want["units"].get(name, "").splitlines())]
    if texts:
        steps.append("write_units")
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


def _drift(decision, have, want):
    """What of a running VM only another start can change: QEMU, and the processes that it is connected to."""
    if not have["argv"]:
        return
    decision.drift = differences(have["argv"], want["argv"])
    if decision.drift:
        decision.reasons.append("QEMU was started otherwise")
    elif None not in (have["file"], want["file"]) and have["file"] != want["file"]:
        decision.drift = {"running": ["%s: an older program" % want["argv"][0]],
                          "wanted": ["%s: the program as it is" % want["argv"][0]]}
        decision.reasons.append("%s was replaced since it was started, by an upgrade or a new build" % want["argv"][0])
    for name, argv in want["helpers"].items():
        helper = have["helpers"].get(name) or {"power": "stopped", "argv": None}
        if helper["power"] != "running":
            found = {"running": ["%s: %s" % (name, helper["power"])], "wanted": ["%s: running" % name]}
            decision.reasons.append("%s has ended, and a running QEMU does not connect to another" % name)
        else:
            found = differences(helper["argv"], argv) if helper["argv"] else {}
            if found:
                decision.reasons.append("%s was started otherwise" % name)
            elif set(argv) & set(want["program"]) and (
                    have["program"] != want["program"]
                    or helper["since"] is not None and helper["since"] < have["program_changed"]):
                found = {"running": ["%s: an older program" % name], "wanted": ["%s: the program as it is" % name]}
                decision.reasons.append("%s runs an older program" % name)
        for side, options in found.items():
            decision.drift.setdefault(side, []).extend(options)
