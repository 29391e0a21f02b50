# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole declaration: good ones pass, and each contradiction that is planted is found and names both places."""

from __future__ import annotations

import copy
import itertools
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.netmap.ptnet.plugins.module_utils.declaration import contradiction
from ansible_collections.netmap.ptnet.plugins.module_utils.declaration.check import RULES, check
from ansible_collections.netmap.ptnet.plugins.module_utils.declaration.host import FORM, VARIABLES, known
from ansible_collections.netmap.ptnet.plugins.module_utils.declaration.rules_ports import lone_ends
from hypothesis import given
from hypothesis import strategies as st

FACTS = {"memory": 1 << 20, "interfaces": [{"name": "eth%d" % number, "driver": "e1000"} for number in range(9)],
         "nics": [{"name": "eth0", "carries": "the default route"}, {"name": "eth1", "carries": None}]}


def vm(name, *ports, **more):
    return dict({"name": name, "disks": [{"path": "root.qcow2", "size": "1G"}],
                 "ports": [{"port": port} if isinstance(port, str) else port for port in ports]}, **more)


def shared(port):
    return {"port": port, "trust": "shared"}


def declaration():
    """Of everything something; what is planted refers to it. Each call makes a new one (dict)."""
    return {
        "netmap_nics": [{"name": "eth1", "slots": 2048}, {"name": "eth3"}],
        "netmap_parameters": {"verbose": 1},
        "ports_switches": [
            {"name": "vale1", "interfaces": [{"name": "eth1"}, {"name": "leg", "kind": "veth", "peer": "host1"},
                                             {"name": "v0", "kind": "persistent", "memory": "pp0"}]},
            {"name": "vale2", "interfaces": [{"name": "eth2", "host_stack": "yes"}]}],
        "ports_pipe_parents": [{"name": "pp0", "pipes": "4"}, {"name": "pp1"}],
        "ports_processes": [{"name": "web", "ports": [{"port": "vale1:web"}, shared("netmap:pp1{1")]},
                            {"name": "fw", "state": "absent"}],
        "vms_machines": [
            vm("fw", "vale1:fw", shared("netmap:pp0{1"), management={"forwards": [{"host_port": 10022}]}),
            vm("gw", "vale1:gw", shared("pp0}1"), shared("eth3{1"), {"port": "vale2:gw", "mac": "02:00:00:00:00:01"},
               management={"forwards": [{"host_port": "10023"}, {"host_port": 10022, "host_address": "127.0.0.2"}]}),
            vm("nic", shared("eth4"), shared("vale3:10"), shared("vale3:10{1"))],
    }


def found(declared, facts=None, complete=True):
    return check(declared, "hv1", known(FACTS if facts is None else facts), complete)[1]


def test_a_good_declaration_passes():
    assert found(declaration()) == []
    assert found({}) == found({}, {}) == []
    # What those files need is known without the host as well.
    assert found(declaration(), {}) == []


@pytest.mark.parametrize("more", [[], ["__lab_more_machines"]])
def test_the_lab_passes(more):
    text = Path(__file__).parents[3].joinpath("playbooks/vars/lab.yml").read_text(encoding="utf-8")
    # Not what templates make of it, but as different as that.
    lab = yaml.safe_load(re.sub(r"{{ 'vm(\d)' .* }}", r"127.1.1.\1", text))
    declared = dict(lab["__lab_host"], vms_hypervisor="auto")
    declared[MACHINES] = declared[MACHINES] + sum((lab[name] for name in more), [])
    assert found(declared, {"memory": 1900 if more else 900}) == []


def test_ends_of_pipes_that_programs_of_the_host_meet_are_listed():
    host, _none = check(declaration())
    assert [one.port.kernel_name() for one in lone_ends(host)] == ["pp1{1", "eth3{1", "vale3:10{1"]


