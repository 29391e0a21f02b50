# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""UEFI: the firmware of each distribution, and the variables of each VM."""

from __future__ import annotations

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import firmware


def machine(folder):
    return {"name": "fw", "firmware": {"variables": str(folder / "uefi-vars.fd")}}


def test_the_first_that_is_there_whole(tmp_path, monkeypatch):
    places = [(str(tmp_path / name), str(tmp_path / (name + "-vars"))) for name in ("a", "b", "c")]
    monkeypatch.setattr(firmware, "PLACES", places)
    vm = machine(tmp_path)
    firmware.locate(vm)
    assert vm["firmware"]["code"] == places[0][0]
    with pytest.raises(PtnetError, match="UEFI firmware of VM fw is not there.*Debian: ovmf"):
        firmware.refuse_absent(vm)
    for path in (*places[1], places[0][0]):
        with open(path, "w") as stream:
            stream.write(path)
    firmware.locate(vm)
    assert (vm["firmware"]["code"], vm["firmware"]["template"]) == places[1]
    firmware.refuse_absent(vm)


def test_the_variables_are_copied_once(tmp_path):
    vm = machine(tmp_path)
    vm["firmware"]["template"] = str(tmp_path / "template")
    with open(vm["firmware"]["template"], "w") as stream:
        stream.write("empty")
    assert firmware.missing(vm) == [vm["firmware"]["variables"]]
    firmware.create(vm)
    with open(vm["firmware"]["variables"], "a") as stream:
        stream.write(" no more")
    assert firmware.missing(vm) == []
    firmware.create(vm)
    with open(vm["firmware"]["variables"]) as stream:
        assert stream.read() == "empty no more"


def test_without_it_nothing_is_looked_for():
    vm = {"name": "fw", "firmware": None}
    firmware.locate(vm)
    firmware.refuse_absent(vm)
    assert firmware.missing(vm) == []
