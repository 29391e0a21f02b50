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
         "SNAPSHOT", "MIRROR", "CHECK_SECONDS", "SUITE", "HYPERVISOR", "LAB_CACHE", "LAB_NAME", "VERBOSE",
         "REHEARSAL")


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """tests/lab.py with no knob set and a cache of its own."""
    for name in KNOBS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
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
    ("SUITE", "bookworm", "lab_suite", "bookworm"), ("HYPERVISOR", "both", "lab_hypervisor", "both"),
    ("LAB_NAME", "second", "lab_name", "second"),
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
    ("ACCELERATOR", "hvf", "auto, kvm, tcg"), ("SNAPSHOT", "off", "yes, no"), ("REHEARSAL", "auto", "yes, no"),
    ("LAB_NAME", "../x", "lower-case letters"), ("LAB_NAME", "a.b", "lower-case letters"),
    ("FROM", "guests", "lab, host, guest, check"), ("SUITE", "sid", "bookworm, trixie"),
])
def test_a_knob_that_cannot_be_is_refused_with_what_can(lab, monkeypatch, knob, text, allowed):
    monkeypatch.setenv(knob, text)
    with pytest.raises(PtnetError) as caught:
        lab.variables()
    for part in (knob.replace("LAB_NAME", "name of a lab"), text, allowed):
        assert part in caught.value.message


