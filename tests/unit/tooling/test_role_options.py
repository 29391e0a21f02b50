# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever differs between a role's defaults and its argument specs is told."""

from __future__ import annotations

import pathlib
import runpy

import pytest

differences = runpy.run_path(str(pathlib.Path(__file__).parents[2] / "role_options.py"))["differences"]


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
