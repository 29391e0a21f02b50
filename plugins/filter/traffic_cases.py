# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Derives from the declared machines of a host what traffic proves them. Runs on the controller, touches no machine."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import names
from ansible_collections.netmap.ptnet.plugins.module_utils.traffic.background import job_name

DOCUMENTATION = r"""
name: traffic_cases
version_added: 0.1.0
short_description: The cases of traffic that prove the ports of the declared machines
description:
  - Takes the machines of one host as the role P(netmap.ptnet.vms#role) has them, and returns what to send where.
  - For every VALE port of a machine, packets go both ways between the guest and a port of the host on the same switch,
    and from host to host on that switch for comparison.
  - All pipes of a machine whose other ends nobody has are driven at the same time, both ways, from the host.
    Pipes between two machines are driven from one guest to the other, both ways. Pipes lose nothing.
  - A guest's interfaces are named as the role P(netmap.ptnet.guest#role) names them.
author: netmap.ptnet contributors (@netmap-ptnet)
positional: _input, host
options:
  _input:
    description: The machines, dictionaries with C(name) and C(ports).
    type: list
    elements: dict
    required: true
  host:
    description: The host's name in the inventory.
    type: str
    required: true
  guests:
    description: Names of the guests that can be reached; machines that are no such guest are left out.
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
      M(netmap.ptnet.pkt_gen)), C(path), C(lossless) and C(baseline).
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
"""

# A pipe id beyond those that people number from one, on a parent with room to spare.
BASELINE_PIPE = "check"


def _case(name, title, sender, receiver, links, lossless, baseline, path):
    """One case; it is named after machines of an inventory, and its name is that of a job of pkt_gen."""
    # Neither a switch nor a pipe nor a passed-through port has a link that must come up first: wait_link.
    return {"name": job_name(name), "title": title, "sender": sender, "receiver": receiver, "lossless": lossless,
            "baseline": baseline and job_name(baseline), "path": path,
            "send": [{"port": start, "function": "tx", "wait_link": 0} for start, _end in links],
            "receive": [{"port": end, "function": "rx", "wait_link": 0} for _start, end in links]}


def _ports(vms, guests):
    """Every port of the machines that are reachable guests: (machine, its interface, parsed name)."""
    for vm in vms:
        if vm["name"] in guests:
            for index, port in enumerate(vm.get("ports") or []):
                yield vm["name"], "ptnet%d" % index, names.parse(port["port"])


def _vale_case(name, sender, switch, receiver, start, end, baseline):
    path = [sender, switch, receiver]
    return _case(name, " → ".join(path), sender, receiver, [(start, end)], False, baseline, path)


def _vale_cases(ports, host):
    cases, switches = [], []
    for vm, interface, port in ports:
        if not isinstance(port, names.VALEPort):
            continue
        switch = port.switch
        source, sink = "%s:check_tx" % switch, "%s:check_rx" % switch
        native = "%s-%s-native" % (host, switch)
        if switch not in switches:
            switches.append(switch)
            cases.append(_vale_case(native, host, switch, host, source, sink, None))
        name = port.kernel_name().replace(":", "-")
        cases.append(_vale_case("%s-%s-to-%s" % (name, vm, host), vm, switch, host, interface, sink, native))
        cases.append(_vale_case("%s-%s-to-%s" % (name, host, vm), host, switch, vm, source, interface, native))
    return cases


def _pipe_cases(ports, host, parents):
    ends = {port: (vm, interface) for vm, interface, port in ports if isinstance(port, names.PipeEnd)}
    used = {}
    for end in ends:
        used.setdefault(end.parent, set()).add(end.pipe)
    groups, baselines = {}, {}
    for end, (vm, interface) in ends.items():
        peer = ends.get(end.peer())
        if peer is None:
            groups.setdefault((vm, host), []).append((interface, "netmap:" + end.peer().kernel_name()))
        elif end.end == "{":
            between, link = (vm, peer[0]), (interface, peer[1])
            if between[::-1] in groups:
                between, link = between[::-1], link[::-1]
            groups.setdefault(between, []).append(link)
        baselines.setdefault(vm, end.parent)
    cases = []
    room = {parent["name"]: int(parent.get("pipes") or 1) - len(used.get(parent["name"], ())) for parent in parents}
    for parent in sorted(used):
        if room.get(parent, 0) > 0:
            cases.append(_case("%s-%s-native" % (host, parent), "%s → pipe → %s" % (host, host), host, host,
                               [("netmap:%s{%s" % (parent, BASELINE_PIPE), "netmap:%s}%s" % (parent, BASELINE_PIPE))],
                               True, None, [host, parent, host]))
    known = [case["name"] for case in cases]
    for (vm, peer), links in groups.items():
        what = "pipe" if len(links) == 1 else "%d pipes" % len(links)
        native = "%s-%s-native" % (host, baselines[vm])
        baseline = native if job_name(native) in known else None
        cases.append(_case("pipes-%s-to-%s" % (vm, peer), "%s → %s → %s" % (vm, what, peer), vm, peer, links, True,
                           baseline, [vm, baselines[vm], peer]))
        back = "pipes-%s-to-%s" % (peer, vm) + ("-back" if peer == vm else "")
        cases.append(_case(back, "%s → %s → %s" % (peer, what, vm), peer, vm,
                           [(end, start) for start, end in links], True, baseline, [peer, baselines[vm], vm]))
    return cases


def traffic_cases(vms, host, guests, parents=(), seconds=3):
    """The cases for the machines of one host (list of dict); the arguments are as documented above.

    :raises AnsibleFilterError: a port name that netmap does not take
    """
    try:
        ports = list(_ports(vms, guests))
        cases = _vale_cases(ports, host) + _pipe_cases(ports, host, parents)
    except PtnetError as error:
        raise AnsibleFilterError("traffic_cases: %s" % error.message) from error
    for case in cases:
        for run in case["send"]:
            run["seconds"] = float(seconds)
    return cases


class FilterModule:
    """The filter under its name."""

    def filters(self):
        return {"traffic_cases": traffic_cases}
