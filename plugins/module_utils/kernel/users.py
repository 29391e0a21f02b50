# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who and what uses netmap, so that errors can name it. Private to netmap.ptnet."""

from __future__ import annotations


def users(system, module, entries, parents):
    """Everything found that keeps netmap in use (list of dict: ``kind``, ``name``, ``pid``, ``command``, ``holds``).

    Without a reference nobody uses it, so nothing is searched (the search reads all of /proc). netmap does not tell
    who holds which port: of a process its command line tells, of a driver its interfaces.

    :param system: the platform (Linux or FreeBSD)
    :param module: from ``system.module()``; None when not loaded
    :param entries: the ports of all switches (list of names.Entry)
    :param parents: the pipe parents on record (names)
    """
    if module is None or module["refcount"] == 0:
        return []
    found, holders = [], {}
    for process in system.processes():
        ports = process.get("ports", ())
        found.append({"kind": "process", "name": process["command"].split(" ")[0], "pid": process["pid"],
                      "command": process["command"],
                      "holds": process["holds"] + ["port %s" % port for port in ports]})
        holders.update(dict.fromkeys(ports, process["pid"]))
    found += [_thing("driver", name, "depends on netmap") for name in module["holders"]]
    found += [_thing("port", entry.name, _holder(entry, holders, system)) for entry in entries]
    found += [_thing("parent", name, "persistent port") for name in sorted(parents) if system.driver_of(name) == ""]
    # Each driver holds one reference.
    left = (module["refcount"] or 0) - len(module["holders"])
    if left > 0 and len(found) == len(module["holders"]):
        found.append(_thing("unknown", "references", "%d, perhaps ports in another network namespace or persistent "
                            "ports made by hand" % left))
    return found


def _holder(entry, holders, system):
    if entry.stuck:
        return "stuck until a reboot"
    if entry.name in holders:
        return "opened by process %d" % holders[entry.name]
    driver = system.driver_of(entry.port)
    if driver is None:
        return "on a VALE switch, opened by a program"
    return "attached to a VALE switch: %s" % ("NIC of driver " + driver if driver else "persistent port")


def named(found):
    """The users in one line (str)."""
    return ", ".join(
        "process %d (%s)" % (user["pid"], "; ".join([user["command"]] + [
            one for one in user["holds"] if one.startswith("port ")])) if user["kind"] == "process"
        else "%s %s (%s)" % (user["kind"], user["name"], user["holds"][0]) for user in found)


def _thing(kind, name, holds):
    return {"kind": kind, "name": name, "holds": [holds]}
