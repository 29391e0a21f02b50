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
  - What costs time is read only when O(gather) asks for it.
options:
  gather:
    description:
      - What to read beyond the rest.
      - V(builds) adds RV(abi) and RV(build), V(drift) adds RV(drift), RV(restoration) and RV(boot_conflicts),
        V(kernels) adds RV(kernels) and RV(security), V(memory) adds RV(memory_regions), V(namespaces) adds
        RV(namespaces), V(nics) adds RV(nics), V(programs) adds RV(pipes), RV(vms) and RV(port_processes). V(all) adds
        everything.
    type: list
    elements: str
    default: []
    choices: [all, builds, drift, kernels, memory, namespaces, nics, programs]
  store:
    description: The folder of this collection on the machine.
    type: path
    default: /var/lib/netmap-ptnet
seealso:
  - module: netmap.ptnet.netmap_doctor
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

- name: Read all that can be known, with a store of its own
  netmap.ptnet.netmap_info:
    gather: [all]
    store: /srv/netmap
  register: machine

- name: Read which process has which port open, and for which virtual machine
  netmap.ptnet.netmap_info:
    gather: [programs]
  register: machine

- name: Stop when the port process of a virtual machine has ended, so that its ports are dead
  ansible.builtin.assert:
    that: machine.vms | map(attribute='port_processes') | flatten | rejectattr('state', 'eq', 'running') | length == 0
    fail_msg: "{{ machine.vms }}"

- name: Show the modes of the ports of virtual machines on the distribution's QEMU
  ansible.builtin.debug:
    msg: "{{ machine.vms | selectattr('hypervisor', 'eq', 'distribution') | map(attribute='ports') | flatten }}"

- name: Stop when the next boot would bring something else
  ansible.builtin.assert:
    that: machine.drift == []
    fail_msg: "{{ machine.drift }}"
"""

RETURN = r"""
store:
  description: The folder of this collection on the machine, as O(store).
  returned: always
  type: str
  sample: /var/lib/netmap-ptnet
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
    - The loaded module (C(version), C(srcversion), C(refcount), C(holders), C(built_in)) and the C(installed) one that
      would be loaded (C(path), C(version), C(srcversion), C(vermagic)).
    - C(fits_kernel) is whether the installed one is for the running kernel, C(stale) whether the loaded one is another
      build than the installed one. Both are null when that cannot be told.
  returned: always
  type: dict
  sample:
    version: null
    srcversion: null
    refcount: 3
    holders: []
    built_in: false
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
      kernel's release for netmap and a prefix for QEMU. C(version) is QEMU's. C(modules) are the kernel modules of the
      build, C(complete) is false when an installation was interrupted.
  returned: always
  type: dict
  sample:
    netmap:
      - slot: 6.1.0-56-amd64
        identity: 0f3a5b6c7d8e9f001122
        commit: 89607e1406c1fa5ac2106bd2ff33417f090c0d60
        version: null
        modules: [netmap]
        complete: true
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
abi:
  description:
    - The version of netmap's interface to programs, as this collection uses it (C(used)), and as the installed headers
      have it (C(headers)), null without headers.
  returned: when O(gather) contains V(builds)
  type: dict
  sample: {"used": 14, "headers": 14}
build:
  description:
    - The build of this collection that is C(installed) for the running kernel, and the one that is C(loaded), null when
      there is none or the loaded module cannot be told from others.
  returned: when O(gather) contains V(builds)
  type: dict
  sample:
    installed: {"identity": "0f3a5b6c7d8e9f001122", "commit": "89607e1406c1fa5ac2106bd2ff33417f090c0d60"}
    loaded: {"identity": "0f3a5b6c7d8e9f001122", "commit": "89607e1406c1fa5ac2106bd2ff33417f090c0d60"}
kernels:
  description:
    - The installed kernels, oldest first, with the netmap that each would load (C(netmap), null for none) and all the
      netmap modules that lie about for it (C(copies)).
  returned: when O(gather) contains V(kernels)
  type: list
  elements: dict
  sample:
    - release: 6.1.0-56-amd64
      running: true
      headers: true
      netmap: {"path": "/lib/modules/6.1.0-56-amd64/updates/netmap-ptnet/netmap.ko",
               "vermagic": "6.1.0-56-amd64 SMP preempt mod_unload modversions", "fits": true}
      copies: [/lib/modules/6.1.0-56-amd64/updates/netmap-ptnet/netmap.ko]
security:
  description:
    - What guards the loading of modules. The C(lockdown) of the kernel, whether signatures are enforced
      (C(signed_only)), and whether the firmware does Secure Boot (C(secure_boot)).
  returned: when O(gather) contains V(kernels)
  type: dict
  sample: {"lockdown": "none", "signed_only": false, "secure_boot": false}
nics:
  description:
    - The interfaces of this network namespace except the loopback. C(adapter) is C(native), C(emulated) or C(unknown),
      told from the driver and from what depends on netmap. C(offloads) and C(flow_control) are what is on.
    - C(mtu_fits) is whether a packet fits a netmap buffer. C(switch) is the switch it is attached to, C(carries) what
      would be lost with it, such as the SSH connection.
  returned: when O(gather) contains V(nics)
  type: list
  elements: dict
  sample:
    - {"name": "eth1", "driver": "ixgbe", "module": "ixgbe", "adapter": "native", "mtu": 1500, "mtu_fits": true,
       "up": true, "carrier": true, "offloads": ["gro"], "flow_control": [], "iommu_group": "12", "switch": "vale1",
       "carries": null}