def test_a_source_beside_the_caller_is_found_from_elsewhere(lab, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("SOURCE_NETMAP", "mine")
    monkeypatch.setenv("SOURCE_QEMU", "./qemu.tar.gz")
    given = lab.variables()
    assert (given["netmap_source"], given["qemu_source"]) == (str(tmp_path / "mine"), "./qemu.tar.gz")


def test_every_variable_is_one_that_a_role_or_the_labs_playbook_reads(lab, monkeypatch):
    for name, text in zip(KNOBS, ("a", "b", "c", "d", "lab", "tcg", "2048", "2", "no", "e", "3", "trixie", "both")):
        monkeypatch.setenv(name, text)
    read = (ROOT / "playbooks/vars/lab.yml").read_text()
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        read += " ".join(yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"])
    given = lab.variables()
    assert len(given) == 13
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
    reasons = lab.sources_unreachable({"netmap_source": "https://example.org/netmap.git", "netmap_commit": "v1",
                                       "lab_suite": "bookworm"})
    assert sorted(asked) == sorted([("https://example.org/netmap.git", "v1"), lab.defaults("qemu_build")])
    assert list(reasons) == ["SOURCE_QEMU"]
    lab.explain_unreachable(reasons)
    said = capsys.readouterr().out
    assert "no such host" in said
    assert "make lab SOURCE_QEMU=DIRECTORY" in said
    assert "SOURCE_NETMAP" not in said


def test_every_suite_has_its_packages_and_one_of_them_is_the_default(lab):
    choices = lab.role("meta/argument_specs.yml")["argument_specs"]["main"]["options"]["lab_suite"]["choices"]
    assert choices == sorted(lab.role("vars/main.yml")["__lab_suite_packages"])
    assert lab.suite({}) in choices
    assert [suite for suite in choices if lab.has_qemu({"lab_suite": suite})] == ["trixie"]


@pytest.mark.parametrize(("given", "kinds"), [
    ({"lab_suite": "trixie"}, ["NETMAP"]), ({"lab_suite": "bookworm"}, ["NETMAP", "QEMU"]),
    ({"lab_suite": "trixie", "lab_hypervisor": "fork"}, ["NETMAP", "QEMU"]),
    ({"lab_suite": "trixie", "lab_hypervisor": "both"}, ["NETMAP", "QEMU"]),
    ({"lab_suite": "trixie", "lab_hypervisor": "distribution"}, ["NETMAP"])])
def test_the_forks_source_is_looked_for_where_it_is_compiled(lab, monkeypatch, given, kinds):
    monkeypatch.setattr(lab, "unreachable", lambda *_arguments: "no such host")
    assert list(lab.sources_unreachable(given)) == ["SOURCE_" + kind for kind in kinds]


@pytest.mark.parametrize("knobs", [{"REHEARSAL": "no"}, {"SOURCE_QEMU": "https://example.org/qemu.git"},
                                   {"COMMIT_NETMAP": "v1"}])
def test_an_unreachable_source_ends_the_run_with_a_status_of_its_own(lab, monkeypatch, capsys, knobs):
    for name, text in knobs.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setattr(lab, "unreachable", lambda *_arguments: "no such host")
    monkeypatch.setattr(lab, "play", None)
    assert lab.up() == lab.UNREACHABLE_STATUS == 3
    assert "Ways out" in capsys.readouterr().out


def played(lab, monkeypatch, verdict, reason=None):
    """Have the playbooks end well with this verdict of the check. Returns the variables they got (list of dict)."""
    seen = []

    def play(_name, given, *_arguments):
        seen.append(given)
        folder = pathlib.Path(lab.report_folder())
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(json.dumps({"verdict": verdict}))
        return 0
    monkeypatch.setattr(lab, "unreachable", lambda *_arguments: reason)
    monkeypatch.setattr(lab, "play", play)
    return seen


@pytest.mark.parametrize(("suite", "made", "packages"), [
    ("trixie", "trixie", None), ("bookworm", "bookworm", ["qemu-system-x86"]), ("", "bookworm", ["qemu-system-x86"])])
def test_without_upstream_it_is_a_rehearsal_on_the_doubles(lab, monkeypatch, capsys, suite, made, packages):
    monkeypatch.setenv("SUITE", suite)
    seen = played(lab, monkeypatch, "rehearsed", "no such host")
    monkeypatch.setattr(lab, "remove", lambda _lab: None)
    assert lab.up() == 0
    (given,) = seen
    for name in ("netmap_source", "qemu_source"):
        assert (pathlib.Path(given[name]) / "configure").is_file()
    # The distribution's QEMU, which the double of the fork runs, is in one of the images already.
    assert (given["lab_suite"], given.get("lab_image_packages")) == (made, packages)
    lines = capsys.readouterr().out.splitlines()
    assert lines.index("Ways out:") < next(n for n, line in enumerate(lines) if "rehearsal" in line)
    assert lines[-1].startswith("make lab: rehearsed on doubles, datapath not proven, after")


def test_a_rehearsal_can_be_forced_and_looks_for_no_source(lab, monkeypatch):
    seen = played(lab, monkeypatch, "rehearsed")
    monkeypatch.setattr(lab, "remove", lambda _lab: None)
    monkeypatch.setattr(lab, "unreachable", None)
    monkeypatch.setenv("REHEARSAL", "yes")
    assert lab.up() == 0
    assert seen[0]["netmap_source"].endswith("tests/doubles/netmap")


def test_a_forced_rehearsal_with_a_source_is_refused(lab, monkeypatch):
    monkeypatch.setenv("REHEARSAL", "yes")
    monkeypatch.setenv("SOURCE_NETMAP", "https://example.org/netmap.git")
    with pytest.raises(PtnetError, match="SOURCE_NETMAP"):
        lab.up()


def test_doubles_and_upstream_never_share_machines(lab, monkeypatch):
    removed, reasons = [], [None]
    seen = played(lab, monkeypatch, "passed")
    monkeypatch.setattr(lab, "unreachable", lambda *_arguments: reasons[0])
    monkeypatch.setattr(lab, "remove", removed.append)
    monkeypatch.setenv("FROM", "host")
    arguments = []
    play = lab.play
    monkeypatch.setattr(lab, "play", lambda *words: arguments.append(words[2:]) or play(*words))
    for reason in (None, None, "no such host", "no such host", None):
        reasons[0] = reason
        assert lab.up() == 0
    # The first time nobody knows whose machines there are.
    assert removed == ["lab", "lab", "lab"]
    # Machines that are gone have to be made again, wherever the run was to start.
    skip = ("--skip-tags", "lab")
    assert arguments == [(), skip, (), skip, ()]
    assert ["netmap_source" in given for given in seen] == [False, False, True, True, False]


def test_another_suite_starts_from_fresh_machines(lab, monkeypatch):
    removed, arguments = [], []
    played(lab, monkeypatch, "passed")
    play = lab.play
    monkeypatch.setattr(lab, "remove", removed.append)
    monkeypatch.setattr(lab, "play", lambda *words: arguments.append(words[2:]) or play(*words))
    monkeypatch.setenv("FROM", "host")
    default = lab.suite({})
    (other,) = {"bookworm", "trixie"} - {default}
    # Named or not, the default is the same.
    for suite in ("", default, other, other, ""):
        monkeypatch.setenv("SUITE", suite)
        assert lab.up() == 0
    assert arguments == [(), ("--skip-tags", "lab"), (), ("--skip-tags", "lab"), ()]
    assert removed == ["lab"] * 3


@pytest.mark.parametrize(("verdict", "said"), [("passed", "make lab: proven"), ("rehearsed", "make lab: rehearsed")])
def test_the_last_line_goes_by_what_the_machines_told(lab, monkeypatch, capsys, verdict, said):
    # The lab that FROM=check meets may be of either kind, whatever can be reached now.
    monkeypatch.setenv("FROM", "check")
    seen = played(lab, monkeypatch, verdict)
    assert lab.up() == 0
    assert "netmap_source" not in seen[0]
    assert capsys.readouterr().out.splitlines()[-1].startswith(said)


@pytest.mark.parametrize(("start", "arguments", "looked_for"), [
    (None, (), True), ("lab", (), True), ("host", ("--skip-tags", "lab"), True),
    ("check", ("--skip-tags", "lab,host,guest"), False)])
def test_from_skips_the_steps_before_it(lab, monkeypatch, start, arguments, looked_for):
    ran, asked = [], []
    played(lab, monkeypatch, "passed")
    lab.changed_sides(lab.side({}))
    play = lab.play
    monkeypatch.setattr(lab, "unreachable", lambda *one: asked.append(one))
    monkeypatch.setattr(lab, "play", lambda *words: ran.append((words[0], words[2:])) or play(*words))
    if start:
        monkeypatch.setenv("FROM", start)
    assert lab.up() == 0
    assert ran == [("lab.yml", arguments)]
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


def test_an_emulator_that_ended_is_told_with_its_last_words(lab):
    path = pathlib.Path(lab.failure_file("lab"))
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"host": "vm1", "task": "Ping", "unreachable": True}))
    for name, log in (("one/hv1", "a\nassertion failed"), ("lab/hv1", "begin\nassertion failed"), ("lab/hv2", None)):
        folder = pathlib.Path(lab.cache(), "machines", name)
        folder.mkdir(parents=True)
        (folder / "machine.json").write_text("{}")
        if log:
            (folder / "emulator.log").write_text(log)
    assert lab.hung("lab").split("; ") == [
        "vm1 did not answer (Ping)", "the emulator of hv1 ended, its last words: assertion failed",
        "the emulator of hv2 ended, its last words: nothing"]


