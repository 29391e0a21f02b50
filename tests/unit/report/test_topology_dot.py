# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is connected to whom, as a picture."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.netmap.ptnet.plugins.filter.topology_dot import topology_dot


def graph(switches=None, **vms):
    """The graph of one host whose VMs have the given ports."""
    machines = {name: {"ports": [{"port": port, "interface": "eth%d" % number} for number, port in enumerate(ports)]}
                for name, ports in vms.items()}
    return topology_dot({"hosts": {"hv1": {"switches": switches or {}, "vms": machines}}})


def edges(text):
    return [line.strip() for line in text.splitlines() if " -> " in line]


def test_a_port_of_a_switch_meets_the_interface():
    text = graph({"vale1": ["eth1"]}, a=["vale1:10"], b=["vale1:b"])
    assert [line.split(" [")[0] for line in edges(text)] == ["h0s0:p1:e -> h0v0:i0:w", "h0s0:p2:e -> h0v1:i0:w"]
    assert 'label="hv1"' in text
    assert "attached" in text


def test_a_switch_that_only_a_port_names_is_drawn():
    assert "<B>vale7</B>" in graph(a=["vale7:x"])


@pytest.mark.parametrize("scheme", ["", "netmap:"])
def test_a_pipe_between_two_vms_is_one_edge(scheme):
    line, = edges(graph(a=[scheme + "p0{1"], b=[scheme + "p0}1"]))
    assert line.startswith("h0v0:i0:e -> h0v1:i0:w")
    assert 'taillabel="p0{1", headlabel="p0}1"' in line


def test_a_pipe_end_alone_meets_the_parent_once():
    text = graph(a=["netmap:p0{1", "netmap:p0}2"])
    assert text.count('class="parent"') == 1
    assert [line.split(", class")[0] for line in edges(text)] == [
        'h0q0 -> h0v0:i0:w [taillabel="p0}1", headlabel="p0{1"',
        'h0q0 -> h0v0:i1:w [taillabel="p0{2", headlabel="p0}2"',
    ]


def test_pipes_of_two_hosts_do_not_meet():
    hosts = {name: {"vms": {"vm": {"ports": [{"port": port}]}}} for name, port in (("a", "p0{1"), ("b", "p0}1"))}
    assert len(edges(topology_dot({"hosts": hosts}))) == 2


def test_a_nic_of_the_host():
    assert edges(graph(a=["netmap:eth3"])) == ['h0n0 -> h0v0:i0:w [class="link"];']


@pytest.mark.parametrize("topology", [None, {}, {"hosts": []},
                                      {"hosts": {"h": {"vms": {"a": {"ports": [{"interface": "eth1"}]}}}}}])
def test_unusable_input_is_refused(topology):
    with pytest.raises(AnsibleFilterError, match="topology_dot"):
        topology_dot(topology)


@pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed here")
def test_dot_takes_hostile_names_as_text():
    name = '"<b>&\\'
    ports = [{"port": "vale1:" + name, "interface": name, "mac": name}, {"port": name + "{1"}]
    host = {"switches": {name: [name]}, "vms": {name: {"ports": ports}, "empty": None}}
    text = topology_dot({"hosts": {name: host, "none": None}})
    drawn = subprocess.run(["dot", "-Tsvg"], input=text, capture_output=True, text=True, check=True)
    assert drawn.stderr == ""
    assert "<b>" not in drawn.stdout
