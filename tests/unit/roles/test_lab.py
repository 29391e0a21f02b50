# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of a lab: where its hosts listen for their guests is where Ansible looks for them, and nowhere else."""

from __future__ import annotations

import pathlib

import jinja2
import pytest
import yaml
from ansible.plugins.filter import core
from ansible_collections.netmap.ptnet.plugins.filter.loopback_address import loopback_address

ROOT = pathlib.Path(__file__).parents[3]
FILTERS = {"hash": core.get_hash, "to_nice_yaml": lambda value, **_options: yaml.safe_dump(value),
           "netmap.ptnet.loopback_address": loopback_address}
GIVEN = {"lab_accelerator": "auto", "lab_suite": "trixie", "lab_hypervisor": "both"}


class Lab:
    """What Ansible makes of the role's defaults, the playbook's variables, and the template (inventory, dict)."""

    def __init__(self, cache, name):
        self._env = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined)
        self._env.filters.update(FILTERS)
        declared = yaml.safe_load((ROOT / "playbooks/vars/lab.yml").read_text())
        defaults = yaml.safe_load((ROOT / "roles/lab/defaults/main.yml").read_text())
        self._given = dict(GIVEN, lab_cache=cache, lab_name=name)
        self._given["lab_fleet"] = self._template(defaults["lab_fleet"])
        self._given["lab_guests"] = declared["__lab_guests"]
        machines = declared["__lab_host"]["vms_machines"] + declared["__lab_more_machines"]
        self._given["lab_host_variables"] = {"vms_machines": [
            {key: self._template(one[key]) for key in ("name", "management")} for one in machines]}
        self._given["lab_guest_variables"] = {"guest_ports": 3}
        text = self._env.from_string((ROOT / "roles/lab/templates/inventory.yml.j2").read_text()).render(
            self._given, ansible_managed="written", __lab_build_root={"interpreter": "/python3"},
            __lab_started={"results": [{"item": {"name": "hv1"}, "port": 40000}]})
        self.inventory = yaml.safe_load(text)

    def _template(self, value):
        if isinstance(value, dict):
            return {key: self._template(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._template(one) for one in value]
        return self._env.from_string(value).render(self._given) if isinstance(value, str) else value

    @property
    def listening(self):
        """Where the host listens for each guest (dict of name: address and port)."""
        return {vm["name"]: (forward["host_address"], forward["host_port"])
                for vm in self.inventory["netmap_hosts"]["vars"]["vms_machines"]
                for forward in vm["management"]["forwards"]}

    @property
    def looked_for(self):
        """Where Ansible looks for each guest (likewise)."""
        return {name: (guest["ansible_host"], guest["ansible_port"])
                for name, guest in self.inventory["netmap_guests"]["hosts"].items()}

    @property
    def control(self):
        return self.inventory["all"]["vars"]["ansible_control_path_dir"]


LABS = [Lab("/home/me/.cache/netmap-ptnet", "lab"), Lab("/home/me/.cache/netmap-ptnet", "lab2"), Lab("/srv/b", "lab")]


@pytest.mark.parametrize("lab", LABS)
def test_guests_are_looked_for_where_their_host_listens(lab):
    assert lab.looked_for == lab.listening
    assert sorted(lab.looked_for) == ["vm1", "vm2"]
    # The role guest knows by these which machine is meant.
    assert {guest["guest_host"] for guest in lab.inventory["netmap_guests"]["hosts"].values()} == {"hv1"}
    assert lab.inventory["netmap_hosts"]["vars"]["vms_fleet"]


def test_no_guests_of_two_labs_look_the_same_to_ansible():
    """Both were 127.0.0.1 and port 10022: a task for the second lab's guest ran in that of the first."""
    places = [place for lab in LABS for place in lab.looked_for.values()]
    assert len(set(places)) == len(places) == 6
    assert len({lab.control for lab in LABS}) == 3
    for lab in LABS:
        # After ~, as long as a user's home may be; before ten digits of Ansible's and 17 characters of ssh's.
        assert len("/home/" + "u" * 32 + lab.control[1:] + "/" + "0" * 10 + "." + "X" * 16) <= 107
