# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What role vms asks of ptnet_vm for each machine, and what becomes of machines that nobody declares."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).parents[3]
# Two machines are there besides the declared ones.
PTNET_VM = """#!%s
# WANT_JSON
import json, sys
args = json.load(open(sys.argv[1]))
with open(%r, "a") as log:
    log.write(json.dumps(args) + "\\n")
print(json.dumps({"changed": False, "restart_wanted": False, "machines": ["fw", "lost", "old", "router"]}))
"""
DECLARATION = """
from ansible.plugins.action import ActionBase
class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        return {"changed": False}
"""
MACHINES = [{"name": "fw", "cpu_quota": 50, "allowed_cpus": "2-3"},
            {"name": "router", "state": "stopped", "binary": "/opt/q", "allow_restart": True}]
RUNS = {"told": {}, "purged": {"vms_purge": True, "vms_allow_removal": True},
        "ended": {"vms_state": "absent", "vms_purge": True}}


def run(folder, **variables):
    """Run the role; returns what was asked of the module, by the name of the run, and the output."""
    collection = folder / "ansible_collections/netmap/ptnet"
    (collection / "plugins/modules").mkdir(parents=True)
    (collection / "plugins/action").mkdir()
    for name in ("galaxy.yml", "roles", "meta", "plugins/filter", "plugins/module_utils"):
        (collection / name).symlink_to(TOP / name)
    (collection / "plugins/modules/ptnet_vm.py").write_text(PTNET_VM % (sys.executable, str(folder / "log")))
    (collection / "plugins/modules/netmap_declaration.py").write_text("")
    (collection / "plugins/action/netmap_declaration.py").write_text(DECLARATION)
    (folder / "play.yml").write_text(json.dumps([
        {"hosts": "localhost", "gather_facts": False, "connection": "local", "roles": [
            {"role": "netmap.ptnet.vms", "vms_fleet": name, "vms_machines": MACHINES, **more}]}
        for name, more in variables.items()]))
    done = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), "-i", "localhost,",
         str(folder / "play.yml"), "-e", "ansible_python_interpreter=" + sys.executable],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(folder), "ANSIBLE_LOCAL_TEMP": str(folder / "local"),
             "ANSIBLE_HOME": str(folder / "home"), "ANSIBLE_NOCOLOR": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    calls = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    asked, name = {}, None
    for call in calls:
        name = call.get("fleet", name)
        asked.setdefault(name, []).append(call)
    return asked, done.stdout


def test_machines_that_nobody_declares_are_told_and_purged_only_when_asked(tmp_path):
    asked, said = run(tmp_path, **RUNS)
    states = {name: [(call["name"], call["state"]) for call in calls] for name, calls in asked.items()}
    # Nothing is run to find them.
    assert states == {
        "told": [("fw", "started"), ("router", "stopped")],
        "purged": [("fw", "started"), ("router", "stopped"), ("lost", "absent"), ("old", "absent")],
        # Whoever takes a host down does it machine by machine as they are declared.
        "ended": [("fw", "absent"), ("router", "absent")]}
    assert said.count("Wanted, not done: lost, old of localhost are not in vms_machines") == 2
    assert [call["allow_removal"] for call in asked["purged"]] == [True] * 4
    fw, router = asked["told"]
    assert (fw["cpu_quota"], fw["allowed_cpus"], fw["allow_restart"], "binary" in fw) == (50, "2-3", False, False)
    assert (router["binary"], router["allow_restart"], router["allow_removal"]) == ("/opt/q", True, False)
