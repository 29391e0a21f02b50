# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest sees of its passed-through ports."""

from __future__ import annotations

import pathlib

import yaml

VARIABLES = pathlib.Path(__file__).parents[3] / "playbooks/vars/lab.yml"
PORTS = yaml.safe_load(VARIABLES.read_text(encoding="utf-8"))["lab_guest_variables"]["guest_ports"]

testinfra_hosts = ["netmap_guests"]


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
