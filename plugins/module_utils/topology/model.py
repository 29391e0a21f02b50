# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A topology that was read and fits together, and all that does not. Pure. Private to netmap.ptnet."""

from __future__ import annotations

import hashlib
import re
from collections import namedtuple

from ..netmap.names import PART_MAX
from . import form
from .problems import Mark, problem, suggestion

Host = namedtuple("Host", "name mark memory cpus variables")
Switch = namedtuple("Switch", "name mark host nics")
VM = namedtuple("VM", "name mark host options")
# One side of a link: a port of a VM (``owner`` and the interface's ``label``), a program of the host (``owner`` is
# form.HOST), or a NIC (``owner`` is a host); ``label`` is then a name on that host.
End = namedtuple("End", "mark owner label")
Link = namedtuple("Link", "kind mark host switch ends trust")
Topology = namedtuple("Topology", "name hosts switches vms links images")
Topology.__doc__ = """``hosts``, ``switches``, ``vms`` and ``images`` by name (dict), ``links`` in their order."""


def read(root, problems):
    """The topology of a file (Topology), as far as it can be read; whoever uses it looks at ``problems`` first.

    :param root: what is in the file (Node)
    :param problems: takes what is wrong (list of Problem)
    """
    item = form.FILE.read(root, problems, "the file")
    given = {name: one.value for name, one in (item.value if item else {}).items()}
    return _Reading(given, problems).topology


