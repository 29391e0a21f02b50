# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The question whether ports may be opened, asked before each start of whoever opens them without us."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import names, opened, opening
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import archive, entry, program

ENTRIES = names.listed([(0, "vale0:eth1"), (0, "vale0:v0"), (0, "vale0:10"), (1, "v9")])
SYSTEM = SimpleNamespace(interfaces=lambda: ["eth0", "eth1", "v0", "v9"])
DEVICE = SimpleNamespace(entries=lambda: ENTRIES)


@pytest.mark.parametrize("ports", [["v0"], ["vale0:11", "v9"], ["vale0:v0"], ["v0{1"], ["vale0:eth1"], ["eth1"]])
def test_what_would_wedge_is_refused_with_the_reason(ports, capsys):
    assert entry.may_open(ports, SYSTEM, DEVICE) == opening.REFUSED
    assert "may not be opened; found: " in capsys.readouterr().out


def test_the_rest_may(capsys):
    assert entry.may_open(["vale0:11", "eth0", "p0{1", "vale0:10"], SYSTEM, DEVICE) == 0
    assert capsys.readouterr().out == ""


def test_nobody_is_let_through_when_netmap_does_not_answer(capsys):
    def absent():
        raise PtnetError("/dev/netmap cannot be opened", remedy="load netmap first")

    assert entry.may_open(["vale0:11"], SYSTEM, SimpleNamespace(entries=absent)) == 1
    assert "load netmap first" in capsys.readouterr().out


def test_the_archive_is_asked(tmp_path):
    copy = tmp_path / "ptnet.pyz"
    copy.write_bytes(archive.content())
    for words, status, text in (([entry.MAY_OPEN, "a/b"], 1, ""), (["--help"], 0, "--port"), ([], 2, "--name")):
        ended = subprocess.run([sys.executable, "-I", "-S", str(copy), *words], capture_output=True, text=True,
                               timeout=60, check=False)
        assert ended.returncode == status
        assert text in ended.stdout + ended.stderr
    heavy = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import runpy, sys\nsys.argv[1:] = ['may-open']\ntry:\n"
         " runpy.run_path(%r, run_name='__main__')\nexcept SystemExit:\n pass\n"
         "print([name for name in sys.modules if name.startswith('netmap_ptnet.ptnet.')])" % str(copy)],
        capture_output=True, text=True, timeout=60, check=False)
    # It comes before each start of a machine: nothing of the port process is read for it.
    assert heavy.stdout.splitlines()[-1] == "['netmap_ptnet.ptnet.entry']"


@pytest.mark.parametrize("error", [opening.MustNotOpen("port v0 may not be opened"), PtnetError("port v0 is in use")])
def test_a_port_process_says_that_another_try_is_no_use(monkeypatch, error):
    def refuse(*_unused):
        raise error

    monkeypatch.setattr(opened, "open_port", refuse)
    monkeypatch.setattr(program, "platform", lambda: SimpleNamespace(driver_of=None, interfaces=list))
    words = ["--name", "web", "--port", "id=d0,ifname=v0,mac=02:00:00:00:00:01"]
    assert program.main(words) == (opening.REFUSED if isinstance(error, opening.MustNotOpen) else 1)
