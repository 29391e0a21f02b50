#!/usr/bin/python
# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: what a machine is, as far as netmap and ptnet care."""

from __future__ import annotations

DOCUMENTATION = r"""
module: netmap_info
short_description: Read the state of netmap and what surrounds it
version_added: 0.1.0
description:
  - Reads everything that the roles of this collection want to know of a machine, in one task, so that facts need not
    be gathered.
  - Works on hosts and in guests, with netmap loaded or not.
  - Lists ports but never queries them, because some queries wedge or crash the kernel.
options:
  store:
    description: The folder of this collection on the machine.
    type: path
    default: /var/lib/netmap-ptnet
notes:
  - The part for FreeBSD was not tried on a real FreeBSD.
extends_documentation_fragment: [netmap.ptnet.attributes.info]
author: netmap.ptnet contributors (@netmap-ptnet)
"""

EXAMPLES = r"""
- name: Read the machine
  netmap.ptnet.netmap_info:
  register: machine

- name: Show the ports of all switches
  ansible.builtin.debug:
    var: machine.switches
"""

RETURN = r"""
hostname:
  description: The name of the machine.
  returned: always
  type: str
  sample: hv1
kernel_release:
  description: The release of the running kernel.
  returned: always
  type: str
  sample: 6.1.0-56-amd64
arch:
  description: The architecture.
  returned: always
  type: str
  sample: x86_64
distribution:
  description: The distribution, as C(ID) in C(/etc/os-release).
  returned: always
  type: str
  sample: debian
distribution_version:
  description: Its version, as C(VERSION_ID).
  returned: always
  type: str
  sample: "12"
distribution_like:
  description: Distributions it resembles, as C(ID_LIKE).
  returned: always
  type: list
  elements: str
  sample: []
cpus:
  description: Processors.
  returned: always
  type: int
  sample: 2
memory:
  description: Memory of the machine in MiB.
  returned: always
  type: int
  sample: 2048
kvm:
  description: Whether C(/dev/kvm) exists.
  returned: always
  type: bool
  sample: true
headers_present:
  description: Whether modules can be built for the running kernel.
  returned: always
  type: bool
  sample: true
loaded:
  description: Whether netmap is in the kernel.
  returned: always
  type: bool
  sample: true
load_at_boot:
  description: Whether this collection has netmap loaded at boot.
  returned: always
  type: bool
  sample: true
module:
  description:
    - The loaded module (C(version), C(srcversion), C(refcount), C(holders)) and the C(installed) one that would be
      loaded (C(path), C(version), C(srcversion), C(vermagic)).
    - C(fits_kernel) is whether the installed one is for the running kernel, C(stale) whether the loaded one is another
      build than the installed one. Both are null when that cannot be told.
  returned: always
  type: dict
  sample:
    version: null
    srcversion: null
    refcount: 3
    holders: []
    installed:
      path: /lib/modules/6.1.0-56-amd64/extra/netmap.ko
      version: null
      srcversion: null
      vermagic: 6.1.0-56-amd64 SMP preempt mod_unload modversions
    fits_kernel: true
    stale: false
device:
  description: The device node, null when there is none.
  returned: always
  type: dict
  sample: {"path": "/dev/netmap", "mode": "0660", "group": "netmap"}
parameters:
  description: Parameters in the kernel (C(now)) and in the boot file (C(boot)), as numbers.
  returned: always
  type: dict
  sample: {"now": {"buf_num": 163840}, "boot": {}}
switches:
  description:
    - The VALE switches of this network namespace with their ports. C(kind) is C(attached), C(ephemeral) or C(stuck).
      The name is null when only stuck ports are left on a switch.
  returned: always
  type: list
  elements: dict
  sample:
    - name: vale1
      ports:
        - {"name": "eth1", "host_stack": false, "kind": "attached"}
        - {"name": "10", "host_stack": false, "kind": "ephemeral"}
stuck:
  description: Ports that the kernel lost because they were opened or queried while attached. Only a reboot frees them.
  returned: always
  type: list
  elements: str
  sample: []
parents:
  description: The pipe parents that this collection made, and whether they exist (C(present)).
  returned: always
  type: list
  elements: dict
  sample:
    - {"name": "p0", "present": true, "tx_slots": 1024, "rx_slots": 1024, "tx_rings": 1, "rx_rings": 1,
       "pipes": 1, "capacity": 5, "memory": 42369024}
users:
  description: What keeps netmap in use, with C(kind) one of C(process), C(driver), C(port), C(parent), C(unknown).
  returned: always
  type: list
  elements: dict
  sample:
    - {"kind": "process", "name": "pkt-gen", "pid": 812, "command": "pkt-gen -i vale1:1", "holds": ["descriptor 3"]}
builds:
  description:
    - What is installed from builds of this collection (C(netmap), C(qemu)), one element for each C(slot), which is a
      kernel's release for netmap and a prefix for QEMU. C(version) is QEMU's.
  returned: always
  type: dict
  sample:
    netmap:
      - slot: 6.1.0-56-amd64
        identity: 0f3a5b6c7d8e9f001122
        commit: 89607e1406c1fa5ac2106bd2ff33417f090c0d60
        version: null
    qemu: []
interfaces:
  description: The network interfaces, with driver (null for none) and MAC address.
  returned: always
  type: list
  elements: dict
  sample:
    - {"name": "eth0", "driver": "virtio_net", "mac": "52:54:00:12:34:56"}
ptnet_interfaces:
  description: The passed-through ports of a guest, in the order of their PCI addresses.
  returned: always
  type: list
  elements: dict
  sample:
    - {"name": "eth1", "driver": "ptnetmap-guest-drivers", "mac": "52:54:00:aa:00:01", "pci": "0000:00:04.0"}
"""

from ansible_collections.netmap.ptnet.plugins.module_utils.face import serve
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.survey import act

ARGUMENT_SPEC = {"store": {"type": "path", "default": "/var/lib/netmap-ptnet"}}


def main():
    serve(act, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
