# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of values in a topology file: each reads a node of it and describes itself as JSON schema. Pure.

A node is what YAML makes of a part of the file, before it is taken for a number or a truth value, so that nothing is
read as something else than it was meant to be (``no``, ``12:30``, ``010``). Private to netmap.ptnet.
"""

from __future__ import annotations

import re
from collections import namedtuple

from .problems import problem, shown, suggestion

MAP, LIST, TEXT, WHOLE = "a mapping", "a list", "text", "a number"
FLAG, NULL, OTHER = "true or false", "nothing", "other"

Node = namedtuple("Node", "kind value mark")
Node.__doc__ = """A part of the file.

``kind`` is one of the constants above, as YAML 1.1 takes it; ``value`` the text as written (of a scalar), pairs of
nodes (MAP) or nodes (LIST); ``mark`` where it begins.
"""

Item = namedtuple("Item", "value mark")
Item.__doc__ = """A value that was read, and where it stands. Mappings are dicts of Items, lists are lists of them."""

_TRAPS = {FLAG: "YAML takes that for %s" % FLAG, WHOLE: "YAML takes that for a number",
          NULL: "YAML takes that for nothing", OTHER: "YAML takes that for a date or a fraction"}


class Text:
    """One line of text.

    :param pattern: what it has to match as a whole (regular expression, str)
    :param expected: that in words (str)
    :param choices: or: the only values (list of str)
    """

    def __init__(self, pattern=r"[^\x00-\x1f\x7f]+", expected="one line of text", choices=None):
        self._pattern, self._choices = pattern, choices
        self._expected = "one of %s" % ", ".join(choices) if choices else expected

    def read(self, node, problems, what):
        """The value (Item), None after a problem was noted."""
        if node.kind in _TRAPS:
            problems.append(problem(node.mark, "%s is no text" % what, shown(node.value), self._expected,
                                    "; %s, quote it" % _TRAPS[node.kind]))
            return None
        if node.kind != TEXT:
            return _refuse(node, problems, what, self._expected)
        if "{{" in node.value or "{%" in node.value:
            problems.append(problem(node.mark, "%s is a template" % what, shown(node.value), self._expected,
                                    "; the plan is made before variables are known"))
            return None
        if node.value in self._choices if self._choices else re.fullmatch(self._pattern, node.value):
            return Item(node.value, node.mark)
        problems.append(problem(node.mark, "%s is refused" % what, shown(node.value), self._expected,
                                suggestion(node.value, self._choices or ())))
        return None

    def schema(self):
        """As JSON schema (dict)."""
        if self._choices:
            return {"type": "string", "enum": list(self._choices)}
        return {"type": "string", "pattern": "^(?:%s)$" % self._pattern}


class Whole:
    """A whole number in decimal digits, from ``low`` to ``high``, of ``unit`` (int, int, str)."""

    def __init__(self, low, high, unit=""):
        self._low, self._high = low, high
        self._expected = "a whole number from %d to %d%s" % (low, high, unit and " " + unit)

    def read(self, node, problems, what):
        if node.kind in (WHOLE, TEXT) and re.fullmatch(r"0|[1-9][0-9]{0,15}", node.value) \
                and self._low <= int(node.value) <= self._high:
            return Item(int(node.value), node.mark)
        return _refuse(node, problems, what, self._expected)

    def schema(self):
        return {"type": "integer", "minimum": self._low, "maximum": self._high}


class Size:
    """Memory: ``512M``, ``2G``, or a whole number of MiB; read as MiB (int)."""

    def __init__(self, low, high):
        self._low, self._high = low, high
        self._expected = "MiB as a whole number, or with M or G, such as 512M, from %dM to %dM" % (low, high)

    def read(self, node, problems, what):
        match = re.fullmatch(r"([1-9][0-9]{0,15})([MG]?)", node.value) if node.kind in (WHOLE, TEXT) else None
        mebibytes = int(match[1]) << (10 if match[2] == "G" else 0) if match else 0
        if self._low <= mebibytes <= self._high:
            return Item(mebibytes, node.mark)
        return _refuse(node, problems, what, self._expected)

    def schema(self):
        return {"anyOf": [{"type": "integer", "minimum": self._low, "maximum": self._high},
                          {"type": "string", "pattern": "^[1-9][0-9]*[MG]$"}]}


class Anything:
    """Whatever it is, as Ansible would read it; templates are Ansible's business."""

    def read(self, node, problems, what):
        return Item(_plain(node), node.mark)

    def schema(self):
        return {}


