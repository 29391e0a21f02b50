#!/usr/bin/python
# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: persistent netmap ports as parents of pipes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: netmap_pipe
short_description: Provide the parents of netmap pipes
version_added: 0.1.0
description:
  - Makes persistent netmap ports that serve as parents of pipes, or deletes them.
  - A pipe such as V(p0{1) exists while a VM or a program holds one of its ends, so only the parent V(p0) can be
    provided. It fixes the memory region that all its pipes share, and its MAC address.
  - Room for the pipes is computed before anything is made. When it does not suffice, the error names the parameters
    to raise, and to what.
  - A parent is never attached to a switch. One that somebody attached is refused and left alone.
options:
  parents:
    description: The parents.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - The name of the parent, letters, digits and underscores, at most 13 characters, so that QEMU can open its
            pipes, and a name that no interface has.
        type: str
        required: true
      pipes:
        description: How many pipes the parent must have room for, both ends open, 1 to 50.
        type: int
        default: 1
      extra_buffers:
        description:
          - Buffers that each open end may ask for beside those of its rings, 0 to 1000000. Programs that hold packets
            back need them, such as C(lb).
          - They come out of the region of the parent. Where they run out, netmap grants fewer without an error.
        type: int
        default: 0
      tx_slots:
        description: Slots in each transmit ring, 1 to 4096.
        type: int
        default: 1024
      rx_slots:
        description: Slots in each receive ring, 1 to 4096.
        type: int
        default: 1024
      tx_rings:
        description: Transmit rings, 1 to 16. Room is computed for pipes with as many.
        type: int
        default: 1
      rx_rings:
        description: Receive rings, 1 to 16. Room is computed for pipes with as many.
        type: int
        default: 1
  state:
    description: Whether the parents exist.
    type: str
    choices: [present, absent]
    default: present
  purge:
    description:
      - Also delete the parents that this collection made and that O(parents) does not name.
      - What others made is left alone.
    type: bool
    default: false
notes:
  - The kernel forgets parents at a reboot. On hosts with systemd the service C(netmap-ptnet-ports.service) makes what
    is recorded again, before the VMs of M(netmap.ptnet.ptnet_vm) start, and says so in the journal. It runs a copy of
    this code in C(/var/lib/netmap-ptnet/restore.pyz). Other hosts get a warning.
  - All pipes of one parent share memory, so put VMs on one parent only when they trust each other.
  - An existing parent with other rings, slots or less room is an error, not made anew, because its pipes may be in
    use. Declare it absent first.
extends_documentation_fragment: [netmap.ptnet.attributes]
seealso:
  - module: netmap.ptnet.netmap_module
  - module: netmap.ptnet.netmap_info
author: netmap.ptnet contributors (@netmap-ptnet)
"""

EXAMPLES = r"""
- name: Provide a parent with room for two pipes
  netmap.ptnet.netmap_pipe:
    parents:
      - name: p0
        pipes: 2

- name: Provide a parent for wide pipes to a load balancer
  netmap.ptnet.netmap_pipe:
    parents:
      - name: lb0
        pipes: 4
        extra_buffers: 256
        tx_slots: 512
        rx_slots: 512
        tx_rings: 2
        rx_rings: 2

- name: Make room for many pipes first
  netmap.ptnet.netmap_module:
    parameters: {priv_if_num: 40, priv_ring_num: 80, priv_buf_num: 40962}

- name: Provide a parent with room for twenty pipes
  netmap.ptnet.netmap_pipe:
    parents:
      - name: p1
        pipes: 20

- name: Delete every parent that this collection made
  netmap.ptnet.netmap_pipe:
    state: absent
    purge: true
"""

RETURN = r"""
msg:
  description:
    - Before anything is made. A name that is refused, numbers out of range, an interface of that name, a parent that is
      attached to a switch, one of another shape, too little room in its region (O(parents[].pipes)), too little memory.
    - A parent that is in use and cannot be deleted, with its users, or what the kernel refused.
  returned: failure
  type: str
  sample: >-
    20 pipes do not fit on the parent p1; found: room for 5; expected: priv_buf_num of 40962 or more, priv_if_num of 40
    or more, priv_ring_num of 80 or more. To do: raise priv_buf_num and priv_if_num and priv_ring_num with
    netmap.ptnet.netmap_module before the parent is made.
parents:
  description:
    - The parents that this collection made and that exist afterwards. C(capacity) is how many pipes fit, C(memory) the
      bytes that the region takes once it is used.
  returned: success
  type: list
  elements: dict
  sample:
    - {"name": "p0", "tx_slots": 1024, "rx_slots": 1024, "tx_rings": 1, "rx_rings": 1,
       "capacity": 5, "memory": 42369024}
raise_parameters:
  description:
    - Parameters of netmap that must be raised first, and to what, for all parents of the call.
      They can be given to M(netmap.ptnet.netmap_module) as they are.
    - They count for every parent and for every VALE port.
  returned: when the pipes do not fit
  type: dict
  sample: {"priv_buf_num": 40962, "priv_if_num": 40, "priv_ring_num": 80}
users:
  description: Processes that hold netmap ports.
  returned: when a parent that is in use was to be deleted
  type: list
  elements: dict
  sample:
    - {"pid": 4711, "command": "qemu-system-x86_64 -netdev netmap,ifname=p0{1", "holds": ["descriptor 12"]}
"""

from ansible_collections.netmap.ptnet.plugins.module_utils.face import serve
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.boot_service import act_on_parents
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.options import NETMAP_PIPE

ARGUMENT_SPEC = NETMAP_PIPE


def main():
    serve(act_on_parents, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
