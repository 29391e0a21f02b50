# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Topology files: what is wrong is told at once and where it stands; the schema for editors says the same."""

from __future__ import annotations

import copy
import json
import pathlib
import re

import jsonschema
import pytest
import yaml
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu.options import PTNET_VM
from ansible_collections.netmap.ptnet.plugins.module_utils.topology import fields, form, model
from ansible_collections.netmap.ptnet.plugins.module_utils.topology.problems import Mark, one_of, problem, report
from ansible_collections.netmap.ptnet.plugins.plugin_utils import topology_file
from hypothesis import given
from hypothesis import strategies as st

ROOT = pathlib.Path(__file__).parents[3]
EXAMPLES = sorted(ROOT.glob("examples/*.ptnet.yml"))
# Each level has the one before ten times.
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    "%s: &%s [%s]\n" % (one, one, ",".join(["*" + before] * 10)) for before, one in zip("abcdefgh", "bcdefghi"))
HEAD = "plugin: netmap.ptnet.topology\nname: lab\nhosts: {hv1: {}}\n"
TWO = HEAD.replace("}}", "}, hv2: {}}") + "vms: {a: {host: hv1, kernel: /k}, b: {host: hv2, kernel: /k}}\n"
MIRRORED = TWO + "links: [{type: pipe, endpoints: ['a:lan', 'host:x'], trust: shared}]\n"


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
    # Each of another kind; some lines have several.
    assert len(found) == 33
    assert {line for line, _column in places} == set(range(2, 36)) - {6, 10, 18, 28, 30, 33}
    for clash in ("first here, line 13:", "the host, line 5:", "the switch, line 7:", "the other one, line 19:",
                  "the other use, line 7:", "the other end, line 28:", "there first, line 30:"):
        assert clash in told, clash
    for near in ("did you mean fork?", "did you mean client?", "did you mean vale2?", "did you mean debian?",
                 "did you mean type?", "did you mean to?"):
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
    (HEAD + "vms: {[a]: {}}\n", "4:7", "a key of vms is a list"),
    (HEAD + "vms: {host: {}}\n", "4:7", "none of host, all"),
    (HEAD + "links: {}\n", "4:8", "expected: a list"),
    (HEAD + "links: [vale1]\n", "4:9", "expected: one switch with its endpoints"),
    (HEAD + "links: [{typ: pipe, endpoints: [a]}]\n", "4:10", "did you mean type?"),
    (HEAD + "links: [{endpoints: [a]}]\n", "4:9", "link 1 has no type"),
    (HEAD + "links: [{type: vale, endpoints: [a]}]\n", "4:9", "link 1 of type vale has no switch"),
    (HEAD + "vms: {a: {}}\nlinks: [{type: pipe, endpoints: [a, 'a:b'], switch: vale1, trust: shared}]\n", "5:45",
     "link 1 of type pipe has no 'switch'; expected: type, endpoints, trust, domain"),
    (HEAD + "links: [{type: pipe, endpoints: ['host:a', 'host:b'], trust: shared}]\n", "4:9", "no VM has an end"),
    (HEAD + "vms: {a: {}}\nlinks: [{type: pipe, endpoints: [a, host], trust: shared}]\n", "5:37", "no usable name"),
    (HEAD + "vms: {a: {}}\nlinks: [{type: pipe, endpoints: ['a:B', 'host:x'], trust: shared}]\n", "5:34", "label"),
    (HEAD + "links: [{type: cable, endpoints: ['hv1:eth1', hv1]}]\n", "4:47", "names no NIC"),
    (HEAD + "links: [{type: cable, endpoints: ['hv1:eth1']}]\n", "4:34", "found: 1; expected: exactly 2"),
    (HEAD + "vms: {a: {}}\nswitches: {vale1: {nics: [e1]}}\n"
     "links: [{type: nic, endpoints: [a, 'hv1:e1'], trust: shared}]\n", "6:36", "used twice"),
    ("plugin: netmap.ptnet.topology\nname: lab\nhosts: {}\n", "3:8", "hosts has too few names; found: 0"),
    ("plugin: netmap.ptnet.topology\nname: lab\n", "1:1", "has no hosts"),
    ("", "1:1", "nothing in the file"), ("[]", "1:1", "expected: a mapping"), ("a: [", "2:1", "no YAML"),
    ("a: 1\n---\nb: 2\n", "2:1", "a second document"), ("a: \x00b", "1:4", "no YAML"),
    ("[" * 100000, "1:41", "at most 40"), ("{a: " * 100000, "1:161", "at most 40"),
    ("a: " + "[" * 50 + "]" * 50, "1:43", "at most 40"), ("a: !!python/name:os.system x", "1:1", "has no 'a'"),
    (LAUGHS, "5:4", "300000 values"), ("a: &a [*a]", "1:8", "&a contains itself"),
    ("a: &lab 1\nb: *labb\n", "2:4", "the anchor &labb; did you mean lab?"),
    (HEAD + "vms: {\u00e4: \x07}\n", "4:10", "found: '\\x07'"), (HEAD + "vms: {a: '\ud800'}\n", "4:11", "ud800"),
    (HEAD + "vms: {a: {cpus: '2'}}\n", "4:17", "in quotes a number is text"),
    (HEAD + "vms: {a: {cpus: '{{ n }}'}}\n", "4:17", "this is a template"),
    (HEAD + "vms: {a: {<<: 5}}\n", "4:15", "<< is refused; found: a number"),
    (HEAD + "vms: {a: {<<: {cpus: 1, cpus: 2}}}\n", "4:25", "'cpus' stands twice"),
    (HEAD + "vms: {a: {disks: [{path: x, pth: y}]}}\n", "4:29", "did you mean path?"),
    (HEAD + "vms: {a: {disks: [{path: x, read_only: 1}]}}\n", "4:40", "expected: true or false"),
    (HEAD + "vms: {a: {disks: [{size: 1G}]}}\n", "4:19", "has no path"),
    (HEAD + "vms: {a: {disks: [{path: x/y}]}}\n", "4:26", "the name of a file of the VM's own"),
    (HEAD + "vms: {all: {}}\n", "4:7", "none of host, all"),
    ("plugin: netmap.ptnet.topology\nname: lab\nhosts: {netmap_guests: {}}\n", "3:9", "nor the name of a group"),
    (HEAD + "links: [{type: cable, endpoints: ['hv1:e1', 'hv1:e2']}, {type: cable, endpoints: ['hv1:e3', 'hv1:e1']}]\n",
     "4:93", "NIC e1 of hv1 has two cables"),
    (HEAD + "vms: {a: {}}\nlinks: [{type: nic, endpoints: [b, 'hv1:e1'], trust: shared}]\n", "5:33",
     "no such VM or host"),
    (HEAD + "vms: {a: {}}\nlinks: [{type: nic, endpoints: [a, 'host:x'], trust: shared}]\n", "5:36", "no program"),
    (HEAD + "vms: {a: {}}\nlinks: [{type: nic, endpoints: [a, a], trust: shared}]\n", "5:9", "2 VMs and 0 NICs"),
    (TWO + "links: [{type: nic, endpoints: [a, 'hv2:e'], trust: shared}]\n", "5:36", "VM a is on hv1"),
    (TWO + "links: [{type: pipe, endpoints: [a, b], trust: shared}]\n", "5:9", "a on hv1 and b on hv2"),
    (TWO + "links: [{type: pipe, endpoints: [a, 'host:x'], trust: shared, domain: d},\n"
     " {type: pipe, endpoints: [b, 'host:x'], trust: shared, domain: d}]\n", "6:2", "domain d would be on two hosts"),
    (TWO + "links: [{type: pipe, endpoints: [a, 'host:x'], trust: private}]\n", "5:55", "shares memory"),
    (TWO + "mirrors: [{of: 'a:x', to: 'host:y'}]\n", "5:16", "VM a has no port of that label"),
    (MIRRORED + "mirrors: [{of: 'a:lann', to: 'host:y'}]\n", "6:16", "did you mean lan?"),
    (MIRRORED + "mirrors: [{of: 'c:lan', to: 'host:y'}]\n", "6:16", "there is no such VM"),
    (MIRRORED + "mirrors: [{of: a, to: 'host:y'}]\n", "6:16", "expected: VM:LABEL"),
    (MIRRORED + "mirrors: [{of: 'a:lan'}]\n", "6:11", "mirror 1 has no to"),
    (MIRRORED + "mirrors: [{of: 'a:lan', to: b}]\n", "6:29", "VM b is on hv2"),
    (MIRRORED + "mirrors: [{of: 'a:lan', to: 'a:lan'}]\n", "6:29", "would be called lan"),
    (MIRRORED + "mirrors: [{of: 'a:lan', to: 'host:y'}]\n", "6:11", "a mirror cannot be had yet"),
    (TWO + "links: [{type: pipe, endpoints: [a, 'host:x'], trust: shared, domain: d}]\n", "5:9", "a domain of pipes"),
    (TWO.replace("hv1, ", "hv1, role: middlebox, "), "4:7", "the role middlebox cannot be had yet"),
])
def test_what_is_refused(text, place, told):
    found = wrong(text)
    assert any(where == place and told in what for where, what in found), found


