# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the callback, and its counting when events come as ansible-core sends them."""

from __future__ import annotations

import json
import os
import types

import pytest
from ansible_collections.netmap.ptnet.plugins.callback.progress import CallbackModule
from ansible_collections.netmap.ptnet.plugins.plugin_utils import progress as words


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0.0 s"), (12.34, "12.3 s"), (59.94, "59.9 s"), (59.96, "1 min 0 s"), (192.4, "3 min 12 s"),
    (3599.6, "1 h 0 min"), (3780, "1 h 3 min")])
def test_durations_are_for_people(seconds, text):
    assert words.duration(seconds) == text


@pytest.mark.parametrize(("name", "text"), [
    ("netmap.ptnet.vms : Start: all", "vms: Start: all"), ("vms : Start", "vms: Start"), ("Start", "Start"),
    ("Read the table : twice", "Read the table : twice"), ("ansible.builtin.ping", "ansible.builtin.ping")])
def test_a_role_loses_its_collection(name, text):
    assert words.short_name(name) == text


@pytest.mark.parametrize(("arguments", "text"), [
    (("hv1",), "hv1"), (("hv1", "hv1"), "hv1"), (("hv1", None, "vm1"), "hv1: vm1"),
    (("hv1", "builder"), "hv1 → builder"), (("hv1", "builder", {"name": "vm1", "x": 2}), "hv1 → builder: vm1"),
    (("hv1", None, 0), "hv1: 0")])
def test_places(arguments, text):
    assert words.place(*arguments) == text


def test_a_long_item_is_cut():
    assert len(words.place("hv1", None, {"a": "word " * 50})) <= len("hv1: ") + 40


def test_columns_stay_for_a_long_status():
    lines = [words.task_line(status, "Reach", "hv1", 1) for status in ("ok", "UNREACHABLE")]
    assert lines[0].index("hv1") == lines[1].index("hv1")


@pytest.mark.parametrize(("action", "status", "result", "number"), [
    ("ansible.builtin.command", "changed", {}, 1), ("netmap.ptnet.netmap_info", "ok", {"attempts": 4}, 4),
    ("ansible.builtin.set_fact", "ok", {}, 0), ("debug", "ok", {}, 0), ("netmap.ptnet.netmap_declaration", "ok", {}, 0),
    ("ansible.builtin.stat", "skipped", {"skip_reason": "Conditional result was False"}, 0),
    ("ansible.builtin.command", "skipped", {"msg": "Command would have run if not in check mode"}, 1),
    ("ansible.builtin.stat", "skipped", {"censored": "hidden"}, 0),
    ("ansible.builtin.command", "FAILED", {"msg": "no"}, 1),
    ("ansible.builtin.ping", "UNREACHABLE", {"msg": "refused"}, 0),
    ("ansible.builtin.ping", "ignored", {"unreachable": True}, 0)])
def test_module_starts(action, status, result, number):
    assert words.module_starts(action, status, result) == number


@pytest.mark.parametrize(("result", "reason", "remedy"), [
    ({"msg": "It failed; found: x. To do: install gcc."}, "It failed; found: x.", "install gcc."),
    ({"msg": "Task failed: Module failed: division by zero"}, "division by zero", None),
    ({"msg": "non-zero return code", "rc": 2, "cmd": ["make", "all"]}, "non-zero return code (2): make all", None),
    ({"msg": ["one", "two"]}, "one\ntwo", None), ({"msg": "Assertion failed", "assertion": "a == b"},
                                                  "Assertion failed (a == b)", None),
    ({"censored": "hidden"}, "hidden", None), ({}, "no reason was given", None)])
def test_reasons(result, reason, remedy):
    assert words.reason_and_remedy(result) == (reason, remedy)


def test_a_log_has_its_path_and_its_last_lines():
    result = {"log": "/v/x.log", "log_tail": [str(number) for number in range(40)], "console_tail": ["login:"],
              "config_log_tail": [], "stderr": "not this"}
    assert words.tails(result) == [("log", "/v/x.log", [str(number) for number in range(25, 40)]),
                                   ("console", None, ["login:"])]


