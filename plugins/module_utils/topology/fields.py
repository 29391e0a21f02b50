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

from .problems import printable, problem, shown, suggestion

MAP, LIST, TEXT, WHOLE = "a mapping", "a list", "text", "a number"
FLAG, NULL, MERGE, OTHER = "true or false", "nothing", "a merge", "other"

Node = namedtuple("Node", "kind value mark")
Node.__doc__ = """A part of the file.

``kind`` is one of the constants above, as YAML 1.1 takes it; ``value`` the text as written (of a scalar), pairs of
nodes (MAP, no text key twice, what ``<<`` adds among them) or nodes (LIST); ``mark`` where it begins.
"""

Item = namedtuple("Item", "value mark")
Item.__doc__ = """A value that was read, and where it stands.

Mappings are dicts of Items, lists are lists of them. In a mapping, ``value`` is None for what was refused, so that who
reads on neither uses it nor says that it is missing.
"""

_TRAPS = {FLAG: "YAML takes that for %s" % FLAG, WHOLE: "YAML takes that for a number",
          NULL: "YAML takes that for nothing", MERGE: "YAML takes that for a merge",
          OTHER: "YAML takes that for what a tag says, a date or a fraction"}
_DECIMAL = "0|[1-9][0-9]{0,15}"  # what YAML reads as octal, or in sixties, was seldom meant so
_TEMPLATE = r"\{[{%]"


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
        if re.search(_TEMPLATE, node.value):
            return _refuse(node, problems, what, self._expected)
        if node.value in self._choices if self._choices else re.fullmatch(self._pattern, node.value):
            return Item(node.value, node.mark)
        problems.append(problem(node.mark, "%s is refused" % what, shown(node.value), self._expected,
                                suggestion(node.value, self._choices or ())))
        return None

    def schema(self):
        """As JSON schema (dict)."""
        if self._choices:
            return {"type": "string", "enum": list(self._choices)}
        return {"type": "string", "pattern": "^(?!.*%s)(?:%s)$" % (_TEMPLATE, self._pattern)}


class Whole:
    """A whole number in decimal digits, from ``low`` to ``high``, of ``unit`` (int, int, str)."""

    def __init__(self, low, high, unit=""):
        self._low, self._high = low, high
        self._expected = "a whole number from %d to %d%s" % (low, high, unit and " " + unit)

    def read(self, node, problems, what):
        if node.kind == WHOLE and re.fullmatch(_DECIMAL, node.value) and self._low <= int(node.value) <= self._high:
            return Item(int(node.value), node.mark)
        return _refuse(node, problems, what, self._expected)

    def schema(self):
        return {"type": "integer", "minimum": self._low, "maximum": self._high}


class Flag:
    """True or false, in any of the ways of YAML 1.1; the schema knows no other way than those two."""

    def read(self, node, problems, what):
        if node.kind != FLAG:
            return _refuse(node, problems, what, FLAG)
        return Item(node.value.lower() in ("yes", "true", "on"), node.mark)

    def schema(self):
        return {"type": "boolean"}


class Size:
    """Memory: ``512M``, ``2G``, or a whole number of MiB; read as MiB (int)."""

    def __init__(self, low, high):
        self._low, self._high = low, high
        self._expected = "MiB as a whole number, or with M or G, such as 512M, from %dM to %dM" % (low, high)

    def read(self, node, problems, what):
        pattern = {WHOLE: "(%s)()" % _DECIMAL, TEXT: "([1-9][0-9]{0,7})([MG])"}.get(node.kind)
        match = re.fullmatch(pattern, node.value) if pattern else None
        mebibytes = int(match[1]) << (10 if match[2] == "G" else 0) if match else 0
        if self._low <= mebibytes <= self._high:
            return Item(mebibytes, node.mark)
        return _refuse(node, problems, what, self._expected)

    def schema(self):
        return {"anyOf": [{"type": "integer", "minimum": self._low, "maximum": self._high},
                          {"type": "string", "pattern": "^[1-9][0-9]{0,7}[MG]$"}]}


