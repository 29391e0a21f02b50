# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings of netmap_doctor as text. Runs on the controller, touches no machine."""

from __future__ import annotations

import textwrap

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: findings_table
version_added: 0.1.0
short_description: Findings as a table for a terminal
description:
  - Takes the C(findings) of M(netmap.ptnet.netmap_doctor) and returns lines of text, aligned and wrapped.
  - Characters that a terminal would act on are replaced.
author: netmap.ptnet contributors (@netmap-ptnet)
positional: _input
options:
  _input:
    description: The findings of one machine.
    type: list
    elements: dict
    required: true
  title:
    description: What to put in front of the counts in the first line, such as the name of the host.
    type: str
    default: ""
  width:
    description: The width of the terminal, at least 60.
    type: int
    default: 100
"""

EXAMPLES = r"""
- name: Show what was found
  ansible.builtin.debug:
    msg: "{{ doctor.findings | netmap.ptnet.findings_table(title=inventory_hostname, width=120) }}"
"""

RETURN = r"""
_value:
  description: The lines of the table.
  type: list
  elements: str
  sample:
    - "hv1: 1 warning"
    - "warning  not_at_boot  netmap is gone after a reboot"
    - "                      why   it was loaded by hand"
"""

_SEVERITIES = ("error", "warning", "note")
_WIDEST_ID = 20


def findings_table(findings, title="", width=100):
    """The lines (list of str); see DOCUMENTATION."""
    try:
        indent = 9 + max([len(one["id"]) for one in findings if len(one["id"]) <= _WIDEST_ID] or [0]) + 2
        width = max(60, int(width))
        lines = ["%s%s" % (_clean(title) + ": " if title else "", counted(findings))]
        for one in findings:
            lines.append("")
            lines += _finding(one, indent, width)
    except (KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError("findings_table wants the findings of netmap_doctor: %r" % (error,)) from error
    return lines


def counted(findings):
    """How many there are of each severity, in words (str)."""
    words = []
    for severity in _SEVERITIES:
        number = sum(one["severity"] == severity for one in findings)
        if number:
            words.append("%d %s%s" % (number, severity, "s" if number > 1 else ""))
    return ", ".join(words) or "nothing found"


def _finding(one, indent, width):
    head = "%-8s %s" % (one["severity"], one["id"])
    symptom = _wrapped(_clean(one["symptom"]), indent, width, head.ljust(indent))
    if len(head) > indent - 2:
        symptom = [head, *_wrapped(_clean(one["symptom"]), indent, width, " " * indent)]
    lines = symptom
    for label, texts in (("why", [one["cause"]]), ("seen", one["evidence"]), ("do", [one["fix"]])):
        for number, text in enumerate(texts):
            first = " " * indent + "%-6s" % ("" if number else label)
            lines += _wrapped(_clean(text), indent + 6, width, first)
    return lines


def _wrapped(text, indent, width, first):
    # A long path must not run over the edge, but names with a dash stay whole.
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=" " * indent,
                         break_on_hyphens=False) or [first.rstrip()]


def _clean(text):
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


class FilterModule:
    """What Ansible loads."""

    def filters(self):
        return {"findings_table": findings_table}