def test_output_serves_when_there_is_no_log():
    assert words.tails({"stderr": " ", "stdout": "a\nb"}) == [("stdout", None, ["a", "b"])]


def test_a_failure_says_all():
    result = {"msg": "No compiler. To do: install it.", "log": "/v/x.log", "log_tail": ["cc: not found"]}
    assert words.failure_block(["Hosts", "Build", "hv1"], "t.yml:3", result, "look").splitlines() == [
        "    Step        Hosts › Build › hv1",
        "    At          t.yml:3",
        "    Reason      No compiler.",
        "    Log         /v/x.log",
        "                | cc: not found",
        "    To do       install it."]


def test_a_failure_without_advice_gets_ours():
    block = words.failure_block(["Hosts"], None, {"msg": "word " * 60}, "look there")
    assert block.endswith("To do       look there")
    assert "At  " not in block
    assert max(map(len, block.splitlines())) <= words.WIDTH + 16


def running(name, host, start, wall=0):
    return words.Running(name, host, start, wall)


def test_a_sign_of_life_comes_every_beat():
    tasks = [running("Build", "hv2", 105), running("Build", "hv1", 100), running("Other", "hv3", 110)]
    assert words.sign_of_life(tasks, 119, 0) is None
    assert words.sign_of_life(tasks, 140, 0) == "  … 40 s  Build  hv2, hv1"
    assert words.sign_of_life(tasks, 140, 121) is None
    assert words.sign_of_life(tasks, 290, 121) == "  … 3 min 10 s  Build  hv2, hv1"
    assert words.sign_of_life([], 140, 0) is None


def test_a_sign_of_life_has_the_newest_step(tmp_path):
    for name, when, text in (("progress-old.log", 10, "old"), ("progress-netmap.log", 60, "a\n12:00:01 make\n"),
                             ("progress-qemu.log", 55, "configure"), ("other.log", 90, "no")):
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, (when, when))
    assert words.sign_of_life([running("Build", "hv1", 0, 50)], 20, 0, str(tmp_path)) == "  … 20 s  Build  hv1: make"
    assert words.sign_of_life([running("Build", "hv1", 0, 70)], 20, 0, str(tmp_path)) == "  … 20 s  Build  hv1"
    assert words.sign_of_life([running("Build", "hv1", 0, 70)], 20, 0, str(tmp_path / "none")) == "  … 20 s  Build  hv1"


class Sink:
    """Takes what a Display would show."""

    verbosity = 0

    def __init__(self):
        self.lines = []

    def display(self, text, color=None):
        self.lines += text.splitlines()


def event(data, host="hv1", uuid="1", action="ansible.builtin.command", **task):
    task = dict({"_uuid": uuid, "action": action, "delegate_to": None, "loop": None, "ignore_errors": False,
                 "ignore_unreachable": False, "get_name": lambda: "netmap.ptnet.vms : Start",
                 "get_path": lambda: None}, **task)
    return types.SimpleNamespace(task=types.SimpleNamespace(**task), result=data,
                                 host=types.SimpleNamespace(get_name=lambda: host))


@pytest.fixture
def callback():
    plugin = CallbackModule()
    plugin._display = Sink()
    plugin._plugin_options = {"failure_file": None}
    return plugin


def recap(callback):
    callback.v2_playbook_on_stats(types.SimpleNamespace(
        processed={"hv1": 1}, summarize=lambda host: dict.fromkeys(
            ("ok", "changed", "failures", "unreachable", "rescued", "ignored"), 0)))
    rows = [line.split() for line in callback._display.lines if line.startswith(("  hv", "  build"))]
    return {row[0]: row[5].partition("module_starts=")[2] for row in rows}


