# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An address of its own for the way into each virtual machine. Runs on the controller, touches no machine."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.vm_identity import identity

DOCUMENTATION = r"""
name: loopback_address
version_added: 0.2.0
short_description: An address of its own, on the loopback of its host, for each virtual machine
description:
  - Derives an address below 127.0.0.0/8 from the machine's name, its host's and the fleet's. The same names give the
    same address, anywhere.
  - "It belongs in two places: C(host_address) of the forward to the guest's SSH (M(netmap.ptnet.ptnet_vm)), and
    C(ansible_host) of the guest, with the host as jump host."
  - Ansible names a shared SSH connection after address, port and user, not after the jump host. Guests of two hosts
    that are all 127.0.0.1 and the same port share one, and commands reach the wrong guest. SSH's list of known hosts
    has the same trouble.
  - Linux answers at all of 127.0.0.0/8. Addresses of 127.0.0.0/16 are never derived, since others listen there.
  - There are 16.4 million. Should two machines share one (3 % with 1000 machines), the second forward on one host
    cannot be opened, and behind two hosts the role P(netmap.ptnet.guest#role) refuses who answers. Write another
    address for one of them.
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
- name: Run a machine whose SSH is reached at an address of its own
  netmap.ptnet.ptnet_vm:
    name: fw
    host: "{{ inventory_hostname }}"
    disks: [{path: fw.qcow2, backing: /srv/images/debian-12.qcow2, backing_format: qcow2}]
    management:
      forwards:
        - host_address: "{{ 'fw' | netmap.ptnet.loopback_address(inventory_hostname) }}"
          host_port: 10022

# In the inventory, of the guest:
#   guest_host: hv1
#   ansible_host: "{{ 'fw' | netmap.ptnet.loopback_address(guest_host) }}"
"""

RETURN = r"""
_value:
  description: The address.
  type: str
  sample: 127.243.10.119
"""


def loopback_address(name, host, fleet=""):
    """The address of a machine (str); the arguments are as documented above.

    :raises AnsibleFilterError: a name that cannot be one
    """
    try:
        return identity(fleet, host, name).address()
    except PtnetError as error:
        raise AnsibleFilterError("loopback_address: %s" % error.message) from error


class FilterModule:
    """The filter under its name."""

    def filters(self):
        return {"loopback_address": loopback_address}
