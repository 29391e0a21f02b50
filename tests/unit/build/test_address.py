# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets in addresses of sources: git is told them, and nobody else."""

from __future__ import annotations

import base64
import os

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils import files
from ansible_collections.netmap.ptnet.plugins.module_utils.build import address, source
from ansible_collections.netmap.ptnet.plugins.module_utils.build.store import Store
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from hypothesis import given
from hypothesis import strategies as st

SECRET = "s3cret"


@pytest.mark.parametrize(("given", "clean", "secret"), [
    ("https://me:s3cret@example.org/n.git", "https://example.org/n.git", "me:s3cret"),
    ("https://s3cret@example.org:8443/n.git", "https://example.org:8443/n.git", "s3cret"),
    ("HTTP://a:b@c:s3cret@example.org", "HTTP://example.org", "a:b@c:s3cret"),
    ("ssh://git:s3cret@example.org/n", "ssh://git@example.org/n", "s3cret"),
    ("ssh://git@example.org/n", "ssh://git@example.org/n", None), ("git@example.org:n", "git@example.org:n", None),
    ("https://example.org/a@b", "https://example.org/a@b", None), ("file:///srv/n.git", "file:///srv/n.git", None),
    ("/srv/n.git", "/srv/n.git", None)])
def test_split(given, clean, secret):
    assert address.split(given) == (clean, secret)


@given(st.sampled_from(["http", "https"]), st.text(st.characters(exclude_characters="/?#"), min_size=1), st.text())
def test_nothing_before_the_host_is_left(scheme, who, path):
    clean, secret = address.split("%s://%s@example.org/%s" % (scheme, who, path))
    assert (clean, secret) == ("%s://example.org/%s" % (scheme, path), who)


@pytest.mark.parametrize(("who", "header"), [("me:a%40b", b"me:a@b"), ("TOKEN", b"TOKEN:")])
def test_git_is_told_by_a_header_for_this_address(who, header):
    said = address.settings("https://%s@example.org/n.git" % who)
    assert list(said) == ["http.https://example.org/n.git.extraHeader"]
    value = next(iter(said.values()))
    assert base64.b64decode(value.rpartition(" ")[2]) == header
    assert address.settings("https://example.org/n.git") == address.settings("ssh://git:x@example.org/n") == {}


def test_a_module_returns_none_of_them():
    assert address.secrets({"source": "https://me:s3cret@example.org/n", "commit": "x", "jobs": 1,
                            "submodule_rewrites": {"https://old/": "https://TOKEN@example.org/"}}) == {
        "me:s3cret", "s3cret", "TOKEN"}


@pytest.mark.parametrize("commit", ["a" * 40, "v1"])
@pytest.mark.parametrize("given", ["https://me:s3cret@example.invalid/n.git", "https://s3cret@example.invalid/n.git"])
def test_no_argument_vector_error_or_file_has_it(tmp_path, monkeypatch, given, commit):
    ran = []

    def run(argv, *_more, env=None, **_options):
        ran.append((argv, env or {}))
        if argv[1] in ("fetch", "ls-remote"):
            raise PtnetError("%s failed" % " ".join(argv), remedy=_options.get("remedy"))
        if argv[1] == "cat-file":
            return 1, ""
        return 0, ""

    monkeypatch.setattr(source, "run", run)
    store = Store(str(tmp_path / "store"), "thing")
    with pytest.raises(PtnetError) as failed:
        source.open_source(given, commit, store).fetch()
    assert SECRET not in failed.value.message
    assert SECRET not in "".join(word for argv, _env in ran for word in argv)
    told = ran[-1][1]
    header = next(value for name, value in told.items() if value.startswith("Authorization: Basic "))
    assert SECRET.encode() in base64.b64decode(header.rpartition(" ")[2])
    assert told["GIT_CONFIG_COUNT"] == str(sum(name.startswith("GIT_CONFIG_KEY_") for name in told))
    assert SECRET not in (source.unreachable(given, commit, store) or "")
    # Another token finds the same mirror.
    assert source.Git(given, "a" * 40, store).mirror == source.Git(
        "https://example.invalid/n.git", "a" * 40, store).mirror


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_closed_file_was_never_open(tmp_path, monkeypatch, mode):
    seen = []
    really = os.fchmod
    monkeypatch.setattr(files.os, "fchmod", lambda descriptor, wanted: (
        seen.append((os.fstat(descriptor).st_mode & 0o777, os.fstat(descriptor).st_size)), really(descriptor, wanted)))
    files.replace(str(tmp_path / "file"), "secret", mode)
    assert seen == [(0o600, 0)]
    assert os.stat(tmp_path / "file").st_mode & 0o777 == mode