def at(path, value):
    """A change of a declaration: the value at a path of keys, appended to where the path ends in a list's length."""
    def plant(declared):
        place = declared
        for key in path[:-1]:
            place = place[key]
        if isinstance(place, list) and path[-1] == len(place):
            place.append(value)
        else:
            place[path[-1]] = value
    return plant


def shared_disk(first, second):
    """A change: two VMs have one disk, with these options each."""
    def plant(declared):
        for machine, options in zip(declared[MACHINES], (first, second)):
            machine["disks"] = [dict(options, path="/srv/one")]
    return plant


def crowded(declared):
    declared["netmap_parameters"]["priv_ring_num"] = 100
    declared[PARENTS][0]["pipes"] = 40


MACHINES, SWITCHES, PARENTS = "vms_machines", "ports_switches", "ports_pipe_parents"
# What is planted, the rule that tells it, and the two places that it names.
PLANTED = [
    (at([MACHINES, 1, "name"], "fw"), "name_twice", "vms_machines[1] (VM fw)", "vms_machines[0] (VM fw)"),
    (at(["ports_processes", 0, "name"], "gw"), "name_twice", "ports_processes[0] (port process gw)", "vms_machines[1]"),
    (at([SWITCHES, 1, "name"], "vale1"), "name_twice", "ports_switches[1] (switch vale1)", "ports_switches[0]"),
    (at(["netmap_nics", 2], {"name": "eth1"}), "name_twice", "netmap_nics[2]", "netmap_nics[0] (NIC eth1)"),
    (at([MACHINES, 1, "ports", 0, "port"], "netmap:vale1:fw"), "port_twice",
     "vms_machines[1].ports[0] (VM gw, port netmap:vale1:fw)", "vms_machines[0].ports[0] (VM fw, port vale1:fw)"),
    (at(["ports_processes", 0, "ports", 0, "port"], "vale1:fw"), "port_twice",
     "ports_processes[0].ports[0] (port process web, port vale1:fw)", "vms_machines[0].ports[0]"),
    (at([MACHINES, 1, "ports", 1, "port"], "pp0{1"), "port_twice", "vms_machines[1].ports[1]",
     "vms_machines[0].ports[1] (VM fw, port netmap:pp0{1)"),
    (at([MACHINES, 0, "ports", 2], {"port": "vale1:fw"}), "port_twice", "vms_machines[0].ports[2]",
     "vms_machines[0].ports[0]"),
    (at([MACHINES, 0, "ports", 0, "mac"], "02:00:00:00:00:01"), "address_twice", "vms_machines[0].ports[0]",
     "vms_machines[1].ports[3]"),
    (at([MACHINES, 0, "management", "mac"], "02:00:00:00:00:01"), "address_twice", "vms_machines[0].management",
     "vms_machines[1].ports[3]"),
    (at([MACHINES, 0, "management", "forwards", 0, "host_port"], 10023), "forward_twice",
     "vms_machines[0].management.forwards[0] (VM fw, forward 127.0.0.1:10023)",
     "vms_machines[1].management.forwards[0]"),
    (at([MACHINES, 1, "management", "forwards", 1, "host_address"], "0.0.0.0"), "forward_twice",
     "vms_machines[1].management.forwards[1] (VM gw, forward 0.0.0.0:10022)", "vms_machines[0].management.forwards[0]"),
    (at([SWITCHES, 1, "interfaces", 0, "name"], "eth1"), "interface_twice", "ports_switches[1].interfaces[0]",
     "ports_switches[0].interfaces[0] (NIC eth1 on vale1)"),
    (at([SWITCHES, 1, "interfaces", 0, "name"], "host1"), "interface_twice", "ports_switches[1].interfaces[0]",
     "ports_switches[0].interfaces[1] (veth end leg on vale1)"),
    (at([PARENTS, 2], {"name": "v0"}), "interface_twice", "ports_pipe_parents[2] (parent v0)",
     "ports_switches[0].interfaces[2] (persistent port v0 on vale1)"),
    (at([PARENTS, 2], {"name": "pp0"}), "interface_twice", "ports_pipe_parents[2]", "ports_pipe_parents[0]"),
    (at([MACHINES, 0, "ports", 0, "port"], "vale1:v0"), "attached", "vms_machines[0].ports[0] (VM fw, port vale1:v0)",
     "ports_switches[0].interfaces[2] (persistent port v0 on vale1)"),
    (at([MACHINES, 0, "ports", 0], shared("v0")), "attached", "vms_machines[0].ports[0]",
     "ports_switches[0].interfaces[2]"),
    (at([MACHINES, 0, "ports", 0], shared("v0{1")), "attached", "vms_machines[0].ports[0]",
     "ports_switches[0].interfaces[2]"),
    (at([MACHINES, 2, "ports", 0, "port"], "netmap:eth2"), "attached", "vms_machines[2].ports[0]",
     "ports_switches[1].interfaces[0] (NIC eth2 on vale2)"),
    (at([MACHINES, 0, "ports", 0, "port"], "vale1:pp0"), "attached", "vms_machines[0].ports[0]",
     "ports_pipe_parents[0] (parent pp0)"),
    (at([MACHINES, 0, "ports", 0, "port"], "vale1:eth7"), "attached", "vms_machines[0].ports[0]",
     "the host (interface eth7)"),
    (at([MACHINES, 0, "ports", 0], shared("pp2{1")), "parent_undeclared", "vms_machines[0].ports[0]",
     "ports_pipe_parents (no pp2)"),
    (at([MACHINES, 2, "ports", 1, "port"], "vale3:11"), "parent_undeclared",
     "vms_machines[2].ports[2] (VM nic, port vale3:10{1)", "vms_machines[2].ports (VM nic, no port vale3:10)"),
    (at([MACHINES, 0, "ports", 1, "trust"], "private"), "memory_shared", "vms_machines[0].ports[1]",
     "vms_machines[1].ports[1] (VM gw, port pp0}1)"),
    (at([MACHINES, 2, "ports", 0, "trust"], "private"), "memory_shared", "vms_machines[2].ports[0]",
     "ports_switches[0].interfaces[0] (NIC eth1 on vale1)"),
    (at([SWITCHES, 0, "interfaces", 2, "memory"], "pp2"), "memory_undeclared", "ports_switches[0].interfaces[2]",
     "ports_pipe_parents (no pp2)"),
    (at([MACHINES, 1, "ports", 1, "port"], "pp0}2"), "pipe_unmatched", "vms_machines[0].ports[1]",
     "vms_machines[1].ports[1] (VM gw, port pp0}2)"),
    (at([SWITCHES, 1, "interfaces", 0, "name"], "eth77"), "interface_missing", "ports_switches[1].interfaces[0]",
     "the host (interfaces eth0, eth1"),
    (at([MACHINES, 2, "ports", 0, "port"], "eth77"), "interface_missing", "vms_machines[2].ports[0]", "the host"),
    (at([SWITCHES, 1, "interfaces", 0, "name"], "eth0"), "management", "ports_switches[1].interfaces[0]",
     "the host (interface eth0)"),
    (at([MACHINES, 2, "ports", 0, "port"], "eth0"), "management", "vms_machines[2].ports[0]",
     "the host (interface eth0)"),
    (at([MACHINES, 2, "ports"], [{"port": "vale1:a%d" % number} for number in range(14)]), "slots", None, None),
    (at([MACHINES, 2, "ports", 0, "kloop_tx"], False), "slots", None, None),
    (at(["ports_switches", 0, "interfaces", 1, "mac"], "02:00:00:00:00:01"), "address_twice",
     "ports_switches[0].interfaces[1] (veth end leg on vale1)", "vms_machines[1].ports[3]"),
    (at([MACHINES, 0, "disks", 0, "path"], "/srv/one"), None, None, None),
    (at([MACHINES, 0, "disks"], [{"path": "/srv/one"}, {"path": "/srv/one"}]), "disk_shared",
     "vms_machines[0].disks[1] (VM fw, disk /srv/one)", "vms_machines[0].disks[0]"),
    (shared_disk({}, {}), "disk_shared", "vms_machines[1].disks[0] (VM gw, disk /srv/one)", "vms_machines[0].disks[0]"),
    (shared_disk({"read_only": True}, {}), "disk_shared", "vms_machines[1].disks[0]", "vms_machines[0].disks[0]"),
    (shared_disk({"read_only": True}, {"read_only": True}), None, None, None),
    (crowded, "pipes_room", "netmap_parameters[priv_ring_num] (value 100)",
     "ports_pipe_parents[0] (parent pp0)"),
    (at([PARENTS, 2], {"name": "eth5"}), "interface_taken", "ports_pipe_parents[2] (parent eth5)",
     "the host (interface eth5)"),
    (at([SWITCHES, 0, "interfaces", 2, "name"], "eth5"), "interface_taken", "ports_switches[0].interfaces[2]",
     "the host (interface eth5)"),
    (at([SWITCHES, 0, "interfaces", 1, "peer"], "eth5"), "interface_taken", "ports_switches[0].interfaces[1]",
     "the host (interface eth5)"),
    (at([MACHINES, 0, "memory"], 1 << 19), "memory", "vms_machines[0] (VM fw, 524288 MiB)",
     "the host (memory 524288 MiB)"),
    (at([SWITCHES], [{"name": "vale%d" % number} for number in range(901)]), "pools", "ports_switches (901 in all)",
     "ports_pipe_parents (2 in all)"),
]
HYPERVISORS = {"slots": ("fork", "distribution")}


