# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook teardown takes no ports from machines of other managers, and refuses before anything is removed."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).parents[3]
STUB = """#!%s
# WANT_JSON
import json, sys
args = json.load(open(sys.argv[1]))
with open(%r, "a") as log:
    log.write(json.dumps([%r, args.get("name"), args["_ansible_check_mode"]]) + "\\n")
refused = %r == "ptnet_port" and not args["allow_restart"]
print(json.dumps({"changed": True, "failed": refused, "msg": "a machine has them", "machines": [], "users": [],
                  "restart_wanted": False, "store": "/nowhere"}))
"""
MODULES = ("netmap_info", "ptnet_vm", "ptnet_port", "vale_port", "netmap_pipe", "netmap_declaration")
VARIABLES = {"vms_machines": [{"name": "vm1"}], "ports_processes": [{"name": "web"}],
             "ports_switches": [{"name": "vale1"}]}


@pytest.fixture
def run(tmp_path):
    """Take a host down; returns the output, and for each module what it was given: name and check mode."""
    collection = tmp_path / "ansible_collections/netmap/ptnet"
    (collection / "plugins/modules").mkdir(parents=True)
    for name in ("galaxy.yml", "roles", "meta", "playbooks", "plugins/filter", "plugins/module_utils"):
        (collection / name).symlink_to(TOP / name)
    for name in MODULES:
        (collection / "plugins/modules" / (name + ".py")).write_text(
            STUB % (sys.executable, str(tmp_path / "log"), name, name))
    (tmp_path / "hosts.json").write_text(json.dumps({"netmap_hosts": {"hosts": {"hv1": VARIABLES}, "vars": {
        "ansible_connection": "local", "ansible_python_interpreter": sys.executable}}}))

    def one(*arguments):
        done = subprocess.run(
            [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), "-i", str(tmp_path / "hosts.json"),
             "netmap.ptnet.teardown", *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False,
            env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(tmp_path), "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
                 "ANSIBLE_HOME": str(tmp_path / "home"), "ANSIBLE_NOCOLOR": "1"})
        log = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
        return done.stdout, [tuple(line) for line in log if line[0] != "netmap_info"]
    return one


def test_ports_of_a_running_machine_end_it_before_anything_is_removed(run):
    said, asked = run()
    assert "a machine has them" in said
    assert asked == [("ptnet_vm", "vm1", True), ("ptnet_port", "web", True)]


def test_the_role_alone_refuses_before_it_empties_a_switch(run):
    said, asked = run("--start-at-task", "Have no port processes")
    assert "a machine has them" in said
    assert asked == [("ptnet_port", "web", False)]


def test_with_consent_machines_go_first_then_processes_and_what_they_had(run):
    said, asked = run("-e", "ports_allow_restart=true", "--tags", "vms,ports")
    assert [line for line in asked if not line[2]][:4] == [
        ("ptnet_vm", "vm1", False), ("ptnet_port", "web", False), ("vale_port", None, False),
        ("netmap_pipe", None, False)], said
