# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One line for each machine that netmap_doctor looked at. Runs on the controller, touches no machine."""

from __future__ import annotations

from ansible_collections.netmap.ptnet.plugins.filter.findings_table import counted

DOCUMENTATION = r"""
name: findings_summary
version_added: 0.1.0
short_description: How many findings each machine has
description:
  - Takes the variables of hosts, among them what M(netmap.ptnet.netmap_doctor) returned, registered as
    C(doctor_result), and returns lines of text.
author: netmap.ptnet contributors (@netmap-ptnet)
positional: _input
options:
  _input:
    description: The variables of each host, with C(inventory_hostname) and, where it was looked at, C(doctor_result).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show how many findings each machine has
  ansible.builtin.debug:
    msg: "{{ ansible_play_hosts_all | map('extract', hostvars) | netmap.ptnet.findings_summary }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
  sample: ["", "Summary", "hv1   1 error, 2 warnings", "vm1   nothing found", "vm2   not looked at"]
"""


def findings_summary(hosts):
    """The lines (list of str); see DOCUMENTATION."""
    rows = []
    for one in hosts:
        result = one.get("doctor_result") or {}
        rows.append((str(one["inventory_hostname"]),
                     counted(result["findings"]) if "findings" in result else "not looked at"))
    widest = max([len(name) for name, _text in rows] or [0])
    return ["", "Summary", *("%s   %s" % (name.ljust(widest), text) for name, text in rows)]


class FilterModule:
    """What Ansible loads."""

    def filters(self):
        return {"findings_summary": findings_summary}
