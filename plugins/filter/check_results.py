# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings together what the role check measured and read. Runs on the controller, touches no machine."""

from __future__ import annotations

import json
import os

import yaml
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import names
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.parameters import PARAMETERS

DOCUMENTATION = r"""
name: check_results
version_added: 0.1.0
short_description: The results of a check as one dictionary
description:
  - Takes what the role P(netmap.ptnet.check#role) measured and read on each host, and returns the dictionary that is
    written as C(results.json) and judged by P(netmap.ptnet.check_report#filter).
author: netmap.ptnet contributors (@netmap-ptnet)
positional: _input
options:
  _input:
    description:
      - One dictionary for each host with C(name), C(found) and C(guests) (what M(netmap.ptnet.netmap_info) returned on
        the host, with C(gather=programs), and, in a loop, in its guests), C(vms) and C(switches) as declared.
    type: list
    elements: dict
    required: true
  cases:
    description:
      - What P(netmap.ptnet.traffic_cases#filter) and P(netmap.ptnet.link_cases#filter) told for these hosts, or cases
        like that. One that has neither C(error) nor C(not_provable) and was not measured fails.
    type: list
    elements: dict
    default: []
    version_added: 0.2.0
  measured:
    description: What came of the cases, dictionaries with C(case) and either C(sent) and C(received) or C(error).
    type: list
    elements: dict
    default: []
    version_added: 0.2.0
  lost:
    description: Hosts that the play began with and that are no longer in it. Each is a failed case.
    type: list
    elements: str
    default: []
    version_added: 0.2.0
  emulated:
    description: Whether the hosts are emulated machines, whose rates mean little.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Judge what was measured
  ansible.builtin.debug:
    msg: "{{ [host] | netmap.ptnet.check_results(emulated=true) | netmap.ptnet.check_report }}"
  vars:
    host: {name: hv1, found: "{{ netmap_found }}", guests: [], vms: [], switches: []}
"""

RETURN = r"""
_value:
  description:
    - The dictionary with C(collection), C(rehearsed), C(machines), C(topology), C(cases) and C(not_provable), described
      in C(REPORT.md) of the role.
  type: dict
  sample: {"collection": "0.1.0", "rehearsed": false, "machines": {}, "topology": {"hosts": {}}, "cases": [],
    "not_provable": []}
"""


def _version():
    """The collection's version, from what Galaxy installed or from a checkout (str)."""
    top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    manifest = os.path.join(top, "MANIFEST.json")
    if os.path.exists(manifest):
        with open(manifest, encoding="utf-8") as stream:
            return json.load(stream)["collection_info"]["version"]
    with open(os.path.join(top, "galaxy.yml"), encoding="utf-8") as stream:
        return yaml.safe_load(stream)["version"]


def _doubles(now, builds):
    """What on a machine is a stand-in, as its kernel and its QEMU say themselves (list of str)."""
    there = {"netmap": now.get("double"), "qemu": "double" in str((builds.get("qemu") or {}).get("version"))}
    return [kind for kind in ("netmap", "qemu") if there[kind]]


def _builds(found):
    """The build of each kind that is in place (dict of dict)."""
    return {kind: {key: value for key, value in rows[-1].items() if value is not None}
            for kind, rows in (found.get("builds") or {}).items() if rows}


def _qemu_of_host(builds, vms):
    """The fork that is installed, unless every machine there was seen to run on another QEMU (dict)."""
    if not builds.get("qemu") or (vms and all(vm["hypervisor"] == "distribution" for vm in vms)):
        return {}
    return dict(builds["qemu"], hypervisor="fork")


def _qemu_of_guest(vm, found):
    """The QEMU that a machine runs on (dict), empty where it was not seen.

    :param vm: as netmap_info tells it (dict)
    :param found: what it told of the host (dict)
    """
    if not vm.get("hypervisor"):
        return {}
    rows = (found.get("builds") or {}).get("qemu") or []
    # A running machine keeps the build that it was started with, whichever is installed now.
    build = next((row for row in rows if "/%s/" % row["identity"] in (vm["binary"] or "")), {})
    told = {"hypervisor": vm["hypervisor"], "version": build.get("version") or vm["version"],
            "commit": build.get("commit"), "identity": build.get("identity"),
            "package": vm["package"] if vm["hypervisor"] == "distribution" else None}
    return {key: value for key, value in told.items() if value is not None}


