# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a build's source comes from: git address and commit, directory, or archive. Private to netmap.ptnet."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat

from ..command import run
from ..errors import PtnetError
from .address import plain, settings
from .archive import unpack
from .identity import digest_file

FULL_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
GIT_SECONDS = 1800
#: No prompt, no helper program of a foreign repository, no endless wait for a dead server.
GIT_ENV = {"GIT_TERMINAL_PROMPT": "0", "GIT_HTTP_LOW_SPEED_LIMIT": "1000", "GIT_HTTP_LOW_SPEED_TIME": "30",
           "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=20"}
GIT_SETTINGS = {"core.fsmonitor": "false", "safe.directory": "*", "protocol.ext.allow": "never"}


def git(where, *arguments, **options):
    """Output of a git command run in a directory (str).

    :param settings: configuration besides :data:`GIT_SETTINGS`, which only root sees: name to value (dict)
    """
    told = dict(GIT_SETTINGS, **options.pop("settings", {}))
    env = dict(GIT_ENV, GIT_CONFIG_COUNT=str(len(told)), **options.pop("env", {}))
    for number, (name, value) in enumerate(told.items()):
        env.update({"GIT_CONFIG_KEY_%d" % number: name, "GIT_CONFIG_VALUE_%d" % number: value})
    return run(["git"] + list(arguments), options.pop("timeout", 300), cwd=where, env=env, **options)[1]


def is_address(source):
    """Whether a source is a git address, a bare repository on this machine included (bool)."""
    path = os.path.expanduser(source)
    if os.path.isdir(path):
        return os.path.isfile(os.path.join(path, "HEAD"))
    return not os.path.isfile(path) and bool("://" in source or re.match(r"[\w.@-]+:[^/\\].*|[\w.@-]+:/", source))


def open_source(source, commit, store):
    """The kind of source that ``source`` names.

    :param source: git address, directory, or source archive (str)
    :param commit: 40 hexadecimal digits, a tag or a branch; only for a git address (str)
    :raises PtnetError: nothing of that name
    """
    path = os.path.expanduser(source)
    if os.path.isfile(path):
        return Archive(path)
    if os.path.isdir(path) and not is_address(source):
        return Directory(path, store)
    if is_address(source):
        if source.startswith("-") or str(commit).startswith("-"):
            raise PtnetError("source is refused", found=plain(source), expected="no leading -")
        return Git(source, commit, store)
    raise PtnetError("source does not exist", found=plain(source),
                     expected="a git address (https://, ssh://, file://, host:path), a directory, or a .tar archive")