def test_anchors_and_merged_keys_are_heard():
    text = HEAD + "vms:\n  a: &a {memory: 1G, cpus: 2, kernel: /k}\n  b: {<<: *a, cpus: 4}\n"
    topology, _plan = topology_file.read("lab.yml", text)
    assert topology.vms["b"].options == {"memory": 1024, "cpus": 4, "kernel": "/k"}


def test_what_was_refused_once_is_not_told_again_where_something_refers_to_it():
    found = wrong("plugin: netmap.ptnet.topology\nname: lab\nhosts: {hv1: {}, hv2: 7}\nswitches: {vale1: 7}\n"
                  "images: {old: {}}\n"
                  "vms: {a: {host: hv2}, B: {host: hv1}, c: 7, d: {host: 7}, e: {host: hv1, image: old}}\n"
                  "links: [{type: pipe, endpoints: [a, B], trust: shred}, {vale1: [c, d]}]\n"
                  "mirrors: [{of: 'e:lan', to: 'host:x'}]\n")
    # The label of e may be one of a link that could not be read.
    assert [place for place, _told in found] == ["3:23", "4:19", "5:15", "6:23", "6:42", "6:55", "7:48"]
    for section in ("hosts", "vms"):
        text = re.sub("%s: .*" % section, "%s: 7" % section, TWO) + (
            "links: [{type: nic, endpoints: [a, 'hv1:e'], trust: shared}, "
            "{type: pipe, endpoints: [a, b], trust: shared}]\n")
        assert [told for _place, told in wrong(text)] == ["%s is refused; found: '7'; expected: a mapping with names" %
                                                          section]


