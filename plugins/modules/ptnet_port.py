#!/usr/bin/python
# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ptnet_port
short_description: netmap ports for virtual machines of other managers
version_added: 0.2.0
author: netmap.ptnet contributors (@netmap-ptnet)
description:
  - Keeps a port process, the systemd unit C(ptnet-port-NAME.service), which opens netmap ports and offers each as
    ptnet's PCI device over vfio-user, with a memory device for each memory region.
  - Any QEMU from 10.1 on takes them, whoever starts it. What libvirt, Proxmox, Incus and a shell have to be told is in
    the result.
  - The process serves one virtual machine. When that ends, the process ends too and begins anew, for the next one.
  - The virtual machines of M(netmap.ptnet.ptnet_vm) bring their own.
extends_documentation_fragment: [netmap.ptnet.attributes]
options:
  name:
    description: Name of the process, 1 to 32 of a-z, 0-9 and C(-); no name of a VM of M(netmap.ptnet.ptnet_vm).
    type: str
    required: true
  host:
    description:
      - What the fleet calls the host that this is, such as C({{ inventory_hostname }}). By default its own host name.
      - MAC addresses are derived from it too, so processes of one name on two hosts have two.
    type: str
  state:
    description:
      - V(present) defines the unit and lets it run or not as it does now.
      - V(started) makes it run, V(stopped) makes it not run, V(absent) removes it.
      - V(stopped) and V(absent) are refused, in check mode too, while a virtual machine has its ports, unless
        O(allow_restart).
    type: str
    choices: [present, started, stopped, absent]
    default: started
  ports:
    description:
      - Ports of netmap, in the order in which the guest numbers its interfaces. Required unless O(state=absent).
    type: list
    elements: dict
    suboptions:
      port:
        description: Name of the port, such as V(vale1:10), V(netmap:p0{1) or V(eth1).
        type: str
        required: true
      mac:
        description: MAC address. By default a stable one is derived from O(host), O(name) and the port's name.
        type: str
      trust:
        description:
          - Consent to share memory. netmap hands out memory regions as a whole, so a guest can read and change the
            packets of everybody in the regions of its ports.
          - A NIC is in one region with all other NICs of the host (with an IOMMU, with those of its group), and so are
            pipes of a NIC. All pipes of one parent are in the region of the parent. Such ports are refused unless this
            is V(shared). The error tells who else is there.
          - A port of a VALE switch has memory of its own and needs no consent.
          - A pipe needs a parent that is declared (M(netmap.ptnet.netmap_pipe)), or a NIC. Of a VALE port only the
            machine that has this port itself can have pipes.
          - Consent alone is no reason for a restart.
        type: str
        choices: [private, shared]
        default: private
        version_added: 0.2.0
      mode:
        description:
          - How guest and host wake one another.
          - V(notified) sends a message for each kick of the guest, and costs nothing while it is idle.
          - V(polling) looks at the rings, pauses for O(ports[].pause), and looks again, idle or not.
          - V(automatic) polls under traffic and is notified when idle.
        type: str
        choices: [automatic, polling, notified]
        default: automatic
      pause:
        description: Microseconds between two looks, 0 to 1000000.
        type: int
        default: 20
      registers:
        description: Where the device has its registers. FreeBSD's driver wants V(io).
        type: str
        choices: [memory, io]
        default: memory
      pci_ids:
        description: Whose PCI ids the devices have. V(freebsd) is for FreeBSD from 12.2 on.
        type: str
        choices: [qemu, freebsd]
        default: qemu
  group:
    description: The group of whoever starts QEMU; its members may connect to the sockets.
    type: str
    default: libvirt-qemu
  memory:
    description: Memory of the guest in MiB, for the lines of RV(use) alone.
    type: int
    default: 512
  enabled:
    description: Whether it is started when the host boots.
    type: bool
    default: true
  allow_restart:
    description:
      - Whether a running process may be restarted where it differs, or ended where it is to stop or to go, under its
        virtual machine. That loses its ports then.
    type: bool
    default: false
  allow_management:
    description:
      - Allow ports that take an interface which carries the default route or the SSH connection of this run. Without it
        they are refused before anything changes, in check mode too, whatever O(state) is wanted, because
        the process takes them again at each start.
      - That is the interface with the address that the connection came in on, the one by which its answers leave, and
        what lies below them (bridges, bonds, VLANs, VRFs, pairs). The pipes of an interface and its monitors do not
        take it.
    type: bool
    default: false
seealso:
  - module: netmap.ptnet.ptnet_vm
"""

EXAMPLES = r"""
- name: Offer a port of a switch and the end of a pipe to libvirt's machines
  netmap.ptnet.ptnet_port:
    name: web
    host: "{{ inventory_hostname }}"
    group: libvirt-qemu
    memory: 1024
    ports:
      - port: "vale1:web"
      - port: "netmap:p0{1"
        trust: shared
        mode: polling
        pause: 50
  register: offered

- name: Show what the domain's definition needs
  ansible.builtin.debug:
    msg: "{{ offered.use.libvirt }}"

- name: A guest that runs FreeBSD 13, started by somebody of the group kvm, not at boot
  netmap.ptnet.ptnet_port:
    name: bsd
    state: present
    group: kvm
    enabled: false
    allow_restart: true
    ports:
      - port: "vale1:bsd"
        mac: "02:00:00:00:02:01"
        registers: io
        pci_ids: freebsd

- name: The host's only NIC, where there is a console as well
  netmap.ptnet.ptnet_port:
    name: edge
    ports:
      - port: eth0
        trust: shared
    allow_management: true

- name: Take it away
  netmap.ptnet.ptnet_port:
    name: web
    state: absent
"""

RETURN = r"""
name:
  description: Name of the process.
  returned: success
  type: str
  sample: web
unit:
  description: The systemd unit.
  returned: success
  type: str
  sample: ptnet-port-web.service
state:
  description: V(running), V(stopped) or V(absent), as it is or, in check mode, would be.
  returned: success
  type: str
  sample: running
pid:
  description: The process, null when it does not run.
  returned: success
  type: int
  sample: 4711
devices:
  description: What it offers, in the order in which a guest must find them.
  returned: success
  type: list
  elements: dict
  sample:
    - {id: m0, kind: memory, socket: /run/ptnet-port-web/m0}
    - {id: d0, kind: port, socket: /run/ptnet-port-web/d0}
ports:
  description: The ports with what was derived for them.
  returned: success
  type: list
  elements: dict
  sample:
    - {id: d0, ifname: "vale1:web", mac: "02:1c:95:4f:0b:9e"}
restart_wanted:
  description: Whether a restart would make the running process as declared and was not allowed.
  returned: success
  type: bool
  sample: false
use:
  description:
    - What to tell C(shell) (arguments of QEMU), C(libvirt) (domain XML), C(proxmox) (C(args)), C(incus) (C(raw.qemu))
      and C(cloud_hypervisor). Of these QEMU from a shell and libvirt were tried.
  returned: success
  type: dict
  sample:
    incus: >-
      raw.qemu: -device '{"driver":"vfio-user-pci","id":"d0","socket":{"type":"unix","path":"/run/ptnet-port-web/d0"}}'
log_tail:
  description: The last lines of the process.
  returned: when the start failed
  type: list
  elements: str
  sample: ["port vale1:web is in use; found: netmap does not tell by whom."]
msg:
  description:
    - Before anything changes. A name, port or option that cannot be, a group that is not there, the process of a VM.
    - A process that is to end while a virtual machine has its ports.
    - A process that did not start, with what it said last.
  returned: failure
  type: str
  sample: >-
    there is no group 'libvirt-qemu'; expected: the group of whoever starts QEMU, such as libvirt-qemu. To do: install
    that program first, or make the group.
"""

from ansible_collections.netmap.ptnet.plugins.module_utils.face import serve
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet.options import PTNET_PORT
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet.service import act

ARGUMENT_SPEC = PTNET_PORT


def main():
    serve(act, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
