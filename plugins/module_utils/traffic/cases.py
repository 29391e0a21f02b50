# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which traffic proves the ports that a host declares, and what cannot be proven. Pure. Private to netmap.ptnet.

A case is a dict with ``name``, ``title``, ``sender``, ``receiver``, ``path``, ``send``, ``receive``, ``lossless``,
``baseline`` and ``native``, as the filter ``traffic_cases`` documents it; where it is known beforehand that it fails,
it has an ``error``. A row is a dict with ``name``, ``title``, ``path`` and ``not_provable``, the reason.
"""

from __future__ import annotations

from collections import namedtuple

from ..netmap import names
from .background import job_name

# A pipe id beyond those that people number from one, on a parent with room to spare.
BASELINE_PIPE = "check"
SENDS, RECEIVES = "check_tx", "check_rx"
# States of a machine in which it cannot answer.
IDLE = ("stopped", "absent")

Held = namedtuple("Held", "vm interface port")
Held.__doc__ = """A port in a machine: the machine's name, the interface that its guest sees, and the parsed name."""


def case(name, title, sender, receiver, links, path, lossless=False, baseline=None, native=False, waits=(0, 0)):
    """One case (dict). It is named after machines of an inventory, and its name is that of a job of ``pkt_gen``.

    :param links: the ports of sender and receiver, as pkt_gen takes them (list of pairs)
    :param baseline: the text that the case to compare with is named after, or None
    :param native: whether it is there for comparison only, from program to program on the host (bool)
    :param waits: seconds until the link of the sender's and of the receiver's ports is up; neither a switch nor a pipe
        nor a port that stands on one has a link that must come up first (pair of int)
    """
    return {"name": job_name(name), "title": title, "sender": sender, "receiver": receiver, "lossless": lossless,
            "baseline": baseline and job_name(baseline), "native": native, "path": path,
            "send": [{"port": start, "function": "tx", "wait_link": waits[0]} for start, _end in links],
            "receive": [{"port": end, "function": "rx", "wait_link": waits[1]} for _start, end in links]}


def row(title, reason, path=()):
    """Something that is declared and cannot be proven from here (dict)."""
    return {"name": job_name(title), "title": title, "path": list(path), "not_provable": reason}


def timed(found, seconds):
    """The cases and rows with the time that each sender sends (list of dict).

    :param seconds: (number, or its text)
    """
    return [dict(one, send=[dict(run, seconds=float(seconds)) for run in one["send"]]) if "send" in one else one
            for one in found]


