# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One VM as a systemd unit: read, decide, act, verify. Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import os
import sys
import time

from .. import command, files
from ..errors import PtnetError
from ..netmap import opening
from ..netmap.device import Device
from . import argv, decision, definition, disks, messages, qmp, unit

UNITS = "/etc/systemd/system"
SYSTEMCTL = "systemctl"
STEP = 0.2
# The unit bounds its own end (TimeoutStopSec, then SIGKILL); this only keeps a broken systemd from holding us for ever.
STOP_LIMIT = 3600
QMP_TIMEOUT = 5
FILES = ("console.log", "console.sock", "qmp.sock", "qemu.log", disks.RECORD)


def act(params, check_mode):
    """What the module ``ptnet_vm`` does."""
    home = definition.directory(params["name"])
    name = "%s%s.service" % (definition.UNIT_PREFIX, params["name"])
    if params["state"] == "absent":
        have = read(name, home)
        decided = decision.removal(have)
        if not check_mode:
            for step in decided.steps:
                if step == "stop":
                    _stop(name)
                else:
                    _remove(name, home)
        return dict(decided.change.result(), name=params["name"], state="absent", running=False, pid=None, unit=name,
                    ports=[], drift={}, restart_wanted=False)
    vm = definition.define(params)
    have = read(name, home)
    vector = argv.vector(vm)
    text = unit.text(vm, vector, sys.executable)
    decided = decision.decide(have, {
        "state": params["state"], "unit": text, "argv": vector, "enabled": params["enabled"],
        "allow_restart": params["allow_restart"], "missing_disks": disks.missing(vm)})
    seconds = None
    if decided.steps and not check_mode:
        seconds = _perform(decided.steps, vm, text, params["timeout"])
        have = read(name, home)
        if {"start", "stop"} & set(decided.steps) and (have["power"] == "running") != decided.running:
            raise _failure(vm, have, "systemd says %s" % have["power"])
    return dict(
        decided.change.result(), name=vm["name"], state="running" if decided.running else "stopped",
        running=decided.running, pid=have["pid"] if decided.running else None, unit=name,
        console=vm["console"], console_socket=vm["console_socket"], qmp=vm["qmp"], log=vm["log"],
        ports=[{key: port[key] for key in ("port", "id", "mac")} for port in vm["ports"]],
        drift=decided.drift if decided.restart_wanted else {}, restart_wanted=decided.restart_wanted, seconds=seconds)


def read(name, home):
    """What is there of a VM (dict): unit (text), power, result, reload_needed, enabled, pid, argv, status, files.

    ``power`` is running, stopped, or restarting when systemd waits to try again.

    :param name: the unit (str)
    :param home: the directory of the VM (path)
    """
    shown = command.run([SYSTEMCTL, "show", name, "--property=ActiveState,SubState,MainPID,UnitFileState,"
                         "NeedDaemonReload,Result"], 30, remedy="this module manages VMs on hosts with systemd")[1]
    values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    power = {"active": "running", "reloading": "running", "deactivating": "running",
             "activating": "restarting"}.get(values.get("ActiveState"), "stopped")
    pid = int(values.get("MainPID") or 0)
    status = None
    if power == "running":
        # An operator may be connected to the socket, which serves one client: then the status stays unknown.
        with contextlib.suppress(PtnetError):
            status = qmp.status(os.path.join(home, "qmp.sock"), QMP_TIMEOUT)
    return {
        "unit": _text(os.path.join(UNITS, name)),
        "power": power,
        "reload_needed": values.get("NeedDaemonReload") == "yes",
        "enabled": values.get("UnitFileState") == "enabled",
        "result": values.get("Result"),
        "pid": pid or None,
        "argv": _running(pid) if power == "running" and pid else None,
        "status": status,
        "files": [entry for entry in FILES if os.path.lexists(os.path.join(home, entry))],
    }


