# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong in a topology file, and how people read it. Pure. Private to netmap.ptnet."""

from __future__ import annotations

import difflib
from collections import namedtuple

WIDTH = 160  # of a line of the file that is shown; the rest is left out
LIMIT = 100  # problems that are told
NAMES = 20  # that are listed as allowed; a file may have thousands

Mark = namedtuple("Mark", "line column length")
Mark.__doc__ = """Where something stands in the file: line and column from 1, and its characters there (int each)."""

Problem = namedtuple("Problem", "mark text other", defaults=(None,))
Problem.__doc__ = """``mark`` and ``text`` of what is wrong (Mark, str), ``other`` the second place of a clash: a Mark
and what is there (pair, None for none)."""


def printable(text):
    """A text as it can be shown in one line, whatever is in it (str)."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in str(text))


def shown(text):
    """What was given, in quotes and short (str)."""
    text = printable(text)
    return "'%s'" % (text if len(text) <= 60 else text[:57] + "...")


def suggestion(word, known):
    """``; did you mean …?``, empty where nothing is near (str)."""
    near = difflib.get_close_matches(str(word), sorted(known), 1, 0.6)
    return "; did you mean %s?" % near[0] if near else ""


def one_of(known, none="none is there"):
    """Names that may be given, in words (str)."""
    known = sorted(known)
    more = " and %d more" % (len(known) - NAMES) if len(known) > NAMES else ""
    return "one of %s%s" % (", ".join(known[:NAMES]), more) if known else none


def problem(mark, what, found=None, expected=None, hint="", other=None):
    """A problem in the words of the collection's errors (Problem).

    :param hint: as :func:`suggestion` returns it, or what to do (str)
    """
    text = what + ("" if found is None else "; found: %s" % found) + ("; expected: %s" % expected if expected else "")
    return Problem(mark, printable(text + hint), other)


def report(name, text, problems, limit=LIMIT):
    """All problems, sorted by line, each with the line and a caret under it (str).

    :param name: of the file (str)
    :param text: what is in it (str)
    :param limit: how many are told; of the rest, their number is (int)
    """
    lines = text.splitlines()
    problems = sorted(set(problems), key=lambda one: (one.mark.line, one.mark.column, one.text))
    count = len(problems)
    told = ["%s cannot be used: %s." % (printable(name), "1 problem" if count == 1 else "%d problems" % count)]
    for one in problems[:limit]:
        told += ["", "%s:%d:%d: %s" % (printable(name), one.mark.line, one.mark.column, one.text)]
        told += _excerpt(lines, one.mark)
        if one.other:
            told += ["  %s, line %d:" % (printable(one.other[1]), one.other[0].line), *_excerpt(lines, one.other[0])]
    if count > limit:
        told += ["", "and %d more" % (count - limit)]
    return "\n".join(told)


def _excerpt(lines, mark):
    """The line with a caret under what is meant (list of str)."""
    line = lines[mark.line - 1] if mark.line <= len(lines) else ""
    # One character stays one column.
    line = "".join(one if one.isprintable() else " " if one == "\t" else "?" for one in line)
    begin = max(0, mark.column - 1 - WIDTH // 2) if len(line) > WIDTH else 0
    line = line[begin:begin + WIDTH]
    at = mark.column - 1 - begin
    return ["%6d | %s" % (mark.line, line),
            "       | %s%s" % (" " * at, "^" * max(1, min(mark.length, len(line) - at)))]