class Items:
    """A list of one kind of value, with at least ``least`` of them (int)."""

    def __init__(self, kind, least=0):
        self._kind, self._least = kind, least

    def read(self, node, problems, what):
        if node.kind != LIST:
            return _refuse(node, problems, what, LIST)
        if len(node.value) < self._least:
            problems.append(problem(node.mark, "%s has too few elements" % what, len(node.value),
                                    "at least %d" % self._least))
        found = [self._kind.read(one, problems, "element %d of %s" % (number, what))
                 for number, one in enumerate(node.value, 1)]
        return Item([one for one in found if one is not None], node.mark)

    def schema(self):
        return {"type": "array", "items": self._kind.schema(), **({"minItems": self._least} if self._least else {})}


class Fields:
    """A mapping with known keys.

    :param kinds: what each key holds (dict)
    :param required: keys that must be there (tuple of str)
    """

    def __init__(self, kinds, required=()):
        self.kinds, self._required = kinds, required

    def read(self, node, problems, what):
        if node.kind == NULL and not self._required:
            return Item({}, node.mark)
        if node.kind != MAP:
            return _refuse(node, problems, what, "%s with %s" % (MAP, ", ".join(self.kinds)))
        found = {}
        for key, value in pairs(node, problems, what):
            kind = self.kinds.get(key.value)
            if kind is None:
                problems.append(problem(key.mark, "%s has no %s" % (what, shown(key.value)), None,
                                        ", ".join(self.kinds), suggestion(key.value, self.kinds)))
                continue
            one = kind.read(value, problems, "%s of %s" % (key.value, what))
            if one is not None:
                found[key.value] = one
        for name in self._required:
            if name not in {key.value for key, _value in node.value}:
                problems.append(problem(node.mark, "%s has no %s" % (what, name), None, "a mapping with it"))
        return Item(found, node.mark)

    def schema(self):
        known = {name: kind.schema() for name, kind in self.kinds.items()}
        shape = {"type": "object", "properties": known, "additionalProperties": False}
        if self._required:
            return dict(shape, required=list(self._required))
        return {"anyOf": [shape, {"type": "null"}]}


class Names:
    """A mapping from names of one's own, of the kind ``name``, to values of the kind ``kind``."""

    def __init__(self, name, kind, what):
        self._name, self._kind, self._what = name, kind, what

    def read(self, node, problems, what):
        if node.kind != MAP:
            return _refuse(node, problems, what, "%s with names" % MAP)
        found = {}
        for key, value in pairs(node, problems, what):
            name = self._name.read(key, problems, "the name of a %s" % self._what)
            one = self._kind.read(value, problems, "%s %s" % (self._what, key.value))
            if name is not None and one is not None:
                found[name.value] = Item(one.value, key.mark)
        return Item(found, node.mark)

    def schema(self):
        return {"type": "object", "propertyNames": self._name.schema(), "additionalProperties": self._kind.schema()}


def pairs(node, problems, what):
    """Keys and values of a mapping; a key that stands twice, and what is no key, is told (list of pairs of Node)."""
    seen, found = {}, []
    for key, value in node.value:
        if key.kind in (MAP, LIST):
            problems.append(problem(key.mark, "a key of %s is %s" % (what, key.kind), None, "text"))
        elif key.value in seen:
            problems.append(problem(key.mark, "%s stands twice in %s" % (shown(key.value), what), None, "once", "",
                                    (seen[key.value], "first here")))
        else:
            seen[key.value] = key.mark
            found.append((key, value))
    return found


def _refuse(node, problems, what, expected):
    given = node.kind if node.kind in (MAP, LIST) else shown(node.value)
    problems.append(problem(node.mark, "%s is refused" % what, given, expected))


def _plain(node):
    if node.kind == MAP:
        return {_plain(key) if key.kind not in (MAP, LIST) else shown(key.kind): _plain(value)
                for key, value in node.value}
    if node.kind == LIST:
        return [_plain(one) for one in node.value]
    if node.kind == WHOLE and re.fullmatch(r"[-+]?(0|[1-9][0-9]*)", node.value):
        return int(node.value)
    if node.kind == FLAG:
        return node.value.lower() in ("yes", "true", "on", "y")
    return None if node.kind == NULL else node.value
