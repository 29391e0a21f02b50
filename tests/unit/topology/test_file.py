# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Topology files: what is wrong is told at once and where it stands; the schema for editors says the same."""

from __future__ import annotations

import json
import pathlib
import re

import jsonschema
import pytest
import yaml
from ansible_collections.netmap.ptnet.plugins.module_utils.topology import form
from ansible_collections.netmap.ptnet.plugins.plugin_utils import topology_file
from hypothesis import given
from hypothesis import strategies as st

ROOT = pathlib.Path(__file__).parents[3]
EXAMPLES = sorted(ROOT.glob("examples/*.ptnet.yml"))
# Each level has the one before ten times.
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    "%s: &%s [%s]\n" % (one, one, ",".join(["*" + before] * 10)) for before, one in zip("abcdefgh", "bcdefghi"))
HEAD = "plugin: netmap.ptnet.topology\nname: lab\nhosts: {hv1: {}}\n"


def wrong(text):
    """What is told of a file (list of pairs of place and text)."""
    with pytest.raises(topology_file.Unusable) as caught:
        topology_file.read("lab.yml", text)
    return re.findall(r"^lab\.yml:(\d+:\d+): (.*)$", str(caught.value), re.MULTILINE)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_can_be_used_and_fit_the_schema(path):
    text = path.read_text(encoding="utf-8")
    topology, plan = topology_file.read(path.name, text)
    assert topology.links
    assert plan.guests
    jsonschema.validate(yaml.safe_load(text), form.schema())


def test_there_are_examples():
    assert len(EXAMPLES) == 5


def test_all_faults_of_a_file_are_told_in_one_run_each_with_its_line_and_a_caret():
    path = pathlib.Path(__file__).with_name("faults.txt")
    text = path.read_text(encoding="utf-8")
    with pytest.raises(topology_file.Unusable) as caught:
        topology_file.read("lab.yml", text)
    told = str(caught.value)
    found = re.findall(r"^lab\.yml:(\d+):(\d+): (.*)\n +(\d+) \| (.*)\n +\| ( *)(\^+)$", told, re.MULTILINE)
    assert "%d problems" % len(found) in told.splitlines()[0]
    lines = text.splitlines()
    places = [(int(line), int(column)) for line, column, *_rest in found]
    assert places == sorted(places)
    for line, column, _text, again, shown, blanks, _carets in found:
        assert line == again
        assert shown == lines[int(line) - 1]
        assert len(blanks) == int(column) - 1
    # One of each kind is planted; some lines have several.
    assert len(found) >= 27
    assert {line for line, _column in places} >= set(range(2, 28)) - {6, 10, 18}
    for clash in ("first here, line 13:", "the host, line 5:", "the switch, line 7:", "the other one, line 19:",
                  "the other use, line 7:"):
        assert clash in told, clash
    for near in ("did you mean fork?", "did you mean client?", "did you mean vale2?", "did you mean debian?"):
        assert near in told


