# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees while the lab and the tests run."""

from __future__ import annotations

DOCUMENTATION = r"""
name: progress
type: stdout
version_added: 0.1.0
author: netmap.ptnet contributors (@netmap-ptnet)
short_description: One line per task, signs of life, and failures that say what to do
description:
  - Prints one line when a task, or an item of a loop, is done, with the time it took.
  - While a task runs for long, prints a line every 20 seconds. Moves no cursor, so logs of CI stay readable.
  - A failure shows the step, the reason, the last lines of the logs that the module returned, and what to do next.
  - Ends with a recap that counts the modules started on each host, and with the slowest tasks.
  - An action that starts several modules, such as M(ansible.builtin.template), counts once.
  - Skipped tasks, includes, facts that are set and assertions that hold show with C(-v), and so do whole results.
requirements:
  - set as C(stdout_callback) in the configuration
extends_documentation_fragment:
  - ansible.builtin.result_format_callback
options:
  progress_log:
    description:
      - Directory on the controller with C(progress-*.log) files, as the builds of this collection write them.
      - The last line of the newest one that changed since the task began is added to the signs of life.
    type: path
    env:
      - name: NETMAP_PTNET_PROGRESS
    ini:
      - section: callback_progress
        key: progress_log
  failure_file:
    description:
      - File on the controller that the last failure is written to, as JSON with C(host), C(task), C(action) and
        C(unreachable). Who starts the run can tell from it what kind of failure it was.
    type: path
    env:
      - name: NETMAP_PTNET_FAILURE
    ini:
      - section: callback_progress
        key: failure_file
"""

import collections
import contextlib
import json
import os
import sys
import textwrap
import threading
import time

from ansible import constants as C
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback import CallbackBase
from ansible_collections.netmap.ptnet.plugins.plugin_utils import progress as words

SLOWEST = 5
# Actions of the controller alone that tell a person nothing while they succeed.
SILENT = ("assert", "set_fact", "validate_argument_spec")
COLORS = {"ok": C.COLOR_OK, "changed": C.COLOR_CHANGED, "started": C.COLOR_CHANGED, "skipped": C.COLOR_SKIP,
          "ignored": C.COLOR_SKIP, "FAILED": C.COLOR_ERROR, "UNREACHABLE": C.COLOR_UNREACHABLE}


