# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every option, return value and error of every module is shown by an example."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml
from ansible_collections.netmap.ptnet.plugins.module_utils.build import engine

MODULES = sorted(Path(__file__).parents[3].joinpath("plugins/modules").glob("*.py"))


def texts(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {node.targets[0].id: node.value.value for node in tree.body
             if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)}
    return {name: yaml.safe_load(found[name]) for name in ("DOCUMENTATION", "EXAMPLES", "RETURN")}


def keys(data):
    """All keys anywhere in examples, and names in ``key=value`` words (set of str)."""
    if isinstance(data, dict):
        return set(data).union(*map(keys, data.values()))
    if isinstance(data, list):
        return set().union(*map(keys, data))
    return set()


def options(documented):
    for name, option in (documented or {}).items():
        yield name
        yield from options(option.get("suboptions"))


def sampled(value):
    return "sample" in value or all(map(sampled, value.get("contains", {"": {}}).values()))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_every_option_is_in_an_example(path):
    text = texts(path)
    documented = text["DOCUMENTATION"].get("options", {})
    if "netmap.ptnet.build" in text["DOCUMENTATION"].get("extends_documentation_fragment", []):
        documented = dict(engine.OPTIONS, **documented)
    missing = set(options(documented)) - keys(text["EXAMPLES"])
    assert not missing


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_every_return_value_has_a_sample(path):
    missing = {name for name, value in texts(path)["RETURN"].items() if not sampled(value)}
    assert not missing


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_errors_are_described_with_a_real_one(path):
    message = texts(path)["RETURN"]["msg"]
    assert message["type"] == "str"
    assert isinstance(message["description"], list)
    assert len(message["sample"]) > 30
