# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what is declared to parameters and memory."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.netmap.ptnet.plugins.filter.sizing import sizing
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import parameters
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.sizing import NIC, PORT, size
from hypothesis import given
from hypothesis import strategies as st


def machine(*ports, **more):
    return dict({"name": "vm1", "ports": [{"port": port} for port in ports]}, **more)


def test_nothing_declared_needs_nothing():
    assert size() == {"parameters": {}, "reasons": {}, "too_small": {},
                      "memory": {"global": 0, "private": {}, "machines": 0, "total": 0}}


def test_what_is_not_to_be_there_needs_nothing():
    assert size([machine("vale1:10", "netmap:p0{1", memory=384, state="absent")]) == size()
    assert size([machine("vale1:10", state="stopped")]) == size([machine("vale1:10")]) != size()


def test_a_few_ports_need_the_defaults():
    switch = {"name": "vale1", "interfaces": [{"name": "eth1"}]}
    result = size([machine("vale1:10", "netmap:p0{1", memory=384)], [switch], [{"name": "p0", "pipes": 5}])
    assert result["parameters"] == {}
    assert result["memory"]["private"] == {"vale1:10": 42369024, "p0": 42369024}
    assert round(result["memory"]["global"] / 1e6) == 343
    assert result["memory"]["machines"] == 384 << 20
    assert result["memory"]["total"] == result["memory"]["global"] + 2 * 42369024 + (384 << 20)


@pytest.mark.parametrize(("declared", "wanted", "why"), [
    ({"nics": [{"name": "eth1", "slots": 4096}]}, {"ring_size": 65792}, "4096 slots in a ring of eth1"),
    ({"nics": [{"name": "eth1", "rings": 60, "slots": 64}]}, {"if_size": 1032}, "122 rings of eth1"),
    ({"nics": [{"name": "eth1", "mtu": 9000}]}, {"buf_size": 9216}, "MTU of 9000"),
    ({"nics": [{"name": "eth%d" % number, "slots": 512, "rings": 31} for number in range(5)]},
     {"ring_num": 320, "buf_num": 163842}, "rings of the NICs eth0"),
    ({"switches": [{"name": "vale%d" % number} for number in range(8)], "machines": [machine("vale8:1")]},
     {"max_bridges": 9}, "9 switches"),
    ({"switches": [{"name": "vale1", "interfaces": [{"name": "eth1"}]}], "nics": [{"name": "eth1", "mtu": 4000}],
      "machines": [machine("vale1:1"), machine("vale2:1")]}, {"buf_size": 4096, "priv_buf_size": 4096}, "vale1:1"),
    ({"parents": [{"name": "p0", "pipes": 8}]}, {"priv_if_num": 16, "priv_ring_num": 32}, "8 pipes on p0"),
    ({"machines": [machine(*("p1{%d" % number for number in range(6)))]}, {"priv_ring_num": 24}, "6 pipes on p1"),
    ({"machines": [machine(*("vale1:a{%d" % number for number in range(6)))]}, {"priv_ring_num": 24}, "on vale1:a"),
    ({"parents": [{"name": "p0", "pipes": 5, "extra_buffers": 4096}]}, {"priv_buf_num": 51202}, "4096 extra buffers"),
    ({"switches": [{"name": "vale1", "interfaces": [{"name": "eth1"}, {"name": "leg", "kind": "veth"}]}]},
     {"generic_mit": 0}, "eth1 and leg forward to one another on vale1"),
])
def test_what_is_raised_and_why(declared, wanted, why):
    result = size(**declared)
    assert result["parameters"] == wanted
    assert set(result["reasons"]) == set(wanted)
    assert any(why in reason for reason in result["reasons"].values())
    assert parameters.check(result["parameters"]) == wanted


def test_what_the_user_sets_stays():
    result = size(parents=[{"name": "p0", "pipes": 8}], given={"priv_if_num": 4, "priv_ring_num": 64, "verbose": 1})
    assert result["parameters"] == {}
    assert result["too_small"] == {"priv_if_num": "4 is declared, 16 are needed: 8 pipes on p0"}


def test_the_timer_of_an_adapter_may_stay():
    alone = [{"name": "vale1", "interfaces": [{"name": "eth1"}, {"name": "v0", "kind": "persistent"}]},
             {"name": "vale2", "interfaces": [{"name": "eth2"}]}]
    assert size([machine("vale1:1", "vale2:1")], alone)["parameters"] == {}
    alone[1]["interfaces"].append({"name": "eth3"})
    assert size(switches=alone)["parameters"] == {"generic_mit": 0}
    assert size(switches=alone, given={"generic_mit": 50000})["parameters"] == {}


