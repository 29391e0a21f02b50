# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook validate and the roles: all errors of all hosts are told, and no host is connected to."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

MACHINE = {"name": "fw", "disks": [{"path": "root.qcow2", "size": "1G"}]}
# A connection would fail, and look otherwise.
HOST = {"ansible_connection": "ssh", "ansible_ssh_executable": "/there/is/none"}
FLEET = {
    "hv1.example.net": {"vms_machines": [dict(MACHINE, ports=[{"port": "vale1:{{ 5 + 5 }}"},
                                                              {"port": "pp0{1", "trust": "shared"}])]},
    "hv2.example.net": {"vms_machines": [dict(MACHINE, ports=[{"port": "vale1:eth1"},
                                                              {"port": "netmap:pp1{1", "trust": "shared"}])],
                        "ports_switches": [{"name": "vale1", "interfaces": [{"name": "eth1"}]}]},
    "hv3.example.net": {"vms_machines": [MACHINE, MACHINE]},
}
ROLE = """
- hosts: netmap_hosts
  gather_facts: false
  roles:
    - netmap.ptnet.%s
"""


def play(folder, playbook, hosts, *arguments):
    """Exit status and output of ansible-playbook (int, str)."""
    inventory = {"netmap_hosts": {"vars": dict(HOST, ports_pipe_parents=[{"name": "pp0"}]), "hosts": hosts}}
    (folder / "inventory.json").write_text(json.dumps(inventory))
    environment = dict(os.environ, ANSIBLE_LOCAL_TEMP=str(folder / "tmp"), HOME=str(folder), ANSIBLE_NOCOLOR="1",
                       ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default")
    done = subprocess.run(
        [os.path.join(sys.prefix, "bin/ansible-playbook"), "-i", folder / "inventory.json", playbook, *arguments],
        env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False)
    return done.returncode, done.stdout


def test_all_errors_of_all_hosts_are_told(tmp_path):
    status, output = play(tmp_path, "netmap.ptnet.validate", FLEET)
    assert status != 0
    for told in ("hv2.example.net declares what cannot be, in 2 places",
                 "hv3.example.net declares what cannot be, in 1 place",
                 "vms_machines[0].ports[0] (VM fw, port vale1:eth1) and ports_switches[0].interfaces[0] (NIC eth1",
                 "vms_machines[0].ports[1] (VM fw, port netmap:pp1{1) and ports_pipe_parents (no pp1)",
                 "vms_machines[1] (VM fw) and vms_machines[0] (VM fw)"):
        assert told in output
    assert "hv1.example.net declares" not in output
    assert "unreachable=0    failed=0" in [line for line in output.splitlines() if line.startswith("hv1")][-1]
    # What is not wrong and may surprise.
    assert "pp0{1" in output


@pytest.mark.parametrize("role", ["ports", "vms"])
def test_roles_begin_with_it(tmp_path, role):
    (tmp_path / "play.yml").write_text(ROLE % role)
    status, output = play(tmp_path, tmp_path / "play.yml", {"hv2.example.net": FLEET["hv2.example.net"]}, "--check")
    assert status != 0
    assert "hv2.example.net declares what cannot be, in 2 places" in output, output
    assert "/there/is/none" not in output
