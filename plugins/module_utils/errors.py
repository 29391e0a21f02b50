# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error type of the collection. Private to netmap.ptnet."""

from __future__ import annotations


class PtnetError(Exception):
    """Something that the user can act on; a module turns it into ``fail_json``.

    :param what: what was attempted or refused, one clause, no full stop (str)
    :param found: what was given or seen instead (anything printable)
    :param expected: what is allowed (str)
    :param remedy: what to do next, imperative (str)
    :param facts: further values that the module returns beside ``msg`` (JSON-able)
    """

    def __init__(self, what, found=None, expected=None, remedy=None, **facts):
        self.what = what
        self.found = found
        self.expected = expected
        self.remedy = remedy
        self.facts = facts
        super().__init__(self.message)

    @property
    def message(self):
        """The whole text as one line: what; found; expected; what to do."""
        parts = [self.what]
        if self.found is not None:
            parts.append("found: %s" % (self.found,))
        if self.expected is not None:
            parts.append("expected: %s" % (self.expected,))
        text = "; ".join(parts) + "."
        return text + (" To do: %s." % self.remedy.rstrip(".") if self.remedy else "")
