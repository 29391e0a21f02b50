# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the diagnosis asks of a FreeBSD machine. Not tried on a real FreeBSD. Private to netmap.ptnet."""

from __future__ import annotations

import re

from .. import platform
from ..unix import printable

_OFFLOADS = {"TXCSUM": "tx-checksum", "TSO4": "tso", "TSO6": "tso", "LRO": "lro", "VLAN_HWTAGGING": "rx-vlan"}


class Reading(platform.Reading):
    """Reads one machine.

    :param system: the machine (Platform)
    :param output: runs a program and returns what it prints, or None (``FreeBSD._output``)
    """

    def __init__(self, system, output):
        self._system = system
        self._output = output

    def kernels(self):
        return [dict(one, copies=[]) for one in self._system.kernels()]

    def security(self):
        return {"lockdown": "none", "signed_only": False, "secure_boot": False}

    def nics(self):
        return parse_ifconfig(self._output("ifconfig") or "")

    def namespaces(self):
        # Jails with a network stack of their own are not looked into.
        return []

    def look_into(self, path, act):
        raise NotImplementedError

    def kernel_log(self, lines):
        return [{"at": 0.0, "text": printable(line)} for line in (self._output("dmesg") or "").splitlines()[-lines:]]

    def argv(self, pid):
        return (self._output("ps", "-ww", "-o", "args=", "-p", str(pid)) or "").split()

    def started(self, pid):
        # Port processes are Linux's.
        return None

    def program(self, pid):
        return None

    def service(self):
        return {"active": None, "result": None}


def parse_ifconfig(text):
    """The interfaces in the output of ``ifconfig`` (list of dict). Pure."""
    found = []
    for block in re.split(r"\n(?=\S)", text):
        head = re.match(r"(\S+): flags=\S+<([^>]*)>.*\bmtu (\d+)", block)
        if not head or head.group(1).startswith("lo"):
            continue
        options = re.search(r"^\s+options=\S+<([^>]*)>", block, re.MULTILINE)
        status = re.search(r"^\s+status: (.*)$", block, re.MULTILINE)
        on = (options.group(1) if options else "").split(",")
        found.append({
            "name": head.group(1), "mtu": int(head.group(3)), "up": "UP" in head.group(2).split(","),
            "carrier": status.group(1) != "no carrier" if status else None, "module": None, "iommu_group": None,
            "offloads": sorted({what for flag, what in _OFFLOADS.items() if flag in on}), "flow_control": []})
    return found
