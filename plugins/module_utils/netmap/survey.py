# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything the collection wants to know of a machine, read without touching anything. Private to netmap.ptnet."""

from __future__ import annotations

import json
import os
import platform as python_platform
import shlex

from ..errors import PtnetError
from ..kernel.platform import platform
from ..kernel.users import users
from . import names
from .device import Device
from .record import Record


def act(params, check_mode, system=None, device=None, reading=None, record=None):
    """Read the machine (dict): the face of ``netmap_info``. Lists, never queries, ports; changes nothing.

    :param params: ``store``, the folder of the collection on the host, and ``gather``, the subsets to read (dict)
    :raises PtnetError: the record of created ports is damaged
    """
    system = system or platform()
    device = device or Device(system.driver_of)
    module, installed = system.module(), system.installed()
    record = record or Record(params["store"])
    warnings, entries = [], []
    if module is not None:
        try:
            entries = device.entries()
        except PtnetError as error:
            warnings.append(error.message)
    interfaces = _interfaces(system)
    boot = system.boot()
    result = {
        "store": params["store"],
        "hostname": os.uname().nodename,
        "kernel_release": system.kernel_release(),
        "arch": os.uname().machine,
        "cpus": os.cpu_count(),
        "memory": system.memory_total() >> 20,
        "kvm": system.kvm_usable(),
        "headers_present": system.headers_present(),
        "loaded": module is not None,
        "module": _module(system, module, installed),
        "device": system.node(),
        "parameters": {"now": system.parameters() or {}, "boot": boot["parameters"]},
        "load_at_boot": boot["load"],
        "switches": names.switches(entries, [one["name"] for one in interfaces]),
        "stuck": sorted(entry.name for entry in entries if entry.stuck),
        "parents": _parents(system, record),
        "users": users(system, module, entries, record.parents),
        "builds": {kind: _builds(os.path.join(params["store"], kind)) for kind in ("netmap", "qemu")},
        "interfaces": interfaces,
        "ptnet_interfaces": _ptnet(system, interfaces),
        "changed": False,
    }
    result.update(distribution())
    if params.get("gather"):
        from .survey_subsets import chosen, read_subsets

        reading = reading or system.reading()
        result.update(read_subsets(chosen(params["gather"]), system, reading, device, record, result))
    if warnings:
        result["warnings"] = warnings
    return result


def _builds(folder):
    """What build/install.py recorded, without its lists of files."""
    return [{"slot": slot, "identity": record["identity"],
             "commit": manifest.get("commit"), "version": manifest.get("version"),
             "modules": sorted(os.path.basename(place)[:-3] for place in manifest.get("files", ())
                               if place.endswith(".ko")), "complete": record.get("complete", True)}
            for slot, record in sorted((_json(os.path.join(folder, "installed.json")) or {}).items())
            for manifest in [_json(os.path.join(folder, record["identity"], "manifest.json")) or {}]]


def distribution(path="/etc/os-release"):
    """The distribution as os-release names it: ``distribution``, ``distribution_version``, ``distribution_like``.

    Where there is no such file the names of the kernel stand in.
    """
    fields = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                key, mark, text = line.strip().partition("=")
                if mark and not key.startswith("#"):
                    fields[key] = "".join(shlex.split(text)[:1])
    except (OSError, ValueError):
        pass
    return {"distribution": fields.get("ID", os.uname().sysname.lower()),
            "distribution_version": fields.get("VERSION_ID", python_platform.release() if not fields else ""),
            "distribution_like": fields.get("ID_LIKE", "").split()}


def _module(system, module, installed):
    """The two planes of the module: what runs and what would be loaded."""
    return {
        "version": module["version"] if module else None,
        "srcversion": module["srcversion"] if module else None,
        "refcount": module["refcount"] if module else None,
        "holders": module["holders"] if module else [],
        "built_in": bool(module and module["built_in"]),
        "installed": installed,
        "fits_kernel": system.fits(installed) if installed else None,
        "stale": system.stale(module, installed) if module and installed else None,
    }


def _parents(system, record):
    return [dict(record.parents[name], name=name, present=system.driver_of(name) == "")
            for name in sorted(record.parents)]


def _interfaces(system):
    return [{"name": name, "driver": system.driver_of(name) or None, "mac": system.address_of(name)}
            for name in system.interfaces()]


def _ptnet(system, interfaces):
    found = [dict(one, pci=system.bus_address_of(one["name"])) for one in interfaces
             if one["driver"] == system.ptnet_driver]
    return sorted(found, key=lambda one: (one["pci"] or "", one["name"]))


def _json(path):
    """A file of another part of the collection, as it is; None when there is none or it is damaged."""
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return None
