# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the text of a topology file to its nodes, each with its place. Private to netmap.ptnet.

Ansible's own reading loses what stands twice, what was written (``no``), and most places. ``yaml.compose`` with libyaml
ends the whole interpreter where a file nests deeply (some 50,000 brackets), and takes what contains itself. So nodes
are made here from YAML's events, without recursion, and what aliases repeat is counted before it is read.
"""

from __future__ import annotations

import re

import yaml
from ansible_collections.netmap.ptnet.plugins.module_utils.topology import fields, model
from ansible_collections.netmap.ptnet.plugins.module_utils.topology.plan import plan
from ansible_collections.netmap.ptnet.plugins.module_utils.topology.problems import (
    Mark,
    problem,
    report,
    shown,
    suggestion,
)

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
TEXT_MAX = 8 << 20  # characters
# A file of 1000 VMs has some 30,000 nodes; aliases of aliases would make any number of them.
NODES_MAX = 300000
DEPTH_MAX = 40
_KINDS = {"str": fields.TEXT, "int": fields.WHOLE, "bool": fields.FLAG, "null": fields.NULL, "merge": fields.MERGE}
_CORE = "tag:yaml.org,2002:"
# What is not c-printable of YAML 1.1, and the byte order mark. Found here, since libyaml tells its place in bytes.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_START = Mark(1, 1, 1)


class Unusable(Exception):
    """The file cannot be used; the text tells all that is wrong with it."""


def read(name, text):
    """The topology of a file, and its plan (Topology, Plan).

    :param name: of the file, for messages (str)
    :param text: what is in it (str)
    :raises Unusable: with everything that is wrong
    """
    problems = []
    text = text[1:] if text.startswith("\ufeff") else text
    topology = model.read(nodes(text, problems), problems)
    # What does not fit a host can be told of a whole topology alone.
    planned = None if problems else plan(topology, problems)
    if problems:
        raise Unusable(report(name, text, problems))
    return topology, planned


def nodes(text, problems):
    """What is in a file (Node), None after a problem was noted."""
    try:
        return _Composing(text, problems).root()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        told = ": ".join(part for part in (error.context, error.problem) if part)
        problems.append(problem(_mark(mark, 1) if mark else _START, "this is no YAML", told))
    except yaml.YAMLError as error:
        problems.append(problem(_START, "this is no YAML", str(error)))
    except _Refused as error:
        problems.append(error.args[0])
    return None


class _Refused(Exception):
    """Nothing of the file can be read for the sake of one Problem."""


class _Composing:
    def __init__(self, text, problems):
        if len(text) > TEXT_MAX:
            raise _Refused(problem(_START, "the file is too long", "%d characters" % len(text),
                                   "at most %d" % TEXT_MAX))
        forbidden = _FORBIDDEN.search(text)
        if forbidden:
            lines = (text[:forbidden.start()] + "?").splitlines()
            raise _Refused(problem(Mark(len(lines), len(lines[-1]), 1), "this is no YAML", shown(forbidden.group()),
                                   "characters that can be printed"))
        self._loader, self._problems = LOADER(text), problems
        # Collections that are not closed yet: where each began, what is in it, and what was counted before it.
        self._open = [(None, [], 0)]
        self._anchors, self._count = {}, 0

    def root(self):
        """The node of the only document (Node)."""
        taking = {yaml.ScalarEvent: self._scalar, yaml.AliasEvent: self._alias, yaml.SequenceStartEvent: self._begin,
                  yaml.MappingStartEvent: self._begin, yaml.SequenceEndEvent: self._end,
                  yaml.MappingEndEvent: self._end, yaml.DocumentStartEvent: self._document}
        try:
            event = None
            while not isinstance(event, yaml.StreamEndEvent):
                event = self._loader.get_event()
                if type(event) in taking:
                    taking[type(event)](event)
        finally:
            self._loader.dispose()
        found = self._open[0][1]
        if not found:
            raise _Refused(problem(_START, "there is nothing in the file", None, "plugin, name, hosts"))
        return found[0]

    def _document(self, event):
        if self._open[0][1]:
            raise _Refused(problem(_mark(event.start_mark, 3), "there is a second document", None, "one in a file"))

    def _scalar(self, event):
        tag = event.tag
        if tag in (None, "!"):
            tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        kind = _KINDS.get(tag[len(_CORE):], fields.OTHER) if tag.startswith(_CORE) else fields.OTHER
        begin, end = event.start_mark, event.end_mark
        length = max(1, end.column - begin.column) if begin.line == end.line else 1
        self._count += 1
        self._put(fields.Node(kind, event.value, _mark(begin, length)), event.anchor, 1)

    def _alias(self, event):
        mark = _mark(event.start_mark, len(event.anchor) + 1)
        if event.anchor not in self._anchors:
            raise _Refused(problem(mark, "nothing before has the anchor &%s" % event.anchor, None, None,
                                   suggestion(event.anchor, self._anchors)))
        node, count = self._anchors[event.anchor]
        if node is None:
            raise _Refused(problem(mark, "what has the anchor &%s contains itself" % event.anchor))
        self._count += count
        self._put(node, None, count)

    def _begin(self, event):
        if len(self._open) > DEPTH_MAX:
            raise _Refused(problem(_mark(event.start_mark, 1), "the file has too many levels", None,
                                   "at most %d" % DEPTH_MAX))
        if event.anchor:
            self._anchors[event.anchor] = None, 0
        self._open.append((event, [], self._count))

    def _end(self, _event):
        event, found, before = self._open.pop()
        mark = _mark(event.start_mark, 1)
        node = fields.Node(fields.LIST, found, mark) if isinstance(event, yaml.SequenceStartEvent) else fields.Node(
            fields.MAP, self._pairs(found), mark)
        self._count += 1
        self._put(node, event.anchor, self._count - before)

    def _put(self, node, anchor, count):
        """Add a node that is complete to what is open; ``count`` values are in it, itself among them (int)."""
        if self._count > NODES_MAX:
            raise _Refused(problem(node.mark, "the file holds too much", None,
                                   "at most %d values with what aliases repeat" % NODES_MAX))
        if anchor:
            self._anchors[anchor] = node, count
        self._open[-1][1].append(node)

    def _pairs(self, flat):
        """Keys and values of a mapping with what ``<<`` adds; a key that stands twice is told (list of pairs)."""
        seen, pairs, merged = {}, [], []
        for key, value in zip(flat[::2], flat[1::2]):
            if isinstance(key.value, str):
                first = seen.setdefault(key.value, key)
                if first is not key:
                    self._problems.append(problem(key.mark, "%s stands twice in a mapping" % shown(key.value), None,
                                                  "once", "", (first.mark, "first here")))
                    continue
            (merged if key.kind == fields.MERGE else pairs).append((key, value))
        for _key, value in merged:
            for other in value.value if value.kind == fields.LIST else [value]:
                if other.kind != fields.MAP:
                    self._problems.append(problem(other.mark, "<< is refused", other.kind,
                                                  "a mapping, or a list of them"))
                    continue
                for key, inner in other.value:
                    if not isinstance(key.value, str) or seen.setdefault(key.value, key) is key:
                        pairs.append((key, inner))
        return pairs


def _mark(mark, length):
    return Mark(mark.line + 1, mark.column + 1, length)
