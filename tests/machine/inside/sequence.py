# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In the machine: reach one declared state after the other, each as check, run, run again.

Usage: ``python3 -m sequence`` with a list of ``[module, options]`` as JSON on the standard input. Prints one JSON
object: how many states, how many of them changed anything, and what was wrong.
"""

from __future__ import annotations

import json
import sys

import steps


def main():
    wrong, changed, refused = [], 0, []
    states = json.load(sys.stdin)
    for number, (name, options) in enumerate(states):
        predicted = steps.run(name, options, check_mode=True)
        first = steps.run(name, options)
        if first.get("failed") or predicted.get("failed"):
            # What cannot be is refused the same way by all three.
            if first.get("msg") != predicted.get("msg"):
                wrong.append([number, "refused otherwise in check mode", first.get("msg"), predicted.get("msg")])
            refused.append(first.get("msg"))
            continue
        again = steps.run(name, options)
        changed += bool(first["changed"])
        if again["changed"] or again.get("failed"):
            wrong.append([number, "not idempotent", again.get("diff"), again.get("msg")])
        if predicted["changed"] != first["changed"] or predicted["diff"] != first["diff"]:
            wrong.append([number, "predicted otherwise", predicted["diff"], first["diff"]])
    sys.stdout.write(json.dumps({"states": len(states), "changed": changed, "refused": refused, "wrong": wrong}) + "\n")


if __name__ == "__main__":
    main()
