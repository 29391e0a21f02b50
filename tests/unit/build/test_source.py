# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import tarfile

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.build.source import Archive, Directory, open_source, rewrite
from ansible_collections.netmap.ptnet.plugins.module_utils.build.store import Store
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError


def git(path, *arguments):
    return subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(path), *arguments],
                          check=True, capture_output=True, text=True).stdout.strip()


def commit(path, **files):
    for name, text in files.items():
        (path / name).write_text(text)
    git(path, "add", "-A")
    git(path, "commit", "-qm", "change")
    return git(path, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path):
    path = tmp_path / "upstream"
    path.mkdir()
    git(path, "init", "-q", "-b", "master")
    return path


@pytest.fixture
def store(tmp_path):
    with Store(str(tmp_path / "store"), "thing").locked() as held:
        yield held


def test_git_exports_the_pinned_commit_and_then_needs_no_network(repository, store, tmp_path):
    first = commit(repository, a="1")
    second = commit(repository, a="2", b="new")
    address = "file://%s" % repository
    open_source(address, first, store).export(store.scratch("one"))
    assert os.listdir(store.path("tmp", "one")) == ["a"]
    repository.rename(tmp_path / "gone")
    open_source(address, first, store).export(store.scratch("two"))
    assert (tmp_path / "store/tmp/two/a").read_text() == "1"
    with pytest.raises(PtnetError, match="pass as source an address"):
        open_source(address, second, store).export(store.scratch("three"))


def test_git_tag_and_branch(repository, store):
    first = commit(repository, a="1")
    git(repository, "tag", "-a", "v1", "-m", "one")
    second = commit(repository, a="2")
    address = "file://%s" % repository
    assert open_source(address, "v1", store).content() == "git:" + first
    assert open_source(address, "master", store).content() == "git:" + second
    with pytest.raises(PtnetError, match="no tag or branch v2"):
        open_source(address, "v2", store)
    with pytest.raises(PtnetError, match="abbreviated"):
        open_source(address, first[:10], store)


def test_submodule_at_its_recorded_commit_from_the_rewritten_address(repository, store, tmp_path):
    key = tmp_path / "living" / "key"
    key.mkdir(parents=True)
    git(key, "init", "-q")
    recorded = commit(key, data="recorded")
    commit(key, data="newer")
    (repository / ".gitmodules").write_text(
        '[submodule "ui/key"]\n\tpath = ui/key\n\turl = https://dead.invalid/git/key.git/\n'
        '[submodule "roms/big"]\n\tpath = roms/big\n\turl = https://dead.invalid/git/big.git\n')
    git(repository, "update-index", "--add", "--cacheinfo", "160000,%s,ui/key" % recorded)
    git(repository, "update-index", "--add", "--cacheinfo", "160000,%s,roms/big" % recorded)
    git(repository, "add", ".gitmodules")
    git(repository, "commit", "-qm", "submodules")
    into = store.scratch("source")
    open_source("file://%s" % repository, git(repository, "rev-parse", "HEAD"), store).export(
        into, ("ui/key",), {"https://dead.invalid/git/": "file://%s/" % key.parent})
    with open(os.path.join(into, "ui/key/data")) as stream:
        assert stream.read() == "recorded"
    assert not os.path.exists(os.path.join(into, "roms/big/data"))


def test_rewrite():
    rules = {"https://git.qemu.org/git/": "https://github.com/qemu/"}
    assert rewrite("https://git.qemu.org/git/keycodemapdb.git", rules) == "https://github.com/qemu/keycodemapdb"
    assert rewrite("https://git.qemu.org/git/seabios.git/", rules) == "https://github.com/qemu/seabios"
    assert rewrite("https://example.org/x.git", rules) == "https://example.org/x.git"


def test_directory_digest_follows_content_mode_and_names(tmp_path, store):
    top = tmp_path / "tree"
    (top / "sub").mkdir(parents=True)
    (top / "configure").write_text("#!/bin/sh\n")
    seen = {Directory(str(top), store).content()}
    assert Directory(str(top), store).content() in seen
    for change in (lambda: (top / "configure").chmod(0o755), lambda: (top / "configure").write_text("#!/bin/bash\n"),
                   lambda: (top / "sub/new").write_text(""), lambda: (top / "sub/new").rename(top / "sub/other"),
                   lambda: (top / "link").symlink_to("configure")):
        change()
        digest = Directory(str(top), store).content()
        assert digest not in seen
        seen.add(digest)


def test_work_tree_counts_local_changes_and_not_what_git_ignores(repository, store):
    commit(repository, a="1", **{".gitignore": "*.o\n"})
    clean = Directory(str(repository), store).content()
    (repository / "a.o").write_text("object")
    assert Directory(str(repository), store).content() == clean
    (repository / "a").write_text("changed")
    (repository / "new").write_text("untracked")
    assert Directory(str(repository), store).content() != clean
    into = store.scratch("source")
    open_source(str(repository), "ignored", store).export(into)
    assert sorted(os.listdir(into)) == [".gitignore", "a", "new"]


def test_archive_loses_its_top_directory(tmp_path, store):
    (tmp_path / "x/thing-1").mkdir(parents=True)
    (tmp_path / "x/thing-1/configure").write_text("")
    with tarfile.open(tmp_path / "thing.tar.xz", "w:xz") as bundle:
        bundle.add(tmp_path / "x/thing-1", "thing-1")
    source = open_source(str(tmp_path / "thing.tar.xz"), "ignored", store)
    assert isinstance(source, Archive)
    into = store.scratch("source")
    source.export(into)
    assert os.listdir(into) == ["configure"]
    with pytest.raises(PtnetError, match="lacks the submodule ui/key"):
        source.export(store.scratch("again"), ("ui/key",))


@pytest.mark.parametrize("commit_of", [lambda _path: "master", lambda _path: "a" * 40])
def test_no_address_runs_a_program(store, tmp_path, monkeypatch, commit_of):
    """git-remote-ext(1) runs what stands in the address, where the user's settings allow it."""
    settings, ran = tmp_path / "gitconfig", tmp_path / "ran"
    settings.write_text('[protocol "ext"]\n\tallow = always\n[protocol]\n\tallow = always\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    with pytest.raises(PtnetError):
        open_source("ext::touch %s" % ran, commit_of(tmp_path), store).export(store.scratch("source"))
    assert not ran.exists()


@pytest.mark.parametrize("source", ["/no/such/place", "netmap", "--upload-pack=touch /x://y"])
def test_nonsense_is_refused(source, store):
    with pytest.raises(PtnetError):
        open_source(source, "a" * 40, store)
