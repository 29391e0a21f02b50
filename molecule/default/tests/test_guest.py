# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest sees of its passed-through ports."""

from __future__ import annotations

import os
import pathlib

import yaml
from ansible_collections.netmap.ptnet.plugins.module_utils.vm_identity import Identity

VARIABLES = pathlib.Path(__file__).parents[3] / "playbooks/vars/lab.yml"
PORTS = yaml.safe_load(VARIABLES.read_text(encoding="utf-8"))["lab_guest_variables"]["guest_ports"]

testinfra_hosts = ["netmap_guests"]


def test_the_guest_knows_which_machine_it_is(host):
    inventory = yaml.safe_load(pathlib.Path(os.environ["NETMAP_PTNET_INVENTORY"]).read_text(encoding="utf-8"))
    fleet = inventory["netmap_hosts"]["vars"]["vms_fleet"]
    guests = [Identity(fleet, guest["guest_host"], name) for name, guest in inventory["netmap_guests"]["hosts"].items()]
    told = tuple(host.check_output("cat /sys/class/dmi/id/product_%s", what).strip() for what in ("uuid", "serial"))
    assert told in [(one.uuid(), one.serial()) for one in guests]


def test_every_port_has_the_driver_and_its_name(host):
    drivers = host.check_output("cd /sys/class/net && for name in *; do "
                                "echo $name $(ethtool -i $name 2>/dev/null | sed -n 's/^driver: //p'); done")
    rows = [row.split() for row in drivers.splitlines()]
    assert [row[0] for row in rows if row[1:] == ["ptnetmap-guest-drivers"]] == ["ptnet%d" % n for n in range(PORTS)]


def test_the_ports_are_up(host):
    for number in range(PORTS):
        assert int(host.file("/sys/class/net/ptnet%d/flags" % number).content_string, 16) & 1


def test_the_hosts_loopback_is_not_reached(host):
    # QEMU's own user network would lead there, where sshd listens.
    assert host.run("timeout 10 bash -c 'exec 3<> /dev/tcp/10.0.2.2/22'").rc != 0
