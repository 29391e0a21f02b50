# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the callback ``progress``: what it prints, not when. Private to netmap.ptnet."""

from __future__ import annotations

import collections
import contextlib
import glob
import os
import re
import textwrap

from ansible_collections.netmap.ptnet.plugins.module_utils.command import tail

BEAT = 20  # seconds between two signs of life
TAIL_LINES = 15
WIDTH = 100
# What the controller does alone, and what starts no Python on the other side.
NO_MODULE = frozenset((
    "add_host", "assert", "debug", "fail", "group_by", "import_role", "import_tasks", "include_role", "include_tasks",
    "include_vars", "meta", "netmap_declaration", "pause", "raw", "script", "set_fact", "set_stats",
    "validate_argument_spec"))

Running = collections.namedtuple("Running", "name host start wall")


def duration(seconds):
    """Seconds (number) for people: ``12.3 s``, ``3 min 12 s``, ``1 h 3 min`` (str)."""
    if seconds < 59.95:
        return "%.1f s" % seconds
    minutes, rest = divmod(int(seconds + 0.5), 60)
    return "%d min %d s" % (minutes, rest) if minutes < 60 else "%d h %d min" % divmod(minutes, 60)


def short_name(name):
    """A task's name with the role, but without the role's collection: ``netmap: Load it`` (str)."""
    return re.sub(r"^(?:\w+\.)*(\w+) : ", r"\1: ", name.strip())


def place(host, delegate=None, item=None):
    """Where something ran: ``hv1``, ``hv1 → builder``, ``hv1: vm1`` (str)."""
    text = "%s → %s" % (host, delegate) if delegate and delegate != host else host
    if isinstance(item, dict):
        item = next((item[key] for key in ("name", "key", "path") if key in item), item)
    return text if item is None else "%s: %s" % (text, textwrap.shorten(str(item), 40, placeholder=" …"))


def task_line(status, name, where, seconds):
    """The line of a finished task (str)."""
    return "  %-55s  %-29s  %10s" % ("%-7s  %s" % (status, name), where, duration(seconds))


def module_starts(action, status, result):
    """How often a module was started for one result, retries included (int).

    :param action: name of the action or module, full or short (str)
    :param status: first word of the task's line (str)
    """
    if action.rpartition(".")[2] in NO_MODULE or status == "UNREACHABLE" or result.get("unreachable"):
        return 0
    # In check mode a module may skip itself; when the controller skips, or hides the result, one of these is there.
    if status == "skipped" and result.keys() & {"skip_reason", "skipped_reason", "censored"}:
        return 0
    return result.get("attempts", 1)


def reason_and_remedy(result):
    """The message of a failed result, cleaned, and what it says to do next or None (tuple of str)."""
    text = result.get("msg") or result.get("censored") or "no reason was given"
    text = "\n".join(map(str, text)) if isinstance(text, list) else str(text)
    text, _mark, remedy = re.sub(r"^((Task|Module) failed: )+", "", text.strip()).partition("To do: ")
    if "rc" in result and "cmd" in result:
        command = result["cmd"]
        command = " ".join(command) if isinstance(command, list) else command
        text = "%s (%s): %s" % (text.strip().rstrip("."), result["rc"], command)
    if "assertion" in result:
        text += " (%s)" % result["assertion"]
    return text.strip(), remedy.strip() or None


def tails(result):
    """The logs that a failed result carries: title, path or None, last lines (list of tuples).

    ``log_tail`` goes with the path in ``log``, and so for any other name; a program's output serves when there is none.
    """
    found = [(key[:-5], result.get(key[:-5]), value) for key, value in result.items()
             if key.endswith("_tail") and value]
    if not found:
        streams = ("stderr", "module_stderr", "stdout", "module_stdout")
        found = [(key, None, result[key]) for key in streams if str(result.get(key) or "").strip()][:1]
    return [(title.replace("_", " "), path, lines[-TAIL_LINES:]) for title, path, lines in (
        (title, path, value if isinstance(value, list) else str(value).splitlines()) for title, path, value in found)]


def failure_block(step, source, result, advice):
    """Everything about one failure (str of several lines).

    :param step: play, task and place (list of str)
    :param source: file and line of the task (str or None)
    :param advice: what to do when the result itself does not say it (str)
    """
    reason, remedy = reason_and_remedy(result)
    rows = [("Step", [" › ".join(step)]), ("At", [source] if source else []), ("Reason", _wrapped(reason))]
    for title, path, lines in tails(result):
        rows.append((title.capitalize(), [path or "its last lines"] + ["| %s" % one for one in lines]))
    rows.append(("To do", _wrapped(remedy or advice)))
    return "\n".join(("    %-10s  %s" % ("" if number else title, one)).rstrip()
                     for title, lines in rows for number, one in enumerate(lines))


def _wrapped(text):
    return [part for whole in text.splitlines()
            for part in textwrap.wrap(whole, WIDTH, break_long_words=False, break_on_hyphens=False)]


def sign_of_life(running, now, last, directory=None):
    """The line about the task that runs longest, or None when it is not due (str).

    :param running: what runs (list of Running)
    :param now: this moment on the clock of ``Running.start`` (seconds)
    :param last: when the last such line was printed (seconds)
    :param directory: where progress logs are (path)
    """
    longest = min(running, key=lambda one: one.start, default=None)
    if longest is None or now - max(longest.start, last) < BEAT:
        return None
    hosts = ", ".join(one.host for one in running if one.name == longest.name)
    detail = _last_step(directory, longest.wall) if directory else None
    return "  … %s  %s  %s%s" % (
        duration(now - longest.start) if now - longest.start >= 60 else "%d s" % (now - longest.start), longest.name,
        textwrap.shorten(hosts, 40, placeholder=" …"), ": " + detail[:WIDTH] if detail else "")


def _last_step(directory, since):
    """The last line of the newest progress-*.log that changed after ``since`` (seconds of the epoch), or None."""
    newest = None
    for path in glob.glob(os.path.join(glob.escape(directory), "progress-*.log")):
        with contextlib.suppress(OSError):
            since, newest = max((since, newest or ""), (os.stat(path).st_mtime, path))
    lines = tail(newest, 1) if newest else []
    return re.sub(r"^\d\d:\d\d:\d\d ", "", lines[0].strip()) if lines else None
