# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What role netmap is given in a guest: of the inventory's variables those that are the guest's."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).parents[3]
# What an inventory's group all may say of its hosts. No host can have all of it: the port stands twice.
OF_HOSTS = {
    "netmap_nics": [{"name": "eth7", "rings": 8, "slots": 4096}],
    "ports_switches": [{"name": "vale1", "interfaces": [{"name": "eth7"}]}],
    "ports_pipe_parents": [{"name": "p0", "pipes": 40}],
    "ports_processes": [{"name": "domain", "ports": [{"port": "vale1:10"}]}],
    "vms_machines": [{"name": "fw", "ports": [{"port": "vale1:10"}]}]}
# Each guest: its variables, the play's, and the parameters and the build host that role netmap shall have.
GUESTS = {
    "plain": ({}, {}, {"ptnet_vnet_hdr": 0}, "plain"),
    "inventory": ({"netmap_parameters": {"buf_num": 4096}, "guest_build_host": "b"}, {},
                  {"buf_num": 4096, "ptnet_vnet_hdr": 0}, "b"),
    "play": ({}, {"netmap_parameters": {"buf_num": 8192}, "guest_vnet_header": True},
             {"buf_num": 8192, "ptnet_vnet_hdr": 1}, "play"),
    "overridden": ({"netmap_parameters": {"ptnet_vnet_hdr": 1}, "netmap_build_host": "b"}, {},
                   {"ptnet_vnet_hdr": 0}, "overridden"),
}
NETMAP = [
    {"netmap.ptnet.netmap_declaration": {}},
    {"ansible.builtin.copy": {
        "content": "{{ {'parameters': __netmap_parameters, 'too_small': __netmap_sized.too_small,"
                   " 'build_host': netmap_build_host, 'reload': netmap_allow_reload, 'drivers': netmap_drivers}"
                   " | to_json }}",
        "dest": "{{ told }}/{{ inventory_hostname }}", "mode": "0644"}}]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What role netmap was given in each guest (dict of dict)."""
    folder = tmp_path_factory.mktemp("netmap")
    collection = folder / "ansible_collections/netmap/ptnet"
    (collection / "roles/netmap/tasks").mkdir(parents=True)
    for name in ("galaxy.yml", "meta", "plugins", "roles/guest", *("roles/netmap/" + one for one in (
            "defaults", "meta", "vars"))):
        (collection / name).symlink_to(TOP / name)
    (collection / "roles/netmap/tasks/main.yml").write_text(json.dumps(NETMAP))
    (folder / "inventory.json").write_text(json.dumps({"all": {
        "hosts": {name: more for name, (more, *_rest) in GUESTS.items()},
        "vars": dict(OF_HOSTS, told=str(folder), netmap_drivers=["e1000"], netmap_allow_reload=True,
                     ansible_connection="local", ansible_python_interpreter=sys.executable)}}))
    (folder / "play.json").write_text(json.dumps([
        {"hosts": name, "gather_facts": False, "vars": more, "tasks": [{"ansible.builtin.include_role": {
            "name": "netmap.ptnet.guest", "tasks_from": "netmap.yml", "rolespec_validate": False}}]}
        for name, (_inventory, more, *_rest) in GUESTS.items()]))
    done = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), "-i", str(folder / "inventory.json"),
         str(folder / "play.json")], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(folder), "ANSIBLE_LOCAL_TEMP": str(folder / "local"),
             "ANSIBLE_HOME": str(folder / "home"), "ANSIBLE_NOCOLOR": "1"})
    assert done.returncode == 0, done.stdout
    return {name: json.loads((folder / name).read_text()) for name in GUESTS}


@pytest.mark.parametrize("name", GUESTS)
def test_the_guests_own_variables_count_and_those_of_its_host_do_not(told, name):
    _inventory, _play, parameters, build_host = GUESTS[name]
    assert told[name] == {"parameters": parameters, "too_small": {}, "build_host": build_host, "reload": False,
                          "drivers": ["e1000"]}