class Items:
    """A list of one kind of value.

    :param kind: what is in it
    :param least: how many at least (int)
    :param most: how many at most, None for any number (int)
    :param name: of one of them, in messages (str)
    """

    def __init__(self, kind, least=0, most=None, name=None):
        self._kind, self._least, self._most, self._name = kind, least, most, name

    def read(self, node, problems, what):
        if node.kind != LIST:
            return _refuse(node, problems, what, LIST)
        count = len(node.value)
        if count < self._least or (self._most is not None and count > self._most):
            problems.append(problem(node.mark, "%s has another number of elements" % what, count, "%s %d" % (
                "exactly" if self._least == self._most else "at least" if count < self._least else "at most",
                self._least if count < self._least else self._most)))
        found = [self._kind.read(one, problems, "%s %d" % (self._name, number) if self._name else
                                 "element %d of %s" % (number, what)) for number, one in enumerate(node.value, 1)]
        return Item([one for one in found if one is not None], node.mark)

    def schema(self):
        limits = {"minItems": self._least or None, "maxItems": self._most}
        return {"type": "array", "items": self._kind.schema(),
                **{key: value for key, value in limits.items() if value is not None}}


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
        name = what or "the file"
        if node.kind != MAP:
            return _refuse(node, problems, name, "%s with %s" % (MAP, ", ".join(self.kinds)))
        found = {}
        for key, value in keyed(node, problems, name):
            kind = self.kinds.get(key.value)
            if kind is None:
                problems.append(problem(key.mark, "%s has no %s" % (name, shown(key.value)), None,
                                        ", ".join(self.kinds), suggestion(key.value, self.kinds)))
            else:
                found[key.value] = kind.read(value, problems, "%s of %s" % (key.value, what) if what else key.value) \
                    or Item(None, value.mark)
        for key in self._required:
            if key not in found:
                problems.append(problem(node.mark, "%s has no %s" % (name, key), None, "a mapping with it"))
        return Item(found, node.mark)

    def schema(self):
        known = {name: kind.schema() for name, kind in self.kinds.items()}
        shape = {"type": "object", "properties": known, "additionalProperties": False}
        if self._required:
            return dict(shape, required=list(self._required))
        return {"anyOf": [shape, {"type": "null"}]}


class Names:
    """A mapping from names of one's own to values, with at least ``least`` of them (int).

    :param name: the kind of the names
    :param kind: the kind of the values
    :param what: of whom the names are, in messages (str)
    """

    def __init__(self, name, kind, what, least=0):
        self._name, self._kind, self._what, self._least = name, kind, what, least

    def read(self, node, problems, what):
        if node.kind != MAP:
            return _refuse(node, problems, what, "%s with names" % MAP)
        if len(node.value) < self._least:
            problems.append(problem(node.mark, "%s has too few names" % what, len(node.value),
                                    "at least %d" % self._least))
        found = {}
        for key, value in keyed(node, problems, what):
            name = self._name.read(key, problems, "the name of a %s" % self._what)
            one = self._kind.read(value, problems, "%s %s" % (self._what, printable(key.value)))
            found[key.value] = Item(one.value if name and one else None, key.mark)
        return Item(found, node.mark)

    def schema(self):
        return {"type": "object", "propertyNames": self._name.schema(), "additionalProperties": self._kind.schema(),
                **({"minProperties": self._least} if self._least else {})}


def keyed(node, problems, what):
    """Keys and values of a mapping; what is no key is told (iterator of pairs of Node)."""
    for key, value in node.value:
        if key.kind in (MAP, LIST):
            problems.append(problem(key.mark, "a key of %s is %s" % (what, key.kind), None, "text"))
        else:
            yield key, value


def plain(value):
    """What was read, without its places (as Ansible has it)."""
    if isinstance(value, Item):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def _refuse(node, problems, what, expected):
    given, hint = node.kind if node.kind in (MAP, LIST) else shown(node.value), ""
    if node.kind == TEXT and re.search(_TEMPLATE, node.value):
        hint = "; this is a template, and the plan is made before variables are known"
    elif node.kind == TEXT and re.fullmatch(_DECIMAL, node.value):
        hint = "; in quotes a number is text"
    problems.append(problem(node.mark, "%s is refused" % what, given, expected, hint))
