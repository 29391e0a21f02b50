# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts, switches, VMs and links of one file as an inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: topology
short_description: Hosts, switches, VMs and their links in one file
version_added: 0.2.0
author: netmap.ptnet contributors (@netmap-ptnet)
description:
  - Makes of a file of hosts, switches, VMs and links the variables that the roles of this collection read, so that
    C(ansible-playbook -i lab1.ptnet.yml netmap.ptnet.site) has it so.
  - The file ends in C(.ptnet.yml) or C(.ptnet.yaml). Everything that is wrong with it is told at once, each with its
    line.
  - What a VM's port is called, its addresses and the address of its guest come from what they belong to, and not from a
    place in the file; other lines may come and go. The order of a VM's ports is that of the file.
  - The hosts are in the group C(netmap_hosts), the VMs in C(netmap_guests), and those of the host C(hv1) in
    C(guests_of_hv1) as well. Guests are reached through their host; C(ansible_ssh_common_args) of the group
    C(netmap_guests) says how, and C(group_vars) may say it otherwise. All other variables of connections, of builds
    and of the roles belong into C(group_vars) and C(host_vars), beside the file as with any inventory.
  - C(topology_ports) of a guest names its ports, C(topology_file) of a host the file.
  - Ansible goes on without the hosts of an inventory that it could not read, and ends with status 0. Set
    C(any_unparsed_is_failed) of C([inventory]) in ansible.cfg.
options:
  plugin:
    description: Always V(netmap.ptnet.topology).
    type: str
    required: true
    choices: [netmap.ptnet.topology]
  name:
    description: Whose all of this is. VMs of another name are others, with other addresses.
    type: str
    required: true
  hosts:
    description:
      - The hosts by name. Each may have C(ansible_host), C(ansible_port), C(ansible_user), and C(memory) and C(cpus)
        that its VMs may have together.
    type: dict
    required: true
  defaults:
    description: Options of all VMs that do not say it themselves.
    type: dict
    default: {}
  images:
    description:
      - Images of disks by name, with C(path) on the hosts and C(format) (V(qcow2) or V(raw)). They are not changed.
    type: dict
    default: {}
  switches:
    description: VALE switches by name, with C(host) where there are several, and C(nics) that are attached.
    type: dict
    default: {}
  vms:
    description:
      - VMs by name, with C(host) where there are several, C(image), C(memory) (such as V(512M) or V(2G)), and C(cpus),
        C(cpu_quota), C(allowed_cpus), C(io_weight), C(hypervisor), C(machine), C(firmware), C(cpu), C(kernel),
        C(initrd), C(append), C(disks) of M(netmap.ptnet.ptnet_vm).
      - C(role) is V(endpoint) or V(middlebox); the latter is read, and refused until it can be had.
    type: dict
    default: {}
  links:
    description:
      - C(vale1) with a list of endpoints, a link each to that switch, which copies.
      - Or C(type) with C(endpoints). V(pipe) has two, without a copy; V(nic) passes C(HOST:NIC) to a VM; both need
        C(trust=shared), since memory is shared. V(cable) says which NICs C(HOST:NIC) of two hosts are joined, for the
        proof.
      - Pipes of one C(domain) on one host share one parent, so all their VMs see each other's rings; it is read, and
        refused until it can be had.
      - An endpoint is C(VM), C(VM:LABEL), or C(host:NAME), a program of the host. On a switch NAME is an interface that
        is made, of a pipe the program opens C(netmap:NAME}1), or C(netmap:NAME{1) where it stands first.
    type: list
    elements: dict
    default: []
  mirrors:
    description:
      - Copies of what passes a port, C(of) C(VM:LABEL), C(to) a VM or C(host:NAME) of the same host. They are read, and
        refused until they can be had.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
# lab1.ptnet.yml: ansible-inventory -i lab1.ptnet.yml --graph
plugin: netmap.ptnet.topology
name: lab1
defaults: {image: debian-13, memory: 512M}
images: {debian-13: {path: /srv/images/debian-13.qcow2}}
hosts: {hv1: {ansible_host: 192.0.2.10}}
switches: {vale1: {nics: [eth1]}}
vms:
  client: {}
  fw: {memory: 2G, cpus: 2}
  server: {}
links:
  - vale1: [client, "fw:lan"]
  - {type: pipe, endpoints: ["fw:wan", server], trust: shared}
"""

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.template import trust_as_template
from ansible_collections.netmap.ptnet.plugins.plugin_utils.topology_file import Unusable, read

HOSTS = "netmap_hosts"
GUESTS = "netmap_guests"
_WAY = ("-J {% set host = hostvars[guest_host] %}"
        "{% if host.ansible_user is defined %}{{ host.ansible_user }}@{% endif %}"
        "{{ host.ansible_host | default(guest_host) }}:{{ host.ansible_port | default(22) }}")


class InventoryModule(BaseInventoryPlugin):
    """What is documented above."""

    NAME = "netmap.ptnet.topology"

    def verify_file(self, path):
        """Whether the name is that of a topology (bool)."""
        return super().verify_file(path) and path.endswith((".ptnet.yml", ".ptnet.yaml"))

    def parse(self, inventory, loader, path, cache=True):
        """Add what is in the file.

        :raises AnsibleParserError: with everything that is wrong
        """
        super().parse(inventory, loader, path, cache)
        try:
            with open(path, encoding="utf-8") as stream:
                _topology, plan = read(path, stream.read())
        except (OSError, UnicodeDecodeError) as error:
            raise AnsibleParserError("%s cannot be read: %s" % (path, error)) from error
        except Unusable as error:
            raise AnsibleParserError(str(error)) from error
        for group in (HOSTS, GUESTS):
            inventory.add_group(group)
        inventory.set_variable(GUESTS, "ansible_ssh_common_args", trust_as_template(_WAY))
        for name, variables in plan.hosts.items():
            self._add(name, HOSTS, dict(variables, topology_file=path))
        for name, variables in plan.guests.items():
            self._add(name, GUESTS, variables)
            group = "guests_of_" + self._sanitize_group_name(variables["guest_host"])
            inventory.add_group(group)
            inventory.add_child(group, name)

    def _add(self, name, group, variables):
        self.inventory.add_host(name, group)
        for key, value in variables.items():
            self.inventory.set_variable(name, key, value)