@pytest.mark.parametrize(("text", "place", "told"), [
    (HEAD + "vms: {no: {}}\n", "4:7", "true or false, quote it"),
    (HEAD + "vms: {12: {}}\n", "4:7", "a number, quote it"),
    (HEAD + "vms: {12:30: {}}\n", "4:7", "a number, quote it"),
    (HEAD + "vms: {1.5: {}}\n", "4:7", "a fraction, quote it"),
    (HEAD + "vms: {null: {}}\n", "4:7", "nothing, quote it"),
    (HEAD + "vms: {a: {cpus: 010}}\n", "4:17", "found: '010'"),
    (HEAD + "vms: {a: {memory: 0x10}}\n", "4:19", "found: '0x10'"),
    (HEAD + "vms: {a: {memory: 20000000}}\n", "4:19", "16777216M"),
    (HEAD + "vms: {a: {firmware: '{{ x }}'}}\n", "4:21", "template"),
    (HEAD + "vms: []\n", "4:6", "expected: a mapping with names"),
    (HEAD + "vms: {a: 7}\n", "4:10", "expected: a mapping with host"),
    (HEAD + "vms: {[a]: {}}\n", "4:7", "a key of vms of the file is a list"),
    (HEAD + "vms: {host: {}}\n", "4:7", "no VM can be called host"),
    (HEAD + "links: {}\n", "4:8", "expected: a list"),
    (HEAD + "links: [vale1]\n", "4:9", "expected: a mapping"),
    (HEAD + "links: [{type: vale, endpoints: [a]}]\n", "4:9", "names no switch"),
    (HEAD + "vms: {a: {}}\nlinks: [{type: pipe, endpoints: [a, 'a:b'], switch: vale1, trust: shared}]\n", "5:53",
     "has no switch"),
    (HEAD + "links: [{type: pipe, endpoints: ['host:a', 'host:b'], trust: shared}]\n", "4:9", "no VM has an end"),
    (HEAD + "vms: {a: {}}\nlinks: [{type: pipe, endpoints: [a, host], trust: shared}]\n", "5:37", "no usable name"),
    (HEAD + "vms: {a: {}}\nlinks: [{type: pipe, endpoints: ['a:B', 'host:x'], trust: shared}]\n", "5:34", "label"),
    (HEAD + "links: [{type: cable, endpoints: ['hv1:eth1', hv1]}]\n", "4:47", "names no NIC"),
    (HEAD + "links: [{type: cable, endpoints: ['hv1:eth1']}]\n", "4:9", "two ends"),
    (HEAD + "vms: {a: {}}\nswitches: {vale1: {nics: [e1]}}\n"
     "links: [{type: nic, endpoints: [a, 'hv1:e1'], trust: shared}]\n", "6:36", "used twice"),
    ("plugin: netmap.ptnet.topology\nname: lab\nhosts: {}\n", "1:1", "there is no host"),
    ("plugin: netmap.ptnet.topology\nname: lab\n", "1:1", "has no hosts"),
    ("", "1:1", "nothing in the file"), ("[]", "1:1", "expected: a mapping"), ("a: [", "2:1", "no YAML"),
    ("a: 1\n---\nb: 2\n", "2:1", "no YAML"), ("a: \x00b", "1:4", "no YAML"), ("[" * 500, "2:1", "no YAML"),
    ("a: " + "[" * 50 + "]" * 50, "1:1", "40 levels"), ("a: !!python/name:os.system x", "1:1", "has no 'a'"),
    (LAUGHS, "1:1", "1000000 values"),
])
def test_what_is_refused(text, place, told):
    found = wrong(text)
    assert any(where == place and told in what for where, what in found), found


def test_anchors_and_merged_keys_are_heard():
    text = HEAD + "vms:\n  a: &a {memory: 1G, cpus: 2, kernel: /k}\n  b: {<<: *a, cpus: 4}\n"
    topology, _plan = topology_file.read("lab.yml", text)
    assert topology.vms["b"].options == {"memory": 1024, "cpus": 4, "kernel": "/k"}


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(
    ["hv1", "vale1", "fw", "fw:lan", "host:x", "hv1:eth1", "pipe", "nic", "cable", "shared", "512M", form.PLUGIN])
KEYS = st.sampled_from(["plugin", "name", "hosts", "vms", "links", "switches", "images", "defaults", "type", "trust",
                        "endpoints", "host", "nics", "memory", "vale1", "hv1", "fw"]) | st.text(max_size=3)
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
                     max_leaves=20)


def used(text):
    """Whether a file can be used (bool); whatever it is, it is told in words."""
    try:
        topology_file.read("lab.yml", text)
    except topology_file.Unusable:
        return False
    return True


@given(st.text() | TREES.map(yaml.safe_dump) | st.fixed_dictionaries(
    {"plugin": st.just(form.PLUGIN), "name": st.just("lab"), "hosts": st.just({"hv1": {}})},
    optional=dict.fromkeys(("vms", "links", "switches", "images", "defaults"), TREES)).map(yaml.safe_dump))
def test_whatever_is_in_a_file_is_told_and_never_an_accident(text):
    assert used(text) in (True, False)


VALUES = {"memory": st.sampled_from([512, "1G", 0, "12T", True, None, []]),
          "cpus": st.sampled_from([1, 255, 0, 256, "x"]),
          "firmware": st.sampled_from(["bios", "uefi", "efi", 1]), "initrd": st.sampled_from(["/k", "k", "/a b", 5]),
          "append": st.sampled_from(["a b", "a\nb", 7]), "speed": st.just(1)}


@given(st.fixed_dictionaries({"kernel": st.just("/k")}, optional=VALUES))
def test_the_schema_agrees_with_the_reader(options):
    declared = {"plugin": form.PLUGIN, "name": "lab", "hosts": {"hv1": None}, "vms": {"a": options}}
    fits = jsonschema.Draft202012Validator(form.schema()).is_valid(declared)
    assert used(yaml.safe_dump(declared)) == fits


def test_the_schema_for_editors_is_current():
    assert json.loads((ROOT / "docs/topology.schema.json").read_text(encoding="utf-8")) == form.schema()
