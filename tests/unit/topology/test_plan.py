# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a topology to what the roles read: names that fit, and that stay when other lines come and go."""

from __future__ import annotations

import copy
import pathlib

import pytest
import yaml
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import names
from ansible_collections.netmap.ptnet.plugins.module_utils.topology import form
from ansible_collections.netmap.ptnet.plugins.module_utils.topology.plan import fitted
from ansible_collections.netmap.ptnet.plugins.plugin_utils import topology_file
from hypothesis import given
from hypothesis import strategies as st

ROOT = pathlib.Path(__file__).parents[3]
BOOT = {"kernel": "/boot/vmlinuz"}


def plan(**given):
    declared = {"plugin": form.PLUGIN, "name": "lab", "hosts": {"hv1": {}}, "defaults": BOOT, **given}
    return topology_file.read("lab.yml", yaml.safe_dump(declared, sort_keys=False))[1]


def refused(**given):
    with pytest.raises(topology_file.Unusable) as caught:
        plan(**given)
    return str(caught.value)


def pipe(*ends):
    return {"type": "pipe", "endpoints": list(ends), "trust": "shared"}


def opened(planned, vm):
    return [port.port for port in planned.ports[vm]]


def test_the_two_examples_of_the_howto():
    planned = plan(vms={"client": {}, "fw": {"memory": "2G", "cpus": 2}}, switches={"vale1": {"nics": ["eth1"]}},
                   links=[{"vale1": ["client", "fw:lan"]}, pipe("fw:wan", "client:up")])
    host, guest = planned.hosts["hv1"], planned.guests["fw"]
    assert host["ports_switches"] == [{"name": "vale1", "interfaces": [{"name": "eth1"}]}]
    (parent,) = host["ports_pipe_parents"]
    client, fw = host["vms_machines"]
    assert [port["port"] for port in client["ports"]] == ["vale1:client", "netmap:%s}1" % parent["name"]]
    assert fw["ports"] == [{"port": "vale1:fw_lan"}, {"port": "netmap:%s{1" % parent["name"], "trust": "shared"}]
    assert (fw["memory"], fw["cpus"], fw["kernel"], host["vms_fleet"]) == (2048, 2, "/boot/vmlinuz", "lab")
    assert fw["management"]["forwards"] == [{"host_address": guest["ansible_host"], "host_port": guest["ansible_port"]}]
    assert (guest["guest_host"], guest["guest_name"], guest["guest_ports"]) == ("hv1", "fw", 2)
    assert [port["label"] for port in guest["topology_ports"]] == ["lan", "wan"]


def test_what_the_other_kinds_of_links_become():
    planned = plan(
        hosts={"hv1": {}, "hv2.example.org": {}},
        switches={"vale1": {"host": "hv1", "nics": ["eth1"]}, "vale2": {"host": "hv2.example.org", "nics": ["eth1"]}},
        vms={"web": {"host": "hv1"}, "edge": {"host": "hv2.example.org"}},
        links=[{"vale1": ["web", "host:tap"]}, pipe("web", "host:probe"),
               {"type": "nic", "endpoints": ["edge", "hv2.example.org:eth2"], "trust": "shared"},
               {"type": "cable", "endpoints": ["hv1:eth1", "hv2.example.org:eth1"]}])
    first, second = planned.hosts.values()
    assert opened(planned, "web") == ["vale1:web", "netmap:probe{1"]
    assert opened(planned, "edge") == ["netmap:eth2"]
    assert first["ports_switches"][0]["interfaces"] == [
        {"name": "eth1"}, {"name": "n_tap", "kind": "veth", "peer": "tap"}]
    assert first["ports_pipe_parents"] == [{"name": "probe", "pipes": 1}]
    assert first["check_links"] == second["check_links"] == [{"a": "hv1:eth1", "b": "hv2.example.org:eth1"}]


