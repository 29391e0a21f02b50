# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast ``vale_port`` is: persistent ports by one call each way, against a shell loop of ``vale-ctl``.

    tests/benchmark/ports.py --inventory FILE --host NAME [--ports 250] [--rounds 2]

The host has netmap loaded and ``vale-ctl`` installed, as the role ``netmap`` leaves it. All times are those of a task
as the controller sees it, so they include Ansible's own; the sides take turns in one run. Exit status: 0, or 2 when
the run itself failed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SWITCH = "vale9"
FASTER, SLOWER_START = 10, 3

# The module also looks at each port before and after it, as a careful loop does.
_BY_HAND = {
    "make": "set -e; for n in $(seq {count}); do vale-ctl -n bench$n; vale-ctl -a {switch}:bench$n; "
            "vale-ctl -l {switch}:bench$n; done",
    "remove": "set -e; for n in $(seq {count}); do vale-ctl -d {switch}:bench$n; vale-ctl -r bench$n; done",
}


def plays(count, rounds, host, into):
    """The playbook as data (list); it writes the times, nanoseconds by label, to a file."""
    ports = [{"name": "bench%d" % number, "kind": "persistent"} for number in range(1, count + 1)]
    present = {"switch": SWITCH, "ports": ports, "purge": True}
    tasks = [{"name": "Warm up", "empty": {}}]
    for _round in range(rounds):
        tasks += _timed("module", {"netmap.ptnet.vale_port": present}, changed=True)
        for _again in range(3):
            tasks += _timed("empty", {"empty": {}}, changed=False)
            tasks += _timed("no change", {"netmap.ptnet.vale_port": present}, changed=False)
        tasks += _timed("module", {"netmap.ptnet.vale_port": {"switch": SWITCH, "state": "absent", "purge": True}},
                        changed=True)
        for part in ("make", "remove"):
            words = _BY_HAND[part].format(count=count, switch=SWITCH)
            tasks += _timed("by hand", {"ansible.builtin.shell": {"cmd": words}}, changed=True)
    tasks.append({"name": "Hand the times over", "ansible.builtin.copy": {
        "content": "{{ times | to_json }}", "dest": into, "mode": "0600"}, "delegate_to": "localhost",
        "vars": {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}})
    return [{"name": "Persistent ports, by the module and by hand", "hosts": host, "gather_facts": False,
             "vars": {"times": []}, "tasks": tasks}]


def _timed(label, task, changed):
    now = "{{ lookup('pipe', 'date +%s%N') | int }}"
    return [
        # What udev does with new interfaces is no work of either side.
        {"name": "Wait for udev", "ansible.builtin.command": "udevadm settle --timeout 300"},
        {"name": "Start the clock", "ansible.builtin.set_fact": {"started": now}},
        dict(task, name="%s %s" % (label, "changes" if changed else "looks"), register="done",
             failed_when="done.failed or done.changed != %s" % changed),
        {"name": "Stop the clock", "ansible.builtin.set_fact": {
            "times": "{{ times + [[%r, lookup('pipe', 'date +%%s%%N') | int - started | int]] }}" % label}}]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inventory", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--ports", type=int, default=250, help="at most 252 (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="(default: %(default)s)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        playbook, into = os.path.join(folder, "ports.json"), os.path.join(folder, "times.json")
        with open(playbook, "w", encoding="utf-8") as stream:
            json.dump(plays(given.ports, given.rounds, given.host, into), stream)
        ended = subprocess.run(
            [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), "-i", given.inventory, playbook],
            env=dict(os.environ, ANSIBLE_CONFIG=os.path.join(ROOT, "tests/ansible.cfg"),
                     ANSIBLE_LIBRARY=os.path.join(HERE, "library"), ANSIBLE_TASK_TIMEOUT="3600"), check=False)
        if ended.returncode:
            return 2
        with open(into, encoding="utf-8") as stream:
            times = json.load(stream)
    return report(times, given.ports, given.rounds)


def report(times, count, rounds):
    """Print the figures; returns the exit status (int)."""
    spent = {}
    for label, nanoseconds in times:
        spent.setdefault(label, []).append(nanoseconds / 1e9)
    ratio = sum(spent["by hand"]) / sum(spent["module"])
    bare = statistics.median(spent["empty"])
    start = statistics.median(spent["no change"]) / bare
    # Each side has two tasks a round.
    work = {label: sum(spent[label]) - 2 * rounds * bare for label in ("by hand", "module")}
    print("%d persistent ports, %d rounds, seconds a round:" % (count, rounds))
    for label in ("by hand", "module"):
        print("  %-10s %8.1f" % (label, sum(spent[label]) / rounds))
    print("  %.1f times faster, wanted %d; %.1f times without the starts of both sides' two tasks" % (
        ratio, FASTER, work["by hand"] / work["module"]))
    print("  two bare starts take %.1f s, so an instant module would be %.1f times faster" % (
        2 * bare, sum(spent["by hand"]) / rounds / (2 * bare)))
    print("A run that changes nothing, seconds (lowest, median, highest):")
    for label in ("empty", "no change"):
        print("  %-10s %8.2f %8.2f %8.2f" % (label, min(spent[label]), statistics.median(spent[label]),
                                             max(spent[label])))
    print("  %.1f times a bare start, wanted at most %d" % (start, SLOWER_START))
    return 0


if __name__ == "__main__":
    sys.exit(main())
