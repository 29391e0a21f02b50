# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import device as device_module
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.changes import ChangeableDevice
from fake_device import FakeNetmap


@pytest.fixture
def fake(tmp_path):
    return FakeNetmap(nics=["eth1", "eth2"], lock=str(tmp_path / "lock"))


@pytest.fixture
def device(fake):
    return ChangeableDevice(fake.driver_of, frame_limits=fake.frame_limits, open_node=fake.open_node, lock=fake.lock,
                            lock_timeout=0.1)


def listed(device):
    return [entry.name for entry in device.entries()]


def test_a_whole_life(fake, device):
    fake.open_port("vale1:10")
    with device.changing("test") as changes:
        changes.attach("vale1", "eth1")
        changes.attach("vale2", "eth2", host_stack=True)
        assert changes.newif("p0", 512, 256)["tx_slots"] == 512
        assert changes.info("p0")["rx_slots"] == 256
        fake.pipes["p0"] = ["1"]
        assert changes.header_length("p0{1") == 12
        assert changes.header_length("p0}2") is None
        assert changes.header_length("p9{1") is None
        assert listed(device) == ["vale1:10", "vale1:eth1", "vale2:eth2", "vale2:eth2^"]
        fake.pipes.clear()
        changes.delif("p0")
        changes.detach("vale2", "eth2")
        changes.detach("vale1", "eth1")
    assert listed(device) == ["vale1:10"]
    assert fake.forbidden == []
    assert "p0" not in fake.drivers


def test_a_full_switch_is_listed_to_its_end(fake, device):
    for number in range(254):
        fake.open_port("vale1:%d" % number)
    fake.open_port("vale2:x")
    assert len(listed(device)) == 255
    assert fake.forbidden == []


# Paragraph 9 of the facts: each of these would crash or wedge the machine.
@pytest.mark.parametrize("call", [
    lambda changes: changes.info("eth2^"),
    lambda changes: changes.header_length("vale1:eth2^"),
    lambda changes: changes.attach("vale1", "eth2^"),
    lambda changes: changes.detach("vale1", "eth2^"),
    lambda changes: changes.info("v0"),
    lambda changes: changes.info("vale1:v0"),
    lambda changes: changes.header_length("v0{1"),
    lambda changes: changes.delif("v0"),
    lambda changes: changes.attach("vale2", "v0"),
    lambda changes: changes.detach("vale1", "v0"),
    lambda changes: changes.attach("vale2", "p0"),
    lambda changes: changes.info("eth2"),
    lambda changes: changes.header_length("eth1{1"),
    lambda changes: changes.delif("eth1"),
    lambda changes: changes.attach("vale2", "eth2"),
    lambda changes: changes.newif("eth1", 64, 64),
    lambda changes: changes.newif("v%d", 64, 64),
    lambda changes: changes.newif("vale1", 64, 64),
    lambda changes: changes.header_length("vale1:10"),
])
def test_what_must_not_be_asked_never_reaches_the_kernel(fake, device, call):
    fake.make_persistent("p0")
    fake.make_persistent("v0")
    fake.attach_by_hand("vale1:v0")
    fake.attach_by_hand("vale1:eth2", host_stack=True)
    fake.open_port("vale1:10")
    with device.changing("test") as changes, pytest.raises(PtnetError):
        call(changes)
    assert fake.forbidden == []
    assert fake.changes == []


def test_a_stuck_port_is_refused_with_its_reason(fake, device):
    fake.make_persistent("v0")
    fake.attach_by_hand("vale1:v0")
    fake.open_port("v0")
    assert [(entry.name, entry.stuck) for entry in device.entries()] == [("v0", True)]
    with device.changing("test") as changes:
        for call in (changes.info, changes.delif):
            with pytest.raises(PtnetError, match="reboot"):
                call("v0")
    assert fake.forbidden == []


def test_an_ephemeral_port_cannot_be_detached(fake, device):
    fake.open_port("vale1:10")
    with device.changing("test") as changes, pytest.raises(PtnetError, match="a program holds the port") as caught:
        changes.detach("vale1", "10")
    assert caught.value.facts["errno"] == errno.EBUSY


def test_a_deleted_nic_can_still_be_detached(fake, device):
    fake.attach_by_hand("vale1:eth1")
    del fake.drivers["eth1"]
    with device.changing("test") as changes:
        changes.detach("vale1", "eth1")
    assert listed(device) == []
    assert fake.forbidden == []


def test_a_positive_answer_is_a_failure(fake, device):
    fake.fail["ATTACH", "vale1:eth1"] = "+1"
    with device.changing("test") as changes, pytest.raises(PtnetError, match="instead of 0"):
        changes.attach("vale1", "eth1")


def test_no_module(fake, device):
    fake.loaded = False
    with pytest.raises(PtnetError, match="load netmap first") as caught:
        device.entries()
    assert caught.value.facts["device_absent"]


def test_polling_that_does_not_stop_is_an_error(fake, device):
    with device.changing("test") as changes:
        changes.attach("vale1", "eth1")
        assert changes.stop_polling("vale1", "eth1") is False
        for code in (errno.EBUSY, errno.ENXIO):
            fake.fail["STOP", "vale1:eth1"] = code
            with pytest.raises(PtnetError, match="refused to stop polling") as caught:
                changes.stop_polling("vale1", "eth1")
            assert caught.value.facts["errno"] == code
        fake.fail["STOP", "vale1:eth1"] = "+1"
        with pytest.raises(PtnetError, match="instead of 0"):
            changes.stop_polling("vale1", "eth1")


def test_the_real_door_reaches_a_device(fake):
    device = ChangeableDevice(fake.driver_of, open_node=lambda: device_module.Node(os.open("/dev/null", os.O_RDWR)))
    with pytest.raises(PtnetError, match="netmap refused to list ports; found: Inappropriate ioctl"):
        device.entries()


def test_only_the_device_opens_the_device():
    assert device_module.DEVICE == "/dev/netmap"
    assert not hasattr(device_module.Device, "changing")
