# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the text of a topology file to its nodes, each with its place. Private to netmap.ptnet.

Ansible's own reading loses what stands twice, what was written (``no``), and most places.
"""

from __future__ import annotations

import yaml
from ansible_collections.netmap.ptnet.plugins.module_utils.topology import fields, model
from ansible_collections.netmap.ptnet.plugins.module_utils.topology.plan import plan
from ansible_collections.netmap.ptnet.plugins.module_utils.topology.problems import Mark, problem, report

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
TEXT_MAX = 8 << 20  # characters
# A file of 1000 VMs has some 30,000 nodes; aliases of aliases would make any number of them.
NODES_MAX = 1000000
DEPTH_MAX = 40
_KINDS = {"str": fields.TEXT, "int": fields.WHOLE, "bool": fields.FLAG, "null": fields.NULL}
_MERGE = "tag:yaml.org,2002:merge"


class Unusable(Exception):
    """The file cannot be used; the text tells all that is wrong with it."""


def read(name, text):
    """The topology of a file, and its plan (Topology, Plan).

    :param name: of the file, for messages (str)
    :param text: what is in it (str)
    :raises Unusable: with everything that is wrong
    """
    problems = []
    root = nodes(text, problems)
    topology = model.read(root, problems) if root else None
    # What does not fit a host can be told of a whole topology alone.
    planned = None if problems else plan(topology, problems)
    if problems:
        raise Unusable(report(name, text, problems))
    return topology, planned


def nodes(text, problems):
    """What is in a file (Node), None after a problem was noted."""
    start = Mark(1, 1, 1)
    if len(text) > TEXT_MAX:
        problems.append(problem(start, "the file is too long", "%d characters" % len(text), "at most %d" % TEXT_MAX))
        return None
    try:
        found = yaml.compose(text, LOADER)
        if found is None:
            problems.append(problem(start, "there is nothing in the file", None, "plugin, name, hosts"))
            return None
        return _Walk().node(found, 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        told = ": ".join(part for part in (error.context, error.problem) if part)
        problems.append(problem(_mark(mark, 1) if mark else start, "this is no YAML", told))
    except yaml.YAMLError as error:
        at = text[:getattr(error, "position", 0) or 0]
        problems.append(problem(Mark(at.count("\n") + 1, len(at) - at.rfind("\n"), 1), "this is no YAML",
                                getattr(error, "reason", None) or "a character that cannot be in it"))
    except (RecursionError, _TooMuch) as error:
        problems.append(problem(start, "the file holds too much", str(error) or "too many levels",
                                "at most %d levels, and %d values with what aliases repeat" % (DEPTH_MAX, NODES_MAX)))
    return None


class _TooMuch(Exception):
    pass


class _Walk:
    def __init__(self):
        self._count = 0

    def node(self, one, depth):
        self._count += 1
        if self._count > NODES_MAX or depth > DEPTH_MAX:
            raise _TooMuch("more than %s" % (
                "%d levels" % DEPTH_MAX if depth > DEPTH_MAX else "%d values" % NODES_MAX))
        if isinstance(one, yaml.ScalarNode):
            kind = _KINDS.get(one.tag.rpartition(":")[2], fields.OTHER)
            return fields.Node(kind, one.value, _mark(one.start_mark, _length(one)))
        mark = _mark(one.start_mark, 1)
        if isinstance(one, yaml.SequenceNode):
            return fields.Node(fields.LIST, [self.node(inner, depth + 1) for inner in one.value], mark)
        pairs, merged = [], []
        for key, value in one.value:
            (merged if key.tag == _MERGE else pairs).append((self.node(key, depth + 1), self.node(value, depth + 1)))
        return fields.Node(fields.MAP, pairs + _merged(pairs, merged), mark)


def _merged(pairs, merged):
    """What ``<<`` adds: keys that are not there, of the first mapping that has them (list of pairs of Node)."""
    seen, found = {key.value for key, _value in pairs if isinstance(key.value, str)}, []
    for _key, value in merged:
        for other in value.value if value.kind == fields.LIST else [value]:
            for key, inner in other.value if other.kind == fields.MAP else []:
                if isinstance(key.value, str) and key.value not in seen:
                    seen.add(key.value)
                    found.append((key, inner))
    return found


def _mark(mark, length):
    return Mark(mark.line + 1, mark.column + 1, length)


def _length(scalar):
    same = scalar.start_mark.line == scalar.end_mark.line
    return max(1, scalar.end_mark.column - scalar.start_mark.column) if same else 1
