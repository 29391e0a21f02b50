# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection that Ansible came in by, on a kernel that has all kinds of interfaces: nobody takes its NIC."""

from __future__ import annotations

import json
import shlex

import pytest
from emulated import CODE

PROGRAM = "import json; from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux.management import " \
          "carried; print(json.dumps(carried()))"
SPACE = "way-in"
DISK = [{"path": "root.qcow2", "format": "qcow2", "backing": None, "backing_format": None, "size": "1G"}]


def calls(name):
    """The calls that would take an interface (list of steps)."""
    return [
        ["vale_port", {"switch": "vale1", "ports": [{"name": name}]}],
        ["pkt_gen", {"runs": [{"port": name, "function": "rx", "seconds": 1}]}],
        ["pkt_gen", {"runs": [{"port": name + "^", "function": "rx", "seconds": 1}], "background": "start"}],
        ["ptnet_port", {"name": "cut", "group": "root", "ports": [{"port": name}]}],
        ["ptnet_port", {"name": "cut", "group": "root", "state": "stopped", "ports": [{"port": "netmap:" + name}]}],
        ["ptnet_vm", {"name": "cut", "disks": DISK, "ports": [{"port": "vale1:cut"}, {"port": name}]}],
        ["ptnet_vm", {"name": "cut", "state": "present", "disks": DISK, "ports": [{"port": name}]}]]


def test_nobody_takes_the_nic_of_this_connection(machine):
    found = machine.module("netmap_info", gather=["nics"])["nics"]
    (name,) = [one["name"] for one in found if "which came in on its address" in (one["carries"] or "")]
    for check in (True, False):
        for step in calls(name):
            told = machine.steps([step], check=check)[0]
            assert told["failed"], (step, told)
            assert "%s carries the SSH connection from " % name in told["msg"], told
    assert not machine.ssh("test -e /etc/systemd/system/ptnet-vm-cut.service -o "
                           "-e /etc/systemd/system/ptnet-port-cut.service -o -e /var/lib/netmap-ptnet/vms/cut")


def test_a_task_that_left_its_session(machine):
    """As one with become and async: no variable, and no ancestor but init."""
    machine.check("rm -f /tmp/way-in; PYTHONPATH=%s setsid -f env -u SSH_CONNECTION python3 -c %s >/tmp/way-in 2>&1 "
                  "</dev/null; sleep 1; for i in $(seq 60); do test -s /tmp/way-in && exit; sleep 1; done; exit 1" % (
                      CODE, shlex.quote(PROGRAM)))
    assert "which came in on its address" in machine.check("cat /tmp/way-in")


@pytest.mark.parametrize(("make", "address", "guarded"), [
    ("ip link add bond0 type bond; ip link add d0 type dummy; ip link set d0 master bond0; ip link set bond0 up; "
     "ip link add link bond0 name bond0.7 type vlan id 7", "bond0.7", ["bond0", "bond0.7", "d0"]),
    ("ip link add br0 type bridge; ip link add d0 type dummy; ip link set d0 master br0; "
     "ip link add leg type veth peer name plug; ip link set plug master br0", "leg", ["br0", "d0", "leg", "plug"]),
    ("ip link add d0 type dummy; ip link add mac0 link d0 type macvlan", "mac0", ["d0", "mac0"]),
    # Two NICs in one subnet, answers by the other one because a rule says so.
    ("ip link add d0 type dummy; ip link add d1 type dummy; ip link set d1 up; ip address add 192.0.2.4/24 dev d1; "
     "ip rule add from 192.0.2.5 lookup 100; ip route add default via 192.0.2.1 dev d1 table 100", "d0", ["d0", "d1"]),
    ("ip link add d0 type dummy; ip link add d1 type dummy; ip link set d1 up; ip address add 192.0.2.4/24 dev d1; "
     "ip route add 203.0.113.0/24 via 192.0.2.1 dev d1", "d0", ["d0", "d1"]),
    # In a VRF the others' tables do not count; the default route of the others does.
    ("ip link add blue type vrf table 10; ip link set blue up; ip link add d0 type dummy; ip link set d0 master blue; "
     "ip link set d0 up; ip route add default dev d0 table 10; ip link add d1 type dummy; ip link set d1 up; "
     "ip link add d2 type dummy; ip link set d2 up; ip address add 198.51.100.4/24 dev d1; "
     "ip address add 198.51.100.5/24 dev d2; ip route add 203.0.113.0/24 dev d2; ip route add default dev d1",
     "d0", ["d0", "d1"])],
    ids=["bond and vlan", "bridge and pair", "macvlan", "rule", "route", "vrf"])
def test_what_the_kernel_tells_of_each_kind(machine, make, address, guarded):
    machine.check("ip netns delete %s 2>/dev/null; ip netns add %s" % (SPACE, SPACE))
    try:
        inside = "%s; ip link set %s up; ip address add 192.0.2.5/24 dev %s" % (make, address, address)
        made = machine.ssh("ip netns exec %s sh -ec %s" % (SPACE, shlex.quote(inside)))
        if "Unknown device type" in made.text:
            pytest.skip("this kernel has no such interfaces: %s" % made.text.strip())
        assert made, made
        text = machine.check(
            "SSH_CONNECTION='203.0.113.9 50000 192.0.2.5 22' PYTHONPATH=%s ip netns exec %s python3 -c %s" % (
                CODE, SPACE, shlex.quote(PROGRAM)))
        found = json.loads(text)
        assert sorted(found) == guarded
        assert found[address] == "the SSH connection from 203.0.113.9, which came in on its address 192.0.2.5"
    finally:
        machine.ssh("ip netns delete " + SPACE)
