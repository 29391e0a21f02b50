#!/usr/bin/python
# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: NICs attached to a VALE switch."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vale_port
short_description: Attach NICs and veth ends to a VALE switch
version_added: 0.1.0
description:
  - Attaches NICs, or one end of veth pairs, to a VALE switch of netmap, or detaches them.
  - The ports of VMs are not declared here. They are ephemeral, QEMU opens and closes them by itself.
  - Persistent netmap ports are refused, because one that is opened or queried while attached wedges the kernel until
    a reboot. They serve as parents of pipes, see M(netmap.ptnet.netmap_pipe).
  - What was attached is recorded on the host, so that it can be purged later without the declaration, and that it
    comes back after a reboot.
options:
  switch:
    description: The VALE switch, C(vale) and at least one letter, digit or underscore, at most 15 characters.
    type: str
    required: true
  ports:
    description: The NICs and veth ends.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name of the interface, letters, digits and underscores, at most 15 characters.
        type: str
        required: true
      host_stack:
        description:
          - Whether the host's own stack stays connected, through the switch.
          - A change detaches the NIC and attaches it again.
        type: bool
        default: false
  state:
    description: Whether the ports are on the switch.
    type: str
    choices: [present, absent]
    default: present
  purge:
    description:
      - Also detach the NICs that this collection attached to this switch and that O(ports) does not name.
      - What others attached is left alone.
    type: bool
    default: false
  allow_management:
    description:
      - Allow to attach or detach the interface that carries the default route or the SSH connection of this run.
    type: bool
    default: false
notes:
  - The kernel forgets attached NICs at a reboot. On hosts with systemd the service C(netmap-ptnet-ports.service)
    attaches what is recorded again and says so in the journal. It runs a copy of this code in
    C(/var/lib/netmap-ptnet/restore.pyz) and waits up to 60 seconds for the interfaces. Other hosts get a warning.
  - The service does not make interfaces. One end of a veth pair comes back when something makes the pair at boot.
  - A NIC that others had attached before it was declared comes back as well, but is not purged before it did.
  - A NIC that was renamed or deleted while attached stays on the list under its old name until it is detached.
extends_documentation_fragment: [netmap.ptnet.attributes]
seealso:
  - module: netmap.ptnet.netmap_pipe
  - module: netmap.ptnet.netmap_info
author: netmap.ptnet contributors (@netmap-ptnet)
"""

EXAMPLES = r"""
- name: Attach a NIC, and one end of a veth pair as the host's leg, to the switch vale1
  netmap.ptnet.vale_port:
    switch: vale1
    ports:
      - name: eth1
      - name: veth1a

- name: Take everything off vale1 that this collection attached
  netmap.ptnet.vale_port:
    switch: vale1
    state: absent
    purge: true
"""

RETURN = r"""
switch:
  description: The switch.
  returned: success
  type: str
  sample: vale1
ports:
  description:
    - All ports on the switch afterwards. C(kind) is C(attached) for NICs and veth ends, C(ephemeral) for ports that
      a VM or a program holds open.
  returned: success
  type: list
  elements: dict
  sample:
    - {"name": "eth1", "host_stack": false, "kind": "attached"}
done:
  description: What was done before the failure.
  returned: when the kernel refused one of several changes
  type: list
  elements: str
  sample: ["attach vale1:eth1"]
"""

from ansible_collections.netmap.ptnet.plugins.module_utils.face import serve
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.boot_service import act_on_ports

ARGUMENT_SPEC = {
    "switch": {"type": "str", "required": True},
    "ports": {"type": "list", "elements": "dict", "default": [], "options": {
        "name": {"type": "str", "required": True},
        "host_stack": {"type": "bool", "default": False},
    }},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "purge": {"type": "bool", "default": False},
    "allow_management": {"type": "bool", "default": False},
}


def main():
    serve(act_on_ports, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
