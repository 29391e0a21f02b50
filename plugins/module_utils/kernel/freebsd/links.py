# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs of epair interfaces on FreeBSD. Not tried on a real one. Private to netmap.ptnet."""

from __future__ import annotations

from .. import platform

_TIMEOUT = 60


class Links(platform.Links):
    """Reads and changes interfaces of one machine.

    :param run_program: runs a program (``command.run``)
    """

    PAIR = "epair"

    def __init__(self, run_program):
        self._run = run_program

    def _ifconfig(self, *words):
        return self._run(["ifconfig"] + list(words), timeout=_TIMEOUT)[1].strip()

    def pair(self, name):
        # The kernel does not say which interface is the peer.
        return {"peer": None, "up": "UP" in self._ifconfig(name).partition("<")[2].partition(">")[0].split(",")}

    def make(self, name, peer, mac):
        first = self._ifconfig("epair", "create")  # epair0a; its peer is epair0b
        self._ifconfig(first, "name", name)
        self._ifconfig(first[:-1] + "b", "name", peer)
        self._ifconfig(peer, "ether", mac)

    def raise_ends(self, *names):
        for name in names:
            self._ifconfig(name, "up")

    def remove(self, name):
        self._ifconfig(name, "destroy")

    def polling_limits(self, name):
        # The rings of a NIC are not known here, so polling is refused.
        return [], 0, 0
