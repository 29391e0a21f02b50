# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host on doubles of systemd, both QEMUs, their helpers, users and qemu-img."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from types import SimpleNamespace

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils import command
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import (
    choice,
    definition,
    distribution,
    fork,
    qmp,
    service,
    supervisor,
    users,
)
from fake_host import Host
from vm_params import CURRENT, PTNET, Spoken, disk, forward, management, port
from vm_params import params as complete


@pytest.fixture(params=[distribution.Distribution, fork.Fork], ids=lambda kind: kind.NAME)
def kind(request):
    return request.param


@pytest.fixture
def host(monkeypatch, kind):
    folder = tempfile.mkdtemp()
    double = Host(folder)
    os.mkdir(double.units)
    monkeypatch.setattr(definition, "STATE_DIRECTORY", os.path.join(folder, "vms"))
    monkeypatch.setattr(supervisor, "UNITS", double.units)
    monkeypatch.setattr(supervisor, "_running", double.running)
    monkeypatch.setattr(service, "STEP", 0)
    monkeypatch.setattr(service.Service, "_preflight", lambda _service: None)
    double.watched = []
    monkeypatch.setattr(service.watch, "keep", lambda _change, wanted, check_mode: double.watched.append(
        (wanted, check_mode)))
    monkeypatch.setattr(service.watch, "needed", lambda but: False)
    monkeypatch.setattr(service.os, "chown", lambda *_args: None)
    monkeypatch.setattr(users, "there", double.users.__contains__)
    monkeypatch.setattr(users, "remove", double.users.discard)
    monkeypatch.setattr(users, "group", lambda _name: 0)
    monkeypatch.setattr(pwd, "getpwnam", lambda _name: SimpleNamespace(pw_uid=990, pw_gid=990))
    monkeypatch.setattr(users, "group_of", os.path.basename)
    monkeypatch.setattr(command, "run", double.run)
    monkeypatch.setattr(qmp, "status", double.query)
    chosen = {"distribution": kind_of(distribution.Distribution, folder), "fork": kind_of(fork.Fork, folder)}
    double.asked, double.chosen = kind.NAME, chosen
    monkeypatch.setattr(choice, "choose", lambda *_args: (chosen[double.asked], "asked for"))
    monkeypatch.setattr(choice, "files", lambda: [os.path.join(folder, "program")])
    yield double
    shutil.rmtree(folder)


def kind_of(kind, folder):
    one = kind(Spoken(CURRENT if kind is distribution.Distribution else PTNET))
    if one.files():
        one.files = lambda: {os.path.join(folder, "program"): b"code"}
    return one


@pytest.fixture
def params(host):
    image = os.path.join(host.folder, "image")
    with open(image, "w"):
        pass
    return complete(disks=[disk("root.qcow2", backing=image, backing_format="raw")], ports=[port("vale1:10")],
                    management=management(forward(2201)), timeout=1, stop_timeout=1)
