# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests of the port process share: a fake netmap with open ports, and a count of descriptors and threads."""

from __future__ import annotations

import gc
import os
import threading
import time

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import opened
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.changes import ChangeableDevice
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import loop
from fake_opened import OpenableNetmap


def _held():
    return {name: os.readlink("/proc/self/fd/" + name) for name in os.listdir("/proc/self/fd")
            if os.path.lexists("/proc/self/fd/" + name)}


@pytest.fixture(autouse=True)
def _nothing_is_left():
    """Each test gives back every descriptor and every thread."""
    before, threads = _held(), threading.active_count()
    yield
    end = time.monotonic() + 5
    while time.monotonic() < end and (len(_held()) > len(before) or threading.active_count() > threads):
        gc.collect()
        time.sleep(0.01)
    after = _held()
    assert len(after) <= len(before), sorted(set(after.items()) - set(before.items()))
    assert threading.active_count() <= threads, threading.enumerate()


@pytest.fixture(autouse=True)
def _no_begin_is_held_up(monkeypatch):
    """Tests begin more often than guests."""
    monkeypatch.setattr(loop, "_BEGIN_SECONDS", 0)


@pytest.fixture
def said():
    """Lines for the log (list of str)."""
    return []


@pytest.fixture
def netmap(tmp_path):
    """A machine on which nobody ever does what crashes the kernel."""
    fake = OpenableNetmap(nics=["eth1"], lock=str(tmp_path / "lock"))
    yield fake
    assert fake.forbidden == []


@pytest.fixture
def door(netmap):
    """The way to open ports."""
    return ChangeableDevice(netmap.driver_of, open_node=netmap.open_node, lock=netmap.lock, lock_timeout=0.2)


@pytest.fixture
def port(door):
    """An open port."""
    one = opened.open_port(door, "vale1:10", ["eth1"])
    yield one
    if one._node in one._node.netmap.nodes:
        one.close()


@pytest.fixture
def wait():
    """Wait for a condition, 5 s at most; what is waited for happens in another thread."""
    def until(condition):
        end = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.001)
    return until
