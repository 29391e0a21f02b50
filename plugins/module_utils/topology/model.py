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
from .fields import plain
from .problems import LIMIT, one_of, problem, suggestion

Host = namedtuple("Host", "name mark memory cpus variables")
Host.__doc__ = """``memory`` in MiB and ``cpus``: what its VMs may have together (int, None where nothing is said);
``variables``: how Ansible reaches it (dict)."""

Switch = namedtuple("Switch", "name mark host nics")
Switch.__doc__ = """``host`` by name (str), ``nics`` of it (list of Item of str)."""

VM = namedtuple("VM", "name mark host options role")
VM.__doc__ = """``host`` by name (str), ``options`` of ptnet_vm and ``image``, with the file's defaults, memory in MiB
(dict), ``role`` (form.ENDPOINT_ROLE or form.MIDDLEBOX)."""

End = namedtuple("End", "mark owner label")
End.__doc__ = """One side of a link: a port of a VM (``owner`` and the interface's ``label``), a program of the host
(``owner`` is form.HOST), or a NIC (``owner`` is a host); ``label`` is then a name on that host."""

Link = namedtuple("Link", "kind mark host switch ends trust domain")
Link.__doc__ = """``kind``: form.VALE, PIPE, NIC or CABLE; ``host`` and ``switch`` by name, None where it has none;
``ends`` (list of End); ``trust``: form.SHARED or None; ``domain``: pipes of one name share one parent (str or None)."""

Mirror = namedtuple("Mirror", "mark host of to")
Mirror.__doc__ = """What passes the port ``of`` of a VM is copied ``to`` a VM or a program of its host (End each)."""

Topology = namedtuple("Topology", "name hosts switches vms links images mirrors")
Topology.__doc__ = """``hosts``, ``switches``, ``vms`` and ``images`` by name (dict), ``links`` and ``mirrors`` in their
order (list)."""


def read(root, problems):
    """The topology of a file (Topology), as far as it can be read; whoever uses it looks at ``problems`` first.

    What was refused once is not told again where something else refers to it.

    :param root: what is in the file (Node), None where that cannot be told
    :param problems: takes what is wrong (list of Problem)
    """
    item = form.FILE.read(root, problems, "") if root else None
    return _Reading({name: one.value for name, one in (item.value if item else {}).items()}, problems).topology


