# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts of an inventory are the guests in the machines of a host. Runs on the controller, touches no machine."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.netmap.ptnet.plugins.filter.hosts_of_vm import hosts_of_vm
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError

DOCUMENTATION = r"""
name: as_guests
version_added: 0.2.0
short_description: The machines of a host under the names that the inventory has for their guests
description:
  - Two hosts may have machines of one name. Which one a guest of the inventory is in is said by its
    O(netmap.ptnet.guest#role:main:guest_name) and O(netmap.ptnet.guest#role:main:guest_host), as the role
    P(netmap.ptnet.guest#role) reads them. A guest that does not say it is taken for none of them.
  - Two guests in one machine are refused.
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
    """The machines (list of dict); the arguments are as documented above.

    :raises AnsibleFilterError: two guests in one machine
    """
    there, guessed, unclear = {}, {}, {}
    for guest in guests:
        told = variables[guest]
        machine = str(told.get("guest_name") or guest)
        hosts = [told["guest_host"]] if told.get("guest_host") else hosts_of_vm(variables, machine)
        if hosts == [host]:
            there.setdefault(machine, []).append(guest)
        elif host in hosts:
            unclear[machine] = {"guest": guest, "hosts": hosts}
        elif not hosts:
            # A machine of another manager stands in no vms_machines.
            guessed.setdefault(machine, []).append(guest)
    return [_as_guest(dict(vm, name=name), host, there.get(name) or guessed.get(name) or [], unclear.get(name))
            for vm in vms for name in [str(vm["name"])]]


def _as_guest(vm, host, claims, unclear):
    machine = vm["name"]
    if len(claims) > 1:
        error = PtnetError("machine %s of %s is one guest" % (machine, host), found=", ".join(sorted(claims)),
                           expected="at most one host of the inventory that is its guest",
                           remedy="correct guest_name or guest_host of these")
        raise AnsibleFilterError("as_guests: %s" % error.message)
    found = dict(vm, name=claims[0] if claims else machine, machine=machine, guest=bool(claims))
    return dict(found, unclear=unclear) if unclear and not claims else found


class FilterModule:
    """The filter under its name."""

    def filters(self):
        return {"as_guests": as_guests}
