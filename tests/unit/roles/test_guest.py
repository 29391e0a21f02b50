# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role guest refuses another machine than the one that is meant: its tasks, on guests that only say who they are."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.vm_identity import identity

FOREIGN = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
HERE = identity("", "hv1.example.org", "fw")
# Each guest: its variables, the uuid of who answers to it (None: one that is not told it), and what is said then.
GUESTS = {
    "named": ({"guest_host": "hv1.example.org", "guest_name": "fw"}, HERE.uuid(), None),
    "found": ({"guest_name": "only"}, identity("lab2", "hv2", "only").uuid(), None),
    "moved": ({}, identity("lab2", "hv2", "moved").uuid(), None),
    "elsewhere": ({"guest_host": "hv9", "guest_name": "fw"}, identity("", "hv9", "fw").uuid(), None),
    "domain": ({"guest_uuid": FOREIGN}, FOREIGN.upper(), None),
    "whoever": ({"guest_uuid": "none"}, None, None),
    "nobodys": ({}, FOREIGN, None),
    "wrong": ({"guest_host": "hv2", "guest_name": "fw"}, HERE.uuid(),
              "hv1.example.org/fw (uuid %s) answers, and lab2/hv2/fw (uuid" % HERE.uuid()),
    "other-lab": ({"guest_host": "hv2", "guest_name": "only"}, identity("lab1", "hv2", "only").uuid(),
                  "Nothing was changed"),
    "other-domain": ({"guest_uuid": FOREIGN}, HERE.uuid(), "answers, and uuid %s is wanted" % FOREIGN),
    "older": ({"guest_host": "hv2", "guest_name": "fw"}, None, "has no uuid until it is restarted"),
    "no-root": ({"guest_host": "hv2", "guest_name": "fw", "who": 1000}, None, "user 1000, and the uuid of the machine "
                "is readable by root only"),
    "user": ({"guest_host": "hv1.example.org", "guest_name": "fw", "who": 1000}, HERE.uuid(), None),
    "any-user": ({"guest_uuid": "none", "who": 1000}, None, None),
    "fw": ({}, HERE.uuid(), "fw is a machine of hv1.example.org and of hv2"),
    "fw.hv2": ({"guest_host": "hv2"}, HERE.uuid(), "no name for a VM"),
    "mistyped": ({"guest_uuid": "nonsense"}, HERE.uuid(), "no uuid of a machine"),
}
HOSTS = {"hv1.example.org": {"vms_machines": [{"name": "fw"}, {"name": "moved", "state": "absent"}]},
         "hv2": {"vms_machines": [{"name": "fw"}, {"name": "only"}, {"name": "moved"}], "vms_fleet": "lab2"}}
# The way to a guest. It has FreeBSD's program that tells the SMBIOS tables, which is asked first.
SSH = """#!/bin/sh
export PATH="%s:$PATH" UUID="%s" USER_ID="%s"
for command; do :; done
eval "$command"
"""
KENV = """#!/bin/sh
case $2 in
*uuid) echo "$UUID" ;;
*) echo hv1.example.org/fw ;;
esac
"""
ID = """#!/bin/sh
echo "$USER_ID"
"""
PLAY = [
    {"hosts": "guests", "gather_facts": False, "tasks": [
        {"ansible.builtin.set_fact": {"refused": ""}},
        {"block": [{"ansible.builtin.include_role": {"name": "netmap.ptnet.guest", "tasks_from": "identity.yml",
                                                     "rolespec_validate": False}}],
         "rescue": [{"ansible.builtin.set_fact": {"refused": "{{ ansible_failed_result.msg }}"}}]}]},
    {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.copy": {
        "content": "{{ dict(groups.guests | zip(groups.guests | map('extract', hostvars, 'refused'))) | to_json }}",
        "dest": "{{ told }}", "mode": "0644"}}]}]


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Why the role's tasks refused each guest, nothing where they did not (dict of str); ``""``: all that was said."""
    folder = tmp_path_factory.mktemp("guest")
    guests = {name: dict(more, ansible_ssh_executable=str(folder / name))
              for name, (more, _uuid, _text) in GUESTS.items()}
    programs = {name: SSH % (folder, uuid or "", more.get("who", 0)) for name, (more, uuid, _text) in GUESTS.items()}
    for name, text in dict(programs, kenv=KENV, id=ID).items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "inventory.json").write_text(json.dumps({"all": {
        "vars": {"told": str(folder / "told"), "ansible_ssh_retries": 0},
        "children": {"hosts": {"hosts": HOSTS}, "guests": {"hosts": guests}}}}))
    (folder / "play.json").write_text(json.dumps(PLAY))
    (folder / "none.cfg").touch()
    done = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), "-i", str(folder / "inventory.json"),
         str(folder / "play.json")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        env=dict(os.environ, ANSIBLE_CONFIG=str(folder / "none.cfg"), ANSIBLE_STDOUT_CALLBACK="default"))
    assert done.returncode == 0, done.stdout
    return dict(json.loads((folder / "told").read_text()), **{"": done.stdout})


@pytest.mark.parametrize("name", GUESTS)
def test_the_meant_machine_is_let_through_and_every_other_one_refused_by_name(said, name):
    expected = GUESTS[name][2]
    assert expected in said[name] if expected else said[name] == ""


def test_who_is_no_root_is_told_to_become_root_and_not_to_turn_the_guard_off(said):
    assert "become root" in said["no-root"]
    assert "guest_uuid" not in said["no-root"]


def test_what_cannot_be_compared_is_said(said):
    assert re.findall("Not compared: which machine answers to ([^.]*)", said[""]) == ["nobodys"]


def test_nothing_is_done_in_a_guest_before_it_is_known_which_it_is():
    tasks = (pathlib.Path(__file__).parents[3] / "roles/guest/tasks/main.yml").read_text(encoding="utf-8")
    order = [tasks.index(word) for word in ("wait_for_connection", "identity.yml", "guest_answer.system")]
    assert order == sorted(order)
