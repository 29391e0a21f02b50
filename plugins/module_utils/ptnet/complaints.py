# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a client or guest that sends nonsense, without filling the log. Private to netmap.ptnet."""

from __future__ import annotations

MOST = 20  # lines


class Complaints:
    """Lines about one client, or one guest; after so many no more.

    :param say: takes a line for the log
    """

    def __init__(self, say):
        self._say, self._number = say, 0

    def say(self, text):
        """Say a line, unless there were too many."""
        self._number += 1
        if self._number <= MOST:
            self._say(text + (" (no more of this is told)" if self._number == MOST else ""))