class Git:
    """One commit of a git repository, kept in a bare mirror in the store."""

    def __init__(self, address, commit, store):
        self.address = plain(address)
        self._settings = settings(address)
        self.store = store
        self.mirror = store.path("git", hashlib.sha256(self.address.encode()).hexdigest()[:16] + ".git")
        self.commit = commit if FULL_COMMIT.match(commit) else self._resolve(commit)

    def content(self):
        """What the source is, for the identity: the commit alone, so that mirrors are equal (str)."""
        return "git:" + self.commit

    def _resolve(self, name):
        if re.match(r"[0-9a-f]{7,39}\Z", name):
            raise PtnetError("commit is abbreviated", found=name, expected="40 hexadecimal digits, a tag or a branch")
        lines = self._remote(None, "ls-remote", self.address, "refs/tags/%s^{}" % name, "refs/tags/" + name,
                             "refs/heads/" + name).split("\n")
        found = dict(reversed(line.split("\t", 1)) for line in lines if re.match(r"[0-9a-f]{40}\t", line))
        for reference in ("refs/tags/%s^{}", "refs/tags/%s", "refs/heads/%s"):
            if reference % name in found:
                return found[reference % name]
        raise PtnetError("%s has no tag or branch %s" % (self.address, name), remedy="check commit")

    def _remote(self, where, *arguments):
        return git(where, *arguments, timeout=GIT_SECONDS, settings=self._settings, remedy=(
            "pass as source an address that this machine reaches, a directory or a .tar archive, or build on a machine "
            "that reaches %s with state=built and pass its archive" % self.address))

    def present(self):
        """Whether the commit is in the store (bool)."""
        return os.path.isdir(self.mirror) and run(
            ["git", "cat-file", "-e", self.commit + "^{tree}"], 60, cwd=self.mirror, allowed=None)[0] == 0

    def fetch(self):
        """Bring the commit into the mirror; no network when it is there."""
        if self.present():
            return
        if not os.path.isfile(os.path.join(self.mirror, "HEAD")):
            git(None, "init", "--quiet", "--bare", self.mirror)
        keep = "%s:refs/keep/%s" % (self.commit, self.commit)
        here = (self.mirror, "fetch", "--quiet", "--no-tags")
        try:
            self._remote(*here, "--depth=1", self.address, keep)
        except PtnetError as error:
            if "not our ref" not in error.message and "unadvertised" not in error.message:
                raise
            # A server may refuse a commit that is no branch's tip; the whole history has it if anything has.
            self._remote(*here, self.address, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        if not self.present():
            raise PtnetError("%s has no commit %s" % (self.address, self.commit), remedy="check source and commit")

    def export(self, into, submodules=(), rewrites=None):
        """Write the tree of the commit, and those of the named submodules, without any .git."""
        self.fetch()
        env = {"GIT_INDEX_FILE": self.store.path("tmp", "index")}
        git(self.mirror, "read-tree", self.commit, env=env)
        git(self.mirror, "--work-tree", into, "checkout-index", "--all", "--force", env=env, timeout=GIT_SECONDS)
        for path in submodules:
            row = git(self.mirror, "ls-tree", self.commit, path)
            modules = git(self.mirror, "config", "--blob", self.commit + ":.gitmodules", "--list")
            export_submodule(self.store, row, modules, into, path, rewrites)


class Directory:
    """A directory with its local changes; of a git work tree only what is not ignored, so no old objects."""

    commit = None

    def __init__(self, path, store):
        self.path = os.path.abspath(path)
        self.store = store
        self.tracked = os.path.exists(os.path.join(self.path, ".git"))

    def _files(self):
        if self.tracked:
            listing = git(self.path, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
            names = [name for name in listing.split("\0") if name]
        else:
            names = [""]
        found = set()
        for name in names:
            path = os.path.join(self.path, name)
            if os.path.isdir(path) and not os.path.islink(path):
                for top, directories, files in os.walk(path):
                    directories[:] = [entry for entry in directories if entry != ".git"]
                    links = [entry for entry in directories if os.path.islink(os.path.join(top, entry))]
                    found.update(os.path.relpath(os.path.join(top, entry), self.path)
                                 for entry in files + links if entry != ".git")
            elif os.path.lexists(path):
                found.add(name)
        return sorted(found)

    def content(self):
        """Digest over names, execute bits and contents (str)."""
        digest = hashlib.sha256()
        for name in self._files():
            path = os.path.join(self.path, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                what = "link:" + os.readlink(path)
            elif stat.S_ISREG(mode):
                what = "%d:%s" % (bool(mode & 0o100), digest_file(path))
            else:
                continue
            digest.update(("%s\0%s\0" % (name, what)).encode("utf-8", "surrogateescape"))
        return "tree:" + digest.hexdigest()

    def export(self, into, submodules=(), rewrites=None):
        for name in self._files():
            target = os.path.join(into, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(os.path.join(self.path, name), target, follow_symlinks=False)
        for path in submodules:
            if filled(into, path):
                continue
            if not self.tracked:
                lacking(self.path, path)
            row = git(self.path, "ls-tree", "HEAD", path)
            modules = git(self.path, "config", "--file", ".gitmodules", "--list")
            export_submodule(self.store, row, modules, into, path, rewrites)


class Archive:
    """A source archive (.tar, compressed or not), with or without one directory around everything."""

    commit = None

    def __init__(self, path):
        self.path = path

    def content(self):
        return "file:" + digest_file(self.path)

    def export(self, into, submodules=(), rewrites=None):
        unpack(self.path, into)
        entries = os.listdir(into)
        if len(entries) == 1 and os.path.isdir(os.path.join(into, entries[0])):
            top = os.path.join(into, entries[0])
            os.rename(top, into + ".top")
            os.rmdir(into)
            os.rename(into + ".top", into)
        for path in submodules:
            if not filled(into, path):
                lacking(self.path, path)


def filled(tree, path):
    """Whether the directory of a submodule has content (bool)."""
    return os.path.isdir(os.path.join(tree, path)) and bool(os.listdir(os.path.join(tree, path)))


def lacking(source, path):
    raise PtnetError("%s lacks the submodule %s" % (source, path), remedy="put the files of %s into it" % path)


def export_submodule(store, row, modules, into, path, rewrites):
    """Write one submodule at the commit recorded in ``row`` (a line of ls-tree), from its rewritten address."""
    found = re.match(r"160000 commit ([0-9a-f]{40})\t", row)
    if not found:
        return  # this commit carries the files themselves, or does not use them
    values = dict(line.split("=", 1) for line in modules.splitlines() if "=" in line)
    section = next((name[:-len(".path")] for name, value in values.items()
                    if name.endswith(".path") and value == path), "submodule." + path)
    address = values.get(section + ".url")
    if not address:
        raise PtnetError("the submodule %s has no address in .gitmodules" % path)
    Git(rewrite(address, rewrites), found.group(1), store).export(os.path.join(into, path))


def rewrite(address, rewrites):
    """An address with the longest matching prefix replaced, in its short form when replaced (str).

    :param rewrites: old prefix to new prefix (dict)
    """
    for old in sorted(rewrites or {}, key=len, reverse=True):
        if address.startswith(old):
            rest = address[len(old):].rstrip("/")
            return rewrites[old] + (rest[:-len(".git")] if rest.endswith(".git") else rest)
    return address


def unreachable(source, commit, store, seconds=15):
    """Why a source cannot be had, found out quickly (str); None when it can, or when its commit is in the store.

    :param seconds: bound of the look (int)
    """
    try:
        if not is_address(source):
            open_source(source, commit, store)
        elif not (FULL_COMMIT.match(commit) and Git(source, commit, store).present()):
            git(None, "ls-remote", "--heads", plain(source), timeout=seconds, settings=settings(source))
    except PtnetError as error:
        return "%s: %s" % (plain(source), error.found if is_address(source) else error.what)
    return None
