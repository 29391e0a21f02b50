# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.netmap.ptnet.plugins.module_utils.diagnosis import machines
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError

# As systemd 252 prints them.
LISTED = ("ptnet-port-web.service enabled enabled\nptnet-vm-fw.service  disabled enabled\n"
          "ptnet-vm-vm1.service enabled  enabled\n")
SHOWN = ("Result=success\nId=ptnet-port-web.service\nActiveState=active\nSubState=running\nUnitFileState=enabled\n\n"
         "Result=exit-code\nId=ptnet-vm-fw.service\nActiveState=failed\nSubState=failed\nUnitFileState=disabled\n\n"
         "Result=success\nId=ptnet-vm-vm1.service\nActiveState=active\nSubState=running\nUnitFileState=enabled\n")


def systemd(listed, shown):
    def run(argv, _timeout, allowed=(0,)):
        if argv[1] == "show":
            assert argv[-3:] == ["ptnet-port-web.service", "ptnet-vm-fw.service", "ptnet-vm-vm1.service"]
            return 0, shown
        assert argv[-2:] == ["ptnet-vm-*.service", "ptnet-port-*.service"]
        return 0, listed
    return run


def test_the_units_are_read():
    assert machines.read(systemd(LISTED, SHOWN)) == [
        {"Id": "ptnet-port-web.service", "ActiveState": "active", "SubState": "running", "Result": "success",
         "UnitFileState": "enabled"},
        {"Id": "ptnet-vm-fw.service", "ActiveState": "failed", "SubState": "failed", "Result": "exit-code",
         "UnitFileState": "disabled"},
        {"Id": "ptnet-vm-vm1.service", "ActiveState": "active", "SubState": "running", "Result": "success",
         "UnitFileState": "enabled"}]


def test_without_units_nothing_is_asked_of_them():
    assert machines.read(systemd("", None)) == []


def test_without_systemd_there_are_none():
    def run(argv, *_arguments, **_options):
        raise PtnetError("%s cannot be started" % argv[0])
    assert machines.read(run) == []
