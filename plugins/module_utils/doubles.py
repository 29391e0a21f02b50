# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands twice in a list. Pure. Private to netmap.ptnet."""

from __future__ import annotations


def doubles(values):
    """Where a value stood first, and where it stands again: pairs of indices (iterator of pairs of int).

    :param values: hashable, None for none (iterable)
    """
    first = {}
    for index, value in enumerate(values):
        if value is not None and first.setdefault(value, index) != index:
            yield first[value], index
