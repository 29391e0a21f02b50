# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every row of the table, at the lowest place: the call itself."""

from __future__ import annotations

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import abi, forbidden
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.changes import ChangeableDevice
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.device import call
from fake_device import FakeNetmap
from fake_system import FakeLinks


@pytest.fixture
def fake(tmp_path):
    netmap = FakeNetmap(nics=["eth1", "eth2", "eth3"], lock=str(tmp_path / "lock"))
    netmap.make_persistent("p0")
    netmap.make_persistent("v0")
    netmap.attach_by_hand("vale1:v0")
    netmap.make_persistent("lost")
    netmap.attach_by_hand("vale1:lost")
    netmap.open_port("lost")
    netmap.attach_by_hand("vale1:eth1", host_stack=True)
    netmap.attach_by_hand("vale1:eth3")
    netmap.rings["eth3"] = (1, 2)
    netmap.mtus["eth2"] = 9000
    netmap.open_port("vale1:10")
    return netmap


@pytest.fixture
def changes(fake):
    device = ChangeableDevice(fake.driver_of, frame_limits=fake.frame_limits, open_node=fake.open_node, lock=fake.lock,
                              polling_limits=FakeLinks(fake).polling_limits)
    with device.changing("test") as changes:
        yield changes


OPEN = {"mode": abi.MODE_ALL_NIC, "flags": abi.EXCLUSIVE | abi.NO_TX_POLL}
POLL = {"mode": 1, "first_cpu_id": 1, "num_polling_cpus": 1}
CALLS = [
    ("list-index", abi.VALE_LIST, "", {"bridge_idx": 0, "port_idx": 2**31}),
    ("list-index", abi.VALE_LIST, "", {"bridge_idx": 0, "port_idx": 255}),
    ("host-entry", abi.PORT_INFO_GET, "vale1:eth1^", {}),
    ("host-entry", abi.VALE_DETACH, "vale1:eth1^", {}),
    ("host-entry", abi.PORT_HDR_SET, "vale1:eth1^", {"hdr_len": 12}),
    ("host-entry", abi.POLLING_ENABLE, "vale1:eth1^", POLL),
    ("host-entry", abi.REGISTER, "vale1:eth1^", OPEN),
    ("host-entry", abi.REGISTER, "eth1^", OPEN),
    ("host-entry", abi.POOLS_INFO_GET, "vale1:eth1^", {}),
    ("register", 0, "p0", {}),
    ("register", 16, "p0", {}),
    ("register", abi.POOLS_INFO_GET, "p0", {}),
    ("register", abi.POOLS_INFO_GET, "vale1:10", {}),
    ("register", abi.CSB_ENABLE, "vale1:10", {}),
    ("register", abi.SYNC_KLOOP_START, "vale1:10", {"sleep_us": 20}),
    ("register", abi.SYNC_KLOOP_STOP, "vale1:10", {}),
    ("query-attached", abi.REGISTER, "v0", OPEN),
    ("query-attached", abi.REGISTER, "vale1:v0", OPEN),
    ("query-attached", abi.REGISTER, "vale2:v0", OPEN),
    ("query-attached", abi.REGISTER, "v0{1", OPEN),
    ("query-attached", abi.REGISTER, "v0}1", OPEN),
    ("query-attached", abi.REGISTER, "eth1", OPEN),
    ("query-attached", abi.REGISTER, "vale1:eth1", OPEN),
    ("query-attached", abi.REGISTER, "vale2:eth2", OPEN),
    ("query-attached", abi.REGISTER, "vale2:p0", OPEN),
    ("renamed", abi.REGISTER, "lost", OPEN),
    ("renamed", abi.REGISTER, "vale1:lost", OPEN),
    ("renamed", abi.REGISTER, "lost{1", OPEN),
    ("query-attached", abi.PORT_INFO_GET, "vale1:v0", {}),
    ("query-attached", abi.PORT_INFO_GET, "v0", {}),
    ("query-attached", abi.PORT_INFO_GET, "vale1:10", {}),
    ("query-attached", abi.PORT_HDR_GET, "vale1:v0", {}),
    ("query-attached", abi.PORT_HDR_SET, "vale1:v0", {"hdr_len": 12}),
    ("query-attached", abi.PORT_HDR_SET, "vale1:10", {"hdr_len": 12}),
    ("query-attached", abi.PORT_HDR_GET, "v0{1", {}),
    ("query-attached", abi.POLLING_ENABLE, "vale1:v0", POLL),
    ("attach-mtu", abi.VALE_ATTACH, "vale1:eth2", {"mode": 1}),
    ("renamed", abi.VALE_DETACH, "vale1:lost", {}),
    ("renamed", abi.VALE_DELIF, "lost", {}),
    ("renamed", abi.PORT_INFO_GET, "lost", {}),
    ("attach-open", abi.VALE_ATTACH, "vale2:p0", {"mode": 1}),
    ("detach-unproven", abi.VALE_DETACH, "vale1:v0", {}),
    ("two-switches", abi.VALE_ATTACH, "vale2:v0", {"mode": 1}),
    ("two-switches", abi.VALE_ATTACH, "vale2:eth1", {"mode": 1}),
    ("adapter-flap", abi.PORT_INFO_GET, "eth2", {}),
    ("adapter-flap", abi.PORT_HDR_GET, "eth2{1", {}),
    ("region", abi.VALE_NEWIF, "v1", {"mem_id": 1}),
    ("polling-cpu", abi.POLLING_ENABLE, "vale1:eth1", dict(POLL, first_cpu_id=3)),
    ("polling-cpu", abi.POLLING_ENABLE, "vale1:eth1", dict(POLL, mode=2, first_cpu_id=0, num_polling_cpus=3)),
    ("polling-rings", abi.POLLING_ENABLE, "vale1:eth3", POLL),
    ("polling-rings", abi.POLLING_ENABLE, "vale1:eth1", dict(POLL, mode=2)),
    ("unlink-attached", abi.VALE_DELIF, "v0", {}),
]


