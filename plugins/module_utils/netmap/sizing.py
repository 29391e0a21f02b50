# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what is declared on a host to netmap's parameters and memory. Pure. Private to netmap.ptnet."""

from __future__ import annotations

import re

from .. import limits
from ..errors import PtnetError
from . import names, parameters, port_options

# What a NIC is taken to have when nothing else is said; an emulated adapter has that many slots (generic_ringsize).
_EMULATED = parameters.PARAMETERS["generic_ringsize"].default
NIC = {"tx_rings": 1, "rx_rings": 1, "tx_slots": _EMULATED, "rx_slots": _EMULATED, "mtu": 1500}
# A VALE port that QEMU makes, and a parent that the kernel makes for a pipe.
PORT = {"tx_slots": parameters.SLOTS_DEFAULT, "rx_slots": parameters.SLOTS_DEFAULT, "tx_rings": 1, "rx_rings": 1}
# Ethernet's header, a VLAN tag and the CRC around an MTU.
FRAME_OVERHEAD = 22
# Drivers take their buffers in units of 1 KiB.
_BUFFER_STEP = 1024
# A program beside the switch or the VM, such as a monitor, takes a netmap_if of its own.
_OPENED = 2
_LIMITS = {"tx_rings": (1, 1024), "rx_rings": (1, 1024), "tx_slots": (2, 65536), "rx_slots": (2, 65536),
           "mtu": (68, 65536)}
_WAY_OUT = {
    "buf_num": "give the NICs fewer rings or slots (ethtool -L, -G), or spread them over several hosts",
    "ring_num": "give the NICs fewer rings (ethtool -L), or spread them over several hosts",
    "if_num": "spread the NICs over several hosts",
    "ring_size": "give the NIC fewer slots (ethtool -G)",
    "if_size": "give the NIC fewer rings (ethtool -L)",
    "buf_size": "lower the MTU", "priv_buf_size": "lower the MTU",
    "max_bridges": "declare fewer switches, or spread them over several hosts",
}


class _Sizing:
    """Parameters that follow what is declared."""

    def __init__(self, given):
        self.given = parameters.check(given)
        self.raised, self.reasons, self.too_small = {}, {}, {}

    def now(self):
        """All that would be set (dict of int)."""
        return dict(self.given, **self.raised)

    def need(self, name, number, reason):
        """A parameter must be at least ``number``; a value that the user gave stays."""
        known = parameters.PARAMETERS[name]
        if number <= self.now().get(name, known.default):
            return
        if number > known.high:
            raise PtnetError(
                "what is declared does not fit into netmap: %s" % reason, found="%s of %d" % (name, number),
                expected="at most %d" % known.high,
                remedy=_WAY_OUT.get(name, "spread the pipes over several parents, or ask for fewer slots"))
        if name in self.given:
            self.too_small[name] = "%d is declared, %d are needed: %s" % (self.given[name], number, reason)
        else:
            self.raised[name] = number
            self.reasons[name] = reason

    def set(self, name, number, reason):
        """A parameter must be ``number``; a value that the user gave stays."""
        if name not in self.given:
            self.raised[name] = number
            self.reasons[name] = reason


