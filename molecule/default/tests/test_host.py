# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The declared state as the machines' own tools show it."""

from __future__ import annotations

import pathlib

import pytest
import yaml
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.sizing import size

VARIABLES = pathlib.Path(__file__).parents[3] / "playbooks/vars/lab.yml"
DECLARED = yaml.safe_load(VARIABLES.read_text(encoding="utf-8"))["__lab_host"]

testinfra_hosts = ["netmap_hosts"]


def test_netmap_is_loaded_with_the_parameters_that_are_needed(host):
    needed = size(DECLARED["vms_machines"], parents=DECLARED["ports_pipe_parents"])["parameters"]
    assert needed
    for name, value in needed.items():
        assert host.file("/sys/module/netmap/parameters/%s" % name).content_string.strip() == str(value)


def test_the_device_is_for_its_group(host):
    assert host.check_output("stat -c '%F %a %G' /dev/netmap") == "character special file 660 netmap"


@pytest.mark.parametrize("parent", [parent["name"] for parent in DECLARED["ports_pipe_parents"]])
def test_the_pipe_parent_is_there(host, parent):
    assert host.file("/sys/class/net/%s" % parent).exists


@pytest.mark.parametrize("vm", DECLARED["vms_machines"], ids=lambda vm: vm["name"])
def test_the_machine_is_a_running_service_on_its_switch(host, vm):
    service = host.service("ptnet-vm-%s" % vm["name"])
    assert service.is_running
    assert service.is_enabled
    # Its status is 1 whenever it lists everything.
    listed = host.run("vale-ctl")
    for port in vm["ports"]:
        if port["port"].startswith("vale"):
            assert port["port"] in (listed.stdout + listed.stderr).split()
