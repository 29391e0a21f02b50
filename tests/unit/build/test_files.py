# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written for good was handed to the disk before it got its name, and its name after that."""

from __future__ import annotations

import os

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils import files


@pytest.fixture
def order(monkeypatch):
    seen = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (seen.append(os.readlink("/proc/self/fd/%d" % fd)), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda old, new: (seen.append("name"), replace(old, new)))
    return seen


def test_a_file_is_flushed_before_its_name_and_the_folder_after_it(order, tmp_path):
    path = tmp_path / "a.conf"
    files.replace(str(path), "one\n", 0o600)
    assert order == [str(path) + ".new", "name", str(tmp_path)]
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("one\n", 0o600)
    assert os.listdir(tmp_path) == ["a.conf"]


def test_a_link_has_no_contents_to_flush(order, tmp_path):
    os.symlink("/nowhere", tmp_path / "l.new")
    files.rename(str(tmp_path / "l.new"), str(tmp_path / "l"))
    assert order == ["name", str(tmp_path)]


def test_a_tree_is_flushed_whole(order, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/f").write_text("f")
    os.symlink("f", tmp_path / "a/l")
    files.flush_tree(str(tmp_path))
    assert sorted(order) == sorted([str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a/f")])