class CallbackModule(CallbackBase):
    """Tells when something happens; the words are in plugin_utils."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "netmap.ptnet.progress"

    def __init__(self):
        super().__init__()
        self._begin = time.monotonic()
        self._plays, self._seen, self._play_name = 1, [], ""
        self._names, self._running, self._laps, self._diffs = {}, {}, {}, {}
        self._took, self._starts = [], collections.Counter()
        self._thread = None

    def _say(self, text, color=None):
        self._display.display(text, color=color)
        with contextlib.suppress(OSError):  # a reader that went away
            sys.stdout.flush()  # Display leaves it to the buffer, so a pipe would show nothing for minutes

    def _live(self):
        last = 0
        while True:
            time.sleep(1)
            now = time.monotonic()
            text = words.sign_of_life(list(self._running.values()), now, last, self.get_option("progress_log"))
            if text:
                last = now
                self._say(text, C.COLOR_VERBOSE)

    def v2_playbook_on_start(self, playbook):
        self._plays, self._seen = len(playbook.get_plays()), []

    def v2_playbook_on_play_start(self, play):
        if play._uuid not in self._seen:  # with serial, every batch comes here
            self._seen.append(play._uuid)
        self._play_name = play.get_name().strip()
        self._say("\n[%d/%d] %s%s  (after %s)" % (
            len(self._seen), self._plays, self._play_name, ", check mode" if play.check_mode else "",
            words.duration(time.monotonic() - self._begin)))

    def v2_playbook_on_no_hosts_matched(self):
        self._say("  no hosts", C.COLOR_SKIP)

    def v2_playbook_on_no_hosts_remaining(self):
        self._say("\n  No hosts are left.", C.COLOR_ERROR)

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._names[task._uuid] = words.short_name(task.get_name())  # only here it is templated

    def v2_playbook_on_handler_task_start(self, task):
        self.v2_playbook_on_task_start(task, False)

    def v2_runner_on_start(self, host, task):
        name = self._names.get(task._uuid) or words.short_name(task.get_name())
        key = task._uuid, host.get_name()
        self._running[key] = words.Running(name, key[1], time.monotonic(), time.time())
        if self._thread is None:
            self._thread = threading.Thread(target=self._live, name="sign-of-life", daemon=True)
            self._thread.start()

    def _lap(self, result, last):
        """Name of the task, and seconds since it or the item before began; ``last`` ends the task."""
        key, now = (result.task._uuid, result.host.get_name()), time.monotonic()
        running = self._running.get(key) or words.Running(words.short_name(result.task.get_name()), key[1], now, 0)
        seconds = now - self._laps.get(key, running.start)
        self._laps[key] = now
        if last:
            self._running.pop(key, None)
            del self._laps[key]
            delegate = None if result.task.loop else result.task.delegate_to  # items may differ in it
            self._took.append((now - running.start, running.name, words.place(key[1], delegate)))
        return running.name, seconds

    def _started(self, result, number):
        self._starts[result.task.delegate_to or result.host.get_name()] += number

    def _done(self, result, status, item):
        """A task or an item has ended: count it and print its line. Returns its name and place (str)."""
        task, data = result.task, result.result
        name, seconds = self._lap(result, not item)
        where = words.place(result.host.get_name(), task.delegate_to, self._get_item_label(data) if item else None)
        self._started(result, words.module_starts(task.action, status, data))
        quiet = isinstance(task, TaskInclude) or status == "skipped" or (
            status == "ok" and task.action.rpartition(".")[2] in SILENT)
        verbose = self._display.verbosity > 0
        message = task.action in C._ACTION_DEBUG and status in ("ok", "changed")
        if message:
            self._message(data, result.host.get_name())
        elif verbose or not quiet:
            self._say(words.task_line(status, name, where, seconds), COLORS[status])
        if verbose:
            self._handle_warnings_and_exception(result)
        else:
            self._handle_warnings(data)  # the exception is in the message, which has its own block
        diff = self._diffs.pop((task._uuid, result.host.get_name()), None)
        if diff:
            self._say(textwrap.indent(diff.rstrip("\n"), "    "))
        if self._run_is_verbose(result) and not message:
            self._say("    %s" % self._dump_results(data).strip(), COLORS[status])
        return name, where

    def _message(self, data, host):
        """What a debug task says, as it stands; one line gets the host in front."""
        message = data.get("msg")
        if isinstance(message, list) and all(isinstance(one, str) for one in message):
            message = "\n".join(message)
        if not isinstance(message, str):
            self._clean_results(data, "debug")
            message = self._dump_results(data)
            self._say("  %s:%s%s" % (host, "" if message.startswith("\n") else " ", message.rstrip()))
        else:
            self._say(message.rstrip("\n") if "\n" in message else "  %s: %s" % (host, message))

    def _bad(self, result, status, ignored, item=False):
        if isinstance(ignored, str):  # not templated when the task failed before
            ignored = False
        name, where = self._done(result, "ignored" if ignored else status, item)
        if ignored:
            reason = words.reason_and_remedy(result.result)[0].splitlines()[0]
            return self._say("           %s" % reason, COLORS["ignored"])
        host = result.task.delegate_to or result.host.get_name()
        self._remember(host, name, result.task.action, status == "UNREACHABLE")
        advice = "run it again with -vvv, which shows the whole result"
        if status == "UNREACHABLE":
            advice = "see whether %s runs and what its console shows, then try: ansible %s -m ping" % (host, host)
        source = result.task.get_path()
        if source and not os.path.relpath(source).startswith(".."):
            source = os.path.relpath(source)
        step = [self._play_name, name, where]
        return self._say("\n%s\n" % words.failure_block(step, source, result.result, advice), COLORS[status])

    def _remember(self, host, name, action, unreachable):
        path = self.get_option("failure_file")
        if path:
            with contextlib.suppress(OSError), open(path, "w", encoding="utf-8") as stream:
                json.dump({"host": host, "task": name, "action": action, "unreachable": unreachable}, stream)

    def _items_said_it(self, result):
        if not result.task.loop or not result.result.get("results"):
            return False
        self._lap(result, True)
        return True

    def v2_runner_on_ok(self, result):
        if not self._items_said_it(result):
            self.v2_runner_item_on_ok(result, item=False)

    def v2_runner_item_on_ok(self, result, item=True):
        data = result.result
        background = "ansible_job_id" in data and not data.get("finished")
        self._done(result, "started" if background else "changed" if data.get("changed") else "ok", item)

    def v2_runner_on_skipped(self, result):
        if not self._items_said_it(result):
            self._done(result, "skipped", False)

    def v2_runner_item_on_skipped(self, result):
        self._done(result, "skipped", True)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if not self._items_said_it(result):
            self._bad(result, "FAILED", ignore_errors)

    def v2_runner_item_on_failed(self, result):
        if result.result.get("unreachable"):
            self._bad(result, "UNREACHABLE", result.task.ignore_unreachable, item=True)
        else:
            self._bad(result, "FAILED", result.task.ignore_errors, item=True)

    def v2_runner_on_unreachable(self, result):
        if not self._items_said_it(result):
            self._bad(result, "UNREACHABLE", result.task.ignore_unreachable)

    def v2_runner_on_async_poll(self, result):
        self._started(result, 1)

    def v2_runner_on_async_ok(self, result):
        self._started(result, 2)  # the poll that found the end sends no event, and one more removes the job's file

    def v2_on_file_diff(self, result):
        if result.result.get("diff") and result.result.get("changed"):  # comes before the line that it belongs under
            self._diffs[result.task._uuid, result.host.get_name()] = self._get_diff(result.result["diff"])

    def v2_playbook_on_stats(self, stats):
        self._running.clear()
        self._say("\nRecap, %s in all" % words.duration(time.monotonic() - self._begin))
        # As name=number, because programs read it: molecule's idempotence finds changed=1 and nothing else.
        row = "  %-20s  ok=%-3d  changed=%-3d  failed=%-3d  unreachable=%-3d  module_starts=%-3d  %s"
        for host in sorted(set(stats.processed) | set(+self._starts)):
            count = stats.summarize(host)
            more = ", ".join("%d %s" % (count[key], key) for key in ("rescued", "ignored") if count[key])
            numbers = count["ok"], count["changed"], count["failures"], count["unreachable"], self._starts[host]
            bad = count["failures"] or count["unreachable"]
            self._say((row % (host, *numbers, more)).rstrip(),
                      COLORS["FAILED" if bad else "changed" if count["changed"] else "ok"])
        slow = sorted((one for one in self._took if one[0] >= 1), reverse=True)[:SLOWEST]
        if slow:
            self._say("\nSlowest tasks")
        for seconds, name, where in slow:
            self._say("  %10s  %s  %s" % (words.duration(seconds), name, where))
