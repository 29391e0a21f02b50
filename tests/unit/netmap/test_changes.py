# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What whoever holds the lock knows: the list that is kept, and what was proven of ports."""

from __future__ import annotations

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.changes import ChangeableDevice, Unloaded
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.forbidden import ForbiddenRequest
from fake_device import FakeNetmap


@pytest.fixture
def fake(tmp_path):
    netmap = FakeNetmap(nics=["eth1", "eth2"], lock=str(tmp_path / "lock"))
    yield netmap
    assert netmap.forbidden == []


@pytest.fixture
def changes(fake):
    device = ChangeableDevice(fake.driver_of, frame_limits=fake.frame_limits, open_node=fake.open_node, lock=fake.lock)
    with device.changing("test") as changes:
        yield changes


def test_the_list_that_is_kept_is_the_one_that_netmap_has(changes, fake):
    fake.open_port("vale1:10")
    steps = [lambda: changes.attach("vale1", "eth1", host_stack=True), lambda: changes.attach("vale2", "eth2"),
             lambda: changes.newif("v0", 64, 64), lambda: changes.attach("vale1", "v0"),
             lambda: changes.detach("vale1", "eth1"), lambda: changes.attach("vale2", "eth1"),
             lambda: changes.detach("vale1", "v0"), lambda: changes.detach("vale2", "eth2")]
    changes.entries()
    for step in steps:
        step()
        kept = changes.entries()
        changes.forget()
        there = {entry.name: entry for entry in changes.entries()}
        # The number of a switch is netmap's to give, when its first port comes.
        assert {entry.name: entry if entry.bridge is not None else entry._replace(bridge=there[entry.name].bridge)
                for entry in kept} == there


def test_what_was_proven_of_a_port_ends_with_the_port(changes, fake):
    changes.newif("v0", 64, 64)
    changes.delif("v0")
    fake.make_persistent("v0")
    with pytest.raises(ForbiddenRequest, match="which a program may have open"):
        changes.attach("vale1", "v0")
    changes.newif("v1", 64, 64)
    changes.attach("vale1", "v1")
    changes.detach("vale1", "v1")
    fake.attach_by_hand("vale1:v1")
    changes.forget()
    with pytest.raises(ForbiddenRequest, match="others attached"):
        changes.detach("vale1", "v1")


def test_what_is_no_persistent_port_is_said_before_netmap_is_asked(changes, fake):
    for done, call in (("deleted", changes.delif), ("queried", changes.info)):
        with pytest.raises(PtnetError, match="v9 cannot be %s; found: no interface of this name" % done):
            call("v9")
        with pytest.raises(PtnetError, match="eth1 cannot be %s; found: an interface with the driver veth" % done):
            call("eth1")
    with pytest.raises(PtnetError, match="v9 cannot be attached; found: no interface of this name"):
        changes.attach("vale1", "v9")
    with pytest.raises(PtnetError, match="vale1:eth1 cannot be detached; found: no such port on the switch"):
        changes.detach("vale1", "eth1")
    with pytest.raises(PtnetError, match="only a pipe or an attached NIC can be probed; found: 'eth1'"):
        changes.header_length("eth1")
    assert fake.changes == []


def test_several_are_deleted_and_each_failure_is_told(changes, fake):
    for name in ("v0", "v1", "v2"):
        changes.newif(name, 64, 64)
    fake.opened.add("v1")
    assert set(changes.delif_all(["v0", "v1", "v2"])) == {"v1"}
    assert set(fake.persistent) == {"v1"}
    fake.opened.clear()
    assert changes.delif_all(["v1"]) == {}
    assert changes.delif_all([]) == {}
    assert fake.persistent == {}


def test_where_netmap_is_not_loaded_interfaces_are_deleted_all_the_same():
    removed = []
    Unloaded.unlink("eth1", lambda: removed.append("eth1"))
    assert removed == ["eth1"]
    assert Unloaded.entries() == []


def test_without_limits_nothing_is_attached_or_polled(fake):
    """Whoever forgets to say where the limits come from is refused, and does no harm."""
    with ChangeableDevice(fake.driver_of, open_node=fake.open_node, lock=fake.lock).changing("test") as changes:
        with pytest.raises(ForbiddenRequest, match="MTU 1, buffers of 0"):
            changes.attach("vale1", "eth1")
        fake.attach_by_hand("vale1:eth1")
        changes.forget()
        with pytest.raises(ForbiddenRequest, match="CPU 0 to 0"):
            changes.poll("vale1", "eth1", "single", 0, 1)