@pytest.mark.parametrize(("plant", "rule", "first", "second"), PLANTED)
def test_what_is_planted_is_found_and_names_both_places(plant, rule, first, second):
    declared = declaration()
    plant(declared)
    if rule is None:
        assert found(declared) == []
        return
    if rule == "slots":
        # Which QEMU there is, is not known here: what one of them takes is no contradiction.
        assert found(declared) == []
        refused = [found(dict(copy.deepcopy(declared), vms_hypervisor=kind)) for kind in ("fork", "distribution")]
        (one,) = sum(refused, [])
        first, second = "vms_machines[2].ports (VM nic", "vms_machines[2].hypervisor (VM nic, "
    else:
        facts = dict(FACTS, memory=1 << 19) if rule == "memory" else FACTS
        (one,) = found(declared, facts)
    assert one.rule == rule
    places = [str(place) for place in one.places]
    for wanted in (first, second):
        assert any(place.startswith(wanted) for place in places), places
    line = contradiction.told(one)
    assert line.isprintable()
    assert len(line) < 2000


def test_every_rule_is_planted():
    assert {rule for _plant, rule, *_places in PLANTED if rule} == {rule.id for rule in RULES}


def test_what_earlier_runs_made_is_not_in_the_way():
    made = [("leg", "veth"), ("host1", "veth"), ("v0", None), ("pp0", None), ("pp1", "")]
    facts = dict(FACTS, interfaces=FACTS["interfaces"] + [{"name": name, "driver": driver} for name, driver in made])
    assert found(declaration(), facts) == []


