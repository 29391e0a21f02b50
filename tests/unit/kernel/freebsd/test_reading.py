# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.freebsd.reading import parse_ifconfig


def test_interfaces_of_freebsd():
    text = """\
em0: flags=1008843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
\toptions=481249b<RXCSUM,TXCSUM,VLAN_MTU,VLAN_HWTAGGING,TSO4>
\tether 52:54:00:12:34:56
\tstatus: active
lo0: flags=1008049<UP,LOOPBACK,RUNNING,MULTICAST> metric 0 mtu 16384
ptnet0: flags=8802<BROADCAST,SIMPLEX,MULTICAST> metric 0 mtu 1500
\tstatus: no carrier
"""
    assert [(one["name"], one["up"], one["carrier"], one["offloads"]) for one in parse_ifconfig(text)] == [
        ("em0", True, True, ["rx-vlan", "tso", "tx-checksum"]), ("ptnet0", False, False, [])]
