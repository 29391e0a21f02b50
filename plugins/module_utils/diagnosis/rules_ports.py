# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about switches, ports, interfaces and the programs that use them. Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import functools
import re

from ..errors import PtnetError
from ..netmap import abi, guard, names, parameters
from .rule import ERROR, NOTE, WARNING, Rule

_BUFFER = parameters.PARAMETERS["buf_size"].default
# The host's leg on a switch is one end of a pair: emulated, and meant so.
_PAIRS = ("veth", "epair")
_HURT = ("tso", "gso", "gro", "lro", "tx-checksum")


def _stuck(facts):
    yield from facts["stuck"]
    for one in facts["namespaces"]:
        for name in one["stuck"]:
            yield "%s in %s" % (name, _label(one))


def _missing(facts):
    for one in facts["drift"] if facts["loaded"] else ():  # Without netmap there is none; that is said elsewhere.
        if one["now"] == "absent" and one["what"].startswith(("port ", "parent ")):
            yield "%s is absent" % one["what"]


def _forgotten(facts):
    for one in facts["drift"]:
        if one["boot"] == "absent" and one["what"].startswith("port "):
            yield "%s: %s now" % (one["what"], one["now"])


def _leg(facts):
    for one in facts["drift"]:
        if one["what"].startswith("port ") and "absent" not in (one["now"], one["boot"]):
            yield "%(what)s: %(now)s now, %(boot)s after a reboot" % one


def _no_service(facts):
    if facts["restoration"]["wanted"] and not facts["restoration"]["enabled"]:
        yield "ports or parents are recorded and nothing restores them"


def _old_service(facts):
    if facts["restoration"]["wanted"] and facts["restoration"]["current"] is False:
        yield "the installed code is not that of this version"


def _failed_service(facts):
    state = facts["restoration"]
    if state["active"] == "failed":
        yield "state failed, result %s" % state["result"]


def _elsewhere(ephemeral, facts):
    for one in facts["namespaces"]:
        for switch in one["switches"]:
            for port in switch["ports"]:
                if (port["kind"] == "ephemeral") == ephemeral:
                    yield "%s:%s in %s" % (switch["name"], port["name"], _label(one))


def _label(one):
    if one["name"]:
        return "network namespace %s" % one["name"]
    return "the network namespace of process %s" % one["pid"]


def _unreadable(facts):
    for one in facts["namespaces"]:
        if one["error"]:
            yield "%s: %s" % (_label(one), one["error"])


def _lost(facts):
    if not any(one["switches"] for one in facts["namespaces"]):
        for user in facts["users"]:
            if user["kind"] == "unknown":
                yield "references without a user: %s" % user["holds"][0]


def _switches_full(facts):
    most = facts["parameters"]["now"].get("max_bridges")
    if most and len(facts["switches"]) >= most:
        yield "%d switches, max_bridges is %d" % (len(facts["switches"]), most)


def _ports_full(facts):
    for switch in facts["switches"]:
        count = sum(2 if port["host_stack"] else 1 for port in switch["ports"])
        if count >= abi.SWITCH_PORTS:
            yield "%s has %d ports" % (switch["name"], count)


def _used(facts):
    recorded = {one["what"].rpartition(":")[2] for one in facts["drift"]
                if one["what"].startswith("port ") and one["now"] == "absent"}
    for nic in facts["nics"]:
        # A driver is what tells a NIC from netmap's own interfaces.
        if nic["driver"] and (nic["switch"] or nic["name"] in recorded):
            yield nic


def _where(nic):
    return "%s (%s%s)" % (nic["name"], nic["driver"], ", on %s" % nic["switch"] if nic["switch"] else "")


def _emulated(facts):
    stock = list(_stock_names(facts))
    return [_where(nic) for nic in _used(facts)
            if nic["adapter"] == "emulated" and nic["name"] not in stock and nic["driver"] not in _PAIRS]


def _stock_names(facts):
    built = {module for build in facts["builds"]["netmap"] if build["slot"] == facts["kernel_release"]
             for module in build["modules"]}
    for nic in facts["nics"]:
        if nic["adapter"] == "emulated" and nic["module"] in built:
            yield nic["name"]


def _stock(facts):
    stock = list(_stock_names(facts))
    return [_where(nic) for nic in facts["nics"] if nic["name"] in stock]


def _native_insisted(facts):
    if facts["parameters"]["now"].get("admode") == 1:
        return [_where(nic) for nic in _used(facts) if nic["adapter"] == "emulated"]
    return []


def _mtu(facts):
    buffer = facts["parameters"]["now"].get("buf_size", _BUFFER)
    return ["%s: MTU %d, buf_size %d" % (_where(nic), nic["mtu"], buffer)
            for nic in _used(facts) if nic["mtu_fits"] is False]


