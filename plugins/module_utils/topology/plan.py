# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a topology to the variables that the roles read, for each host and each guest. Pure. Private to netmap.ptnet.

Names and addresses come from what they belong to and never from a place in the file: a line that is added or taken away
leaves those of the others as they are. The ports of a VM stand in the order of the file, which is that of their PCI
slots.
"""

from __future__ import annotations

import hashlib
import re
from collections import namedtuple

from ..declaration.check import check
from ..declaration.host import Known
from ..netmap.names import PART_MAX, QEMU_MAX
from ..vm_identity import Identity
from . import form, model
from .problems import problem

SSH_PORT = 10022  # of each guest, at an address of its own on the loopback of its host
PARENT_MAX = QEMU_MAX - 2  # QEMU has room for "{1" behind it

Plan = namedtuple("Plan", "hosts guests ports")
Plan.__doc__ = """``hosts`` and ``guests``: variables by name (dict of dict); ``ports``: for each VM what became of its
ends of links, in the order of its ports (dict of list of :class:`Port`)."""

Port = namedtuple("Port", "label port link mark")
Port.__doc__ = """``label`` of the end (str), ``port`` as netmap knows it (str), its Link, and its place (Mark)."""


def plan(topology, problems):
    """What has to be (Plan); what cannot be is noted in ``problems`` (list of Problem)."""
    planning = _Planning(topology, problems)
    found = planning.plan()
    _refuse_unplanned(topology, problems)
    if not problems:
        for name in topology.hosts:
            planning.check(name, found.hosts[name])
    return found


def _refuse_unplanned(topology, problems):
    """What can be said in a file and cannot be had yet is told, so that nobody believes to have it."""
    found = [(one.mark, "a mirror") for one in topology.mirrors]
    found += [(one.mark, "a domain of pipes") for one in topology.links if one.domain]
    found += [(one.mark, "the role %s" % one.role) for one in topology.vms.values() if one.role == form.MIDDLEBOX]
    problems += [problem(mark, "%s cannot be had yet" % what) for mark, what in found]


class _Planning:
    def __init__(self, topology, problems):
        self._topology, self._problems = topology, problems
        self._ports = {name: [] for name in topology.vms}
        self._parents, self._legs = {}, {}
        self._taken = {}
        for link in topology.links:
            if link.kind != form.CABLE:
                {form.VALE: self._vale, form.PIPE: self._pipe, form.NIC: self._nic}[link.kind](link)

    def plan(self):
        topology = self._topology
        cables = [{"a": _cable_end(link.ends[0]), "b": _cable_end(link.ends[1])}
                  for link in topology.links if link.kind == form.CABLE]
        hosts = {name: self._host(host, cables) for name, host in topology.hosts.items()}
        guests = {name: self._guest(vm) for name, vm in topology.vms.items() if vm.host}
        return Plan(hosts, guests, {name: [port for port, _declared in ports] for name, ports in self._ports.items()})

    # Links

    def _vale(self, link):
        for end in link.ends:
            if end.owner == form.HOST:
                leg = fitted("n_" + end.label, PART_MAX)
                self._take((link.host, leg), end.mark, "interface %s" % leg)
                self._take((link.host, end.label), end.mark, "interface %s" % end.label)
                self._legs.setdefault(link.switch, []).append({"name": leg, "kind": "veth", "peer": end.label})
                continue
            most = QEMU_MAX - len(link.switch) - 1
            name = "%s:%s" % (link.switch, fitted(_own(end, link.switch), most))
            self._take((link.host, name), end.mark, "port %s" % name)
            self._add(end, name, {}, link)

    def _pipe(self, link):
        first, second = link.ends
        program = [end.label for end in link.ends if end.owner == form.HOST]
        # What a program of the host opens has the name that the file gives it.
        parent = program[0] if program else fitted("p_%s_%s" % (
            _own(first, second.owner), _own(second, first.owner)), PARENT_MAX)
        if len(parent) > PARENT_MAX:
            self._problems.append(problem(first.mark, "the name of a pipe's end is too long", parent,
                                          "at most %d characters" % PARENT_MAX))
        self._take((link.host, parent), link.mark, "the pipe's parent %s" % parent)
        self._parents.setdefault(link.host, []).append((parent, link))
        for end, side in zip(link.ends, "{}"):
            if end.owner != form.HOST:
                self._add(end, "netmap:%s%s1" % (parent, side), {"trust": form.SHARED}, link)

    def _nic(self, link):
        end, nic = link.ends
        self._add(end, "netmap:" + nic.label, {"trust": form.SHARED}, link)

    def _add(self, end, port, more, link):
        self._ports[end.owner].append((Port(end.label, port, link, end.mark), dict({"port": port}, **more)))

    def _take(self, key, mark, what):
        """Names that were shortened, or that the file gives, can meet."""
        if key in self._taken and all(one.mark != mark for one in self._problems):
            self._problems.append(problem(mark, "%s would be there twice" % what, None, "names that differ", "",
                                          (self._taken[key], "the other one")))
        self._taken.setdefault(key, mark)

    # Variables

    def _host(self, host, cables):
        topology = self._topology
        variables = dict(host.variables)
        variables["vms_fleet"] = topology.name
        variables["ports_switches"] = [
            {"name": switch.name, "interfaces": [{"name": nic.value} for nic in switch.nics]
             + self._legs.get(switch.name, [])}
            for switch in self._switches(host)]
        variables["ports_pipe_parents"] = [{"name": name, "pipes": 1}
                                           for name, _link in self._parents.get(host.name, [])]
        variables["vms_machines"] = [self._machine(vm) for vm in self._vms(host)]
        if cables:
            variables["check_links"] = cables
        return variables

    def _switches(self, host):
        return [switch for switch in self._topology.switches.values() if switch.host == host.name]

    def _vms(self, host):
        return [vm for vm in self._topology.vms.values() if vm.host == host.name]

    def _machine(self, vm):
        options = {key: value for key, value in vm.options.items() if key != "image"}
        image = self._topology.images.get(vm.options.get("image"))
        if image and "disks" not in options:
            options["disks"] = [{"path": "disk.qcow2", "backing": image["path"],
                                 "backing_format": image.get("format", "qcow2")}]
        return dict({"name": vm.name}, **options, ports=[declared for _port, declared in self._ports[vm.name]],
                    management={"forwards": [{"host_address": self._identity(vm).address(), "host_port": SSH_PORT}]})

    def _guest(self, vm):
        return {"ansible_host": self._identity(vm).address(), "ansible_port": SSH_PORT, "guest_host": vm.host,
                "guest_name": vm.name, "guest_ports": len(self._ports[vm.name]),
                "topology_ports": [{"label": port.label, "port": port.port}
                                   for port, _declared in self._ports[vm.name]]}

    def _identity(self, vm):
        return Identity(self._topology.name, vm.host, vm.name)

    # The whole of a host

    def check(self, name, variables):
        """Have the declaration checked as the roles do it, and tell in terms of the file what cannot be."""
        host = self._topology.hosts[name]
        _found, contradictions = check(variables, name, Known(memory=host.memory))
        for one in contradictions:
            marks = [self._mark(host, place) for place in one.places]
            self._problems.append(problem(
                marks[0], "host %s cannot have this: %s" % (name, one.text), None, None,
                " To do: %s." % one.remedy.rstrip(".") if one.remedy else "",
                next(((mark, "and") for mark in marks if mark != marks[0]), None)))
        cpus = sum(vm.options.get("cpus", 1) for vm in self._vms(host))
        if host.cpus and cpus > host.cpus:
            self._problems.append(problem(host.mark, "the VMs of host %s have more processors than it" % name, cpus,
                                          "at most %d" % host.cpus))

    def _mark(self, host, place):
        """Where in the file stands what a declaration has at a place (Mark)."""
        found = re.match(r"(\w+)(?:\[(\d+)\])?(?:\.(\w+)\[(\d+)\])?", place.path)
        variable, index, inner, number = found.groups() if found else (None,) * 4
        if variable == "vms_machines" and index:
            vm = self._vms(host)[int(index)]
            return self._ports[vm.name][int(number)][0].mark if inner == "ports" else vm.mark
        if variable == "ports_switches" and index:
            return self._switches(host)[int(index)].mark
        if variable == "ports_pipe_parents" and index:
            return self._parents[host.name][int(index)][1].mark
        return host.mark


def _own(end, far):
    """What tells an end from others of its VM: the VM, and the label where it is another one than it is by default."""
    label = "" if end.label == model.fitting(far, PART_MAX) else "_" + end.label
    return end.owner + label


def _cable_end(end):
    return "%s:%s" % (end.owner, end.label)


def fitted(text, most):
    """A part of a port's name with at most ``most`` characters: the text, or a begin of it and a hash (str)."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", text)
    if len(name) <= most and name == text.replace("-", "_"):
        return name
    digest = hashlib.sha256(text.encode()).hexdigest()
    return (name[:most - 7] + "_" if most > 8 else "") + digest[:min(6, most)]