def size(machines=(), switches=(), parents=(), nics=(), given=None):
    """What netmap needs on one host (dict): ``parameters``, ``reasons``, ``too_small``, ``memory``.

    :param machines: VMs with ``name``, ``memory`` in MiB, ``ports`` with ``port`` each; of those with the ``state``
        ``absent`` nothing is needed (list of dict)
    :param switches: switches with ``name``, ``interfaces`` with the options of ports in ``vale_port`` (list of dict)
    :param parents: parents of pipes, the options of ``netmap_pipe`` (list of dict)
    :param nics: rings, slots and MTU of interfaces that netmap opens, where they are not NIC (list of dict)
    :param given: parameters that the user sets, which are not changed (dict)
    :returns: only parameters that must not have netmap's defaults; memory in bytes once everything is open: ``global``,
        ``private`` by port, ``machines``, ``total``
    :raises PtnetError: a bad name or number, or more than the allocator can have, with the way out
    """
    sizing = _Sizing(given)
    machines = [one for one in machines or () if one.get("state") != "absent"]
    nics = dict(map(_nic, nics or ()))
    mtu, used, wanted = {}, set(), _parents(parents)
    ephemeral, persistent = [], {}
    for switch in switches or ():
        name, inside, attached = names.switch(switch["name"]), set(), []
        for one in switch.get("interfaces") or ():
            port = names.VALEPort(name, names.interface(one["name"], "a port of a switch"))
            if (one.get("kind") or port_options.NIC) != port_options.PERSISTENT:
                inside.add(port.port)
                attached.append(port.port)
                continue
            shape = _shape(one, port.port)
            if (one.get("memory") or port_options.PRIVATE) == port_options.PRIVATE:
                persistent[port] = shape
            elif one["memory"] == port_options.GLOBAL:
                inside.add(port.port)
                nics.setdefault(port.port, dict(NIC, **shape))
        if len(attached) > 1:
            # With mitigation the timer of one hands its frames to the other in a hard interrupt, where the kernel must
            # not send (generic_timer_handler in netmap_linux.c; the kernel warns in __local_bh_enable_ip).
            sizing.set("generic_mit", 0, "%s forward to one another on %s, which the timer of an emulated adapter must "
                       "not do" % (" and ".join(attached), name))
        mtu[name] = max([nics.get(one, NIC)["mtu"] for one in inside] or [0])
        used |= inside
    for port in _ports(machines):
        parent = names.parse(port.parent) if isinstance(port, names.PipeEnd) else None
        if isinstance(parent, names.VALEPort):
            mtu.setdefault(parent.switch, 0)
        if isinstance(port, names.VALEPort):
            ephemeral.append(port)
            mtu.setdefault(port.switch, 0)
        elif isinstance(port, names.Interface) and port.name not in wanted:
            used.add(port.name)
    used = {name: nics.get(name, NIC) for name in sorted(used | set(nics))}
    _global(sizing, used)
    if len(mtu) > parameters.PARAMETERS["max_bridges"].default:
        sizing.need("max_bridges", len(mtu), "%d switches are declared" % len(mtu))
    for port in ephemeral + list(persistent):
        sizing.need("priv_buf_size", _buffer(mtu[port.switch]),
                    "the MTU of %d on %s, which %s has to take" % (mtu[port.switch], port.switch, port.kernel_name()))
    _pipes(sizing, wanted, machines)
    now = sizing.now()
    private = {port.kernel_name(): parameters.private_region(now, **PORT)["bytes"] for port in ephemeral}
    private.update((port.kernel_name(), parameters.private_region(now, **shape)["bytes"])
                   for port, shape in persistent.items())
    private.update((name, parameters.private_region(now, **{key: parent[key] for key in PORT})["bytes"])
                   for name, parent in wanted.items())
    memory = {"global": parameters.global_memory(now) if used else 0, "private": private,
              "machines": sum(_whole(machine, "memory", limits.MEMORY, 1, limits.MEMORY_MAX, machine.get("name", "?"))
                              for machine in machines or ()) << 20}
    memory["total"] = memory["global"] + sum(private.values()) + memory["machines"]
    return {"parameters": sizing.raised, "reasons": sizing.reasons, "too_small": sizing.too_small, "memory": memory}


def _nic(nic):
    name = names.interface(nic["name"], "the name of a NIC")
    unknown = set(nic) - {"name", "rings", "slots"} - set(NIC)
    if unknown:
        raise PtnetError("the NIC %s has an unknown property" % name, found=names.shown(sorted(map(str, unknown))),
                         expected="name, rings, slots, " + ", ".join(NIC))
    either = {"tx_rings": "rings", "rx_rings": "rings", "tx_slots": "slots", "rx_slots": "slots"}
    return name, {key: _whole(dict({key: nic.get(either.get(key), default)}, **nic), key, default, *_LIMITS[key], name)
                  for key, default in NIC.items()}


