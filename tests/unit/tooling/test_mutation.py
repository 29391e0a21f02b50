# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tool that makes faults: that each of its faults still has a place. That the tests notice them, it says itself."""

from __future__ import annotations

import importlib
import pathlib

import pytest

TESTS = pathlib.Path(__file__).parents[2]


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(TESTS / "mutation"))
    return importlib.import_module


def test_every_deliberate_fault_has_its_place_and_its_tests(tool):
    faults = tool("faults").FAULTS
    assert len({fault.name for fault in faults}) == len(faults) == 19
    for fault in faults:
        for name, text in fault.texts(TESTS.parent).items():
            assert text != (TESTS.parent / name).read_text(encoding="utf-8")
            compile(text, name, "exec")
        assert all((TESTS / "unit" / test).exists() for test in fault.tests)


@pytest.mark.parametrize("old", ["no such text", "import annotations"])
def test_a_fault_whose_place_is_not_there_says_so(tool, old):
    with pytest.raises(LookupError, match="moved: .*stands (nowhere|in plugins/)"):
        tool("faults").Fault("moved", ((old, "x"),), ()).texts(TESTS.parent)
