# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upstream's own tests pass on our host as they do on one made by hand."""

from __future__ import annotations

import os

import emulated
import lab
import pytest
import upstream
import yaml

OURS = {"netmap_parameters": {"priv_ring_num": 32, "priv_if_num": 16, "priv_buf_num": 8192},
        "ports_switches": [{"name": "vale1", "interfaces": [{"name": "va"}]}],
        "ports_pipe_parents": [{"name": "pp0", "pipes": 2, "tx_slots": 64, "rx_slots": 64}]}


def test_the_same_tests_pass_as_by_hand():
    name = os.environ.get("NETMAP_PTNET_LAB", "upstream")
    found, doubles = upstream.source(lab.variables())
    if doubles:
        pytest.skip("the sources are doubles, which have no tests of upstream's")
    machine = emulated.Emulated(name)
    with open(lab.inventory(name), encoding="utf-8") as stream:
        builder = yaml.safe_load(stream)["netmap_builders"]["hosts"]["builder"]
    bench = upstream.Bench(machine, upstream.build(found, builder["ansible_python_interpreter"]))
    by_hand = bench.run()
    machine.check("ip link add va type veth peer name vb && ip link set va up && ip link set vb up")
    answer = machine.playbook("playbooks/host.yml", "--tags", "netmap,ports", **OURS)
    assert answer, answer
    ours = bench.run()
    differing = sorted(upstream.passed(by_hand) ^ upstream.passed(ours))
    if differing:
        # A test that passes once and fails once says nothing of us: only what differs twice counts.
        again = bench.run([test for test in bench.tests if upstream.label(test) in differing])
        ours.update({test: result for test, result in again.items() if test in upstream.passed(by_hand)})
    folder = os.environ.get("NETMAP_PTNET_REPORT") or os.path.join(lab.cache(), "report-upstream")
    upstream.write(folder, by_hand, ours, {"commit": found.commit or found.content(), "again": differing})
    assert upstream.passed(by_hand), "nothing passes by hand, so nothing was compared"
    assert upstream.passed(by_hand) <= upstream.passed(ours)