def _whole(properties, key, default, low, high, owner):
    raw = properties.get(key)
    raw = default if raw is None else raw
    # Templates turn numbers into text.
    text = "" if isinstance(raw, bool) else str(raw)
    if not re.fullmatch(r"[0-9]{1,10}", text) or not low <= int(text) <= high:
        raise PtnetError("%s of %s is refused" % (key, names.shown(owner)), found=names.shown(raw),
                         expected="a whole number from %d to %d" % (low, high))
    return int(text)


def _shape(port, owner):
    limits = dict.fromkeys(("tx_rings", "rx_rings"), parameters.RINGS_MAX)
    return {key: _whole(port, key, PORT[key], 1, limits.get(key, parameters.SLOTS_MAX), owner) for key in PORT}


def _parents(parents):
    """Name to its shape, ``pipes`` and ``extra_buffers`` (dict)."""
    wanted = {}
    for parent in parents or ():
        name = names.interface(parent["name"], "the name of a pipe parent")
        wanted[name] = _shape(parent, name)
        wanted[name]["pipes"] = _whole(parent, "pipes", 1, 1, parameters.PARAMETERS["priv_if_num"].high // 2, name)
        wanted[name]["extra_buffers"] = _whole(parent, "extra_buffers", 0, 0,
                                               parameters.PARAMETERS["priv_buf_num"].high, name)
    return wanted


def _ports(machines):
    for machine in machines or ():
        for port in machine.get("ports") or ():
            yield names.parse(port["port"])


def _global(sizing, used):
    """The region that the NICs share. Beside its own rings each has one of the host's each way."""
    def slots(nic):
        return (nic["tx_rings"] + 1) * nic["tx_slots"] + (nic["rx_rings"] + 1) * nic["rx_slots"]

    def rings(nic):
        return nic["tx_rings"] + nic["rx_rings"] + 2

    who = "the NICs %s" % ", ".join(used) if len(used) != 1 else "the NIC %s" % next(iter(used))
    sizing.need("ring_num", sum(rings(nic) for nic in used.values()), "rings of " + who)
    sizing.need("buf_num", sum(slots(nic) for nic in used.values()) + parameters.RESERVED_BUFFERS, "slots of " + who)
    sizing.need("if_num", _OPENED * len(used), "users of " + who)
    for name, nic in used.items():
        most = max(nic["tx_slots"], nic["rx_slots"])
        sizing.need("ring_size", _laid_out(parameters.RING_HEADER + parameters.SLOT_SIZE * most),
                    "%d slots in a ring of %s" % (most, name))
        sizing.need("if_size", parameters.NIFP_SIZE + parameters.RING_OFFSET * rings(nic),
                    "%d rings of %s, with the host's" % (rings(nic), name))
        sizing.need("buf_size", _buffer(nic["mtu"]), "the MTU of %d on %s" % (nic["mtu"], name))


def _laid_out(size):
    try:
        parameters.cluster(size)
    except PtnetError:
        return -(-size // parameters.PAGE) * parameters.PAGE
    return size


def _buffer(mtu):
    return -(-(mtu + FRAME_OVERHEAD) // _BUFFER_STEP) * _BUFFER_STEP


def _pipes(sizing, wanted, machines):
    """Add the parents that the kernel makes for the pipes of the VMs, and make room for all pipes."""
    used = {}
    for port in _ports(machines):
        if isinstance(port, names.PipeEnd):
            used.setdefault(port.parent, set()).add(port.pipe)
    for name, ids in used.items():
        parent = wanted.setdefault(name, dict(PORT, pipes=1, extra_buffers=0))
        parent["pipes"] = max(parent["pipes"], len(ids))
    for name, parent in wanted.items():
        for parameter, number in parameters.raise_for_pipes(sizing.now(), **parent).items():
            sizing.need(parameter, number, "%d pipes on %s%s" % (
                parent["pipes"], name, " with %(extra_buffers)d extra buffers an end" % parent
                if parent["extra_buffers"] else ""))