@pytest.mark.parametrize(("task", "error", "told"), [
    ("check: Fail where a receiver saw nothing", "vm1 does not answer: Connection closed", "vm1 does not answer"),
    ("check: Fail where a receiver saw nothing", "no packet came", ""),
    ("vms: Have the virtual machines as services", "vm1 does not answer: Connection closed", ""),
])
def test_a_machine_that_goes_silent_in_the_check_counts_as_a_hang(lab, tmp_path, task, error, told):
    path = pathlib.Path(lab.failure_file("lab"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"host": "hv1", "task": task, "action": "ansible.builtin.assert"}))
    assert lab.hung("lab", str(tmp_path)) == ""
    (tmp_path / "results.json").write_text(json.dumps({"cases": [{}, {"error": error}]}))
    assert lab.hung("lab", str(tmp_path)) == told


@pytest.fixture
def begin():
    """Start a process of a run (its mark, None for none); it waits for its standard input to end."""
    started = []

    def start(lab, mark):
        environment = dict(os.environ, **({lab.RUN_MARK: mark} if mark else {}))
        process = subprocess.Popen(["sh", "-c", "read line"], stdin=subprocess.PIPE, env=environment)
        started.append(process)
        # Popen returns a moment before the kernel shows the new environment.
        while not pathlib.Path("/proc/%d/environ" % process.pid).read_bytes():
            time.sleep(0.001)
        return process
    yield start
    for process in started:
        process.stdin.close()
        process.wait()


