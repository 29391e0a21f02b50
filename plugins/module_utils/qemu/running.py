# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command lines of netmap's users tell: pipes, VMs, and the port processes that serve some of them.

Whatever a command line may be, it is read as text and nothing that it names is started or opened. Pure. Private to
netmap.ptnet.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import namedtuple

from ..errors import PtnetError
from ..netmap import opening
from ..ptnet import layout, managers, port_options
from ..ptnet.loop import NOTIFIED
from . import fork
from .distribution import Distribution

# What became of the port process of a VM. QEMU connects as it starts and never again, so one that is younger than the
# VM is none of its own.
RUNNING, GONE, RESTARTED = "running", "gone", "restarted"
_SOCKET = re.compile(re.escape(layout.SOCKETS) + r"([a-z0-9][a-z0-9-]{0,31})/([a-z0-9]+)\Z")

Seen = namedtuple("Seen", "user argv started program")
Seen.__doc__ = """A process that uses netmap: from ``kernel.users`` (dict), its arguments (list of str), when it was
started (number or None), and the file that it runs (path or None)."""


def told(found):
    """``pipes``, ``vms`` and ``port_processes``, each a list of dict as ``netmap_info`` returns it.

    :param found: all processes that use netmap (list of Seen)
    """
    processes = [process for process in map(_process, found) if process]
    vms = [vm for vm in (_vm(seen, processes) for seen in found) if vm]
    for process in processes:
        del process["started"]
    return {"pipes": _pipes(found), "vms": vms, "port_processes": processes}


def _pipes(found):
    ends = [{"name": name, "pid": seen.user["pid"], "command": seen.user["name"]} for seen in found
            for held in seen.user["holds"] for name in [held.partition("port ")[2]] if "{" in name or "}" in name]
    return sorted(ends, key=lambda one: (one["name"], one["pid"]))


def _process(seen):
    name = opening.port_process(seen.argv)
    if not name:
        return None
    ports = []
    for word in _values(seen.argv, "--port"):
        with contextlib.suppress(PtnetError):
            port = port_options.read(word)
            ports.append(dict({key: port[key] for key in ("ifname", "id", "mode", "pci_ids")}, passthrough=True,
                              pid=seen.user["pid"]))
    return {"pid": seen.user["pid"], "name": name, "vm": None, "vm_pid": None, "ports": ports, "started": seen.started}


def _vm(seen, processes):
    devices = [_pairs(word) for word in _values(seen.argv, "-device")]
    netdevs = [one for one in map(_pairs, _values(seen.argv, "-netdev")) if one[""] == "netmap"]
    sockets = [match.groups() for device in devices if device[""] == managers.DRIVER
               for match in [_SOCKET.match(device.get("socket.path", ""))] if match]
    if not netdevs and not sockets:
        return None
    names = [one.get("guest") or one[""] for one in map(_pairs, _values(seen.argv, "-name"))]
    vm = {"pid": seen.user["pid"], "name": names[0] if names else None, "hypervisor": None, "binary": seen.program,
          "ports": _own_ports(seen.user["pid"], netdevs, devices), "port_processes": [],
          "devices": [{"driver": device[""], "netdev": device.get("netdev")} for device in devices]}
    if sockets:
        vm["hypervisor"] = Distribution.NAME
    elif any(device[""] == fork.PCI_DEVICE for device in devices):
        vm["hypervisor"] = fork.Fork.NAME
    for name in dict.fromkeys(name for name, _id in sockets):
        _connect(vm, seen.started, name, [id for other, id in sockets if other == name], processes)
    return vm


def _own_ports(pid, netdevs, devices):
    """The ports that QEMU opened itself."""
    shown = {device.get("netdev"): device[""] for device in devices}
    ports = []
    for one in netdevs:
        ptnet, passes = shown.get(one.get("id")) == fork.PCI_DEVICE, one.get("passthrough") == "on"
        # The fork knows one mode: a loop in the kernel that the guest's kicks wake by an ioeventfd.
        ports.append({"ifname": re.sub(r"^netmap:", "", one.get("ifname", "")), "id": one.get("id"),
                      "passthrough": passes, "mode": NOTIFIED if ptnet and passes else None,
                      "pci_ids": "qemu" if ptnet else None, "pid": pid})
    return ports


def _connect(vm, started, name, ids, processes):
    """Note what became of a port process of a VM, and the ports that it has of it."""
    candidates = [one for one in processes if one["name"] == name]
    older = [one for one in candidates if None in (one["started"], started) or one["started"] <= started]
    process = (older or candidates or [None])[0]
    state = RUNNING if older else RESTARTED if candidates else GONE
    vm["port_processes"].append({"name": name, "pid": process and process["pid"], "state": state})
    if state == RUNNING:
        process.update(vm=vm["name"], vm_pid=vm["pid"])
        vm["ports"] += [port for port in process["ports"] if port["id"] in ids]


def _values(argv, option):
    return [argv[index + 1] for index, word in enumerate(argv[:-1]) if word == option]


def _pairs(text):
    """An option's value, ``first,key=value,…`` or JSON, as QEMU takes it: key to text, the first as ``""`` (dict)."""
    if text.startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            pairs = _flat(json.loads(text))
            return dict(pairs, **{"": pairs.get("driver") or pairs.get("type", "")})
    words = text.replace(",,", "\0").split(",")
    pairs = dict(word.partition("=")[::2] for word in words[1:])
    first, mark, value = words[0].partition("=")
    return dict({key: value.replace("\0", ",") for key, value in pairs.items()}, **(
        {"": first, first: value} if mark else {"": first}))


def _flat(pairs, prefix=""):
    found = {}
    for key, value in pairs.items():
        if isinstance(value, dict):
            found.update(_flat(value, prefix + key + "."))
        else:
            found[prefix + key] = {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
    return found
