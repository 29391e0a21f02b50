# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.netmap.ptnet.plugins.filter.findings_summary import findings_summary
from ansible_collections.netmap.ptnet.plugins.filter.findings_table import findings_table
from ansible_collections.netmap.ptnet.plugins.module_utils.diagnosis.doctor import RULES
from hypothesis import given
from hypothesis import strategies as st

ONE = {"id": "not_at_boot", "severity": "warning", "symptom": "gone after a reboot", "cause": "loaded by hand",
       "evidence": ["first", "second"], "fix": "declare it"}


def test_the_table():
    assert findings_table([ONE], title="hv1") == [
        "hv1: 1 warning", "",
        "warning  not_at_boot  gone after a reboot",
        "                      why   loaded by hand",
        "                      seen  first",
        "                            second",
        "                      do    declare it"]


def test_nothing_found():
    assert findings_table([], title="hv1") == ["hv1: nothing found"]


def test_every_rule_fits_a_terminal():
    findings = [dict(ONE, id=rule.id, severity=rule.severity, symptom=rule.symptom, cause=rule.cause, fix=rule.fix)
                for rule in RULES]
    assert max(len(line) for line in findings_table(findings, width=80)) <= 80


@given(st.text(), st.integers(-5, 300))
def test_nothing_reaches_the_terminal_but_what_is_printable(text, width):
    lines = findings_table([dict(ONE, symptom=text, evidence=[text, text])], title=text, width=width)
    assert all(line.isprintable() for line in lines)
    # The title stands as it is given; everything else is wrapped.
    assert max(len(line) for line in lines[1:]) <= max(60, width)


@pytest.mark.parametrize("given_findings", [[{}], [1], None])
def test_what_are_no_findings_is_refused(given_findings):
    with pytest.raises(AnsibleFilterError, match="wants the findings"):
        findings_table(given_findings)


def test_the_summary():
    assert findings_summary([
        {"inventory_hostname": "hv1", "doctor_result": {"findings": [ONE, dict(ONE, severity="error"), ONE]}},
        {"inventory_hostname": "machine2", "doctor_result": {"findings": []}},
        {"inventory_hostname": "vm1", "doctor_result": {"unreachable": True}}, {"inventory_hostname": "vm2"}]) == [
            "", "Summary", "hv1        1 error, 2 warnings", "machine2   nothing found", "vm1        not looked at",
            "vm2        not looked at"]
