# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the survey that cost more and are read on demand. Private to netmap.ptnet."""

from __future__ import annotations

import re

from ..errors import PtnetError
from . import abi, drift, names, parameters

SUBSETS = ("builds", "drift", "kernels", "memory", "namespaces", "nics", "programs")
ALL = "all"

_HEADER = "/usr/local/include/net/netmap.h"


def chosen(gather):
    """The subsets that were asked for (set of str)."""
    return set(SUBSETS) if ALL in gather else set(gather)


def read_subsets(subsets, system, reading, device, record, base):
    """The values of the subsets (dict).

    :param subsets: from :func:`chosen`
    :param reading: from ``system.reading()`` (platform.Reading)
    :param base: what the survey has read already; it is not changed (dict)
    """
    result = {}
    if "builds" in subsets:
        result["abi"] = {"used": abi.VERSION, "headers": _header_version()}
        result["build"] = running_build(base)
    if "kernels" in subsets:
        result["kernels"] = reading.kernels()
        result["security"] = reading.security()
    if "nics" in subsets:
        result["nics"] = nics(base, reading.nics(), system.management(), system.ptnet_driver)
    if "memory" in subsets:
        result["memory_regions"] = regions(base)
    if "programs" in subsets:
        result.update(programs(reading, base["users"]))
    if "namespaces" in subsets:
        result["namespaces"] = _namespaces(reading, device, base["loaded"])
    if "drift" in subsets:
        boot = system.boot()
        result["boot_conflicts"] = system.boot_conflicts()
        result["restoration"] = restoration(record, system, reading)
        result["drift"] = drift.drift(base, boot, record)
    return result


def running_build(base):
    """The builds of this collection that are installed for this kernel and loaded (dict of dict or None). Pure.

    ``loaded`` is only known where the loaded module can be compared with the installed one.
    """
    found = [one for one in base["builds"]["netmap"] if one["slot"] == base["kernel_release"]]
    installed = {"identity": found[0]["identity"], "commit": found[0]["commit"]} if found else None
    known = base["loaded"] and base["module"]["stale"] is False
    return {"installed": installed, "loaded": installed if known else None}


def nics(base, found, management, ptnet_driver):
    """The interfaces with what matters to netmap (list of dict). Pure.

    A driver that was patched for netmap uses its symbols, so its module is among netmap's holders; every other NIC
    gets the emulated adapter (netmap_get_hw_na in netmap.c). ``adapter`` is ``unknown`` while netmap is not loaded.

    :param found: from ``reading.nics()``
    :param management: from ``system.management()``
    """
    drivers = {one["name"]: one for one in base["interfaces"]}
    on = {port["name"]: switch["name"] for switch in base["switches"] for port in switch["ports"]
          if port["kind"] == "attached"}
    now = base["parameters"]["now"]
    buffer = now.get("buf_size", parameters.PARAMETERS["buf_size"].default)
    result = []
    for one in found:
        driver = drivers.get(one["name"], {}).get("driver")
        result.append(dict(
            one, driver=driver, switch=on.get(one["name"]), carries=management.get(one["name"]),
            adapter=_adapter(base, one["module"] or (driver or "").replace("-", "_"), driver, ptnet_driver),
            mtu_fits=one["mtu"] <= buffer if one["mtu"] else None))
    return result


def _adapter(base, module, driver, ptnet_driver):
    if not base["loaded"]:
        return "unknown"
    # Without a driver it is one of netmap's own: a persistent port or a sink.
    if driver in (None, ptnet_driver):
        return "native"
    if base["parameters"]["now"].get("admode") == 2:  # NETMAP_ADMODE_GENERIC
        return "emulated"
    if base["module"]["refcount"] is None:  # A platform that shows no holders.
        return "unknown"
    return "native" if module in base["module"]["holders"] else "emulated"


def regions(base):
    """The memory regions (list of dict: ``name``, ``bytes``, ``source``, ``current``). Pure.

    ``bytes`` is computed: from the parameters for the global region, once a NIC is used, and for a pipe parent when it
    was created. ``current`` is read from the kernel: what the global region had when it was last built.
    """
    if not base["loaded"]:
        return []
    now = base["parameters"]["now"]
    current = {name.replace("_curr", ""): now[name] for name in sorted(now) if "_curr_" in name}
    try:
        size = parameters.global_memory(now)
    except PtnetError:  # Sizes that cannot be laid out; the kernel refuses them as well.
        size = None
    found = [{"name": "global", "bytes": size, "source": "computed from the parameters", "current": current}]
    return found + [{"name": one["name"], "bytes": one.get("memory"), "source": "computed when it was created",
                     "current": {}} for one in base["parents"] if one["present"]]


def programs(reading, users):
    """What is to be told of the processes that use netmap: ``pipes``, ``vms`` and ``port_processes`` (dict)."""
    # Only here: it knows both QEMUs, and the port process.
    from ..qemu import running

    pids = [(user, user["pid"]) for user in users if user["kind"] == "process"]
    found = running.told([running.Seen(user, reading.argv(pid), reading.started(pid), reading.program(pid))
                          for user, pid in pids])
    said = {binary: _said(binary) for binary in {vm["binary"] for vm in found["vms"]}}
    for vm in found["vms"]:
        vm.update(said[vm["binary"]])
    return found


def _said(binary):
    from ..qemu.choice import PREFERRED
    from ..qemu.program import running_version

    return running_version(binary, [place for kind in PREFERRED for place in kind.BINARIES])


def restoration(record, system, reading):
    """The service that restores ports after a reboot (dict).

    ``wanted`` (something is recorded), ``enabled`` (all its files are there), ``current`` (they are what this version
    of the collection writes; None when not enabled), ``active`` and ``result`` as systemd says.
    """
    wanted = bool(record.attached or record.parents)
    try:
        service = system.port_service()
    except PtnetError:  # No systemd here.
        return {"wanted": wanted, "enabled": False, "current": None, "active": None, "result": None}
    # Only here: the code that runs at boot is all that vale_port and netmap_pipe are.
    from .boot_service import archive

    files, expected = service.read(), service.wanted(archive())
    enabled = set(files) == set(expected)
    return dict(reading.service(), wanted=wanted, enabled=enabled, current=files == expected if enabled else None)


def _namespaces(reading, device, loaded):
    def look(interfaces):
        entries = device.entries()
        return {"interfaces": interfaces, "switches": names.switches(entries, interfaces),
                "stuck": sorted(entry.name for entry in entries if entry.stuck)}

    result = []
    for one in reading.namespaces() if loaded else ():
        seen = {"interfaces": [], "switches": [], "stuck": [], "error": None}
        try:
            seen.update(reading.look_into(one["path"], look))
        except PtnetError as error:
            seen["error"] = error.message
        result.append(dict(seen, name=one["name"], inode=one["inode"], pid=one["pid"]))
    return result


def _header_version(path=_HEADER):
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            found = re.search(r"^#define\s+NETMAP_API\s+(\d+)", stream.read(), re.MULTILINE)
    except OSError:
        return None
    return int(found.group(1)) if found else None
