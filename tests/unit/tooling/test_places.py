# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths and limits that several parts share stand in one file; what documents them says the same."""

from __future__ import annotations

import ast
import os
import re

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils import places
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import abi, names, parameters

ROOT = os.path.abspath(__file__ + "/../../../..")
UTILS = "plugins/module_utils/"
DOCUMENTS = {"DOCUMENTATION", "EXAMPLES", "RETURN"}
# Text: the file that may write it as a path. A sentence may name it, as long as nothing is opened by a sentence.
PATHS = {places.STORE: "places.py", places.RUN: "places.py", places.UNITS: "places.py", places.DEVICE: "places.py"}
# Number: where it stands, and in which files it means something else.
NUMBERS = {
    abi.SWITCH_PORTS: ("netmap/abi.py", ()),
    abi.BRIDGE_PORTS: ("netmap/abi.py", ("kernel/linux/netlink.py",)),  # the main table of routes
    parameters.PARAMETERS["buf_size"].default: ("netmap/parameters.py", (
        "modules/lab_machine.py", "netmap/abi.py")),  # MiB; a flag
    parameters.SLOTS_DEFAULT: ("netmap/parameters.py", (
        # Bytes in a kilobyte; the first port that needs no rights; rings; steps of buf_num.
        "kernel/linux/platform.py", "qemu/network.py", "netmap/libnetmap.py", "netmap/sizing.py")),
    names.PART_MAX: ("netmap/abi.py", (
        # Seconds; an attribute of rtnetlink; bits; the number of PR_SET_NAME and the length of a command's name;
        # messages; slots; lines.
        "build/source.py", "kernel/linux/netlink.py", "kernel/linux/nics.py", "lab/accelerator.py", "ptnet/loop.py",
        "ptnet/protocol.py",
        "qemu/distribution.py", "plugin_utils/progress.py")),
}


def sources():
    for folder, _folders, found in os.walk(os.path.join(ROOT, "plugins")):
        for name in found:
            if name.endswith(".py"):
                yield os.path.join(folder, name)


def constants(path):
    """The constants of a file but for docstrings and what documents a module (list)."""
    with open(path, encoding="utf-8") as stream:
        tree = ast.parse(stream.read())
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    prose |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Assign)
              and DOCUMENTS & {getattr(target, "id", None) for target in node.targets}}
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in prose]


def where(wanted):
    """The files, below module_utils or plugins, with a constant that is wanted (set of str)."""
    return {os.path.relpath(path, ROOT).replace(UTILS, "").replace("plugins/", "") for path in sources()
            if any(wanted(value) for value in constants(path))}


@pytest.mark.parametrize("path", sorted(PATHS))
def test_a_path_stands_once(path):
    written = re.compile(r"%s(?![\w-])(/\S*|\s+[rwm]+)?" % re.escape(path))
    assert where(lambda value: isinstance(value, str) and written.fullmatch(value)) == {PATHS[path]}
    if path != places.DEVICE:  # Messages of netmap's users name the device.
        assert where(lambda value: isinstance(value, str) and written.search(value)) == {PATHS[path]}


@pytest.mark.parametrize("number", sorted(NUMBERS))
def test_a_limit_stands_once(number):
    home, others = NUMBERS[number]
    found = where(lambda value: isinstance(value, int) and not isinstance(value, bool) and value == number)
    assert found - set(others) <= {home}
    told = re.compile(r"\b%d (ports|characters|slots)\b" % number)
    assert where(lambda value: isinstance(value, str) and told.search(value)) == set()


def test_roles_name_the_store_as_a_default_only():
    """A default and its description, which tests/role_options.py holds equal; elsewhere that variable stands."""
    line = re.compile(r"(default|\w+): %s(/\w+)?" % re.escape(places.STORE))
    for place in ("roles", "playbooks"):
        for folder, _folders, files in os.walk(os.path.join(ROOT, place)):
            for name in (one for one in files if not one.endswith(".md")):
                with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as stream:
                    hits = [one.strip() for one in stream if places.STORE in one]
                if folder.endswith(("defaults", "meta")):
                    hits = [one for one in hits if not line.fullmatch(one)]
                assert not hits, os.path.join(folder, name)
