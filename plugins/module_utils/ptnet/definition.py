# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A port process as declared: checked and completed, without touching the machine. Private to netmap.ptnet."""

from __future__ import annotations

from .. import limits, mac, vm_identity
from ..doubles import doubles
from ..errors import PtnetError
from ..netmap import names, trust
from . import layout, port_options

# A PCI bus has 32 slots, and the chipset of machine pc has two of them. Other managers give each device one.
SLOTS = 30


def define(params):
    """The complete port process (dict: name, group, memory, ports, trust) that the options of ``ptnet_port`` ask for.

    :param params: the module's parameters, with what the fleet calls its host (dict)
    :raises PtnetError: something that the process or the machine would refuse, or no ports
    """
    process = complete(params)
    for key in ("ifname", "mac"):
        seen = [port[key] for port in process["ports"]]
        for _first, again in doubles(seen):
            raise PtnetError("%s stands twice in %s" % (seen[again], layout.unit(process["name"])),
                             expected="each one once")
    return process


def complete(params):
    """As :func:`define`, for somebody who looks for what stands twice in more than one process."""
    name = layout.check_name(params["name"])
    if not params["ports"]:
        raise PtnetError("the port process %s has no ports" % name, expected="one or more in ports")
    if len(params["ports"]) > SLOTS:
        raise PtnetError("too many ports", found=len(params["ports"]),
                         expected="at most %d, the PCI slots of a machine, less one for each memory region" % SLOTS,
                         remedy="use a second process and a second machine")
    identity = vm_identity.identity("", params["host"] or "", name)
    ports = [_port(port, index, identity) for index, port in enumerate(params["ports"])]
    devices = layout.devices(name, [port["ifname"] for port in ports])
    if len(devices) > SLOTS:
        raise PtnetError("the ports of %s take too many PCI slots" % layout.unit(name),
                         found="%d ports and %d memory devices, one for each memory region" % (
                             len(ports), len(devices) - len(ports)),
                         expected="at most %d devices" % SLOTS,
                         remedy="use fewer ports, or pipes of one parent, which share a region")
    if not 1 <= params["memory"] <= limits.MEMORY_MAX:
        raise PtnetError("memory is refused", found="%d" % params["memory"],
                         expected="the guest's memory in MiB, 1 to %d" % limits.MEMORY_MAX)
    return {"name": name, "group": params["group"], "memory": params["memory"], "ports": ports,
            "trust": [(port["ifname"], given.get("trust") or trust.PRIVATE)
                      for port, given in zip(ports, params["ports"])]}


def _port(port, index, identity):
    ifname = names.qemu_ifname(port["port"])
    given = {key: port[key] for key in port_options.DEFAULTS if port.get(key) is not None}
    return port_options.check(dict(given, id="d%d" % index, ifname=ifname,
                                   mac=mac.derive(*identity, ifname) if port.get("mac") is None else port["mac"]))
