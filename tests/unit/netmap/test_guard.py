# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What takes an interface away from the kernel, and that nobody takes the one of the management."""

from __future__ import annotations

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel import management
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import guard, names

CARRIED = {"eth0": "the SSH connection from 192.0.2.1, which came in on its address 192.0.2.5"}


@pytest.mark.parametrize(("port", "interface"), [
    ("eth0", "eth0"), ("netmap:eth0", "eth0"), ("eth0-2", "eth0"), ("eth0^", "eth0"), ("eth0^1", "eth0"),
    ("eth0*", "eth0"), ("eth0/x", "eth0"), ("eth0/R", "eth0"), ("eth0/T", "eth0"), ("eth0@3", "eth0"),
    ("netmap:eth0@conf:slots=512", "eth0"),
    # Neither calls the nm_register of the interface.
    ("eth0{1", None), ("netmap:eth0}1", None), ("eth0/r", None), ("eth0/z", None), ("eth0^/t", None),
    ("vale1:eth0", None), ("vale1:1{2", None), ("p0@share=netmap:eth0", "p0")])
def test_what_an_opening_takes(port, interface):
    assert guard.taken(port) == interface


def refused(port, allowed=False, carried=None):
    guard.refuse_opening("VM fw", ["vale1:1", port], lambda: CARRIED if carried is None else carried, allowed,
                         "vms_allow_management")


def test_the_error_tells_which_why_and_how_to_consent():
    with pytest.raises(PtnetError) as caught:
        refused("netmap:eth0^")
    assert caught.value.message == (
        "VM fw does not get eth0; found: eth0 carries the SSH connection from 192.0.2.1, which came in on its address "
        "192.0.2.5; expected: an interface whose loss does not cut this machine off. To do: choose another one, or set "
        "allow_management (the roles' variable is vms_allow_management) when there is another way in.")


def test_another_name_of_it_is_refused_and_the_error_has_its_real_one():
    with pytest.raises(PtnetError, match="found: enp0s18 carries the default route, as another name of eth0"):
        refused("netmap:enp0s18-1", carried=management.carried(
            {2: management.Link("eth0", "", None, None, ("enp0s18",))}, [], {}, [2]))


def test_consent_and_other_interfaces():
    refused("eth0", allowed=True)
    refused("eth1")
    refused("eth0{1")


def test_the_machine_is_asked_only_where_something_is_taken():
    guard.refuse_opening("VM fw", ["vale1:1", "eth0}1"], None, False, "vms_allow_management")


def test_the_nic_beside_the_hosts_leg():
    entries = names.listed([(1, "vale1:leg"), (1, "vale1:eth0"), (1, "vale1:eth0^"), (2, "vale2:eth1"), (3, "lost")])
    assert guard.beside("eth0", {"leg": "the default route"}, entries) == "leg"
    assert guard.beside("eth1", {"leg": "the default route"}, entries) is None
    assert guard.beside("lost", {"leg": "the default route"}, entries) is None