class _Reading:
    def __init__(self, given, problems):
        self._problems = problems
        # All names that stand there, None for a section that was refused; what is usable of them is in the dicts below.
        self._names = {section: given.get(section, {}) for section in ("images", "hosts", "switches", "vms")}
        self._defaults = given.get("defaults") or {}
        self._images = {name: plain(item) for name, item in self._usable("images")}
        self._hosts = {name: _host(name, item) for name, item in self._usable("hosts")}
        self._switches = {name: self._switch(name, item) for name, item in self._usable("switches")}
        self._vms = {name: self._vm(name, item) for name, item in self._usable("vms")}
        # Where each NIC (host and name), cable's end, label of a VM and domain is first.
        self._nics, self._cabled, self._labels, self._domains = {}, {}, {}, {}
        for switch in self._switches.values():
            for nic in switch.nics:
                self._take_nic(switch.host, nic.value, nic.mark)
        links = [self._link(item.value, item.mark) for item in given.get("links") or []]
        self._linked = None not in links and given.get("links", []) is not None
        mirrors = [self._mirror(item.value, item.mark) for item in given.get("mirrors") or []]
        self.topology = Topology(given.get("name"), self._hosts, self._switches, self._vms,
                                 [link for link in links if link], self._images, [one for one in mirrors if one])

    def _usable(self, section):
        return [(name, item) for name, item in (self._names[section] or {}).items() if item.value is not None]

    def _known(self, section):
        return [name for name, _item in self._usable(section)]

    def _tell(self, *arguments, **more):
        self._problems.append(problem(*arguments, **more))

    def _tell_unknown(self, section, mark, text, name, besides=()):
        """Tell that a name is not in a section, unless that was refused as a whole, or the name there."""
        names = self._names[section]
        if names is None or name in names:
            return
        known = [*self._known(section), *besides]
        # To look for the nearest one of a thousand takes some milliseconds each time.
        near = suggestion(name, known) if len(self._problems) < LIMIT else ""
        self._tell(mark, text, name, one_of(known, "%s, where none is" % section), near)

    def _take(self, taken, key, mark, text, expected, other):
        """Note where something is that can be once only, and tell where it was before."""
        if key in taken:
            self._tell(mark, text, None, expected, other=(taken[key], other))
        taken.setdefault(key, mark)

    def _place(self, given, mark, what):
        """The host of something: the one that it names, or the only one (str, None after a problem).

        :param given: the name (Item), None where there is none
        """
        names = self._names["hosts"]
        if given is None:
            if names and len(names) > 1:
                self._tell(mark, "%s names no host" % what, None, "host: %s" % one_of(self._known("hosts")))
            return next(iter(self._hosts)) if names and len(names) == len(self._hosts) == 1 else None
        if given.value is None or given.value in self._hosts:
            return given.value
        self._tell_unknown("hosts", given.mark, "%s is on a host that is not there" % what, given.value)
        return None

    def _switch(self, name, item):
        nics = item.value.get("nics")
        return Switch(name, item.mark, self._place(item.value.get("host"), item.mark, "switch %s" % name),
                      (nics.value if nics else None) or [])

    def _vm(self, name, item):
        given = {**self._defaults, **item.value}
        if name in (self._names["hosts"] or {}):
            self._tell(item.mark, "a VM and a host have the name %s" % name, None, "names that differ",
                       other=(self._names["hosts"][name].mark, "the host"))
        image = given.get("image")
        if image and image.value is not None and image.value not in self._images:
            self._tell_unknown("images", image.mark, "there is no such image", image.value)
        options = {key: plain(one) for key, one in given.items() if key not in ("host", "role")}
        return VM(name, item.mark, self._place(given.get("host"), item.mark, "VM %s" % name), options,
                  plain(given.get("role")) or form.ENDPOINT_ROLE)

    # Links

    def _link(self, given, mark):
        kind, ends, domain = (given[key].value if given.get(key) else None for key in ("type", "endpoints", "domain"))
        if ends is None:
            return None
        reading = {form.VALE: self._vale, form.PIPE: self._pipe, form.NIC: self._nic, form.CABLE: self._cable}[kind]
        found = reading(given, mark, [self._end(one, kind) for one in ends])
        if found is None:
            return None
        host, ends = found
        if domain and host and self._domains.setdefault(domain, (host, mark))[0] != host:
            first, place = self._domains[domain]
            self._tell(mark, "domain %s would be on two hosts, %s and %s" % (domain, first, host), None,
                       "one for each host, as it is memory of a host", other=(place, "there first"))
        return Link(kind, mark, host, plain(given.get("switch")), ends, plain(given.get("trust")), domain)

    def _end(self, item, kind):
        """An endpoint (End without a label that nobody gave), None after a problem."""
        owner, _colon, label = item.value.partition(":")
        if kind == form.CABLE or (kind == form.NIC and owner in (self._names["hosts"] or ())):
            host = self._place(item._replace(value=owner), item.mark, "endpoint %s" % item.value)
            if host and not label:
                self._tell(item.mark, "endpoint %s names no NIC" % owner, None, "%s:NIC" % owner)
            return End(item.mark, host, label) if host and label else None
        if owner == form.HOST and kind == form.NIC:
            self._tell(item.mark, "a NIC has no program at its other end", item.value, "VM or VM:LABEL, and HOST:NIC")
            return None
        if owner == form.HOST:
            if re.fullmatch(r"[A-Za-z0-9_]{1,%d}" % PART_MAX, label):
                return End(item.mark, owner, label)
            self._tell(item.mark, "an end of the host has no usable name", item.value,
                       "host: and 1 to %d letters, digits and underscores" % PART_MAX)
            return None
        if owner not in self._vms:
            if kind != form.NIC:
                self._tell_unknown("vms", item.mark, "there is no such VM", owner, [form.HOST])
            elif self._names["hosts"] is not None:
                self._tell_unknown("vms", item.mark, "there is no such VM or host", owner, self._known("hosts"))
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
        self._take(self._labels, (end.owner, end.label), end.mark, "two interfaces of VM %s would be called %s" % (
            end.owner, end.label), "labels that differ, such as %s:%s2" % (end.owner, end.label[:PART_MAX - 1]),
            "the other one")
        return end

    def _vale(self, given, _mark, ends):
        name = given.get("switch")
        if name is None or name.value is None:
            return None
        switch = self._switches.get(name.value)
        if switch is None:
            self._tell_unknown("switches", name.mark, "there is no such switch", name.value)
            return None
        for end in filter(None, ends):
            vm = self._vms.get(end.owner)
            if vm and vm.host and switch.host and vm.host != switch.host:
                self._tell(end.mark, "VM %s is on %s, and switch %s on %s" % (
                    vm.name, vm.host, switch.name, switch.host), None, "a switch of its own host; NICs of two "
                    "switches and a link of type cable join hosts", other=(switch.mark, "the switch"))
        return switch.host, [self._named(end, switch.name) for end in ends if end]

    def _pipe(self, _given, mark, ends):
        if None in ends or len(ends) != 2:
            return None
        machines = [self._vms[end.owner] for end in ends if end.owner in self._vms]
        if not machines:
            self._tell(mark, "no VM has an end of this pipe", None, "at least one")
            return None
        if None not in (machines[0].host, machines[-1].host) and machines[0].host != machines[-1].host:
            self._tell(mark, "a pipe is within one host", "%s on %s and %s on %s" % (
                machines[0].name, machines[0].host, machines[1].name, machines[1].host), "VMs of one host",
                other=(machines[1].mark, "the VM"))
        far = [ends[1], ends[0]]
        return machines[0].host, [self._named(end, other.label if other.owner == form.HOST else other.owner)
                                  for end, other in zip(ends, far)]

    def _nic(self, _given, mark, ends):
        if None in ends or len(ends) != 2:
            return None
        nics = [end for end in ends if end.owner in self._hosts]
        machines = [end for end in ends if end not in nics]
        if len(machines) != 1 or len(nics) != 1:
            self._tell(mark, "a NIC is passed to one VM", "%d VMs and %d NICs" % (len(machines), len(nics)),
                       "one VM and one HOST:NIC")
            return None
        (end,), (nic,) = machines, nics
        vm = self._vms[end.owner]
        if vm.host and vm.host != nic.owner:
            self._tell(nic.mark, "VM %s is on %s" % (vm.name, vm.host), "a NIC of %s" % nic.owner, "one of its host",
                       other=(vm.mark, "the VM"))
        self._take_nic(nic.owner, nic.label, nic.mark)
        return nic.owner, [self._named(end, nic.label), nic]

    def _cable(self, _given, _mark, ends):
        for end in filter(None, ends):
            self._take(self._cabled, (end.owner, end.label), end.mark, "NIC %s of %s has two cables" % (
                end.label, end.owner), "one", "the other end")
        return None if None in ends or len(ends) != 2 else (None, ends)

    def _take_nic(self, host, nic, mark):
        if host:
            self._take(self._nics, (host, nic), mark, "NIC %s of %s is used twice" % (nic, host),
                       "on one switch, or in one VM", "the other use")

    def _mirror(self, given, mark):
        source, target = given.get("of"), given.get("to")
        if not source or not target or None in (source.value, target.value):
            return None
        owner, _colon, label = source.value.partition(":")
        vm, to = self._vms.get(owner), self._end(target, form.PIPE)
        if vm is None:
            self._tell_unknown("vms", source.mark, "there is no such VM", owner)
            return None
        labels = [one for name, one in self._labels if name == owner]
        if label not in labels:
            # What a link that was refused would have called its port is not known.
            if self._linked:
                self._tell(source.mark, "VM %s has no port of that label" % owner, label,
                           one_of(labels, "a label of its links, of which it has none"), suggestion(label, labels))
            return None
        if to is None:
            return None
        other = self._vms.get(to.owner, vm)
        if None not in (vm.host, other.host) and vm.host != other.host:
            self._tell(target.mark, "VM %s is on %s" % (other.name, other.host), None,
                       "a VM or a program of %s, where %s is" % (vm.host, owner), other=(vm.mark, "the VM"))
        return Mirror(mark, vm.host, End(source.mark, owner, label), self._named(to, owner))


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