def test_ports_of_the_kernels_own_have_regions():
    ports = [{"name": "v0", "kind": "persistent", "tx_slots": 64, "rx_slots": 64},
             {"name": "v1", "kind": "persistent", "memory": "v0"}, {"name": "h1", "kind": "veth", "peer": "h0"}]
    memory = size(switches=[{"name": "vale1", "interfaces": ports}])["memory"]
    assert list(memory["private"]) == ["vale1:v0"]
    assert round(memory["private"]["vale1:v0"] / 1e6, 1) == 8.8
    assert memory["global"] > 3e8
    shared = [{"name": "v%d" % number, "kind": "persistent", "memory": "global", "tx_rings": 16, "rx_rings": 16}
              for number in range(7)]
    result = size(switches=[{"name": "vale1", "interfaces": shared}])
    assert result["parameters"] == {"ring_num": 238, "buf_num": 243714}
    assert result["memory"]["private"] == {}


@pytest.mark.parametrize(("declared", "way_out"), [
    ({"nics": [{"name": "eth1", "slots": 16384}]}, "fewer slots"),
    ({"nics": [{"name": "eth1", "rings": 300, "slots": 64}]}, "fewer rings"),
    ({"nics": [{"name": "eth1", "rings": 64, "slots": 8000}]}, "several hosts"),
    ({"nics": [{"name": "eth1", "mtu": 65536}]}, "lower the MTU"),
    ({"switches": [{"name": "vale%d" % number} for number in range(901)]}, "fewer switches"),
    ({"parents": [{"name": "p0", "pipes": 50, "extra_buffers": 100000}]}, "fewer slots or extra buffers"),
    ({"machines": [machine(*("p1{%d" % number for number in range(51)))]}, "several parents"),
])
def test_beyond_the_allocator_there_is_a_way_out(declared, way_out):
    with pytest.raises(PtnetError, match=way_out):
        size(**declared)


@pytest.mark.parametrize("declared", [
    {"nics": [{"name": "eth1", "speed": 10}]}, {"nics": [{"name": "eth1", "rings": "\u0663"}]},
    {"nics": [{"name": "eth1", "rings": True}]}, {"nics": [{"name": "e%d"}]}, {"switches": [{"name": "br0"}]},
    {"parents": [{"name": "p0", "pipes": 0}]}, {"parents": [{"name": "vale0"}]}, {"machines": [machine("eth0^")]},
    {"machines": [machine(memory="much")]}, {"given": {"bufnum": 1}}])
def test_refused(declared):
    with pytest.raises(PtnetError, match="refused|unknown"):
        size(**declared)


@pytest.mark.parametrize("machines", [[{"ports": [{}]}], ["vm1"], 3, [machine("eth0^")]])
def test_the_filter_explains(machines):
    with pytest.raises(AnsibleFilterError, match="sizing: "):
        sizing(machines)


PARENTS = st.lists(st.builds(
    dict, name=st.sampled_from(["p0", "p1", "p2"]), pipes=st.integers(1, 50), extra_buffers=st.integers(0, 2000),
    tx_slots=st.integers(1, 4096), rx_slots=st.integers(1, 4096), tx_rings=st.integers(1, 16),
    rx_rings=st.integers(1, 16)), max_size=3, unique_by=lambda parent: parent["name"])
NICS = st.lists(st.builds(
    dict, name=st.sampled_from(["eth1", "eth2"]), rings=st.integers(1, 32), slots=st.integers(2, 8000),
    mtu=st.integers(68, 9216)), max_size=2, unique_by=lambda nic: nic["name"])


@given(PARENTS, NICS)
def test_what_is_returned_suffices(parents, nics):
    try:
        result = size(parents=parents, nics=nics)
    except PtnetError:
        return
    now = result["parameters"]
    for name, number in parameters.check(now).items():
        assert number > parameters.PARAMETERS[name].default
    for parent in parents:
        shape = {key: parent[key] for key in PORT}
        assert parameters.raise_for_pipes(now, parent["pipes"], parent["extra_buffers"], **shape) == {}
    # Asked again with what it said, there is nothing left to raise.
    assert size(parents=parents, nics=nics, given=now)["parameters"] == {}
    assert size(parents=parents, nics=nics, given=now)["too_small"] == {}
    if nics:
        assert result["memory"]["global"] >= sum(
            2 * (nic["rings"] + 1) * nic["slots"] * max(2048, nic["mtu"]) for nic in nics)


def test_a_nic_that_says_nothing_is_as_documented():
    assert size(nics=[{"name": "eth1"}]) == size(nics=[dict(NIC, name="eth1")])
