# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What strangers reach: other users of the host, and the services that a guest may have taken over."""

from __future__ import annotations

import json

from ansible_collections.netmap.ptnet.plugins.module_utils.places import MACHINES, RUN

testinfra_hosts = ["netmap_hosts"]
EXPOSURE = 25  # tenths, systemd-analyze(1)
# Whoever another machine's user is: no group of this one, and not root.
STRANGER = "setpriv --reuid=nobody --regid=nogroup --clear-groups"


def test_every_service_is_fenced(host):
    units = host.check_output("systemctl list-units --plain --no-legend 'ptnet-*.service' 'netmap-ptnet-watch.service' "
                              "| cut -d' ' -f1").split()
    assert len(units) >= 3, units
    assert host.run("systemd-analyze security --no-pager --threshold=%d %s" % (EXPOSURE, " ".join(units))).rc == 0, \
        host.check_output("systemd-analyze security --no-pager | grep ptnet")


def test_another_user_opens_nothing_of_a_machine(host):
    listed = "find /run/ptnet-* %s %s -type f -o -type s" % (RUN, MACHINES)
    assert len(host.check_output(listed).split()) >= 5
    opened = host.check_output(
        "for path in $(%s) /dev/netmap; do %s sh -c '[ -r \"$1\" ] || [ -w \"$1\" ]' sh $path && echo $path; done; true"
        % (listed, STRANGER))
    assert opened == ""


def test_a_machine_and_its_network_are_users_without_the_device(host):
    for unit in ("ptnet-vm-vm1.service", "ptnet-net-vm1.service"):
        pid = host.check_output("systemctl show -P MainPID %s", unit).strip()
        uid, groups = host.check_output(
            "sed -n 's/^Uid:[[:space:]]*\\([0-9]*\\).*/\\1/p; s/^Groups:[[:space:]]*//p' /proc/%s/status", pid).split(
                "\n")[:2]
        assert uid != "0"
        device = host.check_output("stat -c %g /dev/netmap").strip()
        # The fork opens its ports by itself.
        fork = "ptnet-qemu" in host.check_output("readlink /proc/%s/exe", pid)
        assert fork or device not in groups.split()


def test_a_guest_gets_no_memory_of_others_without_consent(host):
    given = {"name": "stranger", "state": "present", "kernel": "/boot/vmlinuz", "ports": [{"port": "netmap:pp0{7"}]}
    assert "VM vm1 (pp0{1)" in refusal(host, given)
    given["ports"] = [{"port": "netmap:pp9{1", "trust": "shared"}]
    assert "pp9 is no interface, and nobody declared it" in refusal(host, given)
    assert host.run("ls /etc/systemd/system/*stranger* %s/stranger" % MACHINES).rc != 0


def refusal(host, given):
    """What a machine's module said (str); a success says nothing."""
    try:
        # What ansible-core keeps for testinfra does not say that it failed, so this need not raise.
        return host.ansible("netmap.ptnet.ptnet_vm", json.dumps(given), check=False).get("msg", "")
    except host.ansible.AnsibleException as error:
        return error.result["msg"]
