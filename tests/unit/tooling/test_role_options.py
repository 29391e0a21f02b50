# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever differs between a role's defaults and its argument specs is told, and who reads another role's variables."""

from __future__ import annotations

import pathlib
import runpy

import pytest

ROOT = pathlib.Path(__file__).parents[3]
TOOL = runpy.run_path(str(ROOT / "tests/role_options.py"))
differences, strangers = TOOL["differences"], TOOL["strangers"]


@pytest.mark.parametrize(("defaults", "options", "told"), [
    ({}, {}, None),
    ({"vms_a": 1, "__vms_b": 2}, {"vms_a": {"default": 1}, "vms_c": {"type": "str"}}, None),
    ({"vms_a": 1}, {}, "not in meta/argument_specs.yml"),
    ({"vms_a": 1}, {"vms_a": {}}, "in defaults/main.yml alone"),
    ({"vms_a": None}, {"vms_a": {}}, "in defaults/main.yml alone"),
    ({}, {"vms_a": {"default": 1}}, "in meta/argument_specs.yml alone"),
    ({"vms_a": 1}, {"vms_a": {"default": 2}}, "two defaults"),
    ({"a": 1}, {"a": {"default": 1}}, "does not begin with vms_"),
])
def test_differences(defaults, options, told):
    found = list(differences("vms", defaults, {"main": {"options": options}}))
    assert (found == []) if told is None else told in found[0]


@pytest.mark.parametrize(("text", "own", "found"), [
    ("x: '{{ __vms_done }}'", "vms", []),
    ("x: '{{ __vms_done }}'", "netmap", ["__vms_done"]),
    ("vars:\n  __vms_done: 1", "netmap", ["__vms_done"]),
    ("x: '{{ vms_machines }} {{ __playbook_x }}'", "netmap", []),
    ("x: '{{ __check_x }} {{ __vms_done }}'", None, ["__vms_done"]),
    ("__vms_done: 1\nx: '{{ __vms_done }}'", None, []),
])
def test_inner_variables_of_other_roles_are_found(text, own, found):
    assert strangers(text, ["netmap", "vms"], own) == found


def test_no_role_reads_the_inner_variables_of_another(capsys):
    assert not TOOL["main"](ROOT / "roles", ROOT / "playbooks"), capsys.readouterr().out
