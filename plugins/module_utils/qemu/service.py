# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One VM as a set of units: read, decide, act, verify. Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import stat
import sys
import time

from .. import command, files, vm_identity
from ..errors import PtnetError
from ..kernel.platform import platform
from ..netmap import guard, opening
from ..netmap.device import Device
from ..ptnet import layout
from ..ptnet import unit as process_unit
from ..watch import service as watch
from . import (
    choice,
    decision,
    definition,
    disks,
    firmware,
    messages,
    neighbours,
    network,
    qmp,
    supervisor,
    unit,
    users,
)

STEP = 0.2
QMP_TIMEOUT = 5


def act(params, check_mode):
    """What the module ``ptnet_vm`` does."""
    name = params["name"]
    if params["state"] == "absent":
        return _absent(name, params["allow_removal"], check_mode)
    vm = definition.define(dict(params, host=params["host"] or os.uname().nodename))
    # Whatever it does now: once it runs it takes its NICs, and where it is enabled at each boot.
    system = platform()
    guard.refuse_opening("VM " + name, [port["ifname"] for port in vm["ports"]], system.management,
                         vm["allow_management"], "vms_allow_management")
    neighbours.refuse("VM " + name, [(port["ifname"], port["trust"]) for port in vm["ports"]], units(name), system,
                      check_mode)
    hypervisor, reason = choice.choose(params["hypervisor"], params["binary"], check_mode)
    hypervisor.refuse(vm)
    firmware.locate(vm)
    service = Service(vm, hypervisor)
    have = read(name, service.program)
    _refuse_process(name, have)
    decided = decision.decide(have, service.wanted(params))
    seconds = None
    if vm["ports"]:
        # Before the machine: from its first moment on somebody else can end its loops.
        watch.keep(decided.change, True, check_mode)
    if decided.steps and not check_mode:
        seconds = service.perform(decided.steps, params["timeout"])
        have = read(name)
        if {"start", "stop"} & set(decided.steps) and (have["power"] == "running") != decided.running:
            raise service.failure("systemd says %s" % have["power"])
    return dict(
        decided.change.result(), name=name, uuid=vm["identity"].uuid(),
        state="running" if decided.running else "stopped",
        running=decided.running, pid=have["pid"] if decided.running else None, unit=vm["unit"], user=vm["user"],
        hypervisor=hypervisor.NAME, hypervisor_reason=reason,
        console=vm["console"], console_socket=vm["console_socket"], qmp=vm["qmp"], log=vm["log"],
        ports=[{key: port[key] for key in ("port", "id", "mac")} for port in vm["ports"]],
        drift=decided.drift if decided.restart_wanted else {}, restart_wanted=decided.restart_wanted,
        restart_reasons=decided.reasons if decided.restart_wanted else [], seconds=seconds, machines=machines())


def units(name):
    """The units that a VM may have, in the order in which they are stopped (list of str)."""
    return ["%s%s.service" % (definition.UNIT_PREFIX, name), layout.unit(name),
            "%s%s.service" % (definition.NETWORK_PREFIX, name)]


def machines():
    """The VMs of this module on the host, whoever declares them (list of str): those with a unit or a folder."""
    folders = os.scandir(definition.STATE_DIRECTORY) if os.path.isdir(definition.STATE_DIRECTORY) else ()
    found = {entry.name for entry in folders if entry.is_dir(follow_symlinks=False)}
    for path in glob.glob(os.path.join(supervisor.UNITS, definition.UNIT_PREFIX + "*.service")):
        found.add(os.path.basename(path)[len(definition.UNIT_PREFIX):-len(".service")])
    return sorted(filter(vm_identity.is_name, found))


def _process(name, have):
    """Whether the unit of a VM's port process is one of ``ptnet_port``, which serves a machine of somebody else."""
    text = have["units"].get(layout.unit(name))
    return bool(text) and not process_unit.of_vm(text)


def _refuse_process(name, have):
    if _process(name, have):
        raise PtnetError("VM %s cannot be" % name, found="%s of netmap.ptnet.ptnet_port" % layout.unit(name),
                         expected="a name that no port process of this host has",
                         remedy="take another name, or remove that process with state=absent of ptnet_port")


