# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``make test`` makes of its stages, and what it reads from molecule's output."""

from __future__ import annotations

import importlib.util
import io
import pathlib
import sys

import pytest

TESTS = pathlib.Path(__file__).parents[2]


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(TESTS))
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VENV", sys.prefix)
    monkeypatch.delenv("KEEP", raising=False)
    monkeypatch.delenv("NETMAP_PTNET_ROWS", raising=False)
    specification = importlib.util.spec_from_file_location("run_of_tests", TESTS / "run.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_every_stage_runs_and_the_last_line_counts(run, monkeypatch, capsys):
    monkeypatch.setattr(run, "STAGES", {"a": lambda: ("failed", ""), "b": lambda: ("passed", "note"),
                                        "c": lambda: ("skipped", "no git")})
    assert run.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "1 passed, 1 failed, 1 skipped"
    assert [line.split()[:2] for line in lines[-4:-1]] == [["a", "failed"], ["b", "passed"], ["c", "skipped"]]


def test_a_skip_is_no_failure(run, monkeypatch):
    monkeypatch.setattr(run, "STAGES", {"c": lambda: ("skipped", "no git")})
    assert run.main([]) == 0


def test_a_stage_that_cannot_start_has_failed(run, monkeypatch, capsys):
    monkeypatch.setattr(run, "STAGES", {"a": lambda: (run.result(run.run("/no/such/program")))})
    assert run.main([]) == 1
    assert "/no/such/program" in capsys.readouterr().out


class Side:
    """Stages beside the others that came to this."""

    def __init__(self, names, program):
        self.names = names
        assert pathlib.Path(program) == TESTS / "run.py"

    def wait(self):
        return [[name, "failed", 7, "beside"] for name in self.names]


def test_what_ran_beside_counts_in_its_place(run, monkeypatch, capsys):
    monkeypatch.setattr(run.beside, "Beside", Side)
    monkeypatch.setattr(run, "STAGES", {"lint": lambda: pytest.fail("twice"), "fleet": lambda: ("passed", "")})
    monkeypatch.setattr(run, "BESIDE", {"fleet": ("lint",)})
    assert run.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[-3:-1]] == [["lint", "failed"], ["fleet", "passed"]]
    assert lines[-3].endswith("beside")


@pytest.mark.parametrize(("text", "rows", "told"), [
    ("print('=== a passed after 0 min 0 s')\n"
     "beside.tell(beside.asked(), [['a', 'passed', 1.5, ''], ['b', 'failed', 2, 'x']])",
     [["a", "passed", 1.5, ""], ["b", "failed", 2, "x"]], True),
    ("raise SystemExit(3)", [[name, "failed", 0, "its process ended with 3"] for name in "ab"], False),
])
def test_stages_beside_the_others(run, monkeypatch, tmp_path, capsys, text, rows, told):
    program = tmp_path / "run.py"
    program.write_text("import sys; sys.path.insert(0, %r)\nimport beside\n%s\n" % (str(TESTS), text))
    assert run.beside.Beside(["a", "b"], str(program)).wait() == rows
    assert not run.beside.tell(run.beside.asked(), rows)
    assert ("(beside) === a passed" in capsys.readouterr().out) is told


def test_only_who_was_asked_tells_and_nobody_below(run, monkeypatch, tmp_path, capsys):
    path = tmp_path / "rows"
    monkeypatch.setenv(run.beside.ROWS, str(path))
    monkeypatch.setattr(run, "STAGES", {"unit": lambda: ("passed", str(run.beside.ROWS in run.os.environ))})
    monkeypatch.setattr(run, "BESIDE", {})
    assert run.main(["unit"]) == 0
    assert run.json.loads(path.read_text())[0][3] == "False"
    assert "1 passed" not in capsys.readouterr().out
    assert run.main(["unit"]) == 0
    assert "1 passed" in capsys.readouterr().out


def test_an_unknown_stage_is_refused(run):
    with pytest.raises(run.PtnetError, match="lint"):
        run.main(["lynt"])


@pytest.mark.parametrize("text", ["INFO     default ➜ %s: Executing\n", "INFO     [default > %s] Executing\n"])
def test_only_the_second_converge_is_counted(run, text):
    rows = "  hv1  ok=9  changed=%d  failed=0  unreachable=0  module_starts=%d\n"
    stream = io.StringIO(text % "converge" + rows % (3, 11) + text % "idempotence" + "\x1b[32m" + rows % (0, 6)
                         + text % "side_effect" + rows % (0, 20))
    assert run.follow(stream) == ({"hv1": 6}, [], "")


def test_a_step_without_a_playbook_is_noticed(run):
    stream = io.StringIO("INFO     default ➜ side_effect: Executing\n"
                         "WARNING  default ➜ side_effect: Executed: Missing playbook (Remove it to suppress)\n"
                         "default ➜ side_effect: Executed: Missing playbook (Remove it to suppress)\n")
    assert run.follow(stream) == ({}, ["side_effect"], "")


