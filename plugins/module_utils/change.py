# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One collector of differences, feeding both ``changed`` and the diff. Private to netmap.ptnet."""

from __future__ import annotations


class Change:
    """Differences between what is and what should be.

    The same object serves check mode and the real run, so both report the same.
    """

    def __init__(self):
        self._before = {}
        self._after = {}

    def note(self, name, before, after):
        """Record one property; equal values record nothing. Returns whether it differs (bool)."""
        if before == after:
            return False
        self._before[name] = before
        self._after[name] = after
        return True

    @property
    def changed(self):
        """Whether anything differs (bool)."""
        return bool(self._after)

    @property
    def names(self):
        """The properties that differ, in the order they were noted (list of str)."""
        return list(self._after)

    def result(self):
        """``changed`` and ``diff`` as a module returns them (dict)."""
        return {"changed": self.changed, "diff": {"before": self._before, "after": self._after}}
