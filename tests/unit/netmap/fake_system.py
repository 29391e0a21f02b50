# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform around the fake /dev/netmap, and what stands in for the service that restores ports."""

from __future__ import annotations


class FakeLinks:
    """The pairs of the fake machine."""

    PAIR = "veth"

    def __init__(self, netmap):
        self.netmap = netmap

    def pair(self, name):
        pair = self.netmap.pairs.get(name, {"peer": None, "up": True})
        return {"peer": pair["peer"], "up": pair["up"]}

    def make(self, name, peer, mac):
        self._change("link " + name)
        assert not {name, peer} & set(self.netmap.drivers)
        self.netmap.drivers.update({name: "veth", peer: "veth"})
        self.netmap.pairs[name] = {"peer": peer, "mac": mac, "up": False}

    def raise_ends(self, name, peer):
        self._change("raise " + name)
        assert self.netmap.pairs[name]["peer"] == peer
        self.netmap.pairs[name]["up"] = True

    def remove(self, name):
        self._change("unlink " + name)
        assert not self.netmap._find(name)
        for end in (name, self.netmap.pairs.pop(name)["peer"]):
            del self.netmap.drivers[end]

    def _change(self, text):
        if self.netmap.on_change:
            self.netmap.on_change(text)
        self.netmap.changes.append(text)

    def polling_limits(self, name):
        return (list(self.netmap.online),) + self.netmap.rings.get(name, (1, 1))


class FakeSystem:
    """The platform around the fake: what the decisions ask of it."""

    ptnet_driver = "ptnetmap-guest-drivers"

    def __init__(self, netmap, parameters=None, management=None):
        self.netmap = netmap
        self.values = dict({"max_bridges": len(netmap.bridges)}, **(parameters or {}))
        self.kept = management or {}
        self.memory = 1 << 33
        self.running = []

    def loaded(self):
        return self.netmap.loaded

    def driver_of(self, name):
        return self.netmap.driver_of(name)

    def mtu_of(self, name):
        return self.netmap.mtus.get(name, 1500)

    def parameters(self):
        return self.values if self.netmap.loaded else None

    def management(self):
        return self.kept

    def memory_available(self):
        return self.memory

    def links(self):
        return FakeLinks(self.netmap)

    def processes(self):
        return self.running


def keep_record(change, before, record, _system, _check_mode):
    """Stands in for the service that restores ports: only what is recorded counts."""
    change.note("boot", before, record.lines())
    return []