@pytest.mark.parametrize(("step", "line", "silent"), [
    ("verify", "E  ... Connection timed out during banner exchange", "a machine did not answer (verify)"),
    ("verify", "hv1 | UNREACHABLE! => ", "a machine did not answer (verify)"),
    ("verify", "E  AssertionError: assert 1 == 2", ""), ("side_effect", "hv1 | UNREACHABLE! => ", "")])
def test_a_machine_that_is_silent_while_it_is_tested_counts_as_a_hang(run, step, line, silent):
    assert run.follow(io.StringIO("INFO     [default > %s] Executing\n%s\n" % (step, line)))[2] == silent


def molecule_that(run, monkeypatch, *outcomes):
    """Have molecule's attempts end like this, and the machines' removal recorded. Returns that record (list)."""
    removed, rest = [], list(outcomes)
    monkeypatch.delenv("REHEARSAL", raising=False)
    monkeypatch.setattr(run.lab, "sources_unreachable", lambda given: {})
    monkeypatch.setattr(run.lab, "remove", removed.append)
    monkeypatch.setattr(run, "molecule_once", lambda given, keep: rest.pop(0))
    return removed


def test_a_hang_is_tried_again_once_and_told(run, monkeypatch):
    removed = molecule_that(run, monkeypatch, ("ended with 2", "hv1 did not answer", ""), ("", "", "6 on hv1"))
    assert run.molecule() == ("passed", "upstream; a machine hung, done twice; 6 on hv1")
    assert removed == ["molecule"] * 3
    molecule_that(run, monkeypatch, *[("ended with 2", "hv1 did not answer", "")] * 2)
    assert run.molecule()[0] == "failed"


def test_two_runs_at_once_are_refused(run, monkeypatch):
    removed = molecule_that(run, monkeypatch, ("", "", ""))
    with run.lab.alone("molecule"), pytest.raises(run.PtnetError, match="another run"):
        run.molecule()
    assert removed == []
    assert run.molecule()[0] == "passed"


def test_a_failure_is_not_tried_again(run, monkeypatch):
    molecule_that(run, monkeypatch, ("ended with 2", "", ""))
    assert run.molecule() == ("failed", "ended with 2; upstream")


def test_machines_are_kept_only_when_asked(run, monkeypatch):
    monkeypatch.setenv("KEEP", "yes")
    removed = molecule_that(run, monkeypatch, ("", "", ""))
    run.molecule()
    assert removed == ["molecule"]


def test_without_upstream_molecule_runs_on_the_doubles_and_says_so(run, monkeypatch, capsys):
    seen = []
    molecule_that(run, monkeypatch)
    monkeypatch.setattr(run, "molecule_once", lambda given, keep: seen.append(given) or ("", "", ""))
    monkeypatch.setattr(run.lab, "sources_unreachable", lambda given: {"SOURCE_QEMU": "https://x: no route"})
    assert run.molecule() == ("passed", "doubles: datapath not proven")
    assert seen[0]["qemu_source"].endswith("tests/doubles/qemu")
    assert "no route" in capsys.readouterr().out


def test_a_source_that_was_named_and_cannot_be_had_is_a_failure(run, monkeypatch):
    molecule_that(run, monkeypatch)
    monkeypatch.setattr(run.lab, "sources_unreachable", lambda given: {"SOURCE_QEMU": "https://x: no route"})
    monkeypatch.setenv("REHEARSAL", "no")
    assert run.molecule() == ("failed", "cannot be had: SOURCE_QEMU")


def test_what_needs_the_real_netmap_is_left_out_on_doubles(run, monkeypatch):
    monkeypatch.setattr(run.lab, "rehearsal", lambda given: ({"netmap_source": "double"}, {}))
    monkeypatch.setattr(run, "run", lambda *argv: pytest.fail("it was run"))
    for stage in (run.upstream, run.machine, run.fork, run.fleet):
        outcome, note = stage()
        assert outcome == "skipped"
        assert "doubles" in note


def test_long_forms_are_run_at_night_and_when_they_are_asked_for(run, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(run, "BESIDE", {})
    for table in (run.STAGES, run.ON_REQUEST):
        for name in table:
            monkeypatch.setitem(table, name, lambda name=name: (ran.append(name), ("passed", ""))[1])
    monkeypatch.setitem(run.STAGES, "fork", run.nightly(run.ON_REQUEST["fork"]))
    monkeypatch.delenv("NIGHTLY", raising=False)
    assert run.main([]) == 0
    assert "fork" not in ran
    assert "NIGHTLY=yes" in capsys.readouterr().out
    assert run.main(["fork"]) == 0
    monkeypatch.setenv("NIGHTLY", "yes")
    assert run.main([]) == 0
    assert ran.count("fork") == 2