@pytest.mark.parametrize(("state", "left"), [
    ({"vms_state": "absent"}, ["interface_twice"]), ({"ports_state": "absent"}, ["name_twice"]),
    ({"vms_state": "absent", "ports_state": "absent"}, []), ({}, ["name_twice", "interface_twice"])])
def test_what_is_not_to_be_there_contradicts_nothing(state, left):
    declared = {MACHINES: [vm("fw", "vale1:1"), vm("fw", "vale1:2")], PARENTS: [{"name": "p0"}, {"name": "p0"}]}
    assert [one.rule for one in found(dict(declared, **state))] == left


def test_all_are_told_at_once():
    declared = declaration()
    for path, value in (
            ([MACHINES, 0, "ports", 0, "port"], "vale1:gw"), ([MACHINES, 1, "ports", 1, "port"], "pp0}2"),
            ([MACHINES, 2, "ports", 0, "port"], "eth0"), ([MACHINES, 2, "name"], "gw"),
            ([MACHINES, 0, "management", "forwards", 0, "host_port"], 10023),
            ([SWITCHES, 1, "interfaces", 0, "name"], "v0"),
            (["ports_processes", 0, "ports", 0, "port"], "vale1:v0"), ([PARENTS, 1, "name"], "p!"),
            (["netmap_parameters", "admode"], 3)):
        at(path, value)(declared)
    told = found(declared)
    assert [one.rule for one in told] == [
        FORM, FORM, "name_twice", "port_twice", "forward_twice", "interface_twice", "attached", "pipe_unmatched",
        "management", "parent_undeclared"]
    assert len(contradiction.message("hv1", told).splitlines()) == 12


