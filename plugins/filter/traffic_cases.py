# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Derives from the declared machines of a host what traffic proves them. Runs on the controller, touches no machine."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.traffic import cases
from ansible_collections.netmap.ptnet.plugins.module_utils.traffic.links import linked

DOCUMENTATION = r"""
name: traffic_cases
version_added: 0.1.0
short_description: The cases of traffic that prove the ports of the declared machines
description:
  - Takes the machines of one host as the role P(netmap.ptnet.vms#role) has them, and returns what to send where.
  - For every VALE port of a machine, packets go both ways between the guest and a port of the host on the same switch,
    and from host to host on that switch for comparison. Machines on one switch send to each other too, in a ring.
  - All pipes of a machine whose other ends nobody has are driven at the same time, both ways, from the host.
    Pipes between two machines are driven from one guest to the other, both ways. Pipes lose nothing.
  - What is declared and cannot be proven from here is told with the reason.
  - A guest's interfaces are named as the role P(netmap.ptnet.guest#role) names them.
author: netmap.ptnet contributors (@netmap-ptnet)
positional: _input, host
options:
  _input:
    description:
      - The machines, dictionaries with C(name), C(ports) and, optionally, C(state) and C(unclear), as
        P(netmap.ptnet.as_guests#filter) tells it.
    type: list
    elements: dict
    required: true
  host:
    description: The host's name in the inventory.
    type: str
    required: true
  guests:
    description: Names of the guests that can be reached.
    type: list
    elements: str
    required: true
  seconds:
    description: How long each sender sends.
    type: float
    default: 3
  parents:
    description:
      - The declared parents of pipes, with C(name) and C(pipes).
      - One with room for more pipes than the machines use gets a host-to-host case for comparison.
    type: list
    elements: dict
    default: []
  unreachable:
    description: The guests that should answer and do not, each with the reason. Their cases fail with that.
    type: dict
    default: {}
    version_added: 0.2.0
  switches:
    description:
      - The declared switches, with C(name) and C(interfaces). One without machines is tried from host to host.
    type: list
    elements: dict
    default: []
    version_added: 0.2.0
  links:
    description:
      - The declared links between NICs of hosts, as P(netmap.ptnet.link_cases#filter) takes them. That one proves the
        NICs which stand there.
    type: list
    elements: dict
    default: []
    version_added: 0.2.0
"""

EXAMPLES = r"""
- name: Show what would be sent
  ansible.builtin.debug:
    msg: "{{ vms_machines | netmap.ptnet.traffic_cases(inventory_hostname, guests=groups['netmap_guests']) }}"
"""

RETURN = r"""
_value:
  description:
    - The cases, each with C(name), C(title), C(sender), C(receiver), C(send) and C(receive) (runs of
      M(netmap.ptnet.pkt_gen)), C(path), C(lossless), C(baseline), C(native) (whether it is there for comparison only)
      and, where it is known to fail, C(error).
    - What cannot be proven has C(name), C(title), C(path) and C(not_provable), the reason.
    - A name can be a job of M(netmap.ptnet.pkt_gen). Where inventory names are long, or have dots, it ends in a digest.
  type: list
  elements: dict
  sample:
    - name: vale1-10-vm1-to-hv1
      title: "vm1 → vale1 → hv1"
      sender: vm1
      receiver: hv1
      send: [{port: ptnet0, function: tx, wait_link: 0, seconds: 3}]
      receive: [{port: "vale1:check_rx", function: rx, wait_link: 0}]
      path: [vm1, vale1, hv1]
      lossless: false
      baseline: hv1-vale1-native
      native: false
"""


def traffic_cases(vms, host, guests, parents=(), seconds=3, unreachable=None, switches=(), links=()):
    """The cases and rows for the machines of one host (list of dict); the arguments are as documented above.

    :raises AnsibleFilterError: a port name that netmap does not take
    """
    try:
        there = cases.Host(host, vms, guests, unreachable, switches, parents, linked(links, host))
        return cases.timed(there.cases(), seconds)
    except PtnetError as error:
        raise AnsibleFilterError("traffic_cases: %s" % error.message) from error


class FilterModule:
    """The filter under its name."""

    def filters(self):
        return {"traffic_cases": traffic_cases}