def _perform(steps, vm, text, timeout):
    """Take the steps; returns the seconds from the start until the VM ran (float), None without a start."""
    seconds = None
    disks.refuse_absent(vm)
    if "start" in steps:
        preflight(vm)
    if "create_disks" in steps or "write_unit" in steps or "start" in steps:
        os.makedirs(vm["directory"], mode=0o700, exist_ok=True)
    for step in steps:
        if step == "stop":
            _stop(vm["unit"])
        elif step == "create_disks":
            disks.create(vm)
        elif step == "write_unit":
            _write(os.path.join(UNITS, vm["unit"]), text)
            command.run([SYSTEMCTL, "daemon-reload"], 60)
        elif step == "reload":
            command.run([SYSTEMCTL, "daemon-reload"], 60)
        elif step in ("enable", "disable"):
            command.run([SYSTEMCTL, step, vm["unit"]], 60)
        elif step == "start":
            seconds = _start(vm, timeout)
        elif step == "resume":
            with qmp.Qmp(vm["qmp"], QMP_TIMEOUT) as connection:
                connection.execute("cont")
                status = connection.execute("query-status")["status"]
            if status != "running":
                raise PtnetError("VM %s does not go on" % vm["name"], found="status %s" % status,
                                 remedy="see %s" % vm["log"], log_tail=command.tail(vm["log"]))
    return seconds


def preflight(vm):
    """Refuse a start that must fail, before anything is changed.

    :raises PtnetError: QEMU, a boot file or a device is not there, or a port must not be opened
    """
    needed = [(vm["binary"], "install the ptnet QEMU (role netmap.ptnet.qemu), or set binary")]
    needed += [(vm[option], "put the file there, or correct %s" % option) for option in ("kernel", "initrd")]
    needed += [("/dev/kvm", "load kvm-intel or kvm-amd, and enable virtualization in the firmware")]
    for path, remedy in needed:
        if path and not os.path.exists(path):
            raise PtnetError("VM %s cannot start" % vm["name"], found="no %s" % path, remedy=remedy)
    if vm["ports"]:
        opening.refuse_wedging([port["ifname"] for port in vm["ports"]], Device(None).entries())


def _start(vm, timeout):
    began = time.monotonic()
    # A start after too many failures is refused until they are forgotten; a unit that waits for its next try ends so.
    _stop(vm["unit"])
    command.run([SYSTEMCTL, "reset-failed", vm["unit"]], 30, allowed=None)
    with open(vm["log"], "w"):
        pass
    command.run([SYSTEMCTL, "start", vm["unit"]], timeout + 30, allowed=None)
    status = None
    while time.monotonic() - began < timeout:
        with contextlib.suppress(PtnetError):
            status = qmp.status(vm["qmp"], QMP_TIMEOUT)
        if status == "running":
            return round(time.monotonic() - began, 1)
        if status is None:
            state = read(vm["unit"], vm["directory"])
            if state["power"] != "running":
                raise _failure(vm, state)
        time.sleep(STEP)
    raise _failure(vm, read(vm["unit"], vm["directory"]), "no run state within %s s (status: %s)" % (timeout, status))


def _failure(vm, state, found=None):
    """The error for a start that failed; ends the attempts of systemd, the user decides about the next one."""
    lines = command.tail(vm["log"])
    what, remedy, busy = messages.explain(lines)
    said = found or (lines[-1] if lines else "nothing printed, systemd says %s" % state["result"])
    if busy:
        holders = opening.users(busy)
        said += "; named by %s" % ", ".join(holders) if holders else ""
    _stop(vm["unit"])
    return PtnetError("VM %s did not start: %s" % (vm["name"], what), found=said,
                      remedy=remedy or "see log_tail, console_tail and journalctl -u %s" % vm["unit"],
                      log_tail=lines, console_tail=command.tail(vm["console"]))


def _stop(name):
    """Stop as the unit says: power button, then SIGTERM, then SIGKILL. A unit that does not run is no error."""
    command.run([SYSTEMCTL, "stop", name], STOP_LIMIT, allowed=None)


def _remove(name, home):
    command.run([SYSTEMCTL, "disable", name], 60, allowed=None)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(UNITS, name))
    command.run([SYSTEMCTL, "daemon-reload"], 60)
    command.run([SYSTEMCTL, "reset-failed", name], 30, allowed=None)
    disks.remove(home)
    for entry in FILES:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(home, entry))
    # What others put there stays, and the directory with it.
    with contextlib.suppress(OSError):
        os.rmdir(home)


def _running(pid):
    with contextlib.suppress(OSError), open("/proc/%d/cmdline" % pid, "rb") as stream:
        return stream.read().decode("utf-8", "surrogateescape").split("\0")[:-1]
    return None


def _text(path):
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""


def _write(path, text):
    files.replace(path, text)
