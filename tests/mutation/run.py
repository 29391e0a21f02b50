# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the unit tests notice what is wrong. Usage: tests/mutation/run.py

The deliberate faults of faults.py, each of which has to be noticed. Exit status: 0 all were, 1 some were not, 2 bad
input.
"""

from __future__ import annotations

import sys

import checkout
import faults

BOUND = 180  # seconds that the tests of one fault may take


def known(copy):
    """Try the deliberate faults. Returns whether each one was noticed (bool)."""
    for test in sorted({test for fault in faults.FAULTS for test in fault.tests}):
        # Once more, where a busy machine was too slow for one that starts programs.
        for _attempt in range(2):
            outcome, output = copy.pytest(["tests/unit/" + test], BOUND, keep=True)
            if outcome == checkout.PASSED:
                break
        else:
            raise LookupError("%s fails without any fault: %s" % (test, output[-2000:]))
    survived = 0
    for fault in faults.FAULTS:
        with copy.changed(fault.texts(copy.root)):
            outcome, output = copy.pytest(["tests/unit/" + test for test in fault.tests], BOUND)
        if outcome == checkout.BROKEN:
            raise LookupError("%s: the tests cannot be run: %s" % (fault.name, output[-500:]))
        survived += outcome == checkout.PASSED
        print("%-8s  %s" % ("SURVIVED" if outcome == checkout.PASSED else "killed", fault.name), flush=True)
    print("deliberate faults: %d of %d killed" % (len(faults.FAULTS) - survived, len(faults.FAULTS)), flush=True)
    return not survived


def main():
    with checkout.Checkout() as copy:
        return 0 if known(copy) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LookupError as error:
        print("mutation: %s" % error, file=sys.stderr)
        sys.exit(2)