memory_regions:
  description:
    - The memory regions while netmap is loaded. C(bytes) is computed, C(source) says from what; the region C(global) is
      made when a NIC is used. C(current) is read and is what the kernel last built it with.
    - Regions of VALE ports that programs made are not listed.
  returned: when O(gather) contains V(memory)
  type: list
  elements: dict
  sample:
    - {"name": "global", "bytes": 343019520, "source": "computed from the parameters", "current": {"buf_num": 163840}}
    - {"name": "p0", "bytes": 42369024, "source": "computed when it was created", "current": {}}
namespaces:
  description:
    - The other network namespaces (at most 128, none while netmap is not loaded) with their interfaces and switches, as
      in RV(switches). C(error) is why one could not be read. A namespace is found by its name or by a process in it
      (C(pid)).
  returned: when O(gather) contains V(namespaces)
  type: list
  elements: dict
  sample:
    - {"name": "red", "inode": 4026532216, "pid": 593, "interfaces": ["lo"], "switches": [], "stuck": [], "error": null}
pipes:
  description: The ends of pipes that running programs name on their command lines.
  returned: when O(gather) contains V(programs)
  type: list
  elements: dict
  sample:
    - {"name": "p0{1", "pid": 812, "command": "qemu-system-x86_64"}
vms:
  description:
    - The virtual machines that use netmap ports, as their command lines and those of their port processes tell.
    - C(hypervisor) is C(fork) for a QEMU that opened its ports itself and passes them through, C(distribution) for one
      that has them from a port process, and null for one that passes nothing through. C(binary) is the file that runs.
      C(version) and C(package) are what it says of itself, null where it is at no place of M(netmap.ptnet.ptnet_vm) or
      was replaced since.
    - Of its C(ports), C(pid) is the process that has the port open, C(mode) is C(automatic), C(polling) or C(notified)
      as for M(netmap.ptnet.ptnet_vm), and null for one that is not passed through. The fork has one mode, C(notified),
      a loop in the kernel that the guest's kicks wake (ioeventfd).
    - Of its C(port_processes), C(state) is C(running), C(gone), or C(restarted) for one that is younger than the
      machine. QEMU connects when it starts and never again, so only C(running) has ports, and the others need a restart
      of the machine.
  returned: when O(gather) contains V(programs)
  type: list
  elements: dict
  sample:
    - pid: 812
      name: vm1
      hypervisor: fork
      binary: /var/lib/netmap-ptnet/qemu/0f3a5b6c7d8e9f001122/root/opt/ptnet-qemu/bin/qemu-system-x86_64
      version: 3.0.94
      package: null
      ports: [{"ifname": "p0{1", "id": "d0", "passthrough": true, "mode": "notified", "pci_ids": "qemu", "pid": 812}]
      port_processes: []
      devices: [{"driver": "ptnet-pci", "netdev": "d0"}]
    - pid: 903
      name: fw
      hypervisor: distribution
      binary: /usr/bin/qemu-system-x86_64
      version: 11.1.3
      package: Debian 1:11.1.3+ds-1~bpo13+1
      ports:
        - {"ifname": "vale1:fw", "id": "d0", "passthrough": true, "mode": "automatic", "pci_ids": "qemu", "pid": 890}
      port_processes: [{"name": "fw", "pid": 890, "state": "running"}]
      devices: [{"driver": "vfio-user-pci", "netdev": null}, {"driver": "vfio-user-pci", "netdev": null}]
port_processes:
  description:
    - The port processes that run, of M(netmap.ptnet.ptnet_vm) and of M(netmap.ptnet.ptnet_port), with the ports that
      they have open, as in RV(vms).
    - C(vm) is the name of the virtual machine that it serves and C(vm_pid) the process of that, null while there is
      none.
  returned: when O(gather) contains V(programs)
  type: list
  elements: dict
  sample:
    - pid: 890
      name: fw
      vm: fw
      vm_pid: 903
      ports:
        - {"ifname": "vale1:fw", "id": "d0", "passthrough": true, "mode": "automatic", "pci_ids": "qemu", "pid": 890}
drift:
  description:
    - What differs between now and the next boot. C(what) is C(loaded), C(build), C(device), or C(parameter), C(port) or
      C(parent) with a name.
  returned: when O(gather) contains V(drift)
  type: list
  elements: dict
  sample:
    - {"what": "parameter buf_num", "now": 20000, "boot": 163840}
    - {"what": "port vale1:eth1", "now": "absent", "boot": "attached"}
restoration:
  description:
    - The service that restores ports after a reboot. Whether it is C(wanted) (something is recorded), C(enabled), and
      C(current) (what this version of the collection installs; null when not enabled), and what systemd says of it
      (C(active), C(result); null elsewhere).
  returned: when O(gather) contains V(drift)
  type: dict
  sample: {"wanted": true, "enabled": true, "current": true, "active": "active", "result": "success"}
boot_conflicts:
  description: Other files of modprobe that speak of netmap and may win at boot.
  returned: when O(gather) contains V(drift)
  type: list
  elements: str
  sample: []
msg:
  description:
    - The record of created ports is damaged.
    - The operating system is neither Linux nor FreeBSD.
  returned: failure
  type: str
  sample: "this operating system is not supported; found: SunOS; expected: Linux or FreeBSD."
"""

from ansible_collections.netmap.ptnet.plugins.module_utils.face import serve
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.survey import act
from ansible_collections.netmap.ptnet.plugins.module_utils.places import STORE

ARGUMENT_SPEC = {
    "gather": {"type": "list", "elements": "str", "default": [], "choices": [
        "all", "builds", "drift", "kernels", "memory", "namespaces", "nics", "programs"]},
    "store": {"type": "path", "default": STORE},
}


def main():
    serve(act, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
