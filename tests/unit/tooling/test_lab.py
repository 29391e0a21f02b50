# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The knobs of ``make lab``, and what it does before and after the playbooks."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import time

import pytest
import yaml
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError

ROOT = pathlib.Path(__file__).parents[3]
KNOBS = ("SOURCE_NETMAP", "COMMIT_NETMAP", "SOURCE_QEMU", "COMMIT_QEMU", "FROM", "ACCELERATOR", "MEMORY", "CPUS",
         "SNAPSHOT", "MIRROR", "CHECK_SECONDS", "LAB_CACHE", "VERBOSE")


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """tests/lab.py with no knob set and a cache of its own."""
    for name in KNOBS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("lab_of_the_test", ROOT / "tests/lab.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_knobs_the_roles_defaults_count(lab, tmp_path, monkeypatch):
    assert lab.variables() == {"lab_cache": str(tmp_path / "cache")}
    for name in set(KNOBS) - {"LAB_CACHE"}:
        monkeypatch.setenv(name, "")
    assert lab.variables() == {"lab_cache": str(tmp_path / "cache")}


@pytest.mark.parametrize(("knob", "text", "variable", "value"), [
    ("MEMORY", "3072", "lab_memory", 3072),
    ("CPUS", "1", "lab_cpus", 1),
    ("CHECK_SECONDS", "60", "check_seconds", 60),
    ("ACCELERATOR", "tcg", "lab_accelerator", "tcg"),
    ("SNAPSHOT", "no", "lab_snapshot", False),
    ("SNAPSHOT", "yes", "lab_snapshot", True),
    ("MIRROR", "http://mirror.example/debian", "lab_mirror", "http://mirror.example/debian"),
    ("SOURCE_NETMAP", "https://example.org/netmap.git", "netmap_source", "https://example.org/netmap.git"),
    ("COMMIT_NETMAP", "v1", "netmap_commit", "v1"),
    ("SOURCE_QEMU", "host:qemu.git", "qemu_source", "host:qemu.git"),
    ("COMMIT_QEMU", "v2", "qemu_commit", "v2"),
])
def test_each_knob_is_a_variable(lab, monkeypatch, knob, text, variable, value):
    monkeypatch.setenv(knob, text)
    given = lab.variables()
    assert given.pop("lab_cache")
    assert given == {variable: value}


@pytest.mark.parametrize(("knob", "text", "allowed"), [
    ("MEMORY", "1023", "1024 to 65536"), ("MEMORY", "2G", "1024 to 65536"), ("MEMORY", "-2048", "1024 to 65536"),
    ("CPUS", "0", "1 to 64"), ("CPUS", "2.5", "1 to 64"), ("CPUS", "\u00b2", "1 to 64"),
    ("CHECK_SECONDS", "0", "1 to 60"), ("CHECK_SECONDS", "61", "1 to 60"),
    ("ACCELERATOR", "hvf", "auto, kvm, tcg"), ("SNAPSHOT", "off", "yes, no"),
    ("FROM", "guests", "lab, host, guest, check"),
])
def test_a_knob_that_cannot_be_is_refused_with_what_can(lab, monkeypatch, knob, text, allowed):
    monkeypatch.setenv(knob, text)
    with pytest.raises(PtnetError) as caught:
        lab.variables()
    for part in (knob, text, allowed):
        assert part in caught.value.message


def test_a_source_beside_the_caller_is_found_from_elsewhere(lab, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("SOURCE_NETMAP", "mine")
    monkeypatch.setenv("SOURCE_QEMU", "./qemu.tar.gz")
    given = lab.variables()
    assert (given["netmap_source"], given["qemu_source"]) == (str(tmp_path / "mine"), "./qemu.tar.gz")


def test_every_variable_is_one_that_a_role_or_the_labs_playbook_reads(lab, monkeypatch):
    for name, text in zip(KNOBS, ("a", "b", "c", "d", "lab", "tcg", "2048", "2", "no", "e", "3")):
        monkeypatch.setenv(name, text)
    read = (ROOT / "playbooks/vars/lab.yml").read_text()
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        read += " ".join(yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"])
    given = lab.variables()
    assert len(given) == 11
    assert [name for name in given if not re.search(r"\b%s\b" % name, read)] == []


def test_the_makefile_passes_every_knob_on_and_explains_it():
    makefile = (ROOT / "Makefile").read_text()
    exported = " ".join(re.findall(r"^export (.*)$", makefile.replace("\\\n", " "), re.MULTILINE)).split()
    explained = " ".join(re.findall(r"^#\|(.*)$", makefile, re.MULTILINE))
    for name in KNOBS:
        assert name in exported
        assert re.search(r"\b%s\b" % name, explained)


def test_the_cache_is_the_users(lab, monkeypatch):
    monkeypatch.delenv("LAB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert lab.cache() == "/somewhere/netmap-ptnet"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert lab.cache() == "/home/me/.cache/netmap-ptnet"


def test_sources_are_looked_for_before_anything_is_started(lab, monkeypatch, capsys):
    asked = []

    def unreachable(source, commit, _store):
        asked.append((source, commit))
        return None if commit == "v1" else "%s: no such host" % source
    monkeypatch.setattr(lab, "unreachable", unreachable)
    reasons = lab.sources_unreachable({"netmap_source": "https://example.org/netmap.git", "netmap_commit": "v1"})
    assert sorted(asked) == sorted([("https://example.org/netmap.git", "v1"), lab.defaults("qemu_build")])
    assert list(reasons) == ["SOURCE_QEMU"]
    lab.explain_unreachable(reasons)
    said = capsys.readouterr().out
    assert "no such host" in said
    assert "make lab SOURCE_QEMU=DIRECTORY" in said
    assert "SOURCE_NETMAP" not in said


def test_an_unreachable_source_ends_the_run_with_a_status_of_its_own(lab, monkeypatch):
    monkeypatch.setattr(lab, "unreachable", lambda *_arguments: "no such host")
    monkeypatch.setattr(lab, "play", None)
    assert lab.up() == lab.UNREACHABLE_STATUS


@pytest.mark.parametrize(("start", "arguments", "looked_for"), [
    (None, (), True), ("lab", (), True), ("host", ("--skip-tags", "lab"), True),
    ("check", ("--skip-tags", "lab,host,guest"), False)])
def test_from_skips_the_steps_before_it(lab, monkeypatch, start, arguments, looked_for):
    played, asked = [], []
    monkeypatch.setattr(lab, "unreachable", lambda *one: asked.append(one))
    monkeypatch.setattr(lab, "play", lambda *words: played.append((words[0], words[2:])) or 0)
    if start:
        monkeypatch.setenv("FROM", start)
    assert lab.up() == 0
    assert played == [("lab.yml", arguments)]
    assert bool(asked) is looked_for


@pytest.mark.parametrize(("failure", "told"), [
    ({"host": "hv1", "task": "Look at the host", "action": "netmap.ptnet.netmap_info", "unreachable": True}, "hv1"),
    ({"host": "vm1", "task": "Wait until the guest answers", "action": "ansible.builtin.wait_for_connection"}, "vm1"),
    ({"host": "hv1", "task": "Build netmap", "action": "netmap.ptnet.netmap_build", "unreachable": False}, ""),
    ({}, ""),
    (None, ""),
])
def test_only_a_machine_that_does_not_answer_counts_as_a_hang(lab, failure, told):
    path = pathlib.Path(lab.failure_file("lab"))
    path.parent.mkdir(parents=True)
    if failure is not None:
        path.write_text(json.dumps(failure))
    said = lab.hung("lab")
    assert told in said
    assert bool(said) is bool(told)


def test_what_a_run_left_behind_ends_and_nothing_else(lab):
    def start(mark):
        environment = dict(os.environ, **({lab.RUN_MARK: mark} if mark else {}))
        process = subprocess.Popen(["sh", "-c", "read line"], stdin=subprocess.PIPE, env=environment)
        # Popen returns a moment before the kernel shows the new environment.
        while not pathlib.Path("/proc/%d/environ" % process.pid).read_bytes():
            time.sleep(0.001)
        return process
    run = "unit-%d" % os.getpid()
    ours, other, unmarked = start(run), start(run + "0"), start(None)
    try:
        lab.end_marked(run)
        assert ours.wait(timeout=10) < 0
        assert (other.poll(), unmarked.poll()) == (None, None)
    finally:
        for process in (ours, other, unmarked):
            process.stdin.close()
            process.wait()
