# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose memory a port shows, and what is refused without consent."""

from __future__ import annotations

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import trust

# Two NICs, a persistent port; everything else is not there.
DRIVERS = {"eth1": "e1000", "eth2": "ixgbe", "pp0": ""}
OTHERS = [("VM client", "eth2"), ("VM server", "pp0{1"), ("switch vale1", "eth1"), ("VM other", "vale1:10"),
          ("process 7, pkt-gen", "eth1}1")]


def refuse(*ports, others=()):
    trust.refuse("VM fw", [(name, "private") if isinstance(name, str) else name for name in ports], DRIVERS.get,
                 lambda: list(others))


@pytest.mark.parametrize(("port", "region"), [
    ("vale1:10", None), ("eth1", trust.NICS), ("eth9", trust.NICS), ("eth1{1", trust.NICS), ("pp0", "pp0"),
    ("pp0{1", "pp0"), ("pp9}1", "pp9"), ("vale1:10{1", "vale1:10")])
def test_region(port, region):
    assert trust.region(port, DRIVERS.get) == region


def test_ports_of_switches_need_no_consent_and_nobody_is_looked_for():
    trust.refuse("VM fw", [("vale1:10", "private"), ("vale2:x", "shared")], DRIVERS.get, None)
    trust.refuse("VM fw", [("eth1", "shared"), ("pp0{1", "shared")], DRIVERS.get, None)


@pytest.mark.parametrize(("port", "who"), [
    ("eth1", r"all NICs of a host, now with VM client \(eth2\), switch vale1 \(eth1\), process 7, pkt-gen \(eth1}1\)"),
    ("eth1{4", r"all NICs of a host, now with VM client"),
    ("pp0{4", r"all pipes of pp0, now with VM server \(pp0{1\);"), ("pp0", r"all pipes of pp0, now with VM server"),
    ("pp9{4", "all pipes of pp9, now with nobody else")])
def test_without_consent_it_is_told_who_is_there(port, who):
    with pytest.raises(PtnetError, match="port .* of VM fw shares its memory.*trust: private.*%s.*trust: shared" % who):
        refuse(("pp0{3", "shared"), port, others=OTHERS)


@pytest.mark.parametrize(("ports", "found"), [
    (["pp9{1"], "pp9 is no interface, and nobody declared it.*ports_pipe_parents"),
    (["pp0{1", "eth9}1"], "eth9 is no interface"),
    (["vale1:10{1"], "a port of a switch, and none of VM fw"), (["vale1:11", "vale1:10{1"], "none of VM fw")])
def test_a_pipe_without_a_parent(ports, found):
    with pytest.raises(PtnetError, match="the pipe .* of VM fw has no parent.*" + found):
        trust.refuse_orphans("VM fw", ports, {"pp1"}, DRIVERS.get)


@pytest.mark.parametrize("ports", [[], ["eth9"], ["vale1:10"], ["pp0{1"], ["pp1{1"], ["eth1{1"],
                                   ["vale1:10", "vale1:10{1"]])
def test_a_pipe_with_a_parent(ports):
    trust.refuse_orphans("VM fw", ports, {"pp1"}, DRIVERS.get)


def test_ports_of_a_unit():
    text = ('ExecStart=/usr/bin/qemu \\\n  -netdev netmap,id=d0,ifname=vale1:10,passthrough=on \\\n'
            '  -netdev "netmap,id=d1,ifname=pp0{1,passthrough=on" -netdev netmap,id=d2,ifname=netmap:eth1\n'
            '  --port id=d0,ifname=pp0}2,mac=02:00:00:00:00:01\n')
    assert trust.ports_in(text) == ["vale1:10", "pp0{1", "eth1", "pp0}2"]
