# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that we open ourselves: under the lock, never one that would wedge, and given back whatever happens."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import threading
import time

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import abi, device, forbidden, opened
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.changes import ChangeableDevice
from fake_opened import HDR_SET, MEMORY, POINTERS, POOLS, REGISTER, START, STOP, OpenableNetmap

INTERFACES = ["eth1", "eth2", "p0", "v0"]


@pytest.fixture
def fake(tmp_path):
    netmap = OpenableNetmap(nics=["eth1", "eth2"], lock=str(tmp_path / "lock"))
    netmap.make_persistent("p0")
    netmap.make_persistent("v0")
    netmap.attach_by_hand("vale1:v0")
    netmap.attach_by_hand("vale1:eth1", host_stack=True)
    yield netmap
    assert netmap.forbidden == []


@pytest.fixture
def door(fake):
    return ChangeableDevice(fake.driver_of, open_node=fake.open_node, lock=fake.lock, lock_timeout=0.1)


@pytest.fixture
def port(door):
    with contextlib.closing(opened.open_port(door, "vale1:10", INTERFACES)) as one:
        yield one


@pytest.fixture
def page():
    """Memory of this process (address)."""
    memory = mmap.mmap(-1, 4096)
    begin = ctypes.c_char.from_buffer(memory)
    yield ctypes.addressof(begin)
    del begin
    memory.close()


@pytest.mark.parametrize("name", ["vale1:10", "vale2:x", "p0", "p0{1", "p0}1", "eth2"])
def test_a_port_is_opened_and_given_back(fake, door, name):
    for _time in range(3):
        with contextlib.closing(opened.open_port(door, name, INTERFACES)) as port:
            assert port.holds == name
            assert os.path.sameopenfile(port.fileno(), fake.nodes[-1].fileno())
            assert port.shape["memsize"] == MEMORY
            assert (port.shape["tx_rings"], port.shape["rx_slots"]) == (1, 1024)
            assert (port.pools["mem_id"], port.pools["buf_total"]) == (port.shape["mem_id"], 600)
            with pytest.raises(PtnetError, match="in use") as caught:
                opened.open_port(door, name, INTERFACES)
            assert caught.value.facts["errno"] == errno.EBUSY
            assert len(fake.nodes) == 1
        assert fake.nodes == []


@pytest.mark.parametrize("name", [
    "v0", "vale1:v0", "v0{1", "eth1", "eth1{1", "vale1:eth1", "vale2:eth2", "vale1:eth1^"])
def test_what_would_wedge_the_kernel_is_not_opened(fake, door, name):
    with pytest.raises(PtnetError):
        opened.open_port(door, name, INTERFACES)
    assert fake.nodes == []


@pytest.mark.parametrize("name", ["v0", "vale1:v0", "vale2:eth2"])
def test_the_door_refuses_what_the_first_look_missed(fake, door, name):
    """Without a list of interfaces to look at first, the table is still there."""
    with door.changing("test") as changes, contextlib.closing(fake.open_node()) as node, \
            pytest.raises(forbidden.ForbiddenRequest):
        device.call(node, abi.REGISTER, name, changes, mode=abi.MODE_ALL_NIC)


@pytest.mark.parametrize(("request_type", "code", "words"), [
    (REGISTER, errno.ENXIO, "no such interface or parent"), (REGISTER, errno.ENOMEM, "max_bridges"),
    (REGISTER, errno.EBUSY, "port vale1:10 is in use"), (POOLS, errno.EINVAL, "refused to tell the memory")])
def test_a_failure_leaves_nothing_open(fake, door, request_type, code, words):
    fake.fail[request_type, "vale1:10"] = code
    with pytest.raises(PtnetError, match=words):
        opened.open_port(door, "vale1:10", INTERFACES)
    assert fake.free()


def test_a_parent_that_there_is_not(door, fake):
    with pytest.raises(PtnetError) as caught:
        opened.open_port(door, "p9{1", INTERFACES)
    assert caught.value.facts["errno"] == errno.ENXIO
    assert fake.nodes == []


