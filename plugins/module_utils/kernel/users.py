# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who and what uses netmap, so that errors can name it. Private to netmap.ptnet."""

from __future__ import annotations


def users(system, module, entries, parents):
    """Everything found that keeps netmap in use (list of dict: ``kind``, ``name``, ``pid``, ``command``, ``holds``).

    Without a reference nobody uses it, so nothing is searched (the search reads all of /proc).

    :param system: the platform (Linux or FreeBSD)
    :param module: from ``system.module()``; None when not loaded
    :param entries: the ports of all switches (list of names.Entry)
    :param parents: the pipe parents on record (names)
    """
    if module is None or module["refcount"] == 0:
        return []
    found = [dict(process, kind="process", name=process["command"].split(" ")[0]) for process in system.processes()]
    found += [_thing("driver", name, "depends on netmap") for name in module["holders"]]
    found += [_thing("port", entry.name, "stuck until a reboot" if entry.stuck else "on a VALE switch")
              for entry in entries]
    found += [_thing("parent", name, "persistent port") for name in sorted(parents) if system.driver_of(name) == ""]
    if not found and module["refcount"]:
        found.append(_thing("unknown", "references", "%d, perhaps ports in another network namespace or persistent "
                            "ports made by hand" % module["refcount"]))
    return found


def named(found):
    """The users in one line (str)."""
    return ", ".join(
        "process %d (%s)" % (user["pid"], user["command"]) if user["kind"] == "process"
        else "%s %s (%s)" % (user["kind"], user["name"], user["holds"][0]) for user in found)


def _thing(kind, name, holds):
    return {"kind": kind, "name": name, "holds": [holds]}
