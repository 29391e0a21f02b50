# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Derives from declared links between hosts what traffic proves them. Runs on the controller, touches no machine."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.traffic import cases
from ansible_collections.netmap.ptnet.plugins.module_utils.traffic.links import between

DOCUMENTATION = r"""
name: link_cases
version_added: 0.2.0
short_description: The cases of traffic that prove the links between the NICs of hosts
description:
  - Takes what several hosts declare, and which of their NICs are linked, and returns what to send where.
  - For each link, packets go both ways between what stands behind its two NICs. That is the machine that the NIC is
    passed to, or one machine on the switch that the NIC is attached to, or the host itself where no machine is there.
  - A link that cannot be proven from here is told with the reason.
author: netmap.ptnet contributors (@netmap-ptnet)
positional: _input, links
options:
  _input:
    description:
      - One dictionary for each host with C(name), C(vms), C(unreachable) and C(switches) as
        P(netmap.ptnet.traffic_cases#filter) takes them, C(cases), what that returned, and C(guests) as
        P(netmap.ptnet.check_results#filter) takes them, with C(item), the name of one that answers.
    type: list
    elements: dict
    required: true
  links:
    description: The links, each a dictionary with its ends C(a) and C(b), written C(HOST:NIC).
    type: list
    elements: dict
    required: true
  seconds:
    description: How long each sender sends.
    type: float
    default: 3
"""

EXAMPLES = r"""
- name: Show what would be sent from host to host
  ansible.builtin.debug:
    msg: "{{ hosts | netmap.ptnet.link_cases([{'a': 'hv1:eth1', 'b': 'hv2:eth1'}]) }}"
  vars:
    hosts:
      - name: hv1
        vms: "{{ vms_machines }}"
        guests: [{item: vm1}]
        unreachable: {}
        switches: "{{ ports_switches }}"
        cases: []
      - {name: hv2, vms: [], guests: [], unreachable: {}, switches: "{{ ports_switches }}", cases: []}
"""

RETURN = r"""
_value:
  description:
    - The cases as P(netmap.ptnet.traffic_cases#filter) returns them. C(inside) is the name of the case over the same
      path inside one host, null where there is none.
  type: list
  elements: dict
  sample:
    - name: hv1-eth1-to-hv2-eth1-0123456789
      title: "vm1 → eth1 → eth1 → hv2"
      sender: vm1
      receiver: hv2
      send: [{port: ptnet0, function: tx, wait_link: 0, seconds: 3}]
      receive: [{port: "vale1:check_rx", function: rx, wait_link: 0}]
      path: [vm1, vale1, "hv1:eth1", "hv2:eth1", vale1, hv2]
      lossless: false
      baseline: hv1-vale1-native
      native: false
      inside: vale1-10-vm1-to-hv1
"""


def link_cases(hosts, links, seconds=3):
    """The cases and rows of the links (list of dict); the arguments are as documented above.

    :raises AnsibleFilterError: a link that is not understood, or a port name that netmap does not take
    """
    try:
        known = [case for host in hosts for case in host["cases"]]
        there = [cases.Host(host["name"], host["vms"], [guest["item"] for guest in host["guests"]],
                            host["unreachable"], host["switches"]) for host in hosts]
        return cases.timed(between(there, links, known), seconds)
    except PtnetError as error:
        raise AnsibleFilterError("link_cases: %s" % error.message) from error


class FilterModule:
    """The filter under its name."""

    def filters(self):
        return {"link_cases": link_cases}
