# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds what a check run foretold against what the run did, task by task.

Usage: python tests/foretold.py CHECK RUN [LEFT_OUT ...]

CHECK and RUN are files that ``tests/callback/outcomes.py`` wrote. LEFT_OUT are hosts or tasks, as a shell's patterns,
of which check mode cannot know: guests that the run makes. Exit status: 0 no difference, 1 some.
"""

from __future__ import annotations

import collections
import fnmatch
import json
import sys


def read(path, left_out=()):
    """The outcomes in a file (list of dict), without those of hosts or tasks that a pattern matches."""
    with open(path, encoding="utf-8") as stream:
        found = [json.loads(line) for line in stream]
    return [one for one in found if not any(
        fnmatch.fnmatchcase(one[key] or "", pattern) for pattern in left_out for key in ("host", "delegate", "task"))]


def changes(outcomes):
    """How often each task changed something: where, play, task and item to the number (Counter).

    A task that several hosts delegate to one is a change of that one: whoever comes first makes it, in check mode
    each of them would. So it counts once.
    """
    found = collections.Counter()
    for one in outcomes:
        key = (one["delegate"] or one["host"], one["play"], one["task"], one["item"])
        found[key] = max(found[key], int(one["changed"])) if one["delegate"] else found[key] + one["changed"]
    return found


def differences(check, run):
    """What was foretold otherwise than it came, one line each.

    :param check: outcomes of the check run (list of dict), ``run``: those of the run itself
    """
    for name, outcomes in (("check mode", check), ("the run", run)):
        for one in outcomes:
            if one["failed"]:
                yield "failed in %s: %s" % (name, _line(one["host"], one["play"], one["task"], one["item"]))
    foretold, done = changes(check), changes(run)
    for key in dict.fromkeys([*foretold, *done]):
        if foretold[key] != done[key]:
            yield "%s: %s" % ("done, not foretold" if done[key] > foretold[key] else "foretold, not done", _line(*key))


def _line(where, play, task, item):
    return " › ".join([where, play, task] + ([item] if item is not None else []))


def main(check, run, *left_out):
    check, run = read(check, left_out), read(run, left_out)
    found = list(differences(check, run))
    print("\n".join(found) or "%d changes, foretold and done" % sum(changes(run).values()))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
