# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of VMs and of the processes that serve their ports, and rules about them. Private to netmap.ptnet."""

from __future__ import annotations

import functools

from .. import command
from ..errors import PtnetError
from ..ptnet import layout
from ..qemu.definition import STATE_DIRECTORY, UNIT_PREFIX
from ..qemu.running import GONE, RUNNING
from .rule import ERROR, WARNING, Rule

_PROPERTIES = ("Id", "ActiveState", "SubState", "Result", "UnitFileState")
_SECONDS = 60
_PREFIXES = (UNIT_PREFIX, layout.UNIT_PREFIX)


def read(run=command.run):
    """The units of VMs and port processes.

    Empty where systemd is not: there this collection runs no VMs.

    :returns: dicts with ``Id``, ``ActiveState``, ``SubState``, ``Result``, ``UnitFileState`` (list)
    """
    try:
        # A unit that does not run is often not loaded; then only its file tells of it.
        listed = run(["systemctl", "list-unit-files", "--plain", "--no-legend",
                      *(prefix + "*.service" for prefix in _PREFIXES)], _SECONDS, allowed=None)[1]
        names = [line.split()[0] for line in listed.splitlines() if line.startswith(_PREFIXES)]
        if not names:
            return []
        shown = run(["systemctl", "show", "--property=" + ",".join(_PROPERTIES), *names], _SECONDS)[1]
    except PtnetError:
        return []
    units = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in shown.split("\n\n")]
    return [{name: unit.get(name, "") for name in _PROPERTIES} for unit in units if unit.get("Id")]


def _fails(unit):
    # A port process that its client left ends well, and begins anew.
    return unit["Result"] != "success" and (unit["ActiveState"] == "failed" or unit["SubState"] == "auto-restart")


def _failing(prefix, facts):
    dead = [layout.unit(name) for _vm, name, state in _cut_off(facts) if state == GONE]
    for unit in facts["machines"]:
        if unit["Id"].startswith(prefix) and _fails(unit) and unit["Id"] not in dead:
            yield "%(Id)s is %(ActiveState)s (%(SubState)s), result %(Result)s" % unit


def _off(facts):
    for unit in facts["machines"]:
        if unit["UnitFileState"] == "enabled" and unit["ActiveState"] == "inactive" and not _fails(unit):
            yield "%(Id)s is enabled and %(ActiveState)s" % unit


def _cut_off(facts):
    for vm in facts["vms"]:
        for process in vm["port_processes"]:
            if process["state"] != RUNNING:
                yield vm["name"] or vm["pid"], process["name"], process["state"]


def _dead(facts):
    for vm, name, state in _cut_off(facts):
        yield "VM %s: %s %s" % (vm, layout.unit(name), "has ended" if state == GONE
                                else "is another than the one that it was started with")


RULES = (
    Rule("vm_failed", ERROR, "a VM does not run", "QEMU ended with an error, or was killed",
         "read qemu.log in %s/NAME, then run role netmap.ptnet.vms (ptnet_vm), which says why "
         "it does not start" % STATE_DIRECTORY, functools.partial(_failing, UNIT_PREFIX)),
    Rule("ports_dead", ERROR, "a VM runs, but its ports are dead",
         "its port process ended, and QEMU connects when it starts and never again",
         "restart the VM, not its guest alone: systemctl restart ptnet-vm-NAME, or role netmap.ptnet.vms with "
         "vms_allow_restart; a VM of another manager is switched off and on there. journalctl -u ptnet-port-NAME says "
         "why the process ended", _dead),
    Rule("port_process_failed", ERROR, "a VM does not start, or gets no ports", "its port process ended with an error",
         "read journalctl -u ptnet-port-NAME, then run role netmap.ptnet.vms (ptnet_vm), or netmap.ptnet.ports "
         "(ptnet_port) for a VM of another manager", functools.partial(_failing, layout.UNIT_PREFIX)),
    Rule("vm_off", WARNING, "a VM, or ports for one, that are started at boot do not run",
         "it was stopped, or its guest shut down",
         "run role netmap.ptnet.vms (ptnet_vm with state=started) or, for ptnet-port-NAME, netmap.ptnet.ports; or "
         "declare enabled=false where it shall stay off", _off),
)