def test_consent_is_heard():
    declared = declaration()
    declared[SWITCHES][1]["interfaces"][0]["name"] = "eth0"
    declared[MACHINES][2]["ports"][0]["port"] = "eth0"
    assert {one.rule for one in found(declared)} == {"management", "attached"}
    for variable in ("ports_allow_management", "vms_allow_management"):
        declared[variable] = "yes"
    assert {one.rule for one in found(declared)} == {"attached"}


def test_what_is_on_its_switch_already_may_carry_the_management():
    declared = {SWITCHES: [{"name": "vale1", "interfaces": [{"name": "leg", "kind": "veth", "peer": "host1"}]}]}
    carries = dict(FACTS, nics=[{"name": "leg", "carries": "the default route"}])
    assert [one.rule for one in found(declared, carries)] == ["management"]
    there = [{"name": "vale1", "ports": [{"name": "leg", "kind": "attached"}]}]
    assert found(declared, dict(carries, switches=there)) == []


def test_what_is_missing_proves_nothing_where_not_all_is_seen():
    declared = {MACHINES: [vm("fw", shared("pp0{1"))]}
    assert [one.rule for one in found(declared)] == ["parent_undeclared"]
    assert found(declared, complete=False) == []


@pytest.mark.parametrize(("variable", "item", "places", "text"), [
    (MACHINES, vm("Fw"), "vms_machines[0] (VM Fw)", "no name for a VM"),
    (MACHINES, vm("fw", "x^", "vale1:0123456789", "vale1:ok"), "vms_machines[0].ports[0] (VM fw, port x^)", "refused"),
    (MACHINES, vm("fw", "x^", "vale1:0123456789", "vale1:ok"), "vms_machines[0].ports[1]", "at most 15 characters"),
    (MACHINES, vm("fw", {"port": "vale1:1", "mac": "01:00:00:00:00:00"}), "vms_machines[0].ports[0]", "no station's"),
    (MACHINES, vm("fw", memory="much"), "vms_machines[0] (VM fw)", "convert to int"),
    (MACHINES, vm("fw", memory=1 << 40), "vms_machines[0] (VM fw)", "too large"),
    (MACHINES, vm("fw", *("vale1:%d" % number for number in range(300))), "vms_machines[0] (VM fw)", "at most 16"),
    (MACHINES, vm("fw", speed=1), "vms_machines[0] (VM fw)", "no option speed"),
    (MACHINES, {"ports": []}, "vms_machines[0] (VM without a name)", "missing required arguments: name"),
    (MACHINES, 7, "vms_machines[0] (VM)", "options by name"),
    (MACHINES, vm("fw", management=False), "vms_machines[0] (VM fw)", "another form than documented"),
    ("ports_processes", {"name": "web"}, "ports_processes[0] (port process web)", "has no ports"),
    ("ports_processes", {"name": "web", "ports": [{"port": "vale1:%d" % number} for number in range(16)]},
     "ports_processes[0] (port process web)", "too many PCI slots"),
    (SWITCHES, {"name": "br0"}, "ports_switches[0] (switch br0)", "expected: vale and"),
    (SWITCHES, {"name": "vale1", "interfaces": [{"name": "a-b"}]}, "ports_switches[0].interfaces[0]", "letters"),
    (SWITCHES, {"name": "vale1", "interfaces": [{"name": "ok"}, {"name": "v0", "tx_slots": 9}]},
     "ports_switches[0].interfaces[1]", "cannot be set"),
    (PARENTS, {"name": "p0", "pipes": 51}, "ports_pipe_parents[0] (parent p0)", "1 to 50"),
    ("netmap_nics", {"name": "eth1", "rings": 0}, "netmap_nics[0]", "1 to 1024"),
])
def test_what_cannot_be_read_is_told_and_left_out(variable, item, places, text):
    told = [contradiction.told(one) for one in found({variable: [item]}, {})]
    assert any(one.startswith(places) and text in one for one in told), told


