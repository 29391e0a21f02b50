# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a program that lies on a host as one archive has to hold."""

from __future__ import annotations

import ast
import os

from ansible_collections.netmap.ptnet.plugins.module_utils import bundle

FOLDER = os.path.dirname(bundle.__file__)


def imports(entry, elsewhere):
    """All that a module below module_utils imports, directly or not, itself too (set of str).

    Nothing of it may import Ansible, which is not on the host.

    :param elsewhere: what is imported by functions that this program never calls, or only on another system (set)
    """
    seen, left = set(), {entry}
    while left:
        name = left.pop()
        seen.add(name)
        with open(_path(name), encoding="utf-8") as stream:
            found = {other for node in ast.walk(ast.parse(stream.read())) for other in _imported(node, name)}
        assert not any(other.startswith("ansible") for other in found), name
        left |= {other for other in found if os.path.isfile(_path(other))} - seen - set(elsewhere)
    return seen


def _path(name):
    return os.path.join(FOLDER, *name.split(".")) + ".py"


def _imported(node, name):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = name.split(".")[:-node.level] if node.level else []
    base += (node.module or "").split(".") if node.module else []
    return [".".join(base)] + [".".join(base + [alias.name]) for alias in node.names]
