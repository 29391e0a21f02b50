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


SOURCE = """\
TABLE = {"a": 1}
def f(x):
    # ü before the place
    if not x == 0 and x in TABLE:
        raise ValueError("%d" % (x + 1))
    g(x)
    return x + 2
"""


def test_each_small_fault_is_made_in_its_place(tool):
    found = [(one.line, one.old, one.new) for one in tool("mutants").mutants("m.py", SOURCE)]
    assert found == [
        (1, "1", "2"), (1, "1", "0"),
        (4, "not x == 0 and x in TABLE", "(not x == 0 or x in TABLE)"), (4, "not x == 0", "(x == 0)"),
        (4, "x == 0", "(x != 0)"), (4, "0", "1"), (4, "x in TABLE", "(x not in TABLE)"),
        (5, 'raise ValueError("%d" % (x + 1))', "pass"), (6, "g(x)", "pass"),
        (7, "return x + 2", "return None"), (7, "x + 2", "(x - 2)"), (7, "2", "3"), (7, "2", "1")]
    for one in tool("mutants").mutants("m.py", SOURCE):
        compile(one.text(SOURCE), "m.py", "exec")
        assert len(one.text(SOURCE).splitlines()) == len(SOURCE.splitlines())


def test_the_pure_core_is_found_by_what_it_imports(tool):
    core = {name.partition("module_utils/")[2] for name in tool("mutants").core(TESTS.parent)}
    assert {"netmap/names.py", "netmap/forbidden.py", "ptnet/protocol.py", "qemu/argv.py", "mac.py"} <= core
    assert not {"command.py", "files.py", "qemu/service.py", "netmap/device.py", "lab/processes.py"} & core