def test_parameters_are_told_one_by_one():
    told = [contradiction.told(one) for one in found({"netmap_parameters": {"buf_num": 3, "bufs": 1, "verbose": 1}})]
    assert [one.split(":")[0] for one in told] == [
        "netmap_parameters[buf_num] (value 3)", "netmap_parameters[bufs] (value 1)"]


# Machines by the ports that they have, with names that never meet.
PORTS = st.lists(st.sampled_from(["vale", "master", "slave", "nic"]), min_size=1, max_size=5)


@st.composite
def declarations(draw):
    count, nics = itertools.count(), iter(["eth3", "eth4", "eth5", "eth6", "eth7", "eth8"])
    parents, machines = [], []

    def port(kind):
        number = next(count)
        if kind in ("master", "slave"):
            parents.append({"name": "q%d" % number})
            return "q%d%s1" % (number, "{" if kind == "master" else "}")
        nic = next(nics, None) if kind == "nic" else None
        return nic or "vale%d:x%d" % (number % 3, number)

    for index, kinds in enumerate(draw(st.lists(PORTS, max_size=6))):
        machines.append(vm("vm%d" % index, *map(shared, map(port, kinds)), memory=draw(st.integers(1, 4096)),
                           management=draw(st.none() | st.just({"forwards": [{"host_port": 2000 + index}]})),
                           hypervisor=draw(st.sampled_from(["auto", "fork", "distribution"]))))
        if machines[-1]["management"] is None:
            del machines[-1]["management"]
    attached = draw(st.sampled_from([[], [{"name": "eth1"}], [{"name": "s1", "kind": "veth", "peer": "h1"}]]))
    return {MACHINES: machines, PARENTS: parents, SWITCHES: [{"name": "vale1", "interfaces": attached}]}


@given(declarations())
def test_generated_declarations_pass(declared):
    assert found(declared) == []


@given(declarations().filter(lambda one: one[MACHINES]), st.data())
def test_a_port_of_a_generated_declaration_taken_twice_is_found(declared, data):
    owner = data.draw(st.sampled_from(range(len(declared[MACHINES]))))
    index = data.draw(st.sampled_from(range(len(declared[MACHINES][owner]["ports"]))))
    declared[MACHINES].append(vm("last", "vale1:last", declared[MACHINES][owner]["ports"][index]["port"]))
    (one,) = [one for one in found(declared) if one.rule == "port_twice"]
    assert [place.path for place in one.places] == [
        "vms_machines[%d].ports[1]" % (len(declared[MACHINES]) - 1), "vms_machines[%d].ports[%d]" % (owner, index)]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(
    ["name", "vale1", "eth1", "fw", "pp0{1", "p%d"])
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(["name", "ports", "port", "interfaces", "management", "forwards", "memory", "kind"]) | st.text(
        max_size=3), inner, max_size=4), max_leaves=12)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(VARIABLES, ANYTHING)))
def test_whatever_is_declared_is_told_and_never_an_accident(declared):
    for one in check(declared)[1]:
        assert contradiction.told(one).isprintable()
