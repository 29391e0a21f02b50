# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of VMs, which tell of those that do not run; and rules about them. Private to netmap.ptnet."""

from __future__ import annotations

from .. import command
from ..errors import PtnetError
from ..qemu.definition import UNIT_PREFIX
from .rule import ERROR, WARNING, Rule

_PROPERTIES = ("Id", "ActiveState", "SubState", "Result", "UnitFileState")
_SECONDS = 60


def read(run=command.run):
    """The units of VMs (list of dict of ``Id``, ``ActiveState``, ``SubState``, ``Result``, ``UnitFileState``).

    Empty where systemd is not: there this collection runs no VMs.
    """
    try:
        # A unit that does not run is often not loaded; then only its file tells of it.
        listed = run(["systemctl", "list-unit-files", "--plain", "--no-legend", UNIT_PREFIX + "*.service"], _SECONDS,
                     allowed=None)[1]
        names = [line.split()[0] for line in listed.splitlines() if line.startswith(UNIT_PREFIX)]
        if not names:
            return []
        shown = run(["systemctl", "show", "--property=" + ",".join(_PROPERTIES), *names], _SECONDS)[1]
    except PtnetError:
        return []
    units = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in shown.split("\n\n")]
    return [{name: unit.get(name, "") for name in _PROPERTIES} for unit in units if unit.get("Id")]


def _fails(unit):
    return unit["ActiveState"] == "failed" or unit["SubState"] == "auto-restart"


def _failing(facts):
    for unit in facts["machines"]:
        if _fails(unit):
            yield "%(Id)s is %(ActiveState)s (%(SubState)s), result %(Result)s" % unit


def _off(facts):
    for unit in facts["machines"]:
        if unit["UnitFileState"] == "enabled" and unit["ActiveState"] == "inactive" and not _fails(unit):
            yield "%(Id)s is enabled and %(ActiveState)s" % unit


RULES = (
    Rule("vm_failed", ERROR, "a VM does not run", "QEMU ended with an error, or was killed",
         "read qemu.log in /var/lib/netmap-ptnet/vms/NAME, then run role netmap.ptnet.vms (ptnet_vm), which says why "
         "it does not start", _failing),
    Rule("vm_off", WARNING, "a VM that is started at boot does not run", "it was stopped, or its guest shut down",
         "run role netmap.ptnet.vms (ptnet_vm with state=started), or declare enabled=false where it shall stay off",
         _off),
)
