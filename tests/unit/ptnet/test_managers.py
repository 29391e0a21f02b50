# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What other managers are told, read back as they would read it."""

from __future__ import annotations

import json
import shlex
import xml.etree.ElementTree as tree

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import layout, managers

DEVICES = layout.devices("web", ["vale1:web", "pp0{1"])
WANTED = [("m0", "/run/ptnet-port-web/m0"), ("m1", "/run/ptnet-port-web/m1"), ("d0", "/run/ptnet-port-web/d0"),
          ("d1", "/run/ptnet-port-web/d1")]


@pytest.fixture(scope="module")
def use():
    return managers.lines(DEVICES, 1024)


def devices(words):
    found = [json.loads(word) for option, word in zip(words, words[1:]) if option == "-device"]
    assert {one["driver"] for one in found} == {"vfio-user-pci"}
    return [(one["id"], one["socket"]["path"]) for one in found]


def test_shell(use):
    words = shlex.split(use["shell"])
    assert devices(words) == WANTED
    assert words[words.index("-object") + 1] == "memory-backend-memfd,id=ptnet-ram,size=1024M,share=on"
    assert words[words.index("-machine") + 1] == "memory-backend=ptnet-ram"


def test_libvirt(use):
    head, _between, rest = use["libvirt"].partition("\n")
    assert "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'" in head
    domain = tree.fromstring("<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>%s</domain>" % rest)
    words = [one.get("value") for one in domain.iter("{http://libvirt.org/schemas/domain/qemu/1.0}arg")]
    assert devices(words) == WANTED
    assert domain.find("memoryBacking/source").get("type") == "memfd"
    assert domain.find("memoryBacking/access").get("mode") == "shared"


@pytest.mark.parametrize(("manager", "key"), [("proxmox", "args"), ("incus", "raw.qemu")])
def test_one_line_of_a_configuration(use, manager, key):
    assert "\n" not in use[manager]
    name, _between, value = use[manager].partition(": ")
    assert name == key
    assert devices(shlex.split(value)) == WANTED


def test_cloud_hypervisor(use):
    words = shlex.split(use["cloud_hypervisor"])
    assert [word for option, word in zip(words, words[1:]) if option == "--user-device"] == [
        "socket=" + path for _id, path in WANTED]


def test_memory_comes_first():
    assert [one["kind"] for one in DEVICES] == ["memory", "memory", "port", "port"]