class Host:
    """What a host declares, and who of its machines can be asked.

    :ivar held: the ports of all machines that may run (list of Held)
    :param name: in the inventory (str)
    :param vms: dictionaries with ``name``, ``ports`` and, optionally, ``state`` and ``unclear`` (filter as_guests)
    :param guests: names of the machines that answer (list of str)
    :param lost: the machines that should answer and do not: name to reason (dict)
    :param switches: dictionaries with ``name`` and ``interfaces``
    :param parents: of pipes, dictionaries with ``name`` and ``pipes``
    :param linked: NICs of this host that a declared link ends at (names)
    :raises PtnetError: a port name that netmap does not take
    """

    def __init__(self, name, vms, guests, lost=None, switches=(), parents=(), linked=()):
        self.name, self.vms, self.guests, self.lost = name, vms, guests, lost or {}
        self.switches = {one["name"]: [end["name"] for end in one.get("interfaces") or []] for one in switches}
        self.parents, self.linked = parents, linked
        self.held = [Held(vm["name"], "ptnet%d" % index, names.parse(port["port"]))
                     for vm in vms if vm.get("state") not in IDLE for index, port in enumerate(vm.get("ports") or [])]

    def asked(self, vm):
        """Whether a machine takes part in cases, if only by failing them (bool)."""
        return vm in self.guests or vm in self.lost

    def judged(self, one):
        """A case as it is, or with its error where one of its ends does not answer (dict)."""
        ends = dict.fromkeys((one.get("sender"), one.get("receiver")))
        silent = [end for end in ends if end in self.lost]
        error = "; ".join("%s does not answer: %s" % (end, self.lost[end]) for end in silent)
        return dict(one, error=error) if silent else one

    def cases(self):
        """All cases and rows of this host (list of dict)."""
        found = [self.judged(one) for one in self._switch_cases() + self._pipe_cases()]
        found += self._nic_rows() + self._machine_rows()
        return found or [row(self.name, "neither a switch nor a machine with ports is declared")]

    def _switch_cases(self):
        ports = [one for one in self.held if isinstance(one.port, names.VALEPort) and self.asked(one.vm)]
        found = []
        for switch in dict.fromkeys([one.port.switch for one in ports] + list(self.switches)):
            there = [one for one in ports if one.port.switch == switch]
            outward = [nic for nic in self.switches.get(switch, ()) if nic not in self.linked]
            if outward and not there:
                found.append(row(
                    "%s of %s" % (switch, self.name), "no reachable guest has a port there, and the frames would leave "
                    "by %s, whose other end check_links does not tell" % ", ".join(outward)))
                continue
            source, sink = "%s:%s" % (switch, SENDS), "%s:%s" % (switch, RECEIVES)
            native = "%s-%s-native" % (self.name, switch)
            found.append(_through(native, self.name, switch, self.name, source, sink, None, native=True))
            for vm, interface, port in there:
                label = port.kernel_name().replace(":", "-")
                found.append(_through("%s-%s-to-%s" % (label, vm, self.name), vm, switch, self.name, interface, sink,
                                      native))
                found.append(_through("%s-%s-to-%s" % (label, self.name, vm), self.name, switch, vm, source, interface,
                                      native))
            found += self._neighbours(there, switch, native)
        return found

    def _neighbours(self, there, switch, native):
        """From machine to machine on one switch, in a ring: each one sends once and receives once."""
        first = {}
        for one in there:
            if one.vm in self.guests:
                first.setdefault(one.vm, one)
        ring = list(first.values())
        if len(ring) < 2:
            return []
        return [_through("%s-%s-to-%s" % (one.port.kernel_name().replace(":", "-"), one.vm, peer.vm), one.vm, switch,
                         peer.vm, one.interface, peer.interface, native)
                for one, peer in zip(ring, ring[1:] + ring[:1])]

    def _pipe_cases(self):
        ends = {one.port: one for one in self.held if isinstance(one.port, names.PipeEnd)}
        used, groups, baselines, rows = {}, {}, {}, []
        for end in ends:
            used.setdefault(end.parent, set()).add(end.pipe)
        for end, (vm, interface, _port) in ends.items():
            if not self.asked(vm):
                continue
            peer = ends.get(end.peer())
            if peer is None:
                groups.setdefault((vm, self.name), []).append((interface, "netmap:" + end.peer().kernel_name()))
            elif not self.asked(peer.vm):
                rows.append(row("%s of %s" % (end.kernel_name(), vm), "the other end is in %s, %s" % (
                    peer.vm, self._silence(peer.vm)), [vm, end.parent, peer.vm]))
            elif end.end == "{":
                between, link = (vm, peer.vm), (interface, peer.interface)
                if between[::-1] in groups:
                    between, link = between[::-1], link[::-1]
                groups.setdefault(between, []).append(link)
            baselines.setdefault(vm, end.parent)
        found = []
        room = {one["name"]: int(one.get("pipes") or 1) - len(used.get(one["name"], ())) for one in self.parents}
        for parent in sorted({end.parent for end, one in ends.items() if self.asked(one.vm)}):
            if room.get(parent, 0) > 0:
                found.append(case("%s-%s-native" % (self.name, parent), "%s → pipe → %s" % (self.name, self.name),
                                  self.name, self.name, [("netmap:%s{%s" % (parent, BASELINE_PIPE),
                                                          "netmap:%s}%s" % (parent, BASELINE_PIPE))],
                                  [self.name, parent, self.name], lossless=True, native=True))
        known = [one["name"] for one in found]
        for (vm, peer), links in groups.items():
            what = "pipe" if len(links) == 1 else "%d pipes" % len(links)
            native = "%s-%s-native" % (self.name, baselines[vm])
            baseline = native if job_name(native) in known else None
            back = "pipes-%s-to-%s" % (peer, vm) + ("-back" if peer == vm else "")
            for name, start, end, way in (("pipes-%s-to-%s" % (vm, peer), vm, peer, links),
                                          (back, peer, vm, [link[::-1] for link in links])):
                found.append(case(name, "%s → %s → %s" % (start, what, end), start, end, way,
                                  [start, baselines[vm], end], lossless=True, baseline=baseline))
        return found + rows

    def _nic_rows(self):
        return [row("%s of %s in %s" % (one.port.kernel_name(), self.name, one.vm),
                    "check_links does not say where the other end of this NIC is", [one.vm, one.port.kernel_name()])
                for one in self.held if isinstance(one.port, names.Interface) and self.asked(one.vm)
                and one.port.kernel_name() not in self.linked]

    def _machine_rows(self):
        return [row("%s on %s" % (vm["name"], self.name), self._silence(vm["name"]), [vm["name"]]) for vm in self.vms
                if vm.get("ports") and vm.get("state") != "absent" and not self.asked(vm["name"])]

    def _silence(self, vm):
        """Why a machine takes no part in any case (str)."""
        one = next((one for one in self.vms if one["name"] == vm), {})
        if one.get("state") in IDLE:
            return "it is declared as %s" % one["state"]
        if one.get("unclear"):
            return "machines of that name are declared on %s, and %s does not say which one it is in: set its " \
                "guest_host" % (" and on ".join(one["unclear"]["hosts"]), one["unclear"]["guest"])
        return "no host of the group netmap_guests has that name, so nobody can count inside it"


def _through(name, sender, switch, receiver, start, end, baseline, native=False):
    path = [sender, switch, receiver]
    return case(name, " → ".join(path), sender, receiver, [(start, end)], path, baseline=baseline, native=native)