def _mtu_other(facts):
    used = [nic["name"] for nic in _used(facts)]
    buffer = facts["parameters"]["now"].get("buf_size", _BUFFER)
    return ["%s: MTU %d, buf_size %d" % (_where(nic), nic["mtu"], buffer) for nic in facts["nics"]
            if nic["mtu_fits"] is False and nic["name"] not in used and nic["driver"] and facts["loaded"]]


def _offloads(facts):
    for nic in _used(facts):
        on = [what for what in nic["offloads"] if what in _HURT]
        if on and nic["switch"]:
            yield "%s: %s" % (_where(nic), ", ".join(on))


def _flow_control(facts):
    for nic in _used(facts):
        if nic["flow_control"]:
            yield "%s: %s" % (_where(nic), ", ".join(nic["flow_control"]))


def _down(facts):
    for nic in _used(facts):
        if not nic["up"] or nic["carrier"] is False:
            yield "%s: %s" % (_where(nic), "no carrier" if nic["up"] else "down")


def _management(facts):
    for nic in facts["nics"]:
        host_stack = any(port["host_stack"] for switch in facts["switches"] for port in switch["ports"]
                         if port["name"] == nic["name"])
        if nic["switch"] and nic["carries"] and not host_stack:
            yield "%s carries %s and is on %s without the host stack" % (nic["name"], nic["carries"], nic["switch"])
    carried = {nic["name"]: nic["carries"] for nic in facts["nics"] if nic["carries"]}
    for user in facts["users"]:
        for held in user["holds"] if user["kind"] == "process" else ():
            with contextlib.suppress(PtnetError):  # Not every program's port has a name that we would take.
                name = held.startswith("port ") and guard.taken(held[len("port "):])
                if name in carried:
                    yield "%s carries %s and process %d has it (%s)" % (
                        name, carried[name], user["pid"], user["command"])


def _cut(facts):
    for machine in facts["vms"]:
        for port in machine["ports"]:
            if len(port["ifname"]) > names.QEMU_MAX:
                yield "VM %s: %s is opened as %s" % (
                    machine["name"] or machine["pid"], port["ifname"], port["ifname"][:names.QEMU_MAX])


def _pci(facts):
    for machine in facts["vms"]:
        clash = sorted({device["driver"] for device in machine["devices"]} & {"qemu-xhci", "pcie-root-port"})
        if clash and any(port["pci_ids"] == "qemu" for port in machine["ports"]):
            yield "VM %s has %s" % (machine["name"] or machine["pid"], ", ".join(clash))


def _slow_device(facts):
    for machine in facts["vms"]:
        ports = {port["id"]: port for port in machine["ports"]}
        for device in machine["devices"]:
            port = ports.get(device["netdev"])
            if port and device["driver"] != "ptnet-pci":
                yield "VM %s: %s as %s" % (machine["name"] or machine["pid"], port["ifname"], device["driver"])


def _no_passthrough(facts):
    for machine in facts["vms"]:
        ports = {port["id"]: port for port in machine["ports"]}
        for device in machine["devices"]:
            port = ports.get(device["netdev"])
            if port and device["driver"] == "ptnet-pci" and not port["passthrough"]:
                yield "VM %s: %s" % (machine["name"] or machine["pid"], port["ifname"])


def _zero_mac(facts):
    for user in facts["users"]:
        command = user.get("command", "")
        if user["name"].endswith("pkt-gen") and re.search(r"-f\s*tx\b", command) and not re.search(r"\s-S\b", command):
            yield "process %d: %s" % (user["pid"], command)


_ATTACH = "run role netmap.ptnet.ports (vale_port, netmap_pipe); the service of this collection logs why it failed"

