# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user of a VM, and what it may open."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils import command
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import users


@pytest.fixture
def host(monkeypatch):
    """A double of the user database: ``made``, and ``calls`` of programs."""
    double = SimpleNamespace(made=set(), calls=[], closed=set())

    def known(name):
        if name not in double.made:
            raise KeyError(name)
        return SimpleNamespace(pw_uid=990, pw_gid=991, gr_gid=991)

    def run(words, _seconds, allowed=(0,), **_more):
        double.calls.append(words)
        if words[0] == "useradd":
            double.made.add(words[-1])
        elif words[0] == "userdel":
            double.made.discard(words[-1])
        return (1 if double.closed & set(words) else 0), ""

    monkeypatch.setattr(users.pwd, "getpwnam", known)
    monkeypatch.setattr(users.grp, "getgrnam", known)
    monkeypatch.setattr(command, "run", run)
    return double


def test_made_without_home_and_shell_and_removed(host):
    users.create("ptnet-vm-fw", "fw")
    assert users.there("ptnet-vm-fw")
    words = host.calls[0]
    for word in ("--system", "--no-create-home", "--user-group", "/usr/sbin/nologin"):
        assert word in words
    users.remove("ptnet-vm-fw")
    assert not users.there("ptnet-vm-fw")
    host.calls.clear()
    users.remove("ptnet-vm-fw")
    assert host.calls == []


def test_a_group_that_userdel_left_is_removed(host, monkeypatch):
    monkeypatch.setattr(users.grp, "getgrnam", lambda _name: None)
    users.remove("ptnet-vm-fw")
    assert host.calls == [["groupdel", "ptnet-vm-fw"]]


@pytest.mark.parametrize(("closed", "writes", "text"), [
    (["/srv/a/b.img"], False, "cannot read /srv/a/b.img; found: .*To do: chmod o.r /srv/a/b.img, or setfacl -m u:vm:r"),
    (["/srv/a/b.img"], True, "cannot read and write /srv/a/b.img; .*chown vm /srv/a/b.img"),
    (["/srv/a/b.img", "/srv/a"], True, "found: folder /srv/a is closed to it. To do: chmod o.x /srv/a"),
    (["/srv/a/b.img", "/srv/a", "/srv"], False, "folder /srv is closed"),
])
def test_what_is_closed_is_named_with_the_way_out(host, closed, writes, text):
    host.made.add("vm")
    host.closed.update(closed)
    with pytest.raises(PtnetError, match=text):
        users.refuse_closed("vm", [("/srv/open", True), ("/srv/a/b.img", writes)])


def test_what_is_open_is_asked_as_that_user(host):
    host.made.add("vm")
    users.refuse_closed("vm", [("/srv/x", True), ("/srv/y", False)])
    assert [words[:4] for words in host.calls] == [["setpriv", "--reuid=990", "--regid=991", "--clear-groups"]] * 2
    assert [words[4:] for words in host.calls] == [
        ["test", "-r", "/srv/x", "-a", "-w", "/srv/x"], ["test", "-r", "/srv/y"]]


@pytest.mark.parametrize(("gid", "mode", "group"), [
    (0, 0o660, None), (78, 0o666, None), (78, 0o600, None), (78, 0o640, None), (78, 0o660, "kvm"), (79, 0o660, None)])
def test_the_group_of_a_node(monkeypatch, gid, mode, group):
    def getgrgid(number):
        if number != 78:
            raise KeyError(number)
        return SimpleNamespace(gr_name="kvm")

    monkeypatch.setattr(users.grp, "getgrgid", getgrgid)
    monkeypatch.setattr(users.os, "stat", lambda _path: SimpleNamespace(st_gid=gid, st_mode=0o20000 | mode))
    assert users.group_of("/dev/kvm") == group


def test_a_node_that_is_not_there_yet_will_have_the_group_of_its_name(tmp_path):
    assert users.group_of(str(tmp_path / "netmap")) == "netmap"
    assert os.listdir(tmp_path) == []