def read(name, program=()):
    """What is there of a VM (dict): power, reload_needed, enabled, pid, argv, status, file, files, units (name to
    text), helpers (name to what runs of it), user, program (path to digest), program_changed (seconds since the epoch).

    ``power`` is running, stopped, or restarting when systemd waits to try again.

    :param name: of the VM (str)
    :param program: files that its units need besides (paths)
    """
    home = definition.directory(name)
    found = supervisor.read(units(name))
    main, *helpers = units(name)
    status = None
    if found[main]["power"] == "running":
        # An operator may be connected to the socket, which serves one client: then the status stays unknown.
        with contextlib.suppress(PtnetError):
            status = qmp.status(_control(name, home), QMP_TIMEOUT)
    have = {key: found[main][key] for key in ("power", "result", "enabled", "pid", "argv", "file")}
    have.update(
        status=status, reload_needed=any(one["reload_needed"] for one in found.values()),
        units={one: found[one]["text"] for one in found if found[one]["text"]},
        helpers={one: found[one] for one in helpers},
        files=[entry for entry in definition.FILES if os.path.lexists(os.path.join(home, entry))],
        user=definition.user(name) if users.there(definition.user(name)) else None,
        program={path: _digest(content) for path in program for content in [_content(path)] if content is not None},
        program_changed=supervisor.changed(program))
    return have


