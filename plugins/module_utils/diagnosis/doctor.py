# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine against everything that is known to go wrong. Reads only. Private to netmap.ptnet."""

from __future__ import annotations

import os

from ..errors import PtnetError
from ..kernel.platform import platform
from ..netmap import survey
from ..netmap.record import Record
from . import loops, machines, rules_log, rules_module, rules_ports
from .rule import ERROR, NOTE, SEVERITIES, Rule, find

_UNREADABLE = (
    Rule("record_damaged", ERROR, "modules refuse to run", "the record of created ports is damaged",
         "restore the file, or delete it and remove ports that are not wanted by hand",
         lambda facts: facts["record_error"]),
    Rule("device_unusable", ERROR, "the ports cannot be listed", "the device node does not work",
         "run as root on the machine itself; reload netmap (netmap_module with allow_reload)",
         lambda facts: facts.get("warnings", [])),
    Rule("log_unreadable", NOTE, "the kernel log was not looked at", "it cannot be read here",
         "run as root on the machine itself", lambda facts: facts["log_error"]),
)
RULES = _UNREADABLE + rules_module.RULES + machines.RULES + loops.RULES + rules_ports.RULES + rules_log.RULES


def act(params, check_mode, system=None, device=None, reading=None, units=machines.read,
        threads=loops.read):
    """Look for known failures (dict): the face of ``netmap_doctor``. Changes nothing.

    :param params: ``store``, ``ignore`` (ids of rules), ``gather_log``, ``kernel_log_lines``
    :raises PtnetError: an id that does not exist, or no lines at all
    """
    unknown = sorted(set(params["ignore"]) - {rule.id for rule in RULES})
    if unknown:
        raise PtnetError("unknown findings are ignored", found=", ".join(ascii(name) for name in unknown),
                         expected="one of " + ", ".join(sorted(rule.id for rule in RULES)))
    if not 1 <= params["kernel_log_lines"] <= 100000:
        raise PtnetError("kernel_log_lines is refused", found=params["kernel_log_lines"], expected="1 to 100000")
    system = system or platform()
    facts = read(params, check_mode, system, device, reading or system.reading())
    facts.update(machines=units(), loops=threads())
    findings = find(RULES, facts, params["ignore"])
    counts = {severity: sum(one["severity"] == severity for one in findings) for severity in SEVERITIES}
    return {"changed": False, "findings": findings, "counts": counts,
            "healthy": not counts["error"] and not counts["warning"],
            "hostname": facts["hostname"], "kernel_release": facts["kernel_release"]}


def read(params, check_mode, system, device, reading):
    """What the rules judge (dict): the whole survey, and ``log``, ``log_error``, ``record_error``."""
    record_error = []
    try:
        record = Record(params["store"])
    except PtnetError as error:
        record, record_error = Record(os.path.join(params["store"], "none")), [error.message]
    facts = survey.act({"store": params["store"], "gather": ["all"]}, check_mode, system, device, reading, record)
    facts.update(log=None, log_error=[], record_error=record_error)
    if params["gather_log"]:
        try:
            facts["log"] = reading.kernel_log(params["kernel_log_lines"])
        except PtnetError as error:
            facts["log_error"] = [error.message]
    return facts