def test_of_a_nic_that_is_used_three_times_the_first_place_is_told_and_none_of_a_host_that_is_not_known():
    text = TWO + ("switches: {vale1: {host: %s, nics: [e]}, "
                  "vale2: {host: %s, nics: [e]}, vale3: {host: %s, nics: [e]}}\n")
    with pytest.raises(topology_file.Unusable) as caught:
        topology_file.read("lab.yml", text % ("hv1", "hv1", "hv1"))
    first = "     5 | " + text.splitlines()[4] % ("hv1", "hv1", "hv1") + "\n       | " + " " * 37 + "^"
    assert str(caught.value).count("the other use, line 5:\n" + first) == 2
    assert [told[:6] for _place, told in wrong(text % ("hv8", "hv8", "hv9"))] == ["switch"] * 3


def test_a_name_is_ambiguous_also_where_one_of_two_hosts_was_refused():
    told = wrong("plugin: netmap.ptnet.topology\nname: lab\nhosts: {hv1: {}, hv2: 7}\nvms: {a: {}}\n")
    assert ("4:7", "VM a names no host; expected: host: one of hv1") in told


def test_what_is_in_the_file_and_what_it_means():
    text = MIRRORED + "mirrors: [{of: 'a:lan', to: a}]\n" + (
        "defaults: {memory: 1G, cpus: 2, role: middlebox, disks: [{path: x, read_only: yes, serial: 'A-1'}]}\n")
    problems = []
    topology = model.read(topology_file.nodes(text, problems), problems)
    assert problems == []
    vm = topology.vms["a"]
    assert (vm.host, vm.role, vm.mark) == ("hv1", form.MIDDLEBOX, Mark(4, 7, 1))
    assert vm.options == {"memory": 1024, "cpus": 2, "kernel": "/k",
                          "disks": [{"path": "x", "read_only": True, "serial": "A-1"}]}
    (mirror,), (link,) = topology.mirrors, topology.links
    assert (mirror.host, mirror.of[1:], mirror.to[1:]) == ("hv1", ("a", "lan"), ("a", "a"))
    assert (link.kind, link.host, link.trust, link.domain) == (form.PIPE, "hv1", form.SHARED, None)
    assert [end[1:] for end in link.ends] == [("a", "lan"), (form.HOST, "x")]