class Service:
    """A VM that is declared, on the hypervisor that was chosen for it.

    :ivar program: files that its units need besides: path to content (dict of bytes)
    :param vm: as :func:`definition.define` returns it (dict)
    :param hypervisor: (Hypervisor)
    """

    def __init__(self, vm, hypervisor):
        self._vm, self._hypervisor = vm, hypervisor
        self._argv = hypervisor.vector(vm)
        self.program = hypervisor.files() if vm["ports"] else {}
        self._ours = disks.ours(vm) + ([vm["firmware"]["variables"]] if vm["firmware"] else [])
        self._helpers = [helper for helper in (
            hypervisor.ports(vm, sys.executable), network.service(vm, hypervisor.RECONNECTS)) if helper]
        paths = [disk[key] for disk in vm["disks"] for key in ("path", "backing") if disk[key]]
        fence = dict(hypervisor.fence(vm, users.group_of), blocks=[path for path in paths if _is_block(path)])
        text = unit.text(vm, self._argv, sys.executable, hypervisor.launcher(vm, sys.executable), self._helpers, fence,
                         self._ours, users.group_of(unit.KVM), hypervisor.ask(vm, sys.executable))
        self._units = {vm["unit"]: text, **{helper["name"]: helper["text"] for helper in self._helpers}}

    def wanted(self, params):
        """What there should be, as :func:`decision.decide` takes it (dict)."""
        return {
            "state": params["state"], "enabled": params["enabled"], "allow_restart": params["allow_restart"],
            "user": self._vm["user"], "argv": self._argv, "units": self._units,
            "file": self._hypervisor.program.file,
            "helpers": {helper["name"]: helper["argv"] for helper in self._helpers},
            "missing_disks": disks.missing(self._vm) + firmware.missing(self._vm),
            "program": {path: _digest(content) for path, content in self.program.items()}}

    def perform(self, steps, timeout):
        """Take the steps; returns the seconds from the start until the VM ran (float), None without a start."""
        vm = self._vm
        disks.refuse_absent(vm)
        firmware.refuse_absent(vm)
        if "start" in steps:
            self._preflight()
        seconds = None
        for step in steps:
            if step == "create_user":
                users.create(vm["user"], vm["name"])
        self._make_home()
        if "start" in steps:
            users.refuse_closed(vm["user"], self._foreign())
        for step in steps:
            if step == "create_disks":
                disks.create(vm)
                firmware.create(vm)
            elif step == "write_program":
                _write_program(self.program)
            elif step == "write_units":
                supervisor.write({**dict.fromkeys(units(vm["name"]), ""), **self._units})
            elif step == "reload":
                supervisor.reload()
            elif step in ("enable", "disable"):
                supervisor.enable(vm["unit"], step == "enable")
            elif step == "stop":
                supervisor.stop(units(vm["name"]))
            elif step == "start":
                seconds = self._start(timeout)
            elif step == "resume":
                self._resume()
        return seconds

    def _make_home(self):
        """The folder of the VM: its user may look into it, and only root makes names there."""
        home = self._vm["directory"]
        os.makedirs(home, mode=0o700, exist_ok=True)
        for above in (os.path.dirname(home), os.path.dirname(os.path.dirname(home))):
            # Made under a strict umask, they would keep everybody out.
            os.chmod(above, stat.S_IMODE(os.stat(above).st_mode) | 0o011)
        os.chown(home, 0, users.group(self._vm["group"]))
        os.chmod(home, 0o750)

    def _preflight(self):
        """Refuse a start that must fail, before anything is changed.

        :raises PtnetError: QEMU, a boot file or a device is not there, or a port must not be opened
        """
        vm = self._vm
        needed = [(self._hypervisor.program.path, self._hypervisor.REMEDY + ", or set binary")]
        needed += [(vm[option], "put the file there, or correct %s" % option) for option in ("kernel", "initrd")]
        needed += [(unit.KVM, "load kvm-intel or kvm-amd, and enable virtualization in the firmware")]
        needed += network.needed(vm)
        for path, remedy in needed:
            if path and not os.path.exists(path):
                raise PtnetError("VM %s cannot start" % vm["name"], found="no %s" % path, remedy=remedy)
        if vm["ports"]:
            opening.refuse_wedging([port["ifname"] for port in vm["ports"]], Device(None).entries())

    def _foreign(self):
        """What the user has to open and is not ours to give, as path and whether it is written (list of pairs)."""
        vm = self._vm
        found = [(vm[option], False) for option in ("kernel", "initrd")]
        for disk in vm["disks"]:
            found.append((disk["backing"], False))
            if disk["path"] not in self._ours:
                found.append((disk["path"], not disk["read_only"]))
        return [(path, writes) for path, writes in found if path]

    def _start(self, timeout):
        vm = self._vm
        began = time.monotonic()
        # A unit that waits for its next try ends so, and what helped an earlier QEMU.
        supervisor.stop(units(vm["name"]))
        with open(vm["log"], "w"):
            pass
        with contextlib.suppress(PtnetError):  # too slow: what became of it is asked below
            supervisor.start(vm["unit"], timeout + 30)
        status = None
        while time.monotonic() - began < timeout:
            with contextlib.suppress(PtnetError):
                status = qmp.status(vm["qmp"], QMP_TIMEOUT)
            if status == "running":
                beside = supervisor.read([helper["name"] for helper in self._helpers]) if self._helpers else {}
                if any(one["power"] != "running" for one in beside.values()):
                    raise self.failure()
                return round(time.monotonic() - began, 1)
            if status is None and supervisor.read([vm["unit"]])[vm["unit"]]["power"] != "running":
                raise self.failure()
            time.sleep(STEP)
        raise self.failure("no run state within %s s (status: %s)" % (timeout, status))

    def _resume(self):
        with qmp.Qmp(self._vm["qmp"], QMP_TIMEOUT) as connection:
            connection.execute("cont")
            status = connection.execute("query-status")["status"]
        if status != "running":
            raise PtnetError("VM %s does not go on" % self._vm["name"], found="status %s" % status,
                             remedy="see %s" % self._vm["log"], log_tail=command.tail(self._vm["log"]))

    def failure(self, found=None):
        """The error for a start that failed; ends the attempts of systemd, the user decides about the next one."""
        vm = self._vm
        states = supervisor.read(units(vm["name"]))
        name = next((helper["name"] for helper in self._helpers if states[helper["name"]]["failed"]), vm["unit"])
        lines = supervisor.said(states[name]) if name != vm["unit"] else command.tail(vm["log"])
        what, remedy, busy = messages.explain(lines, (self._hypervisor.MESSAGES, network.MESSAGES, messages.TABLE))
        said = found or (lines[-1] if lines else "nothing printed, systemd says %s" % states[name]["result"])
        own = messages.ours(lines)
        if own:
            what, said, remedy = own["what"], own["found"] or said, own["remedy"]
        if busy:
            holders = opening.users(busy)
            said += "; named by %s" % ", ".join(holders) if holders else ""
        supervisor.stop(units(vm["name"]))
        return PtnetError("VM %s did not start: %s" % (vm["name"], what), found=said,
                          remedy=remedy or "see log_tail, console_tail and journalctl -u %s" % name,
                          log_tail=lines, console_tail=command.tail(vm["console"]))


