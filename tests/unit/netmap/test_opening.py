# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ports other programs may not open, and who names one."""

from __future__ import annotations

import os

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import names, opening

ENTRIES = names.listed([(0, "vale0:eth1"), (0, "vale0:eth1^"), (0, "vale0:10"), (1, "v9")])
INTERFACES = ["eth0", "eth1", "v9"]


@pytest.mark.parametrize("port", [
    "eth1", "netmap:eth1", "netmap:eth1^", "netmap:eth1-0/x", "eth1{1", "vale0:eth1", "vale1:eth0", "v9", "v9^", "v9-0",
    "v9*", "v9/r", "v9/z", "v9@1", "v9{1", "v9}1", "vale0:v9", "vale0:v9{1", "vale0:eth1/x", "vale0:eth1/r",
    "p0{1@share=netmap:v9", "p0{1@share=vale0:eth1", "eth0@share=netmap:v9{1"])
def test_ports_that_would_wedge_the_kernel(port):
    with pytest.raises(opening.MustNotOpen, match="may not be opened"):
        opening.refuse_wedging(["vale0:11", port], ENTRIES, INTERFACES)


@pytest.mark.parametrize("port", ["vale0:eth1^", "vale0:gone^", "vale0:gone*"])
def test_a_host_stack_entry_is_no_port(port):
    with pytest.raises(PtnetError, match="no host rings"):
        opening.refuse_wedging([port], ENTRIES, INTERFACES)


def test_the_others_may_be_opened():
    opening.refuse_wedging(["vale0:10", "vale1:10", "eth0", "netmap:eth0^", "p0{1", "netmap:p0}1", "10", "vale0:10/r",
                            "eth0/r", "vale1:10{1", "p0{1@share=netmap:p1"], ENTRIES, INTERFACES)


def test_a_monitor_of_a_port_that_nobody_has_open():
    with pytest.raises(PtnetError, match="nobody has vale1:10 open"):
        opening.refuse_wedging(["vale1:10/r", "vale1:10/t"], ENTRIES, INTERFACES)


def test_users_of_a_port(tmp_path):
    lines = {"11": "qemu\0-name\0guest=fw,debug-threads=on\0-netdev\0netmap,id=d0,ifname=p0{1,passthrough=on\0",
             "12": "/usr/bin/pkt-gen\0-i\0netmap:p0{1\0", "13": "pkt-gen\0-i\0netmap:p0{11\0", "self": "p0{1\0",
             "14": "python3\0-I\0/var/lib/ptnet.pyz\0--name\0web\0--port\0id=d0,ifname=p0{1,mode=polling\0",
             str(os.getpid()): "python\0p0{1\0"}
    for pid, line in lines.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cmdline").write_text(line)
    assert opening.users("p0{1", str(tmp_path)) == [
        "VM fw (process 11)", "pkt-gen (process 12)", "port process web (process 14)"]
    assert opening.users("p0{2", str(tmp_path)) == []


@pytest.mark.parametrize(("words", "name"), [
    (["python3", "-I", "/var/lib/netmap-ptnet/ptnet.pyz", "--name", "web", "--port", "x"], "web"),
    (["python3", "/var/lib/netmap-ptnet/ptnet.pyz", "--name"], None), (["python3", "/x/ptnet.pyz"], None),
    (["vi", "--name", "web"], None)])
def test_the_name_of_a_port_process(words, name):
    assert opening.port_process(words) == name
