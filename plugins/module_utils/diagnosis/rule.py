# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rule of the diagnosis is. Private to netmap.ptnet."""

from __future__ import annotations

from collections import namedtuple

ERROR = "error"
WARNING = "warning"
NOTE = "note"
SEVERITIES = (ERROR, WARNING, NOTE)
EVIDENCE_MAX = 5

Rule = namedtuple("Rule", "id severity symptom cause fix look")
Rule.__doc__ = """One known failure.

``look`` is a pure function of the facts (what ``netmap_info`` returns with ``gather=all``, and ``log``: lines with
``at`` and ``text``, or None when it was not read). It returns evidence (list of str); without evidence there is no
finding.
"""


def find(rules, facts, ignore=()):
    """The findings, errors first, in the order of the rules (list of dict)."""
    found = []
    for rule in rules:
        evidence = [] if rule.id in ignore else list(rule.look(facts) or [])
        if evidence:
            kept = evidence[:EVIDENCE_MAX]
            if len(evidence) > EVIDENCE_MAX:
                kept.append("and %d more" % (len(evidence) - EVIDENCE_MAX))
            found.append({"id": rule.id, "severity": rule.severity, "symptom": rule.symptom, "cause": rule.cause,
                          "evidence": kept, "fix": rule.fix})
    return sorted(found, key=lambda one: SEVERITIES.index(one["severity"]))
