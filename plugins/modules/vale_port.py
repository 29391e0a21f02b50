#!/usr/bin/python
# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: the ports on a VALE switch."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vale_port
short_description: Ports on a VALE switch
version_added: 0.1.0
description:
  - Puts NICs, veth ends and persistent netmap ports on a VALE switch of netmap, or takes them off; a whole switch at
    once. The ports of VMs are not declared here, they are ephemeral, QEMU opens and closes them by itself.
  - What was made is recorded on the host, so that it can be purged later without the declaration, and that it comes
    back after a reboot.
  - Requests that crash or wedge the kernel of netmap are never made; where a declaration would need one it is refused
    with the reason before anything changes.
options:
  switch:
    description:
      - The VALE switch, C(vale) and at least one letter, digit or underscore, at most 15 characters.
      - Required unless O(only_switches) is given.
    type: str
  ports:
    description: The ports.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name of the interface, letters, digits and underscores, at most 15 characters.
        type: str
        required: true
      kind:
        description:
          - V(nic) is an interface that exists, such as a NIC or one end of a veth pair that others made.
          - V(veth) is one end of a veth pair, which is made when it is missing, brought up, and removed again when it
            leaves the switch. The other end, O(ports[].peer), is the host's leg on the switch. Offloads of both ends
            are switched off, netmap takes whole frames only.
          - V(persistent) is a persistent netmap port. It is made anew, because only then it is certain that no
            program has it open, and deleted when it leaves the switch. Nobody may open or query it by name while it is
            on the switch, that wedges the kernel until a reboot. For VMs name a port that nobody declared.
        type: str
        choices: [nic, veth, persistent]
        default: nic
      host_stack:
        description:
          - Whether the host's own stack stays connected, through the switch. Not for V(persistent).
          - A change detaches the NIC and attaches it again.
        type: bool
        default: false
      peer:
        description: The name of the host's end. For V(veth) only, and required there.
        type: str
      mac:
        description:
          - The MAC address of the host's end of a pair that is made. For V(veth) only.
          - By default it is derived from the names of the host and of both ends, so it is always the same.
        type: str
      tx_slots:
        description: Slots of a transmit ring, 1 to 4096, by default 1024. For V(persistent) only.
        type: int
      rx_slots:
        description: Slots of a receive ring, 1 to 4096, by default 1024. For V(persistent) only.
        type: int
      tx_rings:
        description: Transmit rings, 1 to 16, by default 1. For V(persistent) only.
        type: int
      rx_rings:
        description: Receive rings, 1 to 16, by default 1. For V(persistent) only.
        type: int
      memory:
        description:
          - The memory region, C(private) (the default), C(global), or the name of a pipe parent that
            M(netmap.ptnet.netmap_pipe) made, whose region is shared. For V(persistent) only.
          - NICs and veth ends use the global region. Their rings and slots are those of their driver, netmap takes
            none from a request.
        type: str
      polling:
        description:
          - Have kernel threads poll the NIC instead of waiting for its interrupts. Not for V(persistent).
          - The threads are always busy; leave CPUs to everything else.
          - The kernel does not show which NIC it polls. What is recorded counts, and after an interrupted run polling
            is switched off and on again.
        type: dict
        suboptions:
          mode:
            description: V(single) polls all rings on one CPU, V(multi) each ring on the CPU of the same number.
            type: str
            choices: [single, multi]
            default: single
          first_cpu:
            description: The first CPU, and with V(multi) the first ring. It must be online.
            type: int
            default: 0
          cpus:
            description: How many CPUs; with V(single) 1, otherwise fewer than are online.
            type: int
            default: 1
      vnet_header_length:
        description:
          - The length in bytes of the virtio-net header in front of each frame of this interface, V(0), V(10) or V(12).
          - Only for interfaces whose frames have one, such as a ptnet interface inside a guest. Of any other, netmap
            would take the first bytes of each frame for the header. Not for V(persistent).
          - Back to V(0) the port is detached and attached again.
        type: int
        choices: [0, 10, 12]
        default: 0
  state:
    description: Whether the ports are on the switch.
    type: str
    choices: [present, absent]
    default: present
  purge:
    description:
      - Also take off the ports that this collection put on this switch and that O(ports) does not name.
      - What others attached is left alone.
    type: bool
    default: false
  only_switches:
    description:
      - Before anything else take off all that this collection put on switches that are neither in this list nor
        O(switch). An empty list stands for all switches.
      - By default other switches are not looked at.
    type: list
    elements: str
  allow_management:
    description:
      - Allow to attach, detach or remove an interface that carries the default route or the SSH connection of this
        run, or to detach one from a switch on which such an interface is.
      - That is the interface with the address that the connection came in on, the one by which its answers leave, and
        what lies below them (bridges, bonds, VLANs, VRFs, pairs).
    type: bool
    default: false
