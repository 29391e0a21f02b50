# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts of an inventory declare a virtual machine. Runs on the controller, touches no machine."""

from __future__ import annotations

DOCUMENTATION = r"""
name: hosts_of_vm
version_added: 0.2.0
short_description: The hosts of an inventory that declare a virtual machine of a name
description:
  - Looks for the name in O(netmap.ptnet.vms#role:main:vms_machines) of all hosts, and passes over machines that are
    declared absent, each by its own C(state) or by O(netmap.ptnet.vms#role:main:vms_state).
author: netmap.ptnet contributors (@netmap-ptnet)
positional: _input, name
options:
  _input:
    description: The variables of all hosts, C(hostvars).
    type: dict
    required: true
  name:
    description: Name of the machine.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Say where it runs
  ansible.builtin.debug:
    msg: "{{ hostvars | netmap.ptnet.hosts_of_vm('fw') }}"
"""

RETURN = r"""
_value:
  description: Names of the hosts, sorted.
  type: list
  elements: str
  sample: [hv1]
"""


def hosts_of_vm(variables, name):
    """The hosts (list of str); the arguments are as documented above."""
    return sorted(host for host in variables if str(name) in _there(variables[host]))


def _there(told):
    """Names of the machines that a host is to have; the role vms reads their states so (list)."""
    state = told.get("vms_state") or "started"
    return [] if state == "absent" else [str(vm.get("name")) for vm in told.get("vms_machines") or []
                                         if vm.get("state", state) != "absent"]


class FilterModule:
    """The filter under its name."""

    def filters(self):
        return {"hosts_of_vm": hosts_of_vm}
