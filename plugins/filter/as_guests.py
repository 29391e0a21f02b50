# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts of an inventory are the guests in the machines of a host. Runs on the controller, touches no machine."""

from __future__ import annotations

from ansible_collections.netmap.ptnet.plugins.filter.hosts_of_vm import hosts_of_vm

DOCUMENTATION = r"""
name: as_guests
version_added: 0.2.0
short_description: The machines of a host under the names that the inventory has for their guests
description:
  - Two hosts may have machines of one name. Which one a guest of the inventory is in is said by its
    O(netmap.ptnet.guest#role:main:guest_name) and O(netmap.ptnet.guest#role:main:guest_host), as the role
    P(netmap.ptnet.guest#role) reads them. A guest that does not say it is taken for none of them.
author: netmap.ptnet contributors (@netmap-ptnet)
positional: _input, host, variables, guests
options:
  _input:
    description: The machines of the host, dictionaries with C(name).
    type: list
    elements: dict
    required: true
  host:
    description: The host's name in the inventory.
    type: str
    required: true
  variables:
    description: The variables of all hosts, C(hostvars).
    type: dict
    required: true
  guests:
    description: Names of the guests in the inventory.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Say which guests are on this host
  ansible.builtin.debug:
    msg: "{{ vms_machines | netmap.ptnet.as_guests(inventory_hostname, hostvars, groups['netmap_guests']) }}"
"""

RETURN = r"""
_value:
  description:
    - The machines with C(name) (that of the guest in the inventory, or the machine's own without one), C(machine) (the
      machine's own) and C(guest) (whether the inventory has it).
    - C(unclear) is there for a machine that may be a guest's and may as well be its namesake on another host; it has
      C(guest), the guest's name, and C(hosts), those that declare the machine.
  type: list
  elements: dict
  sample: [{name: fw-hv1, machine: fw, guest: true, ports: []}]
"""


def as_guests(vms, host, variables, guests):
    """The machines (list of dict); the arguments are as documented above."""
    there, unclear = {}, {}
    for guest in guests:
        told = variables[guest]
        machine = told.get("guest_name") or guest
        # A machine of another manager stands in no vms_machines.
        hosts = [told["guest_host"]] if told.get("guest_host") else hosts_of_vm(variables, machine) or [host]
        if hosts == [host]:
            there[machine] = guest
        elif host in hosts:
            unclear[machine] = {"guest": guest, "hosts": hosts}
    return [dict(vm, name=there.get(vm["name"], vm["name"]), machine=vm["name"], guest=vm["name"] in there,
                 **({"unclear": unclear[vm["name"]]} if vm["name"] in unclear.keys() - there.keys() else {}))
            for vm in vms]


class FilterModule:
    """The filter under its name."""

    def filters(self):
        return {"as_guests": as_guests}
