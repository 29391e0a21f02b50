# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The management network: what passt is told, and its unit."""

from __future__ import annotations

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import messages, network
from vm_params import defined, forward, management, values


def service(*forwards, reconnects=True, **more):
    return network.service(defined(management=management(*forwards, **more)), reconnects)


def test_guests_keep_their_addresses_and_never_reach_the_hosts_loopback():
    argv = service(forward(2201), forward(8080, 80, "192.0.2.1"))["argv"]
    assert argv[0] == "/usr/bin/passt"
    assert "--no-map-gw" in argv
    assert (values(argv, "--address"), values(argv, "--netmask"), values(argv, "--gateway")) == (
        ["10.0.2.15"], ["24"], ["10.0.2.2"])
    assert values(argv, "--tcp-ports") == ["127.0.0.1/2201:22", "192.0.2.1/8080:80"]
    assert values(argv, "--udp-ports") == ["none"]
    assert values(service()["argv"], "--tcp-ports") == ["none"]


def test_a_network_that_cannot_be_connected_to_again_ends_with_its_qemu():
    for reconnects, restart in ((True, "on-failure"), (False, "no")):
        one = service(reconnects=reconnects)
        assert ("--one-off" in one["argv"]) != reconnects
        assert "Restart=%s\n" % restart in one["text"]


def test_its_unit_belongs_to_the_vm_and_lets_its_group_in():
    one = service(forward(2201))
    assert (one["name"], one["need"], one["directory"]) == ("ptnet-net-fw.service", "Wants", "/run/ptnet-net-fw")
    for line in ("PartOf=ptnet-vm-fw.service", "Group=ptnet-vm-fw", "DynamicUser=yes", "RuntimeDirectoryMode=0750",
                 "UMask=0007", "BindPaths=/run/ptnet-net-fw:/tmp/socket", "CapabilityBoundingSet=",
                 "PrivateUsers=yes"):
        assert line in one["text"].splitlines()
    assert " ".join(one["argv"]) in one["text"].replace("\\\n  ", "")


def test_a_low_port_costs_one_capability():
    lines = service(forward(80, 80))["text"].splitlines()
    assert "CapabilityBoundingSet=CAP_NET_BIND_SERVICE" in lines
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in lines
    assert not any(line.startswith("PrivateUsers=") for line in lines)


def test_there_is_none_without_need():
    assert network.service(defined(), True) is None
    assert service(backend="slirp") is None
    assert network.needed(defined()) == network.needed(defined(management=management(backend="slirp"))) == []
    (path, remedy), = network.needed(defined(management=management()))
    assert path == "/usr/bin/passt"
    assert "package passt" in remedy


@pytest.mark.parametrize("line", [
    "Failed to bind port 2201 (Address already in use) for option '-t 127.0.0.1/2201:22'",
])
def test_known_texts_become_sentences(line):
    what, remedy, _busy = messages.explain([line], (network.MESSAGES,))
    assert what == "a management forward cannot be opened (2201)"
    assert "host_port" in remedy
