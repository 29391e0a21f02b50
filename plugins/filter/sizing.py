# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Derives netmap's parameters and memory from what a host declares. Runs on the controller, touches no machine."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.sizing import size

DOCUMENTATION = r"""
name: sizing
version_added: 0.1.0
short_description: The parameters and the memory that netmap needs for what a host declares
description:
  - Takes the machines of one host as the role P(netmap.ptnet.vms#role) has them, with its switches, parents of pipes
    and NICs, and returns the parameters of netmap that must not have their defaults, each with a reason.
  - The VALE ports and pipes that the machines open are counted. A pipe whose parent is not declared gets a parent of
    1024 slots, as the kernel makes it.
  - The role P(netmap.ptnet.netmap#role) sets its parameters with this filter.
  - More than netmap's allocator can have is refused, with the way out.
author: netmap.ptnet contributors (@netmap-ptnet)
positional: _input
options:
  _input:
    description:
      - The machines, dictionaries with C(name), C(memory) in MiB and C(ports).
      - A guest with ptnet ports needs no memory of netmap's own, it uses the host's.
    type: list
    elements: dict
    required: true
  switches:
    description: The switches, as O(netmap.ptnet.ports#role:main:ports_switches).
    type: list
    elements: dict
    default: []
  parents:
    description: The parents of pipes, as O(netmap.ptnet.netmap_pipe#module:parents).
    type: list
    elements: dict
    default: []
  nics:
    description:
      - NICs that netmap opens, with C(name), and where they differ from 1 ring of 1024 slots each way and an MTU of
        1500 C(rings) or C(tx_rings) and C(rx_rings), C(slots) or C(tx_slots) and C(rx_slots), C(mtu).
      - Interfaces of switches and of machines are counted without being named here.
    type: list
    elements: dict
    default: []
  parameters:
    description: Parameters that are set in any case. They are taken into account and not changed.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show what this host needs
  ansible.builtin.debug:
    msg: "{{ vms_machines | netmap.ptnet.sizing(switches=ports_switches, parents=ports_pipe_parents) }}"

- name: Set it, with 8 rings of 4096 slots on a NIC with jumbo frames
  netmap.ptnet.netmap_module:
    parameters: "{{ ([] | netmap.ptnet.sizing(nics=nics, parameters=mine)).parameters | combine(mine) }}"
  vars:
    mine: {generic_rings: 2}
    nics: [{name: eth1, rings: 8, slots: 4096, mtu: 9000}]
"""

RETURN = r"""
_value:
  description:
    - C(parameters) are the values that must not be netmap's defaults, for M(netmap.ptnet.netmap_module), C(reasons)
      says for each what needs it.
    - C(too_small) names parameters that were given and are lower than what is needed.
    - C(memory) is in bytes, once everything is open. C(global) is the region that NICs share, C(private) that of each
      VALE port and each parent, C(machines) the memory of the VMs, C(total) all of it.
  type: dict
  sample:
    parameters: {priv_if_num: 16, priv_ring_num: 32}
    reasons: {priv_if_num: 8 pipes on p0, priv_ring_num: 8 pipes on p0}
    too_small: {}
    memory: {global: 0, machines: 536870912, private: {p0: 42618880}, total: 579489792}
"""


def sizing(machines, switches=(), parents=(), nics=(), parameters=None):
    """What netmap needs on one host (dict); the arguments are as documented above.

    :raises AnsibleFilterError: a bad name or number, or more than netmap can have
    """
    try:
        return size(machines, switches, parents, nics, parameters)
    except PtnetError as error:
        raise AnsibleFilterError("sizing: %s" % error.message) from error
    except (AttributeError, KeyError, TypeError) as error:
        raise AnsibleFilterError("sizing: the declaration has another form than documented: %s %s" % (
            type(error).__name__, error)) from error


class FilterModule:
    """The filter under its name."""

    def filters(self):
        return {"sizing": sizing}
