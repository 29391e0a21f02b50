# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which guests the role check takes for those of a host, where two hosts have machines of one name."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

VARIABLES = pathlib.Path(__file__).parents[3] / "roles/check/vars/main.yml"
MACHINES = [{"name": name} for name in ("fw", "web", "lone", "unlisted")]
INVENTORY = {
    "netmap_hosts": {"hosts": {"hv1.example.org": {}, "hv2": {}}, "vars": {"vms_machines": MACHINES}},
    "netmap_guests": {"hosts": {"fw": {"guest_host": "hv1.example.org"}, "lone": {"guest_host": "hv2"},
                                "web": {"guest_host": ""}, "other": {}}}}
GUESTS = "groups.netmap_hosts | map('extract', hostvars, 'guests')"


def test_a_guest_is_one_of_the_host_that_it_names(tmp_path):
    told = tmp_path / "told"
    play = [{"hosts": "netmap_hosts", "gather_facts": False, "vars_files": [str(VARIABLES)],
             "tasks": [{"ansible.builtin.set_fact": {"guests": "{{ __check_guests }}"}}]},
            {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.copy": {
                "content": "{{ dict(groups.netmap_hosts | zip(%s)) | to_json }}" % GUESTS,
                "dest": str(told), "mode": "0644"}}]}]
    for name, content in (("inventory.json", INVENTORY), ("play.json", play)):
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "none.cfg").touch()
    done = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), "-i", str(tmp_path / "inventory.json"),
         str(tmp_path / "play.json")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        env=dict(os.environ, ANSIBLE_CONFIG=str(tmp_path / "none.cfg"), ANSIBLE_STDOUT_CALLBACK="default"))
    assert done.returncode == 0, done.stdout
    # Both have a machine web, and nobody says whose the guest is: role guest refuses it too.
    assert {host: sorted(guests) for host, guests in json.loads(told.read_text()).items()} == {
        "hv1.example.org": ["fw"], "hv2": ["lone"]}
