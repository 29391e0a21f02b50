# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import inspect

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.freebsd import FreeBSD
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux import Linux

ANSWERS = {
    "sysctl -n dev.netmap.buf_num": "163840",
    "sysctl dev.netmap": "dev.netmap.buf_num: 163840\ndev.netmap.max_bridges: 8\ndev.netmap.name: text",
    "ifconfig -l": "em0 lo0 ptnet0 p0",
    "ifconfig -C": "bridge lo tap",
    "sysctl -n dev.ptnet.0.%driver": "ptnet",
    "sysctl -n dev.em.0.%driver": "em",
    "sysctl -n dev.ptnet.0.%location": "slot=4 function=0 dbsf=pci0:0:4:0",
    "route -n get default": "   route to: default\n  interface: em0\n",
    "fstat /dev/netmap": "USER CMD PID FD MOUNT\nroot pkt-gen 77 3 /dev netmap\nroot pkt-gen 77 4 /dev netmap",
}


@pytest.fixture
def freebsd(tmp_path):
    def run(argv, timeout, allowed=(0,), remedy=None):
        text = ANSWERS.get(" ".join(argv))
        return (1, "") if text is None else (0, text)

    return FreeBSD(root=str(tmp_path), run_program=run)


def test_the_surface_is_that_of_linux():
    def surface(cls):
        return {name: list(inspect.signature(method).parameters) for name, method in vars(cls).items()
                if not name.startswith("_") and callable(method)}

    assert surface(FreeBSD) == surface(Linux)


def test_reading(freebsd, monkeypatch):
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    assert freebsd.loaded()
    assert freebsd.parameters() == {"buf_num": 163840, "max_bridges": 8}
    assert [freebsd.driver_of(name) for name in ("em0", "lo0", "ptnet0", "p0", "p1")] == ["em", "lo", "ptnet", "", None]
    assert freebsd.bus_address_of("ptnet0") == "0000:00:04.0"
    assert freebsd.management() == {"em0": "the default route"}
    assert freebsd.processes() == [{"pid": 77, "command": "pkt-gen", "holds": ["descriptor 3", "descriptor 4"]}]
    with pytest.raises(PtnetError, match="built into"):
        freebsd.unload()


def test_boot_files_leave_foreign_lines(freebsd, tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/sysctl.conf").write_text("kern.x=1\ndev.netmap.verbose=1\n")
    boot = {"load": True, "parameters": {"buf_num": 20000}, "node": {"group": "netmap", "mode": "0660"}}
    freebsd.write_boot(boot)
    assert freebsd.boot() == boot
    assert (tmp_path / "etc/sysctl.conf").read_text().startswith("kern.x=1\ndev.netmap.verbose=1\ndev.netmap.buf_num")
    freebsd.write_boot({"load": False, "parameters": {}, "node": None})
    assert freebsd.boot() == {"load": False, "parameters": {}, "node": None}
    assert (tmp_path / "etc/sysctl.conf").read_text() == "kern.x=1\ndev.netmap.verbose=1\n"
