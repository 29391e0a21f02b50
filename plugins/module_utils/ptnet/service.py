# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A port process without a VM of ours, as a service: read, decide, act, verify. Private to netmap.ptnet."""

from __future__ import annotations

import grp
import os
import sys

from ..change import Change
from ..errors import PtnetError
from ..kernel.platform import platform
from ..netmap import guard, names, opening
from ..netmap.device import Device
from ..qemu import neighbours, supervisor
from ..watch import service as watch
from . import archive, client, definition, layout, managers, unit

_START = 340  # seconds; more than the unit's own limit


def act(params, check_mode):
    """What the module ``ptnet_port`` does."""
    name = layout.check_name(params["name"])
    unit_name = layout.unit(name)
    absent = params["state"] == "absent"
    declared = {"ports": []} if absent else definition.define(dict(params, host=params["host"] or os.uname().nodename))
    ports = declared["ports"]
    if not absent:
        _refuse(params, declared, unit_name, check_mode)
    have = supervisor.read([unit_name])[unit_name]
    if unit.of_vm(have["text"]):
        raise PtnetError("the port process %s belongs to a VM" % name, found="%s of ptnet_vm" % unit_name,
                         expected="a name that no VM of this host has")
    change, steps = Change(), []
    text = "" if absent else unit.text(name, ports, params["group"], sys.executable)
    wanted = "" if absent else unit.command(name, ports, sys.executable)
    program = {} if absent else archive.missing()
    for path in program:
        change.note(path, "absent or another", "present")
    if change.note("unit", have["text"].splitlines(), text.splitlines()):
        steps.append("write")
    power = {"started": "running", "stopped": "stopped", "absent": "stopped"}.get(params["state"], have["power"])
    if power == "stopped" and have["power"] != "stopped" and not params["allow_restart"]:
        client.refuse_ending(name)
    # What it was started with is not what stands there now, be it that a run without consent wrote it.
    older = have["since"] is not None and have["since"] < supervisor.changed(
        [os.path.join(supervisor.UNITS, unit_name), archive.PATH])
    drift = have["power"] == "running" and not absent and (
        older or have["argv"] != wanted or bool(program) or "write" in steps)
    restarts = drift and power == "running" and params["allow_restart"]
    change.note("power", have["power"], power)
    if restarts and have["argv"] != wanted:
        change.note("argv", have["argv"], wanted)
    elif restarts:
        change.note("process", "started before its unit or program was changed", "of the unit and program as they are")
    enabled = params["enabled"] and not absent
    enables = change.note("enabled", have["enabled"], enabled)
    starts = power == "running" and (restarts or have["power"] != "running")
    if starts and not check_mode:
        opening.refuse_wedging([port["ifname"] for port in ports], Device(None).entries())
    if not absent:
        # Before the process: from its first moment on somebody else can end its loops.
        watch.keep(change, True, check_mode)
    if change.changed and not check_mode:
        if restarts or (power == "stopped" and have["power"] != "stopped"):
            supervisor.stop([unit_name])
        archive.place(program)
        if "write" in steps and absent:
            supervisor.remove([unit_name])
        elif "write" in steps:
            supervisor.write({unit_name: text})
        if enables and not absent:
            supervisor.enable(unit_name, enabled)
        if starts:
            _start(unit_name)
        have = supervisor.read([unit_name])[unit_name]
    if absent:
        watch.keep(change, watch.needed(but=[unit_name]), check_mode)
    devices = layout.devices(name, [port["ifname"] for port in ports])
    return dict(change.result(), name=name, unit=unit_name, state="absent" if absent else power,
                pid=have["pid"] if power == "running" else None, devices=devices,
                ports=[{key: port[key] for key in ("id", "ifname", "mac")} for port in ports],
                restart_wanted=drift and not restarts and power == "running",
                use=managers.lines(devices, params["memory"]) if devices else {})


def _refuse(params, declared, unit_name, check_mode):
    """Refuse what this machine has or lacks, before anything changes."""
    # Whatever it does now: once it runs it takes its NICs, and where it is enabled at each boot.
    who, system = "the port process " + declared["name"], platform()
    guard.refuse_opening(who, [port["ifname"] for port in declared["ports"]], system.management,
                         params["allow_management"], "ports_allow_management")
    neighbours.refuse(who, declared["trust"], [unit_name], system, check_mode)
    group = params["group"]
    try:
        grp.getgrnam(group)
    except (KeyError, ValueError):
        raise PtnetError("there is no group %s" % names.shown(group), expected="the name (not the number) of "
                         "the group of whoever starts QEMU, such as libvirt-qemu", remedy="install that program first, "
                         "or make the group") from None


def _start(unit_name):
    supervisor.start(unit_name, _START)
    found = supervisor.read([unit_name])[unit_name]
    if found["power"] != "running":
        said = supervisor.said(found)
        supervisor.stop([unit_name])
        raise PtnetError("the port process did not start", found=said[-1] if said else found["result"],
                         remedy="see journalctl -u %s" % unit_name, log_tail=said)
