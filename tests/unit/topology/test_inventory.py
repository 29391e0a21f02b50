# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A topology as an inventory of Ansible's, and what becomes of a run whose topology cannot be read."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[3]


def ansible(program, tmp_path, *arguments):
    """Run a program of Ansible with somebody else's configuration (subprocess.CompletedProcess)."""
    (tmp_path / "ansible.cfg").write_text("[defaults]\nlocal_tmp = %s\n" % tmp_path)
    environment = dict(os.environ, ANSIBLE_CONFIG=str(tmp_path / "ansible.cfg"), ANSIBLE_NOCOLOR="1",
                       HOME=str(tmp_path))
    return subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), program), *arguments], cwd=tmp_path, check=False,
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_hosts_and_guests_have_their_groups_and_guests_their_way(tmp_path):
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/netmap_guests.yml").write_text("ansible_user: admin\n")
    path = tmp_path / "hosts.ptnet.yml"
    path.write_text((ROOT / "examples/hosts.ptnet.yml").read_text())
    done = ansible("ansible-inventory", tmp_path, "-i", str(path), "--list")
    assert done.returncode == 0, done.stdout
    told = json.loads(done.stdout[done.stdout.index("{"):])
    assert told["netmap_hosts"]["hosts"] == ["hv1.example.org", "hv2.example.org"]
    assert told["netmap_guests"]["hosts"] == ["client", "server"]
    assert told["guests_of_hv1_example_org"]["hosts"] == ["client"]
    variables = told["_meta"]["hostvars"]
    # What the file says is data and no template, in whatever form this Ansible tells it.
    assert variables["hv1.example.org"]["topology_file"] in (str(path), {"__ansible_unsafe": str(path)})
    assert variables["server"]["ansible_user"] == "admin"
    assert variables["client"]["ansible_host"] != variables["server"]["ansible_host"]
    playbook = tmp_path / "way.yml"
    playbook.write_text(json.dumps([{"hosts": "netmap_guests", "gather_facts": False, "tasks": [
        {"ansible.builtin.debug": {"msg": "way {{ inventory_hostname }} {{ ansible_ssh_common_args }} end"}}]}]))
    said = ansible("ansible-playbook", tmp_path, "-i", str(path), str(playbook)).stdout
    assert "way client -J root@192.0.2.11:22 end" in said
    assert "way server -J root@192.0.2.12:22 end" in said


def test_a_topology_that_cannot_be_read_ends_the_run(tmp_path):
    bad, good = tmp_path / "bad.ptnet.yml", tmp_path / "good.yml"
    bad.write_text((ROOT / "examples/switch.ptnet.yml").read_text().replace("client, server", "cleint, server"))
    good.write_text("netmap_hosts: {hosts: {other: {ansible_connection: local}}}\n")
    for sources in (["-i", str(bad)], ["-i", str(bad), "-i", str(good)]):
        done = ansible("ansible-playbook", tmp_path, *sources, str(ROOT / "playbooks/site.yml"))
        assert done.returncode not in (0, 4), done.stdout
        assert "did you mean client?" in done.stdout
        assert "could not be read as a topology" in done.stdout
        assert "Read the state" not in done.stdout
