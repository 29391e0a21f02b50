# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs against what would come back after a reboot. Pure. Private to netmap.ptnet."""

from __future__ import annotations

from . import parameters


def drift(base, boot, record):
    """The differences between now and the next boot (list of dict: ``what``, ``now``, ``boot``).

    :param base: what the survey read (dict)
    :param boot: from ``system.boot()`` (dict)
    :param record: the recorded ports (Record)
    """
    found = []

    def note(what, now, then):
        if now != then:
            found.append({"what": what, "now": now, "boot": then})

    note("loaded", base["loaded"], boot["load"] or base["module"]["built_in"])
    if base["module"]["stale"]:
        note("build", "another than installed", "as installed")
    if base["loaded"]:
        _parameters(base["parameters"]["now"], boot["parameters"], note)
    node = base["device"]
    if node and boot["node"]:
        note("device", {"group": node["group"], "mode": node["mode"]}, boot["node"])
    _ports(base["switches"], record.attached, note)
    for parent in base["parents"]:
        note("parent " + parent["name"], _there(parent["present"]), "present")
    return found


def _parameters(now, boot, note):
    for name, known in parameters.PARAMETERS.items():
        if name in now:
            note("parameter " + name, now[name], boot.get(name, known.default))
    for name in sorted(set(boot) - set(parameters.PARAMETERS)):
        note("parameter " + name, None, boot[name])


def _ports(switches, attached, note):
    listed = {(switch["name"], port["name"]): port["host_stack"] for switch in switches for port in switch["ports"]
              if port["kind"] == "attached"}
    recorded = {(switch, name): bool(nic.get("host_stack")) for switch, nics in attached.items()
                for name, nic in nics.items()}
    for key in sorted(set(listed) | set(recorded), key=str):
        note("port %s:%s" % key, _port(listed.get(key)), _port(recorded.get(key)))


def _port(host_stack):
    return {None: "absent", False: "attached", True: "attached with the host stack"}[host_stack]


def _there(present):
    return "present" if present else "absent"
