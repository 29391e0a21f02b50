# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check run foretold is held against what the run did."""

from __future__ import annotations

import os
import pathlib
import runpy
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[3]
TOOL = runpy.run_path(str(ROOT / "tests/foretold.py"))
PLAY = """
- name: Hosts
  hosts: all
  gather_facts: false
  tasks:
    - name: Write
      ansible.builtin.copy: {content: x, dest: "{{ folder }}/{{ inventory_hostname }}", mode: "0644"}
    - name: Write several
      ansible.builtin.copy: {content: x, dest: "{{ folder }}/{{ item }}", mode: "0644"}
      loop: [a, b]
      delegate_to: hv1
    - name: Claim
      ansible.builtin.debug:
      changed_when: not ansible_check_mode
    - name: Promise
      ansible.builtin.debug:
      changed_when: ansible_check_mode
    - name: Leave out
      ansible.builtin.debug:
      changed_when: true
      when: not ansible_check_mode
"""


def one(changed=True, **more):
    return dict({"host": "hv1", "delegate": None, "play": "Hosts", "task": "Write", "item": None, "changed": changed,
                 "failed": False}, **more)


@pytest.mark.parametrize(("check", "run", "told"), [
    ([one()], [one()], []),
    ([one()], [one(False)], ["foretold, not done: hv1 › Hosts › Write"]),
    ([one()], [], ["foretold, not done: hv1 › Hosts › Write"]),
    ([], [one()], ["done, not foretold: hv1 › Hosts › Write"]),
    ([], [one(False)], []),
    ([one(item="a")], [one(item="b")],
     ["foretold, not done: hv1 › Hosts › Write › a", "done, not foretold: hv1 › Hosts › Write › b"]),
    # One task twice, as an include in a loop has it.
    ([one(), one()], [one(), one(False)], ["foretold, not done: hv1 › Hosts › Write"]),
    # Two hosts want one thing of a third: the second finds it there.
    ([one(delegate="builder"), one(delegate="builder", host="hv2")],
     [one(delegate="builder"), one(False, delegate="builder", host="hv2")], []),
    ([one(delegate="builder")], [one(False, delegate="builder")], ["foretold, not done: builder › Hosts › Write"]),
    ([one(failed=True)], [one()], ["failed in check mode: hv1 › Hosts › Write"]),
])
def test_differences(check, run, told):
    assert list(TOOL["differences"](check, run)) == told


def test_the_outcomes_of_ansible(tmp_path, capsys):
    local = "ansible_connection=local ansible_python_interpreter=%s folder=%s" % (sys.executable, tmp_path)
    (tmp_path / "inventory").write_text("hv1 %s\nhv2 %s\n" % (local, local))
    (tmp_path / "play.yml").write_text(PLAY)
    for name, arguments in (("check", ["--check"]), ("run", [])):
        subprocess.run(
            [os.path.join(sys.prefix, "bin/ansible-playbook"), "-i", tmp_path / "inventory", tmp_path / "play.yml",
             *arguments], check=True, stdout=subprocess.DEVNULL, env=dict(
                os.environ, ANSIBLE_CALLBACK_PLUGINS=str(ROOT / "tests/callback"), ANSIBLE_CALLBACKS_ENABLED="outcomes",
                OUTCOMES=str(tmp_path / name), ANSIBLE_LOCAL_TEMP=str(tmp_path / "tmp"), HOME=str(tmp_path)))
    files = str(tmp_path / "check"), str(tmp_path / "run")
    assert TOOL["main"](*files)
    # Of two hosts either may be the first to end.
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(
        "%s: %s › Hosts › %s" % (what, host, task) for task, what in (
            ("Claim", "done, not foretold"), ("Promise", "foretold, not done"), ("Leave out", "done, not foretold"))
        for host in ("hv1", "hv2"))
    assert not TOOL["main"](*files, "Promise", "Claim", "Leave*")
    assert capsys.readouterr().out == "4 changes, foretold and done\n"