notes:
  - The kernel forgets ports at a reboot. On hosts with systemd the service C(netmap-ptnet-ports.service) makes what is
    recorded again, after the parents of pipes, and says so in the journal. It runs a copy of this code in
    C(/var/lib/netmap-ptnet/restore.pyz) and waits up to 60 seconds for interfaces. Other hosts get a warning.
  - A NIC that others had attached before it was declared comes back as well, but is not purged before it did.
  - A NIC that was renamed or deleted while attached stays on the list under its old name until it is detached.
  - Where NICs or veth ends without netmap support in their driver forward to one another, set the parameter
    C(generic_mit) of netmap to 0 (M(netmap.ptnet.netmap_module); the role P(netmap.ptnet.netmap#role) does). Otherwise
    the timer of their adapters sends in a hard interrupt, and the kernel warns of it.
  - A switch holds at most 252 entries; a host stack is an entry of its own.
  - A persistent port that nobody opens takes no memory; its region is laid out when it is opened first.
extends_documentation_fragment: [netmap.ptnet.attributes]
seealso:
  - module: netmap.ptnet.netmap_pipe
  - module: netmap.ptnet.netmap_info
author: netmap.ptnet contributors (@netmap-ptnet)
"""

EXAMPLES = r"""
- name: A switch with a NIC, and a leg for the host with an address of its own
  netmap.ptnet.vale_port:
    switch: vale1
    ports:
      - name: eth1
      - name: host1s
        kind: veth
        peer: host1
        mac: 02:00:00:00:00:01
    purge: true

- name: A NIC that keeps the host's stack, polled by CPU 2
  netmap.ptnet.vale_port:
    switch: vale2
    ports:
      - name: eth2
        kind: nic
        host_stack: true
        polling:
          mode: single
          first_cpu: 2
          cpus: 1
    # It carries the default route, and there is a console.
    allow_management: true

- name: Inside a guest, a ptnet interface whose frames carry the header of virtio-net
  netmap.ptnet.vale_port:
    switch: vale1
    ports:
      - name: eth1
        vnet_header_length: 12

- name: Persistent ports, one of them with the memory of a pipe parent
  netmap.ptnet.vale_port:
    switch: vale3
    ports:
      - name: v0
        kind: persistent
        tx_slots: 256
        rx_slots: 256
        tx_rings: 2
        rx_rings: 2
      - name: v1
        kind: persistent
        memory: pp0

- name: Take everything off vale1 that this collection put there
  netmap.ptnet.vale_port:
    switch: vale1
    state: absent
    purge: true

- name: Keep what is on vale2 and vale3, and take everything of ours off all other switches
  netmap.ptnet.vale_port:
    only_switches: [vale2, vale3]
"""

RETURN = r"""
switch:
  description: The switch.
  returned: success, when O(switch) is given
  type: str
  sample: vale1
ports:
  description:
    - All ports on the switch afterwards. C(kind) is C(attached) for NICs and veth ends, C(persistent), or C(ephemeral)
      for ports that a VM or a program holds open. Settings other than the default come with it.
  returned: success, when O(switch) is given
  type: list
  elements: dict
  sample:
    - {"name": "eth1", "host_stack": false, "kind": "attached"}
    - {"name": "eth2", "host_stack": true, "kind": "attached",
       "polling": {"mode": "single", "first_cpu": 2, "cpus": 1}}
    - {"name": "v0", "host_stack": false, "kind": "persistent", "memory": "private"}
done:
  description: What was done before the failure.
  returned: when the kernel refused one of several changes
  type: list
  elements: str
  sample: ["attach vale1:eth1"]
forbidden:
  description:
    - Which kind of request was refused because the kernel would crash or wedge, such as C(renamed), C(attach-open),
      C(detach-unproven), C(two-switches), C(region), C(polling-cpu), C(polling-rings).
  returned: when such a request was refused
  type: str
  sample: polling-cpu
source:
  description: The function and the file of netmap that show why.
  returned: when such a request was refused
  type: str
  sample: nm_os_kctx_worker_start in netmap_linux.c
msg:
  description:
    - Why nothing, or not everything, was done. Refused are bad names, a port that is declared twice or is on another
      switch, options that do not fit the kind of port, an interface that does not exist or has another peer, the
      interface of the management connection, a persistent port that others made or attached, a pipe parent, a stuck
      port, a full switch or one too many, polling on CPUs or rings that are not there, and a lock that is held.
  returned: failure
  type: str
  sample: >-
    vale1:eth1 cannot be polled; found: CPU 8 to 8; expected: a request that the kernel survives: the kernel binds a
    thread to a processor that is not there (nm_os_kctx_worker_start in netmap_linux.c). To do: choose CPUs from
    [0, 1, 2, 3], and leave at least one to others.
"""

from ansible_collections.netmap.ptnet.plugins.module_utils.face import serve
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.boot_service import act_on_ports
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.options import VALE_PORT

ARGUMENT_SPEC = VALE_PORT


def main():
    serve(act_on_ports, ARGUMENT_SPEC, required_one_of=[["switch", "only_switches"]])


if __name__ == "__main__":
    main()