def test_an_image_becomes_the_backing_of_a_disk_where_none_is_given():
    planned = plan(images={"d13": {"path": "/i/d13.qcow2"}, "raw": {"path": "/i/x", "format": "raw"}},
                   vms={"a": {"image": "d13"}, "b": {"image": "raw"}, "c": {"image": "d13", "disks": [
                       {"path": "own.qcow2", "size": "1G"}]}})
    disks = [vm["disks"] for vm in planned.hosts["hv1"]["vms_machines"]]
    assert disks[:2] == [[{"path": "disk.qcow2", "backing": "/i/d13.qcow2", "backing_format": "qcow2"}],
                         [{"path": "disk.qcow2", "backing": "/i/x", "backing_format": "raw"}]]
    assert disks[2] == [{"path": "own.qcow2", "size": "1G"}]


@pytest.mark.parametrize(("given", "told"), [
    ({"vms": {"a": {"memory": "3G"}, "b": {"memory": "3G"}}, "hosts": {"hv1": {"memory": "4G"}}}, "more memory"),
    ({"vms": {"a": {"cpus": 3}, "b": {"cpus": 3}}, "hosts": {"hv1": {"cpus": 4}}}, "more processors than it; found: 6"),
    ({"vms": {"a": {}}, "links": [pipe("a", "host:a2345678901234")]}, "at most 13 characters"),
    ({"vms": {"a": {}, "b": {}}, "links": [pipe("a", "host:x"), pipe("b", "host:x")]}, "the pipe's parent x would be"),
    ({"vms": {"a": {}}, "switches": {"vale1": {}, "vale2": {}},
      "links": [{"vale1": ["host:tap"]}, {"vale2": ["host:tap"]}]}, "interface n_tap would be there twice"),
    ({"vms": {"a": {"disks": [{"path": "/d"}]}, "b": {"disks": [{"path": "/d"}]}}}, "the disk /d is used twice"),
    ({"vms": {"a": {"hypervisor": "fork"}}, "switches": {"vale1": {}},
      "links": [{"vale1": ["a:p%d" % number for number in range(20)]}]}, "hv1 cannot have this"),
])
def test_what_does_not_fit_is_told_at_its_line(given, told):
    text = refused(**given)
    assert told in text
    assert "^" in text


@given(st.text(alphabet="ab-_.", min_size=1, max_size=40), st.integers(1, 15))
def test_a_part_of_a_name_fits_and_tells_texts_apart(text, most):
    name = fitted(text, most)
    assert names.part(name, "it") == name
    assert len(name) <= most
    if most >= 7:
        assert fitted(text + "x", most) != name


VMS = ["client", "fw-of-the-long-name", "server", "a", "b"]
LINKS = [{"vale1": ["client", "fw-of-the-long-name:lan"]}, {"vale2": ["a", "b:x"]},
         pipe("fw-of-the-long-name", "server"), pipe("a", "b"), pipe("a:second", "b:other"),
         pipe("client", "host:probe"), {"vale1": ["server:one"]}]


def names_of(planned, vm):
    """What of a VM must not change (set)."""
    guest = planned.guests[vm]
    return {guest["ansible_host"], *((port["label"], port["port"]) for port in guest["topology_ports"])}


@given(st.permutations(VMS), st.permutations(LINKS), st.sets(st.sampled_from(range(len(LINKS)))))
def test_names_and_addresses_stay_when_other_lines_come_and_go(vms, links, dropped):
    switches = {"vale1": {}, "vale2": {}}
    whole = plan(vms=dict.fromkeys(VMS, {}), links=LINKS, switches=switches)
    left = [copy.deepcopy(link) for link in links if LINKS.index(link) not in dropped]
    planned = plan(vms=dict.fromkeys(vms, {}), links=left, switches=dict(reversed(switches.items())))
    for vm in VMS:
        assert names_of(planned, vm) <= names_of(whole, vm)
    assert sum(map(len, planned.ports.values())) == sum(
        sum(not end.startswith("host:") for end in link.get("endpoints") or next(iter(link.values()))) for link in left)
