# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The uuid by which a guest knows which machine it is. Runs on the controller, touches no machine."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.vm_identity import identity

DOCUMENTATION = r"""
name: vm_uuid
version_added: 0.2.0
short_description: The system's uuid of a virtual machine, from its name and its host's
description:
  - The uuid that M(netmap.ptnet.ptnet_vm) gives a machine, and that the role P(netmap.ptnet.guest#role) compares with
    what the guest reads from its SMBIOS tables.
  - A machine of another manager can be given it too, as C(<uuid>) of a domain of libvirt.
author: netmap.ptnet contributors (@netmap-ptnet)
positional: _input, host
options:
  _input:
    description: Name of the machine on its host.
    type: str
    required: true
  host:
    description: The host's name in the inventory.
    type: str
    required: true
  fleet:
    description: As O(netmap.ptnet.vms#role:main:vms_fleet) of that host.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "{{ 'fw' | netmap.ptnet.vm_uuid(inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: The uuid.
  type: str
  sample: 6a8f05cb-65f6-5790-87b9-e06b27a14e21
"""


def vm_uuid(name, host, fleet=""):
    """The uuid of a machine (str); the arguments are as documented above.

    :raises AnsibleFilterError: a name that cannot be one
    """
    try:
        return identity(fleet, host, name).uuid()
    except PtnetError as error:
        raise AnsibleFilterError("vm_uuid: %s" % error.message) from error


class FilterModule:
    """The filter under its name."""

    def filters(self):
        return {"vm_uuid": vm_uuid}
