# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be declared of a port on a switch, and what cannot. Pure. Private to netmap.ptnet."""

from __future__ import annotations

from ..errors import PtnetError
from ..mac import check, derive
from . import names, parameters

NIC = "nic"
VETH = "veth"
PERSISTENT = "persistent"
KINDS = (NIC, VETH, PERSISTENT)
SHAPE = ("tx_slots", "rx_slots", "tx_rings", "rx_rings")
HEADER_LENGTHS = (0, 10, 12)
# Regions by name: an id of their own changes at each boot.
PRIVATE = "private"
GLOBAL = "global"
# What is recorded of a port beside its kind and the host stack.
SETTINGS = ("peer", "mac") + SHAPE + ("memory", "polling", "vnet_header_length")

_DEFAULTS = {"tx_slots": parameters.SLOTS_DEFAULT, "rx_slots": parameters.SLOTS_DEFAULT, "tx_rings": 1, "rx_rings": 1,
             "memory": PRIVATE}
_RANGE = {"tx_slots": parameters.SLOTS_MAX, "rx_slots": parameters.SLOTS_MAX, "tx_rings": parameters.RINGS_MAX,
          "rx_rings": parameters.RINGS_MAX}
# What netmap does not do, by kind, with the reason.
_IMPOSSIBLE = {
    NIC: dict.fromkeys(("peer", "mac"), "only a veth pair is made here, with kind=veth"),
    VETH: {},
    PERSISTENT: dict(
        dict.fromkeys(("peer", "mac"), "only a veth pair has two ends"),
        host_stack="a persistent port has no host rings (netmap_vale_vp_bdg_attach); attach a veth end for the host",
        polling="netmap polls NICs and veth ends only (EOPNOTSUPP of nm_bdg_polling)",
        vnet_header_length="an attached persistent port must never be opened, so no frame of it has a header; and its "
        "frame size would become 0 (PORT_HDR_SET in netmap.c)"),
}
_OF_THE_DRIVER = "rings, slots and memory of an interface are its driver's (netmap_bwrap_attach_common copies them); " \
    "set them with ethtool, or with the parameters generic_ringsize and generic_rings"


def declared(params, host=""):
    """The declared ports: name to ``kind``, ``host_stack`` and what was set of :data:`SETTINGS` (dict).

    :param host: the name of this machine, from which MAC addresses are derived (str)
    :raises PtnetError: a bad name, a name twice, an option that cannot work, or nothing to do
    """
    wanted, taken = {}, set()
    for port in params["ports"] or []:
        name = names.interface(port["name"], "the port name")
        kind = port.get("kind") or NIC
        if kind not in KINDS:
            raise PtnetError("the kind of the port %s is refused" % name, found=names.shown(kind),
                             expected="one of " + ", ".join(KINDS))
        reasons = dict(dict.fromkeys(SHAPE + ("memory",), _OF_THE_DRIVER) if kind != PERSISTENT else {},
                       **_IMPOSSIBLE[kind])
        for key, reason in sorted(reasons.items()):
            if port.get(key) not in (None, False):
                raise PtnetError("%s of the %s port %s cannot be set" % (key, kind, name), found=port[key],
                                 expected=reason, remedy="leave %s out" % key)
        one = {"kind": kind, "host_stack": bool(port.get("host_stack"))}
        if params.get("state") != "absent":
            one.update(_READ[kind](name, port, host))
            _add_length(one, name, port)
            if port.get("polling"):
                one["polling"] = _polling(name, port["polling"])
        for each in [name] + ([one["peer"]] if "peer" in one else []):
            if each in taken:
                raise PtnetError("a port is declared twice", found=each, expected="each port once")
            taken.add(each)
        wanted[name] = one
    if not wanted and not params["purge"]:
        raise PtnetError("there is nothing to do", found="no ports", expected="ports, or purge",
                         remedy="set purge to take off every port that this collection put on the switch")
    return wanted


def _nothing(_name, _port, _host):
    return {}


def _veth(name, port, host):
    if not port.get("peer"):
        raise PtnetError("the host's end of the veth pair %s has no name" % name, found="no peer",
                         expected="peer: the name of the end that stays with the host")
    peer = names.interface(port["peer"], "the name of the veth peer")
    return {"peer": peer, "mac": check(port.get("mac") or derive(host, name, peer), peer)}


def _persistent(name, port, _host):
    one = {key: _DEFAULTS[key] if port.get(key) is None else port[key] for key in SHAPE}
    for key, most in _RANGE.items():
        if not 1 <= one[key] <= most:
            raise PtnetError("%s of the port %s is refused" % (key, name), found=one[key], expected="1 to %d" % most)
    memory = port.get("memory") or PRIVATE
    return dict(one, memory=names.interface(memory, "the memory of the port %s" % name))


def _add_length(one, name, port):
    length = port.get("vnet_header_length")
    if length not in (None,) + HEADER_LENGTHS:
        raise PtnetError("vnet_header_length of the port %s is refused" % name, found=length, expected="0, 10 or 12")
    if length:
        one["vnet_header_length"] = length


def _polling(name, polling):
    mode, first, cpus = polling.get("mode") or "single", polling.get("first_cpu") or 0, polling.get("cpus")
    cpus = 1 if cpus is None else cpus
    if mode not in ("single", "multi") or first < 0 or cpus < 1 or (mode == "single" and cpus != 1):
        raise PtnetError("the polling of %s is refused" % name, found="mode=%s first_cpu=%s cpus=%s" % (
            mode, first, cpus), expected="single with one CPU, or multi with one CPU for each ring of the same number")
    return {"mode": mode, "first_cpu": first, "cpus": cpus}


_READ = {NIC: _nothing, VETH: _veth, PERSISTENT: _persistent}
