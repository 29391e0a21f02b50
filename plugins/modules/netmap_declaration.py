#!/usr/bin/python
# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# All of it is in the action plugin of the same name.

from __future__ import annotations

DOCUMENTATION = r"""
module: netmap_declaration
short_description: Checks what a host declares before anything changes
version_added: 0.2.0
author: netmap.ptnet contributors (@netmap-ptnet)
description:
  - Reads the variables C(netmap_nics), C(netmap_parameters), C(ports_switches), C(ports_pipe_parents),
    C(ports_processes), C(vms_machines), and those that give VMs their defaults and consent, and tells all that
    contradicts itself at once, with both places. What C(ports_state=absent) and C(vms_state=absent) take away is left
    out, as is a machine with C(state=absent).
  - A name, number or option that cannot be; a name, port, end of a pipe, MAC address, forward, interface or disk that
    is used twice, a disk that all its users have with C(read_only) excepted; a machine that opens what is on a switch;
    a pipe whose parent nobody declares; a port that shares its memory with others without C(trust=shared); two ends of
    pipes that miss each other; more ports than there are PCI slots, more than netmap's pools can have;
    C(netmap_parameters) that leave no room for the pipes of a parent.
  - An end of a pipe whose other end no machine has is no contradiction, a program of the host has it, such as that of
    the role P(netmap.ptnet.check#role). Those are listed in RV(lone_ends). It is one where two machines have an end
    each that would meet if both had one number.
  - With O(facts) also memory beyond the host's, interfaces that are not there, names of new ones that others have, and
    the NIC of the management.
  - Runs on the controller and makes no connection. The roles P(netmap.ptnet.netmap#role), P(netmap.ptnet.ports#role)
    and P(netmap.ptnet.vms#role) begin with it, and the playbook C(netmap.ptnet.validate) does nothing else.
options:
  facts:
    description:
      - What M(netmap.ptnet.netmap_info) returned of the host, as far as it is known. C(memory) and C(interfaces) are
        used, and C(nics) where it was gathered.
    type: dict
    default: {}
extends_documentation_fragment: [netmap.ptnet.attributes.info]
seealso:
  - module: netmap.ptnet.netmap_info
"""

EXAMPLES = r"""
- name: Check what the host declares
  netmap.ptnet.netmap_declaration:

- name: Check it against the host as it is
  netmap.ptnet.netmap_declaration:
    facts: "{{ netmap_found }}"
"""

RETURN = r"""
contradictions:
  description:
    - All that cannot be. C(rule) is the kind, C(places) are all variables that are concerned, C(text) says what is
      wrong, C(remedy) what to do or is null.
  returned: always
  type: list
  elements: dict
  sample:
    - rule: port_twice
      places: ["vms_machines[1].ports[0] (VM fw, port vale1:10)", "vms_machines[0].ports[0] (VM gw, port vale1:10)"]
      text: "port vale1:10 is opened twice; expected: one user: a port, and each end of a pipe, is opened exclusively."
      remedy: give one of them another name
lone_ends:
  description: Ends of pipes whose other ends no machine has. Programs of the host have them.
  returned: always
  type: list
  elements: str
  sample: ["pp0{1"]
msg:
  description:
    - All contradictions, a line each.
  returned: failure
  type: str
  sample: |-
    hv1 declares what cannot be, in 1 place; nothing was changed.
    1. vms_machines[1].ports[0] (VM fw, port vale1:10) and vms_machines[0].ports[0] (VM gw, port vale1:10): port
    vale1:10 is opened twice; expected: one user: a port, and each end of a pipe, is opened exclusively. Way out: give
    one of them another name.
    To do: correct the variables of this host that are named first in each line.
"""