def test_the_options_of_a_vm_are_those_of_the_module():
    assert set(form.VM) - set(PTNET_VM) == {"image", "role"}
    assert set(form.DISK.kinds) == set(PTNET_VM["disks"]["options"])


def test_a_report_has_its_limit_and_lists_are_cut():
    problems = [problem(Mark(1, column, 1), "wrong") for column in (3, 1, 2)]
    told = report("lab.yml", "abc", problems, 2)
    assert "lab.yml cannot be used: 3 problems." in told
    assert told.endswith("and 1 more")
    assert "1:3" not in told
    assert one_of(map(str, range(30))).endswith(" and 10 more")


@pytest.mark.parametrize("breaks", ["\n", "\r\n", "\r", "\x85", "\u2028"])
def test_the_line_that_is_told_is_the_one_that_is_shown(breaks):
    with pytest.raises(topology_file.Unusable) as caught:
        topology_file.read("lab.yml", "\ufeff" + (HEAD + "# \u00e4\U0001f600\nvms: {B: {}}\n").replace("\n", breaks))
    assert "5:7: " in str(caught.value)
    assert "     5 | vms: {B: {}}\n       |       ^" in str(caught.value)


def test_what_cannot_be_printed_is_escaped():
    with pytest.raises(topology_file.Unusable) as caught:
        topology_file.read("lab\x1b.yml", HEAD + 'vms: {"\\e[31m\u202e": {}}\n')
    assert "\x1b" not in str(caught.value)
    assert "\u202e" not in str(caught.value)
    assert "found: '\\x1b[31m\\u202e'" in str(caught.value)


def test_a_thousand_wrong_names_are_told_in_little_text():
    names = ", ".join("vm%d: {}" % number for number in range(1000))
    text = HEAD + "vms: {%s}\nswitches: {vale1: {}}\nlinks: [{vale1: [%s]}]\n" % (
        names, ", ".join("wm%d" % number for number in range(1000)))
    with pytest.raises(topology_file.Unusable) as caught:
        topology_file.read("lab.yml", text)
    assert "1000 problems" in str(caught.value)
    assert "did you mean vm1?" in str(caught.value)
    assert len(str(caught.value)) < 100000


def test_both_readers_of_yaml_tell_the_same(monkeypatch):
    text = pathlib.Path(__file__).with_name("faults.txt").read_text(encoding="utf-8")
    told = wrong(text)
    monkeypatch.setattr(topology_file, "LOADER", yaml.SafeLoader)
    assert wrong(text) == told


def scalars(node):
    """All scalars of a file, keys among them (iterator of Node)."""
    inner = {fields.MAP: lambda: [one for pair in node.value for one in pair], fields.LIST: lambda: node.value}
    for one in inner.get(node.kind, list)():
        yield from scalars(one)
    if node.kind not in inner:
        yield node


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_template_is_told_at_its_place_wherever_it_stands(path):
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for one in scalars(topology_file.nodes(text, [])):
        line, column, length = one.mark
        before = lines[line - 1]
        planted = [*lines[:line - 1], before[:column - 1] + "'{{ x }}'" + before[column - 1 + length:], *lines[line:]]
        assert "%d:%d" % (line, column) in [place for place, _told in wrong("\n".join(planted))], one


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
    optional=dict.fromkeys(("vms", "links", "switches", "images", "defaults", "mirrors"), TREES)).map(yaml.safe_dump))
def test_whatever_is_in_a_file_is_told_and_never_an_accident(text):
    assert used(text) in (True, False)


