# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both systems implement the whole of what is written down, and nothing beside it."""

from __future__ import annotations

import inspect
import os
import re

import fake_kernel
import fake_system
import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel import freebsd, linux, platform, service
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.freebsd import links as freebsd_links
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.freebsd import platform as freebsd_platform
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.freebsd import reading as freebsd_reading
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.freebsd import service as freebsd_service
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux import drivers as linux_drivers
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux import links as linux_links
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux import platform as linux_platform
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux import reading as linux_reading
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux import service as linux_service

IMPLEMENTED = [
    (platform.Platform, linux_platform.Linux), (platform.Platform, freebsd_platform.FreeBSD),
    (platform.Links, linux_links.Links), (platform.Links, freebsd_links.Links),
    (platform.Reading, linux_reading.Reading), (platform.Reading, freebsd_reading.Reading),
    # FreeBSD's own drivers have netmap support, so there are none to load.
    (platform.Drivers, linux_drivers.Drivers),
    (service.PortService, linux_service.PortService), (service.PortService, freebsd_service.PortService),
]
FOLDERS = [os.path.dirname(system.__file__) for system in (linux, freebsd)]


def operations(cls):
    """Public name to the parameters of the method, or None for a value (dict)."""
    return {name: inspect.signature(getattr(cls, name)) if callable(getattr(cls, name)) else None
            for name in dir(cls) if not name.startswith("_")}


@pytest.mark.parametrize(("interface", "cls"), IMPLEMENTED, ids=lambda cls: cls.__module__.partition("kernel.")[2])
def test_a_system_implements_all_of_it_and_nothing_else(interface, cls):
    assert issubclass(cls, interface)
    assert cls.__abstractmethods__ == frozenset()
    assert operations(cls) == operations(interface)
    assert not [name for name, value in operations(cls).items() if value is None and getattr(cls, name) is None]


@pytest.mark.parametrize("interface", sorted({one for one, _cls in IMPLEMENTED}, key=str), ids=lambda one: one.__name__)
def test_every_operation_says_what_it_returns(interface):
    assert [name for name in interface.__abstractmethods__ if not getattr(interface, name).__doc__] == []


def test_what_both_systems_do_alike_has_no_operation_of_its_own():
    assert set(operations(linux_platform.Unix)) == set(operations(platform.Platform))


def test_the_fakes_are_asked_nothing_else():
    for fake, interface in ((fake_kernel.System, platform.Platform), (fake_kernel.Nics, platform.Drivers),
                            (fake_system.FakeSystem, platform.Platform), (fake_system.FakeLinks, platform.Links)):
        assert set(operations(fake)) - set(operations(interface)) == set()


def test_only_the_folder_of_a_system_imports_from_it():
    """Elsewhere it is asked through the interface; which system it is, one function decides."""
    top = os.path.dirname(os.path.dirname(platform.__file__))
    found = {}
    for folder, _folders, names in os.walk(top):
        if folder in FOLDERS:
            continue
        for name in names:
            if name.endswith(".py"):
                with open(os.path.join(folder, name), encoding="utf-8") as stream:
                    hits = re.findall(r"^\s*from \.+(?:kernel\.)?(linux|freebsd)\b", stream.read(), re.MULTILINE)
                if hits:
                    found[os.path.relpath(os.path.join(folder, name), top)] = hits
    assert found == {"kernel/platform.py": ["linux", "freebsd"]}