def test_items_are_counted_one_by_one_and_for_the_host_that_ran_them(callback):
    callback.v2_runner_item_on_ok(event({"item": "a"}, loop="x", delegate_to="builder"))
    callback.v2_runner_item_on_skipped(event({"item": "b", "skip_reason": "no"}, loop="x", delegate_to="builder"))
    callback.v2_runner_item_on_ok(event({"item": "c", "changed": True}, loop="x", delegate_to="builder"))
    callback.v2_runner_on_ok(event({"results": [{}, {}, {}], "changed": True}, loop="x", delegate_to="{{ later }}"))
    assert [line.split()[:-2] for line in callback._display.lines] == [
        ["ok", "vms:", "Start", "hv1", "→", "builder:", "a"], ["changed", "vms:", "Start", "hv1", "→", "builder:", "c"]]
    callback._display.lines.clear()
    assert recap(callback) == {"hv1": "0", "builder": "2"}


def test_a_polled_job_counts_every_poll(callback):
    callback.v2_runner_on_async_poll(event({}))
    callback.v2_runner_on_async_ok(event({}))
    callback.v2_runner_on_ok(event({"ansible_job_id": "j1", "finished": True, "changed": True}))
    callback._display.lines.clear()
    assert recap(callback) == {"hv1": "4"}


@pytest.mark.parametrize(("data", "status"), [
    ({}, "ok"), ({"changed": True}, "changed"), ({"ansible_job_id": "j1", "changed": True}, "started")])
def test_the_status_of_a_good_task(callback, data, status):
    callback.v2_runner_on_ok(event(data))
    assert callback._display.lines[0].split()[0] == status


def test_the_recap_is_what_molecule_searches_for_changes(callback):
    callback.v2_playbook_on_stats(types.SimpleNamespace(processed={"hv1": 1}, summarize=lambda host: dict(
        dict.fromkeys(("ok", "failures", "unreachable", "rescued", "ignored"), 0), changed=2)))
    assert "changed=2 " in callback._display.lines[-1]


def test_the_last_failure_is_written_down_unless_ignored(callback, tmp_path):
    callback._plugin_options = {"failure_file": str(tmp_path / "failure.json")}
    callback.v2_runner_on_failed(event({"msg": "no"}), ignore_errors=True)
    assert not (tmp_path / "failure.json").exists()
    callback.v2_runner_on_failed(event({"msg": "no"}))
    callback.v2_runner_on_unreachable(event({"msg": "no", "unreachable": True}, host="hv2"))
    assert json.loads((tmp_path / "failure.json").read_text()) == {
        "host": "hv2", "task": "vms: Start", "action": "ansible.builtin.command", "unreachable": True}


def test_a_skipped_task_is_silent_and_an_ignored_failure_short(callback):
    callback.v2_runner_on_skipped(event({"skip_reason": "no"}))
    assert callback._display.lines == []
    callback.v2_runner_on_failed(event({"msg": "no\nmore", "rc": 1}), ignore_errors=True)
    assert [line.split()[0] for line in callback._display.lines] == ["ignored", "no"]


def test_a_failed_item_has_a_block_and_its_loop_none(callback):
    callback.v2_runner_item_on_failed(event({"msg": "no", "item": "a"}, loop="x"))
    shown = len(callback._display.lines)
    callback.v2_runner_on_failed(event({"msg": "One or more items failed", "results": [{}]}, loop="x"))
    assert any(line.startswith("    Reason      no") for line in callback._display.lines)
    assert len(callback._display.lines) == shown


@pytest.mark.parametrize(("message", "lines"), [
    ("Wanted, not done: a reload.", ["  hv1: Wanted, not done: a reload."]),
    ("a  b\n1  2\n", ["a  b", "1  2"]), (["a", "b"], ["a", "b"])])
def test_a_message_is_shown_as_it_stands(callback, message, lines):
    callback.v2_runner_on_ok(event({"msg": message}, action="ansible.builtin.debug"))
    assert callback._display.lines == lines


def test_a_play_in_batches_is_one_play(callback):
    callback.v2_playbook_on_start(types.SimpleNamespace(get_plays=lambda: [1, 2]))
    for uuid in ("a", "a", "b"):
        callback.v2_playbook_on_play_start(types.SimpleNamespace(
            _uuid=uuid, check_mode=uuid == "b", get_name=lambda: "Hosts"))
    assert [line.partition("  (")[0] for line in callback._display.lines if line] == [
        "[1/2] Hosts", "[1/2] Hosts", "[2/2] Hosts, check mode"]
