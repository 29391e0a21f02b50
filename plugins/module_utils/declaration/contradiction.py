# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rule over a declaration is, and what it finds. Pure. Private to netmap.ptnet."""

from __future__ import annotations

from collections import namedtuple

from ..errors import PtnetError


class Place(namedtuple("Place", "path what")):
    """Where something stands: the variable with its indices, and what that is in a reader's words (str each)."""

    __slots__ = ()

    def __str__(self):
        return "%s (%s)" % (self.path, self.what)

    def inside(self, path, what):
        """A place within this one: ``.ports[0]``, ``port vale1:10`` (Place)."""
        return Place(self.path + path, "%s, %s" % (self.what, what))


Contradiction = namedtuple("Contradiction", "rule places text remedy")
Contradiction.__doc__ = """One thing that cannot be as it is declared.

``rule`` is the id of what found it (str), ``places`` are all that are concerned (list of Place), ``text`` says what is
wrong (str, with a full stop), ``remedy`` what to do, or is None.
"""

Rule = namedtuple("Rule", "id look")
Rule.__doc__ = """One kind of contradiction.

``look`` is a pure function of the host (Host); it yields places (list of Place) and an error (PtnetError) that it does
not raise.
"""


def told(contradiction):
    """A contradiction as one line that can be printed, whatever was declared (str)."""
    line = "%s: %s" % (" and ".join(map(str, contradiction.places)), contradiction.text)
    line += " Way out: %s." % contradiction.remedy.rstrip(".") if contradiction.remedy else ""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)


def message(name, contradictions):
    """All of them as one text, a line each (str).

    :param name: of the host in the inventory (str)
    """
    count = len(contradictions)
    lines = ["%s declares what cannot be, in %s; nothing was changed." % (
        name, "1 place" if count == 1 else "%d places" % count)]
    lines += ["%d. %s" % (number, told(one)) for number, one in enumerate(contradictions, 1)]
    return "\n".join([*lines, "To do: correct the variables of this host that are named first in each line."])


def found(rule, places, error):
    """The contradiction that an error is (Contradiction)."""
    return Contradiction(rule, list(places), PtnetError(error.what, error.found, error.expected).message, error.remedy)


def find(rules, host):
    """All contradictions, in the order of the rules (list of Contradiction)."""
    return [found(rule.id, places, error) for rule in rules for places, error in rule.look(host)]