def _machine(found, role, emulated, qemu):
    now = (found.get("parameters") or {}).get("now") or {}
    builds = dict(_builds(found), qemu=qemu)
    return {
        "role": role, "emulated": emulated, "kernel": found.get("kernel_release"),
        "distribution": "%s %s" % (found.get("distribution"), found.get("distribution_version")),
        "cpus": found.get("cpus"), "memory_mib": found.get("memory"),
        "netmap": builds.get("netmap") or {}, "qemu": qemu,
        "doubles": _doubles(now, builds), "forbidden_calls": now.get("forbidden_calls") or 0,
        "parameters": {name: value for name, value in sorted(now.items())
                       if name in PARAMETERS and value != PARAMETERS[name].default},
    }


def _topology(host, guests):
    vms = {}
    for vm in host["vms"]:
        seen = (guests.get(vm["name"]) or {}).get("ptnet_interfaces") or []
        vms[vm["name"]] = {"ports": [
            {"port": port["port"], "interface": seen[index]["name"] if index < len(seen) else None,
             "mac": seen[index]["mac"] if index < len(seen) else None}
            for index, port in enumerate(vm.get("ports") or [])]}
    return {"switches": {switch["name"]: [one["name"] for one in switch.get("interfaces") or []]
                         for switch in host["switches"]}, "vms": vms}


def _served(topology, running):
    """Who serves each passed-through port, by machine and interface (dict of dict).

    :param topology: of one host (dict)
    :param running: its machines as netmap_info tells them, by name (dict)
    """
    served = {}
    for name, vm in topology["vms"].items():
        seen = running.get(name) or {}
        modes = {port["ifname"]: port["mode"] for port in seen.get("ports") or []}
        for port in [port for port in vm["ports"] if port["interface"]]:
            served[name, port["interface"]] = {
                "vm": name, "port": port["port"], "hypervisor": seen.get("hypervisor"),
                "mode": modes.get(names.parse(port["port"]).kernel_name())}
    return served


def _case(case, measured, served):
    """A case with what came of it (dict).

    :param case: as it was to be measured (dict)
    :param measured: with ``sent`` and ``received``, or ``error`` (dict)
    :param served: as :func:`_served` returns it (dict)
    """
    ends = [(case.get(side), run["port"]) for side, runs in (("sender", "send"), ("receiver", "receive"))
            for run in case.get(runs) or []]
    case = dict(case, ports=[served[end] for end in ends if end in served])
    if "error" in measured:
        return dict(case, error=measured["error"])
    sent = [run for run in measured["sent"] if run["function"] == "tx"]
    received = [run for run in measured["received"] if run["function"] == "rx"]
    return dict(case, runs=[
        {"sent": here["packets"], "received": there["packets"], "seconds": there["seconds"],
         "samples": there["samples"], "avg_batch": there["avg_batch"]} for here, there in zip(sent, received)])


def _lost(host):
    return {"name": "%s-lost" % host, "title": host, "path": [host],
            "error": "this host could not be reached, or failed before it was checked"}


def check_results(hosts, cases=(), measured=(), lost=(), emulated=False):
    """The results of all hosts (dict); the arguments are as documented above."""
    results = {"collection": _version(), "rehearsed": False, "machines": {}, "topology": {"hosts": {}},
               "not_provable": [case for case in cases if "not_provable" in case]}
    served = {}
    for host in hosts:
        found, guests = host["found"], {guest["item"]: guest for guest in host["guests"]}
        # A guest may have another name in the inventory than its machine has on the host.
        called = {vm.get("machine"): vm["name"] for vm in host["vms"]}
        running = {called.get(vm["name"], vm["name"]): vm for vm in found.get("vms") or []}
        results["machines"][host["name"]] = _machine(
            found, "host", emulated, _qemu_of_host(_builds(found), running.values()))
        for name, seen in guests.items():
            qemu = _qemu_of_guest(running.get(name) or {}, found)
            results["machines"][name] = _machine(seen, "guest", emulated, qemu)
        results["topology"]["hosts"][host["name"]] = _topology(host, guests)
        served.update(_served(results["topology"]["hosts"][host["name"]], running))
    known = {one["case"]["name"]: one for one in measured}
    results["cases"] = [_lost(host) for host in lost] + [
        _case(case, case if "error" in case else known.get(case["name"]) or {"error": "it was not measured"}, served)
        for case in cases if "not_provable" not in case]
    results["rehearsed"] = any(machine["doubles"] for machine in results["machines"].values())
    return results


class FilterModule:
    """The filter under its name."""

    def filters(self):
        return {"check_results": check_results}
