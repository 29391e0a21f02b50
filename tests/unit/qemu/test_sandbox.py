# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fence that all our services share."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils import sandbox


def test_a_service_says_what_it_needs_and_nothing_else_changes():
    text = sandbox.directives(PrivateNetwork=None, TasksMax="8", BindPaths=["/a", "/b"], DeviceAllow="/dev/kvm rw")
    lines = text.splitlines()
    assert text.endswith("\n")
    assert [line for line in lines if line.startswith("PrivateNetwork=")] == []
    assert [line for line in lines if line.startswith("TasksMax=")] == ["TasksMax=8"]
    assert [line for line in lines if line.startswith("BindPaths=")] == ["BindPaths=/a", "BindPaths=/b"]
    assert [line for line in lines if line not in sandbox.directives()] == [
        "TasksMax=8", "BindPaths=/a", "BindPaths=/b", "DeviceAllow=/dev/kvm rw"]
    assert sandbox.directives(CapabilityBoundingSet="") == sandbox.directives()
    assert "CapabilityBoundingSet=\n" in sandbox.directives()


def test_what_a_service_makes_is_its_users_alone():
    assert "UMask=0077" in sandbox.directives().splitlines()


def test_the_last_word_on_system_calls_is_a_denial():
    lines = [line for line in sandbox.directives().splitlines() if line.startswith("SystemCallFilter=")]
    assert lines == ["SystemCallFilter=@system-service", "SystemCallFilter=~@privileged @resources @keyring"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_knows_every_directive(tmp_path):
    unit = tmp_path / "fenced.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nDynamicUser=yes\n" + sandbox.directives())
    done = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--threshold=10", str(unit)], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    assert "Unknown" not in done.stdout