def test_whoever_holds_the_lock_is_waited_for(fake, door):
    with door.changing("a long change"), pytest.raises(PtnetError, match="a long change"):
        opened.open_port(door, "vale1:10", INTERFACES)
    assert fake.nodes == []


def test_two_at_once_get_it_once(fake):
    door = ChangeableDevice(fake.driver_of, open_node=fake.open_node, lock=fake.lock, lock_timeout=5)
    got, refused = [], []

    def one():
        try:
            got.append(opened.open_port(door, "vale1:10", INTERFACES))
        except PtnetError as error:
            refused.append(error.facts["errno"])

    threads = [threading.Thread(target=one) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == [errno.EBUSY] * 3
    got[0].close()
    assert fake.free()


def test_header_length(fake, door, port):
    for length in (12, 10, 0):
        assert port.set_header_length(length)
        assert fake.headers["vale1:10"] == length
    fake.fail[HDR_SET, "vale1:10"] = errno.EINVAL
    assert not port.set_header_length(12)
    with contextlib.closing(opened.open_port(door, "p0{1", INTERFACES)) as pipe:
        assert not pipe.set_header_length(12)


def test_pointers(port, page):
    with pytest.raises(PtnetError, match="loop"):
        port.loop([(-1, -1)] * 2, 20)
    ctypes.memset(page, 0xFF, 512)
    port.take_pointers(page, page + 256)
    # The entries of a guest begin as the rings are, those of the kernel too (netmap_csb_validate in netmap.c).
    assert ctypes.string_at(page, 16) == b"\0" * 8 + b"\1\0\0\0" * 2
    assert ctypes.string_at(page + 256, 12) == b"\0\0\0\0\xff\3\0\0\1\0\0\0"
    for atok, ktoa in ((page + 1, page + 256), (page, page + 32)):
        with pytest.raises(PtnetError) as caught:
            port.take_pointers(atok, ktoa)
        assert caught.value.facts["errno"] == errno.EINVAL


def test_a_loop_ends_when_it_is_told(port, page):
    port.take_pointers(page, page + 256)
    for pause in (0, 20, 1000000):
        thread = threading.Thread(target=port.loop, args=([(-1, -1)] * 2, pause))
        thread.start()
        _until(lambda: port._node._running)
        assert port._node._pairs == [(-1, -1)] * 2
        with pytest.raises(PtnetError) as caught:
            port.take_pointers(page, page + 256)
        assert caught.value.facts["errno"] == errno.EBUSY
        assert port.stop()
        thread.join(5)
        assert not thread.is_alive()
    assert port._node.log.count(STOP) == port._node.log.count(START) == 3
    assert POINTERS in port._node.log


@pytest.mark.parametrize(("pairs", "pause"), [([(-1, -1)], 20), ([(-1, -1)] * 3, 20), ([(-1, -1)] * 2, 1000001)])
def test_a_loop_that_is_refused(port, page, pairs, pause):
    port.take_pointers(page, page + 256)
    with pytest.raises(PtnetError) as caught:
        port.loop(pairs, pause)
    assert caught.value.facts["errno"] == errno.EINVAL


def _until(condition):
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_the_duplicate_of_another_process(fake, port):
    """Whoever holds one can end the loop; with nothing behind it, it says so."""
    assert opened.Descriptor(port._node, "any name").stop()
    with contextlib.closing(fake.open_node()) as empty:
        assert not opened.Descriptor(empty, "any name").stop()
        fake.fail[STOP, "any name"] = errno.EIO
        with pytest.raises(PtnetError, match="stop the loop"):
            opened.Descriptor(empty, "any name").stop()


def test_a_region_holds_no_port(fake, door):
    port = opened.open_port(door, "vale1:10", INTERFACES)
    with contextlib.closing(opened.open_region(door, port.shape["mem_id"])) as node:
        assert node.null
        assert node.region == port.shape["mem_id"]
        port.close()
        with contextlib.closing(opened.open_port(door, "vale1:10", INTERFACES)):
            assert len(fake.nodes) == 2


def test_a_region_that_there_is_not(fake, door):
    with pytest.raises(PtnetError):
        opened.open_region(door, 999)
    assert fake.nodes == []
