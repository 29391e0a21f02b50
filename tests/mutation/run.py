# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the unit tests notice what is wrong. Usage: tests/mutation/run.py

First the deliberate faults of faults.py, each of which has to be noticed. Then, asked by a knob or at night, small
faults of the pure core (mutants.py): those that no test notices are shown, and are no failure. Knobs, as variables:
MODULES (files of the core, or parts of their paths), SAMPLE (how many faults, or all), SEED. Exit status: 0 all
deliberate faults were noticed, 1 some were not, 2 bad input.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import queue
import random
import sys
import time

import checkout
import faults
import mutants

BOUND = 180  # seconds that the tests of one fault may take
NIGHT = 15 * 60  # seconds for the faults of the core in all, where nobody asked for a number
UNIT = "tests/unit"


def known(copy):
    """Try the deliberate faults. Returns whether each one was noticed (bool)."""
    for test in sorted({test for fault in faults.FAULTS for test in fault.tests}):
        passes(copy, [UNIT + "/" + test])
    survived = 0
    for fault in faults.FAULTS:
        with copy.changed(fault.texts(copy.root)):
            outcome, output = copy.pytest([UNIT + "/" + test for test in fault.tests], BOUND)
        # Only a test that fails has noticed it; one that is too slow says nothing.
        if outcome not in (checkout.PASSED, checkout.FAILED):
            raise LookupError("%s: its tests are %s: %s" % (fault.name, outcome, output[-500:]))
        survived += outcome == checkout.PASSED
        print("%-8s  %s" % ("SURVIVED" if outcome == checkout.PASSED else "killed", fault.name), flush=True)
    print("deliberate faults: %d of %d killed" % (len(faults.FAULTS) - survived, len(faults.FAULTS)), flush=True)
    return not survived


def passes(copy, words, **environment):
    """Run tests without a fault, once more where a busy machine was too slow for one that starts programs.

    :raises LookupError: they fail
    """
    for _attempt in range(2):
        outcome, output = copy.pytest(words, 10 * BOUND, keep=True, **environment)
        if outcome == checkout.PASSED:
            return
    raise LookupError("tests fail without any fault: %s" % output[-2000:])


class Tests:
    """The tests that can notice a fault: those of the file's room that run its lines."""

    def __init__(self, copy):
        self._copy, self._rooms = copy, {}

    def room(self, path):
        """The folder of the tests of a file of the core, below the checkout (str)."""
        room = pathlib.Path(path).relative_to(mutants.CORE).parts[0]
        return UNIT + "/" + room if (self._copy.root / UNIT / room).is_dir() else UNIT

    def read(self, room):
        """Learn which tests of a room run which lines."""
        if room not in self._rooms:
            answer = self._copy.root / "lines.json"
            passes(self._copy, ["-p", "lines", room], MUTATION_CORE=str(self._copy.root / mutants.CORE),
                   MUTATION_LINES=str(answer))
            tests = json.loads(answer.read_text(encoding="utf-8"))
            self._rooms[room] = sorted(((one["seconds"], name, set(one["lines"])) for name, one in tests.items()),
                                       key=lambda test: test[:2])

    def of(self, mutant):
        """The words for pytest, none where no test runs the place (list of str), and seconds that they take (float)."""
        room = self.room(mutant.path)
        if mutant.function is None:
            first = "%s/test_%s" % (room, pathlib.Path(mutant.path).name)
            return [first] * (self._copy.root / first).is_file() + [room], sum(test[0] for test in self._rooms[room])
        name = str(pathlib.Path(mutant.path).relative_to(mutants.CORE))
        for lines in (mutant.lines, mutant.function):
            wanted = {"%s:%d" % (name, line) for line in lines}
            found = [test for test in self._rooms[room] if test[2] & wanted]
            if found:
                return [test[1] for test in found], sum(test[0] for test in found)
        return [], 0.0


def chosen(root):
    """The faults of the core to try, in a random order, and until when (list of Mutant, time.monotonic() or None).

    :raises LookupError: a knob that cannot be
    """
    words, sample = os.environ.get("MODULES", "").split(), os.environ.get("SAMPLE", "")
    files = [path for path in mutants.core(root) if not words or any(word in path for word in words)]
    if not files or (sample not in ("", "all") and not sample.isdigit()):
        raise LookupError("MODULES=%s SAMPLE=%s: no such files of the core, or no such number" % (
            " ".join(words), sample))
    seed = os.environ.get("SEED") or str(random.randrange(10 ** 6))
    found = [one for path in files for one in mutants.mutants(path, (root / path).read_text(encoding="utf-8"))]
    random.Random(seed).shuffle(found)
    print("\n%d files of the pure core, %d faults; SEED=%s" % (len(files), len(found), seed), flush=True)
    return (found[:int(sample)], None) if sample.isdigit() else (found, None if sample else time.monotonic() + NIGHT)


def core(copies):
    """Try faults of the pure core, and say what came of them.

    :param copies: checkouts, one for each fault that is tried at a time (list of Checkout)
    """
    found, end = chosen(copies[0].root)
    tests, free, outcomes = Tests(copies[0]), queue.Queue(), {}
    for room in sorted({tests.room(one.path) for one in found}):
        tests.read(room)
    for copy in copies:
        free.put(copy)

    def attempt(one):
        if end and time.monotonic() > end:
            return
        words, seconds = tests.of(one)
        outcomes[one] = checkout.PASSED
        if words:
            copy = free.get()
            try:
                with copy.changed({one.path: one.text((copy.root / one.path).read_text(encoding="utf-8"))}):
                    (copy.root / "words").write_text("\n".join(words), encoding="utf-8")
                    outcomes[one] = copy.pytest(["@words"], min(BOUND, 20 + 10 * seconds))[0]
                    if outcomes[one] == checkout.BROKEN:  # A test that is named after what the core says.
                        outcomes[one] = copy.pytest([tests.room(one.path)], BOUND)[0]
            finally:
                free.put(copy)
        if outcomes[one] == checkout.PASSED:
            print("survived%s  %s" % ("" if words else " (no test runs it)", one), flush=True)

    with concurrent.futures.ThreadPoolExecutor(len(copies)) as pool:
        list(pool.map(attempt, found))
    report(outcomes)


def report(outcomes):
    """Print how many faults of each file were noticed, and of all.

    :param outcomes: Mutant to how its tests ended (dict)
    """
    print("\n%-52s %6s %6s %6s %6s" % ("file of the pure core", "tried", "killed", "(late)", "score"))
    rows = {path: [one for one in outcomes if one.path == path] for path in sorted({one.path for one in outcomes})}
    for path, ones in [*rows.items(), ("mutation score of the pure core", list(outcomes))]:
        killed = sum(outcomes[one] != checkout.PASSED for one in ones)
        late = sum(outcomes[one] == checkout.LATE for one in ones)
        print("%-52s %6d %6d %6d %5d %%" % (path, len(ones), killed, late, 100 * killed // max(1, len(ones))))
    sys.stdout.flush()


def main():
    with checkout.Checkout() as first, checkout.Checkout() as second:
        asked = any(os.environ.get(knob) for knob in ("MODULES", "SAMPLE"))
        status = 0
        if not asked:
            status = 0 if known(first) else 1
        if asked or os.environ.get("NIGHTLY") == "yes":
            copies = [first, second][:os.cpu_count()]
            for copy in copies[1:]:
                passes(copy, ["--collect-only", UNIT])
            core(copies)
        return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LookupError as error:
        print("mutation: %s" % error, file=sys.stderr)
        sys.exit(2)
