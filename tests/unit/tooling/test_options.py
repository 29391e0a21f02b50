# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules take is what their documentation and the roles' argument specs say."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.options import NETMAP_MODULE
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.options import NETMAP_PIPE, PARENT, VALE_PORT
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet.options import PTNET_PORT
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu.options import PTNET_VM
from ansible_collections.netmap.ptnet.plugins.modules import (
    netmap_module,
    netmap_pipe,
    ptnet_port,
    ptnet_vm,
    vale_port,
)

ROOT = Path(__file__).parents[3]
SPECS = {"netmap_module": (netmap_module, NETMAP_MODULE), "netmap_pipe": (netmap_pipe, NETMAP_PIPE),
         "ptnet_port": (ptnet_port, PTNET_PORT), "ptnet_vm": (ptnet_vm, PTNET_VM), "vale_port": (vale_port, VALE_PORT)}
# Options of roles whose elements are handed to a module.
ROLES = [("vms", "vms_machines", PTNET_VM), ("ports", "ports_processes", PTNET_PORT),
         ("ports", "ports_pipe_parents", PARENT)]


def documented(name):
    tree = ast.parse(ROOT.joinpath("plugins/modules/%s.py" % name).read_text(encoding="utf-8"))
    text = next(node.value.value for node in tree.body
                if isinstance(node, ast.Assign) and node.targets[0].id == "DOCUMENTATION")
    return yaml.safe_load(text)["options"]


def plain(spec, nested):
    """Options without their words: name to what decides (dict)."""
    return {name: {"type": option["type"], "elements": option.get("elements"), "default": option.get("default"),
                   "required": option.get("required", False), "choices": option.get("choices"),
                   "options": plain(option.get(nested) or {}, nested)} for name, option in spec.items()}


@pytest.mark.parametrize("name", SPECS)
def test_the_documentation_is_the_spec(name):
    module, spec = SPECS[name]
    assert module.ARGUMENT_SPEC is spec
    assert plain(documented(name), "suboptions") == plain(spec, "options")


@pytest.mark.parametrize(("role", "option", "spec"), ROLES)
def test_elements_of_roles_are_options_of_the_module(role, option, spec):
    text = ROOT.joinpath("roles", role, "meta/argument_specs.yml").read_text(encoding="utf-8")
    options = yaml.safe_load(text)["argument_specs"]["main"]["options"][option].get("options") or {}
    for name, one in options.items():
        assert {key: one.get(key) for key in ("type", "elements")} == {
            key: spec[name].get(key) for key in ("type", "elements")}
        assert one.get("choices") in (None, spec[name].get("choices"))
        # Its absence leaves the default to the module.
        assert "default" not in one