class _Reading:
    def __init__(self, given, problems):
        self._problems = problems
        self._defaults = given.get("defaults", {})
        self._images = {name: {key: one.value for key, one in item.value.items()}
                        for name, item in given.get("images", {}).items()}
        self._hosts = {name: _host(name, item) for name, item in given.get("hosts", {}).items()}
        if "hosts" in given and not self._hosts:
            problems.append(problem(_FIRST, "there is no host", None, "at least one below hosts"))
        self._switches = {name: self._switch(name, item) for name, item in given.get("switches", {}).items()}
        self._vms = {name: self._vm(name, item) for name, item in given.get("vms", {}).items()}
        self._nics, self._labels = {}, {}
        for switch in self._switches.values():
            for nic in switch.nics:
                self._take_nic(switch.host, nic.value, nic.mark)
        links = [self._link(item) for item in given.get("links", [])]
        self.topology = Topology(given.get("name"), self._hosts, self._switches, self._vms,
                                 [link for link in links if link], self._images)

    def _tell(self, *arguments, **more):
        self._problems.append(problem(*arguments, **more))

    def _place(self, given, mark, what):
        """The host of something: the one that it names, or the only one (str, None after a problem)."""
        if given is None:
            if len(self._hosts) == 1:
                return next(iter(self._hosts))
            if self._hosts:
                self._tell(mark, "%s names no host" % what, None, "host: one of %s" % ", ".join(sorted(self._hosts)))
            return None
        if given.value in self._hosts:
            return given.value
        self._tell(given.mark, "%s is on a host that is not there" % what, given.value,
                   "one of %s" % ", ".join(sorted(self._hosts)), suggestion(given.value, self._hosts))
        return None

    def _switch(self, name, item):
        nics = item.value.get("nics")
        return Switch(name, item.mark, self._place(item.value.get("host"), item.mark, "switch %s" % name),
                      nics.value if nics else [])

    def _vm(self, name, item):
        given = {**self._defaults, **item.value}
        if name == form.HOST:
            self._tell(item.mark, "no VM can be called %s" % name, None, "another name: an endpoint %s:NAME is a "
                       "program of the host" % name)
        if name in self._hosts:
            self._tell(item.mark, "a VM and a host have the name %s" % name, None, "names that differ", "",
                       other=(self._hosts[name].mark, "the host"))
        image = given.get("image")
        if image and image.value not in self._images:
            self._tell(image.mark, "there is no image %s" % image.value, None,
                       "one of %s" % (", ".join(sorted(self._images)) or "images, which has none"),
                       suggestion(image.value, self._images))
        return VM(name, item.mark, self._place(given.get("host"), item.mark, "VM %s" % name),
                  {key: [inner.value for inner in one.value] if isinstance(one.value, list) else one.value
                   for key, one in given.items() if key != "host"})

    # Links

    def _link(self, item):
        kind, ends = item.value.get("type"), item.value.get("endpoints")
        if kind is None or ends is None or not ends.value:
            return None
        kind, switch, trust = kind.value, item.value.get("switch"), item.value.get("trust")
        if kind == form.VALE and switch is None:
            self._tell(item.mark, "a link of type vale names no switch", None, "switch: one of %s" % ", ".join(
                sorted(self._switches)))
            return None
        if kind != form.VALE and switch is not None:
            self._tell(switch.mark, "a link of type %s has no switch" % kind, switch.value, "type: vale with it")
        if kind in (form.PIPE, form.NIC) and (trust is None or trust.value != form.SHARED):
            self._tell(item.mark, "a link of type %s shares memory: %s" % (kind, _SHARES[kind]), None, "trust: shared",
                       "; to do: add it, or use a switch, which copies")
        reading = {form.VALE: self._vale, form.PIPE: self._pipe, form.NIC: self._nic, form.CABLE: self._cable}[kind]
        found = reading(item, [self._end(one, kind) for one in ends.value])
        return found and Link(kind, item.mark, found[0], switch.value if kind == form.VALE else None, found[1],
                              trust.value if trust else None)

    def _end(self, item, kind):
        """An endpoint (End without a label that nobody gave), None after a problem."""
        owner, _colon, label = item.value.partition(":")
        if kind == form.CABLE or (kind == form.NIC and (owner in self._hosts or owner not in self._vms)):
            host = self._place(item._replace(value=owner), item.mark, "endpoint %s" % item.value)
            if host and not label:
                self._tell(item.mark, "endpoint %s names no NIC" % owner, None, "%s:NIC" % owner)
            return End(item.mark, host, label) if host and label else None
        if owner == form.HOST:
            if not re.fullmatch(r"[A-Za-z0-9_]{1,%d}" % PART_MAX, label):
                self._tell(item.mark, "an end of the host has no usable name", item.value,
                           "host: and 1 to %d letters, digits and underscores" % PART_MAX)
                return None
            return End(item.mark, owner, label)
        if owner not in self._vms:
            self._tell(item.mark, "there is no VM %s" % owner, None, "one of %s, or host" % (
                ", ".join(sorted(self._vms)) or "vms, which has none"), suggestion(owner, [*self._vms, form.HOST]))
            return None
        if label and (len(label) > PART_MAX or not re.fullmatch(r"[a-z][a-z0-9_-]*", label)):
            self._tell(item.mark, "the label of an endpoint is refused", label,
                       "an interface's name: 1 to %d of a-z, 0-9, '_' and '-', the first one a letter" % PART_MAX)
            return None
        return End(item.mark, owner, label)

    def _named(self, end, far):
        """A VM's end with its label, which is the name of what is beyond where nobody gave one; each once in a VM."""
        if end.owner not in self._vms:
            return end
        end = end._replace(label=end.label or fitting(far, PART_MAX))
        taken = self._labels.get((end.owner, end.label))
        self._labels.setdefault((end.owner, end.label), end.mark)
        if taken:
            self._tell(end.mark, "two interfaces of VM %s would be called %s" % (end.owner, end.label), None,
                       "labels that differ, such as %s:%s2" % (end.owner, end.label[:PART_MAX - 1]),
                       other=(taken, "the other one"))
        return end

    def _vale(self, item, ends):
        name = item.value["switch"]
        switch = self._switches.get(name.value)
        if switch is None:
            self._tell(name.mark, "there is no switch %s" % name.value, None,
                       "one of %s" % (", ".join(sorted(self._switches)) or "switches, which has none"),
                       suggestion(name.value, self._switches))
            return None
        for end in filter(None, ends):
            vm = self._vms.get(end.owner)
            if vm and vm.host and switch.host and vm.host != switch.host:
                self._tell(end.mark, "VM %s is on %s, and switch %s on %s" % (
                    vm.name, vm.host, switch.name, switch.host), None, "a switch of its own host; NICs of two "
                    "switches and a link of type cable join hosts", other=(switch.mark, "the switch"))
        return switch.host, [self._named(end, switch.name) for end in ends if end]

    def _pipe(self, item, ends):
        if len(ends) != 2:
            self._tell(item.mark, "a pipe has two ends", len(ends), "two endpoints")
            return None
        machines = [self._vms[end.owner] for end in ends if end and end.owner in self._vms]
        if None in ends:
            return None
        if not machines:
            self._tell(item.mark, "no VM has an end of this pipe", None, "at least one")
            return None
        if len(machines) == 2 and None not in (machines[0].host, machines[1].host) and (
                machines[0].host != machines[1].host):
            self._tell(item.mark, "a pipe is within one host", "%s on %s and %s on %s" % (
                machines[0].name, machines[0].host, machines[1].name, machines[1].host), "VMs of one host")
        far = [ends[1], ends[0]]
        return machines[0].host, [self._named(end, other.label if other.owner == form.HOST else other.owner)
                                  for end, other in zip(ends, far)]

    def _nic(self, item, ends):
        if None in ends:
            return None
        nics = [end for end in ends if end.owner in self._hosts]
        machines = [end for end in ends if end not in nics]
        if len(machines) != 1 or len(nics) != 1:
            self._tell(item.mark, "a NIC is passed to one VM", "%d VMs and %d NICs" % (len(machines), len(nics)),
                       "one VM and one HOST:NIC")
            return None
        (end,), (nic,) = machines, nics
        vm = self._vms[end.owner]
        if vm.host and vm.host != nic.owner:
            self._tell(nic.mark, "VM %s is on %s" % (vm.name, vm.host), "a NIC of %s" % nic.owner, "one of its host",
                       other=(vm.mark, "the VM"))
        self._take_nic(nic.owner, nic.label, nic.mark)
        return nic.owner, [self._named(end, nic.label), nic]

    def _cable(self, item, ends):
        if len(ends) != 2:
            self._tell(item.mark, "a cable has two ends", len(ends), "two endpoints HOST:NIC")
            return None
        return None if None in ends else (None, ends)

    def _take_nic(self, host, nic, mark):
        taken = self._nics.get((host, nic))
        self._nics.setdefault((host, nic), mark)
        if taken:
            self._tell(mark, "NIC %s is used twice" % nic, None, "on one switch, or in one VM",
                       other=(taken, "the other use"))


_SHARES = {form.PIPE: "each end sees what the other one has in its rings",
           form.NIC: "the guest sees the packets of all NICs that netmap uses on that host"}
_FIRST = Mark(1, 1, 1)


def _host(name, item):
    given = {key: one.value for key, one in item.value.items()}
    return Host(name, item.mark, given.get("memory"), given.get("cpus"),
                {key: value for key, value in given.items() if key.startswith("ansible_")})


def fitting(text, most):
    """A name that has at most ``most`` characters: itself, or a begin of it and a hash (str)."""
    text = re.sub(r"[^A-Za-z0-9_-]", "-", text)
    if len(text) <= most:
        return text
    return text[:most - 7].rstrip("-_") + "-" + hashlib.sha256(text.encode()).hexdigest()[:6]
