#!/usr/bin/python
# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ptnet_vm
short_description: A virtual machine with ptnet ports as a supervised service
version_added: 0.1.0
author: netmap.ptnet contributors (@netmap-ptnet)
description:
  - Keeps one virtual machine as the systemd unit C(ptnet-vm-NAME.service), which comes back after a reboot of the host.
  - It runs on one of two QEMUs, see O(hypervisor). With the distribution's, the ports are opened by a process beside
    it, the unit C(ptnet-port-NAME.service). The management network is the unit C(ptnet-net-NAME.service). Both start
    and stop with the machine.
  - Whether the machine runs is asked of QEMU itself, over its control socket.
  - A running machine that differs from the declared one is left alone and reported, unless O(allow_restart=true).
  - QEMU runs as a user of its own for each machine, C(ptnet-vm-NAME), fenced by systemd. It opens its own disks and
    C(/dev/kvm), and with the fork C(/dev/netmap), and nothing of another machine. Memory and threads are bounded.
  - Disks and images that others made are never given to that user. Where it may not open one, the error says what to
    do.
  - Machines of version 0.1.0, which ran as root, are taken over. Their disks get the new owner when they next start.
extends_documentation_fragment: [netmap.ptnet.attributes]
options:
  name:
    description: Name of the machine, 1 to 32 of a-z, 0-9 and C(-).
    type: str
    required: true
  host:
    description:
      - What the fleet calls the host that this is, such as C({{ inventory_hostname }}). By default its own host name.
      - It is part of the machine's identity, from which the MAC addresses are derived, and the uuid that the guest
        reads. So machines of one name on two hosts are two.
    type: str
    version_added: 0.2.0
  fleet:
    description: A further part of the identity, where hosts of several inventories have the same names.
    type: str
    default: ""
    version_added: 0.2.0
  state:
    description:
      - V(present) defines the unit and creates the disks, and lets the machine run or not as it does now.
      - V(started) makes it run, V(stopped) makes it not run.
      - V(absent) stops it and removes the unit, the directory and the disks that this module created, and nothing else.
        What others put in the place of such a disk stays. Where QEMU does not end, nothing is removed.
    type: str
    choices: [present, started, stopped, absent]
    default: started
  hypervisor:
    description:
      - Which QEMU runs the machine.
      - V(distribution) is QEMU 10.1 or newer as the distribution has it. The ports come from a process of this
        collection over vfio-user, and QEMU opens nothing of netmap.
      - V(fork) is the ptnet QEMU 3.0.94 of 2019, which opens the ports itself and gets no fixes.
      - V(auto) takes V(fork) where it is installed, else V(distribution). RV(hypervisor_reason) says why. The order
        turns round as soon as the distribution's QEMU carries 0.8 of the fork's rate from a switch to a guest as well.
      - Another one than before is a reason for a restart.
    type: str
    choices: [auto, distribution, fork]
    default: auto
    version_added: 0.2.0
  binary:
    description:
      - Path of QEMU. By default the distribution's C(/usr/bin/qemu-system-x86_64) (or C(/usr/libexec/qemu-kvm)), and
        C(/opt/ptnet-qemu/bin/qemu-system-x86_64) for the fork.
      - With O(hypervisor=auto) this program is asked what it is.
    type: path
  memory:
    description: Memory of the guest in MiB.
    type: int
    default: 512
  cpus:
    description: Number of virtual processors.
    type: int
    default: 1
  machine:
    description:
      - QEMU's machine type, V(pc), V(q35), or a version of one.
      - V(q35) needs the distribution's QEMU and takes 15 ports. With the fork, the devices of PCI Express machines have
        the PCI ids of ptnet's.
    type: str
    default: pc
  firmware:
    description:
      - V(uefi) boots by the distribution's OVMF (Debian's package ovmf), with variables of its own for each machine. It
        needs the distribution's QEMU.
    type: str
    choices: [bios, uefi]
    default: bios
    version_added: 0.2.0
  cpu:
    description:
      - QEMU's CPU model with its features.
      - With the fork, V(host) fails on some younger processors. V(Haswell-noTSX) or V(qemu64) work there.
    type: str
    default: host
  cpu_quota:
    description:
      - Processor time that the machine may take, in percent of one processor. V(150) is one and a half. Without it
        there is no limit.
      - This and the next two are limits of the machine's service (systemd.resource-control(5)), which hold at once and
        need no restart. Threads of the kernel that serve its ports, and the port process, are not limited by them.
    type: int
    version_added: 0.2.0
  allowed_cpus:
    description: Processors of the host that the machine may run on, such as V(2-3) or V(0,4-7). All of them by default.
    type: str
    version_added: 0.2.0
  io_weight:
    description: Its share of disk access beside others, 1 to 10000. The default of systemd is 100.
    type: int
    version_added: 0.2.0
  accelerator:
    description: What executes the guest. The ptnet device works with KVM only.
    type: str
    choices: [kvm]
    default: kvm
  disks:
    description: Disks in the order of the guest, as virtio block devices. At most eight.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description:
          - File or block device. A name without a slash is kept in the directory of the machine. The names of the other
            files there (C(console.log), C(qemu.log), C(uefi-vars.fd), C(disks.json)) and the directories of other
            machines are refused.
          - A file that is absent is created when O(disks[].backing) or O(disks[].size) is given.
        type: path
        required: true
      format:
        description: Format of the disk.
        type: str
        choices: [qcow2, raw]
        default: qcow2
      backing:
        description:
          - Absolute path of an image that the qcow2 disk at O(disks[].path) is a private overlay of.
          - An existing disk that stands on another image is refused.
        type: path
      backing_format:
        description: Format of O(disks[].backing). Required with it, so that no guest-written header decides it.
        type: str
        choices: [qcow2, raw]
      size:
        description: Size of a disk that is created, such as V(4G). An overlay has the size of its image by default.
        type: str
      read_only:
        description: Whether the guest may only read it.
        type: bool
        default: false
      serial:
        description: Serial number that the guest sees, under C(/dev/disk/by-id/virtio-SERIAL) on Linux.
        type: str
  kernel:
    description: Absolute path of a kernel to boot directly.
    type: path
  initrd:
    description: Absolute path of the initial RAM disk for O(kernel).
    type: path
  append:
    description: Command line for O(kernel).
    type: str
  ports:
    description:
      - Ports of netmap that are passed to the guest, in the order in which its interfaces are numbered. At most 16.
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description:
          - Name of the port, such as V(vale1:10), V(netmap:p0{1) or V(eth1). At most 15 characters without C(netmap:),
            because the fork cuts longer ones without a word.
          - A NIC, a VALE port, or an end of a pipe whose parent is an interface or a VALE port (V(vale1:10{1)).
          - Monitors and single rings cannot be passed through. The kernel takes them from flags of the request, which
            neither QEMU sets.
        type: str
        required: true
      mac:
        description:
          - MAC address. By default a stable one is derived from O(fleet), O(host), O(name) and the port's name.
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
      kloop_tx:
        description: Whether a kernel thread of the host serves the transmit rings. V(false) needs the fork.
        type: bool
        default: true
      kloop_rx:
        description: Whether a kernel thread of the host serves the receive rings. V(false) needs the fork.
        type: bool
        default: true
      mode:
        description:
          - How the host learns that the guest has work. V(notified) is told each time, V(polling) looks again and again
            and costs processor time when idle, V(automatic) polls under traffic and is told when idle.
          - An option of the port process, as are O(ports[].pause), O(ports[].registers) and O(ports[].pci_ids). With
            the fork only the defaults are taken.
        type: str
        choices: [automatic, polling, notified]
        default: automatic
        version_added: 0.2.0
      pause:
        description: Microseconds between two looks when polling, 0 to 1000000.
        type: int
        default: 20
        version_added: 0.2.0
      registers:
        description: Where the guest finds the registers. V(memory) is faster, guests with FreeBSD need V(io).
        type: str
        choices: [memory, io]
        default: memory
        version_added: 0.2.0
      pci_ids:
        description: The PCI ids of the devices. Drivers of FreeBSD expect V(freebsd).
        type: str
        choices: [qemu, freebsd]
        default: qemu
        version_added: 0.2.0
  management:
    description:
      - A virtio network interface on a user network, the first interface of the guest. None by default.
      - The guest takes 10.0.2.15/24 (DHCP hands it out) with the gateway 10.0.2.2.
    type: dict
    suboptions:
      backend:
        description:
          - V(passt) is the program of that name, as a service of its own. The guest reaches what the host reaches, and
            nothing on the host's loopback.
          - V(slirp) is the user network inside QEMU, restricted. The guest reaches nothing; only O(management.forwards)
            lead in. With the fork it is the code of 2019.
        type: str
        choices: [passt, slirp]
        default: passt
        version_added: 0.2.0
      forwards:
        description: TCP ports of the host that lead into the guest.
        type: list
        elements: dict
        default: []
        suboptions:
          host_address:
            description:
              - IPv4 address of the host to listen on.
              - "The filter P(netmap.ptnet.loopback_address#filter) has one for each machine: guests of two hosts that
                both are 127.0.0.1 and one port to Ansible share a connection, and commands reach the wrong one."
            type: str
            default: 127.0.0.1
          host_port:
            description: TCP port of the host.
            type: int
            required: true
          guest_port:
            description: TCP port of the guest.
            type: int
            default: 22
      mac:
        description: MAC address. By default a stable one is derived from O(fleet), O(host) and O(name).
        type: str
  enabled:
    description: Whether the machine is started when the host boots.
    type: bool
    default: true
  allow_restart:
    description: Whether O(state=started) may restart a running machine that differs from the declared one.
    type: bool
    default: false
  allow_management:
    description:
      - Allow ports that take an interface which carries the default route or the SSH connection of this run. Without it
        they are refused before anything changes, in check mode too, whatever O(state) is wanted, because
        the machine takes them again at each start.
      - That is the interface with the address that the connection came in on, the one by which its answers leave, and
        what lies below them (bridges, bonds, VLANs, VRFs, pairs). The pipes of an interface and its monitors do not
        take it.
    type: bool
    default: false
  allow_removal:
    description:
      - Whether O(state=absent) may remove disks that this module made, with what the guest wrote to them. Without it a
        machine that has such disks is refused, in check mode too.
    type: bool
    default: false
    version_added: 0.2.0
  timeout:
    description: Seconds that QEMU may take until the machine runs. The guest's own boot is not waited for.
    type: int
    default: 60
  stop_timeout:
    description: Seconds that the guest has to shut down after its power button, before QEMU is ended.
    type: int
    default: 30
seealso:
  - module: netmap.ptnet.pkt_gen
"""

EXAMPLES = r"""
- name: Run a firewall between a switch and a pipe
  netmap.ptnet.ptnet_vm:
    name: fw
    host: "{{ inventory_hostname }}"
    memory: 1024
    cpus: 2
    cpu_quota: 150
    allowed_cpus: 2-3
    io_weight: 50
    disks:
      - path: root.qcow2
        backing: /var/lib/images/debian-12.qcow2
        backing_format: qcow2
    ports:
      - port: "vale1:fw"
      - port: "netmap:p0{1"
        trust: shared
    management:
      forwards:
        - host_address: "{{ 'fw' | netmap.ptnet.loopback_address(inventory_hostname) }}"
          host_port: 10022

- name: Let a changed command line take effect
  netmap.ptnet.ptnet_vm:
    name: fw
    memory: 2048
    cpus: 2
    disks:
      - path: root.qcow2
        backing: /var/lib/images/debian-12.qcow2
        backing_format: qcow2
    ports:
      - port: "vale1:fw"
    allow_restart: true

- name: Run a router on the distribution's QEMU, by UEFI, with ports that are always polled
  netmap.ptnet.ptnet_vm:
    name: router
    hypervisor: distribution
    machine: q35
    firmware: uefi
    memory: 1024
    disks:
      - path: root.qcow2
        backing: /var/lib/images/freebsd-14.qcow2
        backing_format: qcow2
    ports:
      - port: "vale1:router"
        mode: polling
        pause: 50
        registers: io
        pci_ids: freebsd
    management:
      backend: passt
      forwards:
        - host_port: 2203

- name: Stay with the ptnet QEMU and its own user network, in the second of two labs with equal names
  netmap.ptnet.ptnet_vm:
    name: old
    fleet: lab2
    hypervisor: fork
    disks:
      - path: root.qcow2
        backing: /var/lib/images/debian-12.qcow2
        backing_format: qcow2
    ports:
      - port: "vale1:old"
    management:
      backend: slirp
      forwards:
        - host_port: 2204

- name: A router that gets the host's only NIC, where there is a console as well
  netmap.ptnet.ptnet_vm:
    name: edge
    disks:
      - path: root.qcow2
        backing: /var/lib/images/debian-12.qcow2
        backing_format: qcow2
    ports:
      - port: eth0
        trust: shared
    allow_management: true

- name: Remove a machine with its overlay disk
  netmap.ptnet.ptnet_vm:
    name: fw
    state: absent
    allow_removal: true

- name: Boot a kernel directly, on a processor that the old QEMU does not know, with a second disk to read
  netmap.ptnet.ptnet_vm:
    name: client
    state: present
    hypervisor: fork
    binary: /opt/ptnet-qemu/bin/qemu-system-x86_64
    machine: pc
    cpu: Haswell-noTSX
    accelerator: kvm
    kernel: /srv/boot/vmlinuz
    initrd: /srv/boot/initrd.img
    append: root=/dev/vda console=ttyS0
    disks:
      - path: root.qcow2
        size: 4G
      - path: /srv/images/tools.raw
        format: raw
        read_only: true
        serial: tools
    ports:
      - port: "vale1:client"
        mac: "02:00:00:00:01:01"
        kloop_tx: true
        kloop_rx: false
    management:
      mac: "02:00:00:00:00:01"
      forwards:
        - host_address: 192.0.2.10
          host_port: 2202
          guest_port: 22
    enabled: false
    timeout: 120
    stop_timeout: 60
"""

RETURN = r"""
name:
  description: Name of the machine.
  returned: success
  type: str
  sample: fw
uuid:
  description:
    - The system's uuid in the guest's SMBIOS tables. The serial number there is fleet, host and name in plain text.
  returned: when O(state) is not V(absent)
  type: str
  sample: 6a8f05cb-65f6-5790-87b9-e06b27a14e21
state:
  description: V(running), V(stopped) or V(absent), as it is or, in check mode, would be.
  returned: success
  type: str
  sample: running
running:
  description: Whether the machine runs, or would run.
  returned: success
  type: bool
  sample: true
pid:
  description: Process of QEMU, null when it does not run.
  returned: success
  type: int
  sample: 4711
unit:
  description: Name of the systemd unit.
  returned: success
  type: str
  sample: ptnet-vm-fw.service
user:
  description: User and group that run the machine.
  returned: success
  type: str
  sample: ptnet-vm-fw
hypervisor:
  description: The QEMU that it runs on, V(distribution) or V(fork). Null with O(state=absent).
  returned: success
  type: str
  sample: distribution
hypervisor_reason:
  description: Why that one. Null with O(state=absent).
  returned: success
  type: str
  sample: /usr/bin/qemu-system-x86_64 is QEMU 11.1.3
console:
  description: File with all that the guest wrote to its serial console.
  returned: when O(state) is not V(absent)
  type: str
  sample: /var/lib/netmap-ptnet/vms/fw/console.log
console_socket:
  description: Unix socket of the serial console, for one client.
  returned: when O(state) is not V(absent)
  type: str
  sample: /run/ptnet-vm-fw/console.sock
qmp:
  description: Unix socket of QEMU's control protocol, for one client.
  returned: when O(state) is not V(absent)
  type: str
  sample: /run/ptnet-vm-fw/qmp.sock
log:
  description: File with what QEMU itself printed.
  returned: when O(state) is not V(absent)
  type: str
  sample: /var/lib/netmap-ptnet/vms/fw/qemu.log
machines:
  description:
    - Names of all machines of this module on the host, whoever declares them, as it is after the task. The role
      P(netmap.ptnet.vms#role) tells by it which of them nobody declares.
  returned: success
  type: list
  elements: str
  sample: [fw, old]
ports:
  description: The ports with what was derived for them.
  returned: success
  type: list
  elements: dict
  sample:
    - port: "vale1:fw"
      id: d0
      mac: "02:0c:38:8b:bb:95"
drift:
  description:
    - How the running machine differs from the declared one. C(running) lists the options that only the running one has,
      C(wanted) those that only the declared one has. Empty when it does not differ.
  returned: success
  type: dict
  sample:
    running: ["-m 512"]
    wanted: ["-m 1024"]
restart_wanted:
  description: Whether a restart would remove the drift and was not allowed.
  returned: success
  type: bool
  sample: false
restart_reasons:
  description: Why a restart is wanted. Empty when it is not.
  returned: success
  type: list
  elements: str
  sample: ["ptnet-port-fw.service has ended, and a running QEMU does not connect to another"]
seconds:
  description: Seconds from the start until QEMU said that the machine runs, null when nothing was started.
  returned: when O(state) is not V(absent)
  type: float
  sample: 1.4
log_tail:
  description: The last lines of QEMU, or of the process that it needs and that did not start.
  returned: when the start failed
  type: list
  elements: str
  sample: ["qemu-system-x86_64: Failed to register vale1:fw: Device or resource busy"]
console_tail:
  description: The last lines of the guest's console.
  returned: when the start failed
  type: list
  elements: str
  sample: []
msg:
  description:
    - Before anything changes. A name, path, number or address that cannot be, a port twice, a port that must not be
      opened because that wedges netmap, an option that the chosen QEMU does not have, no QEMU at all, a missing disk or
      image, a file that the machine's user cannot open, disks that would be lost without O(allow_removal).
    - A machine that did not start, with the reason, who holds its port, and the last lines of QEMU (C(log_tail)) and of
      the guest (C(console_tail)).
  returned: failure
  type: str
  sample: >-
    port vale1:10 stands twice in VM fw; expected: each one once. To do: a port or pipe end has one user; give the other
    one another name.
"""

from ansible_collections.netmap.ptnet.plugins.module_utils.face import serve
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu.options import PTNET_VM
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu.service import act

ARGUMENT_SPEC = PTNET_VM


def main():
    serve(act, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