def test_what_a_run_left_behind_ends_and_nothing_else(lab, begin):
    run = lab.run_mark("lab")
    ours, other, unmarked = begin(lab, run), begin(lab, run + "0"), begin(lab, None)
    lab.end_marked(run)
    assert ours.wait(timeout=10) < 0
    assert (other.poll(), unmarked.poll()) == (None, None)


def test_going_down_ends_the_runs_of_its_own_cache_or_lab(lab, begin, monkeypatch, tmp_path):
    """It was every run of this user, whichever checkout's."""
    ours, second, tests = (begin(lab, lab.run_mark(name)) for name in ("lab", "second", "tests"))
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache:2"))
    other = begin(lab, lab.run_mark("lab"))
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LAB_NAME", "second")
    lab.down()
    assert second.wait(timeout=10) < 0
    assert (ours.poll(), tests.poll(), other.poll()) == (None, None, None)
    monkeypatch.setenv("LAB_NAME", "")
    lab.down()
    assert (ours.wait(timeout=10), tests.wait(timeout=10)) == (-15, -15)
    assert other.poll() is None


def test_going_down_removes_the_machines_of_its_cache_and_tells_of_others(lab, tmp_path, monkeypatch, capsys):
    killed = []
    cache = tmp_path / "cache"
    theirs, first = "/elsewhere/machines/lab/hv1", str(cache / "machines/lab-hv1")
    folders = [str(cache / "machines" / name) for name in ("lab/hv1", "lab-2/hv1")]
    alive = dict.fromkeys([*folders, first, theirs], [4711])
    for folder in folders:
        os.makedirs(folder)
    (cache / "inventory").mkdir()
    for name in ("lab", "lab-2", "controller"):
        (cache / "inventory" / (name + ".yml")).touch()
    monkeypatch.setattr(lab.processes, "machines", lambda folders=None: {
        folder: pids for folder, pids in alive.items() if folder not in killed and (not folders or folder in folders)})
    monkeypatch.setattr(lab.processes, "kill", killed.extend)
    lab.remove("lab")
    # The other lab's name begins with this one's: it was taken for its machine.
    assert (killed, sorted(os.listdir(cache / "inventory"))) == (folders[:1], ["controller.yml", "lab-2.yml"])
    lab.down()
    assert sorted(killed) == sorted([*folders, first])
    assert "left alone: %s; `make lab-down LAB_CACHE=/elsewhere`" % theirs in capsys.readouterr().out


def test_two_runs_on_one_lab_are_refused_and_on_two_labs_are_not(lab, monkeypatch, tmp_path):
    with lab.alone("lab"):
        with pytest.raises(PtnetError, match="another run on the lab lab in .*LAB_NAME or LAB_CACHE"), lab.alone("lab"):
            pass
        with lab.alone("lab-2"):
            pass
        monkeypatch.setenv("LAB_CACHE", str(tmp_path / "other"))
        with lab.alone("lab"):
            pass
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    with lab.alone("lab"):
        pass


def test_two_labs_share_no_report_no_socket_and_no_inventory(lab, monkeypatch, tmp_path):
    found = []
    for cache, name in (("", ""), ("", "second"), ("a", ""), ("a", "second"), ("b", "second")):
        monkeypatch.setenv("LAB_CACHE", cache and str(tmp_path / cache))
        monkeypatch.setenv("LAB_NAME", name)
        found.append((lab.report_folder(), lab.control(lab.lab_name()), lab.inventory(lab.lab_name()),
                      lab.failure_file(lab.lab_name())))
    for places in zip(*found):
        assert len(set(places)) == len(found)
    # With the longest name of a user, the ten digits of Ansible's socket, and what ssh adds while it makes it.
    home = "/home/" + "u" * 32
    monkeypatch.setenv("HOME", home)
    assert len(lab.control("l" * 32) + "/" + "0" * 10 + "." + "X" * 16) <= 107