@pytest.mark.parametrize(("row", "reqtype", "name", "fields"), CALLS)
def test_each_row_is_refused_by_the_call(fake, changes, row, reqtype, name, fields):
    with pytest.raises(forbidden.ForbiddenRequest) as caught:
        call(fake, reqtype, name, changes, **fields)
    assert caught.value.facts["forbidden"] == row
    assert caught.value.facts["source"] == forbidden.TABLE[row].source
    assert fake.forbidden == []
    assert fake.changes == []


@pytest.mark.parametrize("reqtype", sorted(set(abi.BODY) - {abi.VALE_LIST}))
def test_nothing_but_the_list_without_the_lock(fake, reqtype):
    with pytest.raises(forbidden.ForbiddenRequest) as caught:
        call(fake, reqtype, "p0")
    assert caught.value.facts["forbidden"] == "unlocked"
    assert fake.changes == []


def test_every_row_is_tried_and_described():
    by_other_means = {"unlocked", "namespace-end"}
    assert {row for row, *_call in CALLS} | by_other_means == set(forbidden.TABLE)
    for row in forbidden.TABLE.values():
        assert "netmap_" in row.source or row.source.endswith(".c")
        assert "``%s``" % row.key in forbidden.__doc__


class Holder:
    """Whoever has a port open."""

    holds = "vale1:10"


OWN = [abi.POOLS_INFO_GET, abi.PORT_HDR_SET, abi.SYNC_KLOOP_START, abi.SYNC_KLOOP_STOP, abi.CSB_ENABLE]


@pytest.mark.parametrize("reqtype", sorted(set(abi.BODY) - {abi.VALE_LIST}))
@pytest.mark.parametrize("name", ["vale1:10", "vale1:11", "p0", "v0", "vale1:eth1", "", "vale1:1", "vale1:100"])
def test_whoever_has_a_port_open_may_ask_for_that_one_only(fake, reqtype, name):
    if reqtype in OWN and name == Holder.holds:
        forbidden.refuse(reqtype, name, {}, Holder())
        return
    with pytest.raises(forbidden.ForbiddenRequest) as caught:
        call(fake, reqtype, name, Holder())
    assert caught.value.facts["forbidden"] == "register"
    assert fake.changes == []


@pytest.mark.parametrize(("name", "fields"), [
    ("vale1:11", OPEN), ("vale3:1", OPEN), ("p0", OPEN), ("p0{1", OPEN), ("p0}1", OPEN), ("eth2", OPEN),
    ("", {"mode": abi.MODE_NULL, "mem_id": 1})])
def test_what_may_be_opened(changes, name, fields):
    forbidden.refuse(abi.REGISTER, name, fields, changes)


def test_an_attached_interface_is_not_deleted(fake, changes):
    with pytest.raises(forbidden.ForbiddenRequest, match="DETACH"):
        changes.unlink("eth1", lambda: pytest.fail("it was deleted"))


def test_what_was_made_under_the_lock_may_be_attached_and_detached(fake, changes):
    with pytest.raises(forbidden.ForbiddenRequest):
        changes.newif("v1", 64, 64, mem_id=1)
    assert changes.region(1) == 42369024
    changes.newif("v1", 64, 64, mem_id=1)
    changes.attach("vale1", "v1")
    with pytest.raises(forbidden.ForbiddenRequest):
        changes.delif("v1")
    changes.detach("vale1", "v1")
    changes.delif("v1")
    assert fake.forbidden == []


def test_a_port_opened_in_the_last_instant_is_not_detached(fake, changes):
    changes.newif("v1", 64, 64)
    fake.opened.add("v1")
    with pytest.raises(Exception, match="open in netmap mode"):
        changes.attach("vale1", "v1")
    assert fake.half_attached == {"v1"}
    with pytest.raises(forbidden.ForbiddenRequest, match="others attached"):
        changes.detach("vale1", "v1")


def test_a_frame_that_just_fits_fits():
    forbidden.refuse_frames("eth1", 2048, 2048)
    with pytest.raises(forbidden.ForbiddenRequest, match="MTU 2049"):
        forbidden.refuse_frames("eth1", 2049, 2048)


def test_a_region_is_asked_without_a_name(fake, changes):
    """Whatever the kernel of this machine says of an interface without a name."""
    changes._driver_of = lambda name: fake.driver_of(name) if name else "veth"
    forbidden.refuse(abi.PORT_INFO_GET, "", {"mem_id": 1}, changes)
    forbidden.refuse(abi.REGISTER, "", {"mode": abi.MODE_NULL}, changes)
    for reqtype in (abi.VALE_NEWIF, abi.POLLING_ENABLE):
        with pytest.raises(forbidden.ForbiddenRequest):
            forbidden.refuse(reqtype, "", {"mem_id": 9}, changes)