RULES = (
    Rule("stuck_port", ERROR, "a port can be neither opened, detached nor deleted",
         "it was opened or queried while it was attached to a switch", "reboot; nothing else frees it. VMs get ports "
         "of their own on a switch, netmap_pipe makes parents that are never attached", _stuck),
    Rule("port_missing", ERROR, "a recorded port is not there", "it was removed by hand, or not restored after a boot",
         _ATTACH, _missing),
    Rule("restoration_failed", ERROR, "ports did not come back after the boot", "the service that restores them failed",
         "read journalctl -u netmap-ptnet-ports, then run role netmap.ptnet.ports", _failed_service),
    Rule("name_cut", ERROR, "a VM opens another port than the one named, or gets \"busy\"",
         "QEMU silently cuts names at %d characters" % names.QEMU_MAX,
         "use shorter names; ptnet_vm refuses long ones", _cut),
    Rule("native_refused", ERROR, "a NIC cannot be opened or attached",
         "admode=1 insists on native drivers, and this one is not", "build the driver: netmap_drivers of role "
         "netmap.ptnet.netmap, or set admode=0 in netmap_parameters", _native_insisted),
    Rule("ptnet_no_passthrough", ERROR, "QEMU reports that a port cannot be passed through",
         "ptnet-pci sits on a netdev without passthrough=on", "start the VM with ptnet_vm", _no_passthrough),
    Rule("management_cut", WARNING, "SSH is lost when a NIC goes into netmap mode",
         "the NIC carries the management of this machine", "attach it with host_stack=true (vale_port), or use another "
         "NIC", _management),
    Rule("stock_driver", WARNING, "netmap works, but slowly, since the last boot",
         "the stock driver is loaded although a patched one is installed: the initramfs loads it first",
         "rebuild the initramfs (update-initramfs -u or dracut -f) and reboot", _stock),
    Rule("emulated_adapter", WARNING, "netmap works, but slowly", "the driver has no netmap support, so the adapter is "
         "emulated", "use a NIC with a patched driver: netmap_drivers of role netmap.ptnet.netmap; fine for tests",
         _emulated),
    Rule("mtu_too_large", WARNING, "attaching ends with \"Invalid argument\", or large packets are lost",
         "the MTU is larger than a netmap buffer", "lower the MTU, or raise buf_size in netmap_parameters", _mtu),
    Rule("mtu_unused", NOTE, "this NIC cannot be attached as it is", "its MTU is larger than a netmap buffer",
         "lower the MTU or raise buf_size in netmap_parameters before it is attached", _mtu_other),
    Rule("offloads", WARNING, "packets vanish between a NIC and the host or a VM",
         "offloads make packets that are larger than a buffer, or lack their checksum",
         "switch them off, of a veth pair at both ends: ethtool -K NAME tx off tso off gso off gro off lro off",
         _offloads),
    Rule("flow_control", NOTE, "the sender stops when the receiver is slow", "flow control (pause frames) is on",
         "switch it off where rates are measured: ethtool -A NAME rx off tx off", _flow_control),
    Rule("no_carrier", WARNING, "0 packets per second on an attached NIC", "the link is down",
         "bring the interface up and check the cable or the other end; links need seconds after a reset", _down),
    Rule("no_restoration", WARNING, "ports and pipe parents are gone after a reboot",
         "the service that restores them is not enabled", "run role netmap.ptnet.ports (vale_port or netmap_pipe "
         "install it)", _no_service),
    Rule("old_restoration", WARNING, "the next boot restores ports with the code of another version",
         "the collection was changed and the ports were not declared again since", "run role netmap.ptnet.ports",
         _old_service),
    Rule("host_leg_differs", WARNING, "the host stack of an attached NIC changes with the next boot",
         "it was attached by hand", _ATTACH, _leg),
    Rule("lost_references", WARNING, "netmap cannot be unloaded and nobody is seen using it",
         "a network namespace ended with an attached port, or a persistent port was made by hand",
         "delete persistent ports that were made by hand (vale-ctl -d); what a namespace left needs a reboot", _lost),
    Rule("switches_full", WARNING, "the next switch fails with \"Cannot allocate memory\"",
         "max_bridges limits the number of switches", "raise max_bridges in netmap_parameters; it takes a reload",
         _switches_full),
    Rule("ports_full", WARNING, "the next port of a switch fails with \"Cannot allocate memory\"",
         "a switch has room for %d ports" % abi.SWITCH_PORTS, "use another switch", _ports_full),
    Rule("pci_collision", WARNING, "a guest drives a device with the wrong driver",
         "the ptnet devices have the PCI ids of qemu-xhci and pcie-root-port",
         "leave those devices out, as ptnet_vm does", _pci),
    Rule("not_passed_through", NOTE, "a VM is 30 times slower than it could be",
         "its port is emulated instead of passed through", "start the VM with ptnet_vm", _slow_device),
    Rule("port_in_namespace", WARNING, "a port is in use and no list shows it",
         "each network namespace has switches of its own; one that ends with an attached port leaves it behind",
         "detach the port inside its namespace before that ends: ip netns exec NAME vale-ctl -d PORT",
         functools.partial(_elsewhere, False)),
    Rule("namespace_unreadable", NOTE, "the ports of a network namespace are not known", "it could not be entered",
         "run as root on the machine itself", _unreadable),
    Rule("not_recorded", NOTE, "an attached NIC is not attached after a reboot", "it was attached by hand",
         "declare it: vale_port (role netmap.ptnet.ports)", _forgotten),
    Rule("program_in_namespace", NOTE, "a program meets nobody on its switch",
         "each network namespace has switches of its own, whatever their names",
         "run both sides in one namespace", functools.partial(_elsewhere, True)),
    Rule("zero_mac", NOTE, "a Linux bridge drops what pkt-gen sends", "pkt-gen sends from 00:00:00:00:00:00",
         "give -S and -D, or use the module pkt_gen, which sets both", _zero_mac),
)
