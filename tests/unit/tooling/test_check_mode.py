# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles in check mode, where what they act on is not there yet."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[3]


def ansible(folder, text, *arguments):
    """Status and output of a playbook for ``vm1``, a machine on which no module can run."""
    (folder / "play.yml").write_text(text)
    done = subprocess.run(
        [os.path.join(sys.prefix, "bin/ansible-playbook"), "-i", "vm1,", "-e", "ansible_connection=local",
         "-e", "ansible_python_interpreter=/no/such/python", folder / "play.yml", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        env=dict(os.environ, HOME=str(folder), ANSIBLE_LOCAL_TEMP=str(folder / "tmp"), ANSIBLE_NOCOLOR="1"))
    return done.returncode, done.stdout


def test_nothing_is_foreseen_of_a_guest_that_is_still_to_be_made_and_nothing_is_proven(tmp_path):
    status, output = ansible(tmp_path, """
- hosts: all
  gather_facts: false
  roles: [netmap.ptnet.guest, netmap.ptnet.check]
  post_tasks: [{ansible.builtin.debug: {msg: and so on}}]
""", "--check")
    assert status == 0, output
    for said in ("vm1 does not answer; where its machine is still to be made", "nothing is proven", "and so on"):
        assert said in output
    assert not list(tmp_path.glob(".local/**/report.html"))


@pytest.mark.parametrize(("kinds", "changed"), [(["process", "parent"], 1), (["process", "driver"], 0)])
def test_netmap_that_is_still_in_use_is_foretold_to_go(tmp_path, kinds, changed):
    """What the tasks before would have removed is still there; a driver is in the way of the run itself."""
    tasks = yaml.safe_load((ROOT / "roles/netmap/tasks/absent.yml").read_text())
    unload = next(task for task in tasks if task.get("register") == "__netmap_unloaded")
    # A module that refuses as the real one would.
    refusal = {"failed": True, "msg": "netmap cannot be unloaded", "users": [{"kind": kind} for kind in kinds]}
    (tmp_path / "library").mkdir()
    (tmp_path / "library/refuse.py").write_text("#!%s\nprint(%r)\n" % (sys.executable, json.dumps(refusal)))
    task = dict({key: unload[key] for key in ("name", "register", "changed_when", "failed_when")}, refuse={})
    status, output = ansible(tmp_path, yaml.safe_dump([{
        "hosts": "all", "gather_facts": False, "vars_files": [str(ROOT / "roles/netmap/vars/main.yml")],
        "tasks": [task]}]), "--check", "-e", "ansible_python_interpreter=" + sys.executable)
    assert "changed=%d" % changed in output, output
    assert (status == 0) == bool(changed)
