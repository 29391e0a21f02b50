# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ports a run of pkt-gen may have, and what pkt-gen is told."""

from __future__ import annotations

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.traffic import pktgen


def declared(port, function="rx", **more):
    return dict({"port": port, "function": function, "seconds": 1, "packets": None, "length": 60, "threads": None,
                 "processors": None, "src_mac": None, "dst_mac": None, "burst": None, "rate": None,
                 "wait_link": None}, **more)


@pytest.mark.parametrize(("port", "name", "wait"), [
    ("vale1:10/r", "vale1:10/r", 0), ("eth1^", "netmap:eth1^", 2), ("netmap:eth1-0/x", "netmap:eth1-0/x", 2),
    ("tap0", "netmap:tap0", 2), ("null", "netmap:null", 2), ("p0{1", "netmap:p0{1", 0), ("vale1:a}1", "vale1:a}1", 0),
    ("eth1*@3", "netmap:eth1*@3", 2)])
def test_what_pkt_gen_is_told(port, name, wait):
    run = pktgen.check(declared(port))
    assert (run["name"], run["wait_link"]) == (name, wait)
    assert pktgen.vector(run, "pkt-gen")[:3] == ["pkt-gen", "-i", name]


@pytest.mark.parametrize(("run", "reason"), [
    (declared("vale1:10/r", "tx"), "nothing can be sent"), (declared("vale1:10/z", "tx"), "nothing can be sent"),
    (declared("eth1/R", "tx"), "no ring to use"), (declared("eth1/T", "rx"), "no ring to use"),
    (declared("eth1-1", threads=2), "2 threads on the single ring"), (declared("vale1:10^"), "no host rings")])
def test_what_cannot_work(run, reason):
    with pytest.raises(PtnetError, match=reason):
        pktgen.check(run)