def _absent(name, allow_removal, check_mode):
    _refuse_loss(name, allow_removal)
    have = read(name)
    if _process(name, have):
        del have["units"][layout.unit(name)]
    decided = decision.removal(have)
    if decided.steps:
        _refuse_process(name, read(name))
    if not check_mode:
        for step in decided.steps:
            if step == "stop":
                _stop(name)
            else:
                _remove(name, definition.directory(name))
    watch.keep(decided.change, watch.needed(but=units(name)), check_mode)
    return dict(decided.change.result(), name=name, state="absent", running=False, pid=None, unit=units(name)[0],
                user=definition.user(name), hypervisor=None, hypervisor_reason=None, ports=[], drift={},
                restart_wanted=False, restart_reasons=[], machines=machines())


def _refuse_loss(name, allowed):
    """Refuse to remove disks with what a guest wrote to them, unless that is allowed; nothing else of a VM is lost."""
    lost = disks.made(definition.directory(name))
    if lost and not allowed:
        raise PtnetError("VM %s is not removed: its disks would go with it" % name, found=", ".join(lost),
                         expected="consent to lose what is on them",
                         remedy="set allow_removal (role netmap.ptnet.vms: vms_allow_removal), or state: stopped, "
                                "which keeps all")


def _stop(name):
    """Stop all of a VM, and be sure: what is removed under a QEMU that runs is lost without a word.

    :raises PtnetError: something of it still runs
    """
    before = supervisor.read(units(name))
    supervisor.stop(units(name))
    after = supervisor.read(units(name))
    left = ["%s is %s" % (unit, after[unit]["power"]) for unit in after if after[unit]["power"] != "stopped"]
    left += ["process %d of %s is still there" % (one["pid"], unit) for unit, one in before.items()
             if one["pid"] and not after[unit]["pid"] and supervisor.lives(one["pid"], one["since"])]
    if left:
        raise PtnetError("VM %s does not end, so nothing of it was removed" % name, found="; ".join(left),
                         remedy="see systemctl status %s, end it, and run again" % units(name)[0])


def _remove(name, home):
    _stop(name)
    supervisor.remove(units(name))
    disks.remove(home)
    for entry in definition.FILES:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(home, entry))
    # What others put there stays, and the directory with it.
    with contextlib.suppress(OSError):
        os.rmdir(home)
    users.remove(definition.user(name))
    if not any(glob.glob(os.path.join(supervisor.UNITS, prefix + "*.service"))
               for prefix in (layout.UNIT_PREFIX, definition.UNIT_PREFIX)):
        for path in choice.files():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _control(name, home):
    run = "%s/%s%s/qmp.sock" % (definition.RUN_DIRECTORY, definition.UNIT_PREFIX, name)
    return run if os.path.exists(run) else os.path.join(home, "qmp.sock")


def _write_program(wanted):
    for path, content in wanted.items():
        if _content(path) != content:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            files.replace(path, content)
            if path.startswith("/etc/tmpfiles.d/"):
                command.run(["systemd-tmpfiles", "--create", path], 60, allowed=None)


def _content(path):
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def _digest(content):
    return hashlib.sha256(content).hexdigest()[:12]


def _is_block(path):
    try:
        return stat.S_ISBLK(os.stat(path).st_mode)
    except OSError:
        return False