@given(st.sampled_from([path.read_text(encoding="utf-8") for path in EXAMPLES]), st.data())
def test_a_file_that_is_damaged_anywhere_is_told_and_never_an_accident(text, data):
    begin, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 30))
    inside = data.draw(st.text(max_size=5) | st.sampled_from(
        ["<<: *a", "&a ", "*a", "[", "{", "- ", ": ", "? ", "!!set ", "| ", "\n", "\ud800", "%", "---\n", "12:30"]))
    assert used(text[:begin] + inside + text[begin + length:]) in (True, False)


# Every key that there is, and every kind of link.
WHOLE = {
    "plugin": form.PLUGIN, "name": "lab", "defaults": {"image": "d13", "cpus": 1}, "hosts": {
        "hv1": {"ansible_host": "192.0.2.1", "ansible_port": 22, "ansible_user": "root", "memory": "4G", "cpus": 8},
        "hv2": None},
    "images": {"d13": {"path": "/i/d13", "format": "raw"}}, "switches": {"vale1": {"host": "hv1", "nics": ["eth1"]}},
    "vms": {"a": {"host": "hv1", "image": "d13", "role": "middlebox", "memory": 512, "cpus": 2, "cpu_quota": 50,
                  "allowed_cpus": "0,4-7", "io_weight": 100, "hypervisor": "fork", "machine": "q35", "firmware": "uefi",
                  "cpu": "host", "kernel": "/k", "initrd": "/i", "append": "a b", "disks": [
                      {"path": "x", "format": "raw", "backing": "/b", "backing_format": "raw", "size": "4G",
                       "read_only": True, "serial": "A"}]}},
    "links": [{"vale1": ["a", "host:tap"]}, {"type": "vale", "switch": "vale1", "endpoints": ["a:lan"]},
              {"type": "pipe", "endpoints": ["a", "b:x"], "trust": "shared", "domain": "d"},
              {"type": "nic", "endpoints": ["a", "hv1:eth2"], "trust": "shared"},
              {"type": "cable", "endpoints": ["hv1:eth1", "hv2:eth1"]}],
    "mirrors": [{"of": "a:lan", "to": "host:tap1"}]}
# No text with a number that is too large: of those a schema cannot tell.
OTHERS = st.sampled_from([
    None, True, -1, 0, 1, 256, 1.5, "", "no", "12:30", "512M", "2G", "2T", "02G", "512", "vale1", "br0", "a", "A",
    "host", "all", "a:b", "a:b:c", "/x", "/x y", "x/y", "{{ x }}", "{% x %}", "a\nb", "'", "ö", "shared", "private",
    "pipe", "vale", "cable", "raw", "x" * 40, [], ["a"], ["a", "b"], ["a", "b", "c"], {}, {"a": {}}, {"vale1": ["a"]},
    {"path": "/x"}])


def places(tree):
    """Where something can be changed (iterator of pairs of a collection and a key)."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield tree, key
        if isinstance(value, (dict, list)):
            yield from places(value)


def agreed(declared):
    """Whether a file has the right form (bool), which reader and schema say alike."""
    problems = []
    form.FILE.read(topology_file.nodes(yaml.safe_dump(declared), problems), problems, "")
    fits = jsonschema.Draft202012Validator(form.schema()).is_valid(declared)
    assert fits == (problems == []), problems
    return fits


def test_every_key_there_is_can_be_given():
    assert agreed(WHOLE)


@given(st.lists(st.tuples(st.integers(0, 10000), st.sampled_from(["other", "gone", "more"]), st.sampled_from(
    [*form.VM, *form.HOST_FIELDS, "type", "trust", "domain", "switch", "vale2", "speed", "no"]), OTHERS),
    min_size=1, max_size=2))
def test_the_schema_agrees_with_the_reader(changes):
    declared = copy.deepcopy(WHOLE)
    for number, what, name, value in changes:
        known = list(places(declared))
        collection, key = known[number % len(known)]
        if what == "other":
            collection[key] = copy.deepcopy(value)
        elif what == "gone":
            del collection[key]
        elif isinstance(collection, dict):
            collection[name] = copy.deepcopy(value)
    agreed(declared)


def test_the_schema_for_editors_is_current():
    assert json.loads((ROOT / "docs/topology.schema.json").read_text(encoding="utf-8")) == form.schema()
