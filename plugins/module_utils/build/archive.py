# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build archives: ``manifest.json`` and ``root/<absolute path>`` in a .tar.gz. Private to netmap.ptnet."""

from __future__ import annotations

import gzip
import json
import os
import tarfile

from .. import files
from ..errors import PtnetError
from .identity import FORMAT, digest_file, is_identity

MANIFEST = "manifest.json"
ROOT = "root"


def unpack(path, into):
    """Unpack any .tar; nothing can land outside ``into``.

    :raises PtnetError: no archive, cut short, or with members that point outside
    """
    try:
        with tarfile.open(path) as bundle:
            if hasattr(tarfile, "tar_filter"):
                bundle.extractall(into, filter="tar")
                return
            for member in bundle.getmembers():  # Python 3.9 before 3.9.17
                if member.name.startswith("/") or ".." in member.name.split("/"):
                    raise tarfile.TarError("member %s points outside" % member.name)
            bundle.extractall(into)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise damaged(path, error) from error


def damaged(path, reason):
    return PtnetError("%s is no complete archive" % path, found=reason, remedy="make it or copy it again")


def describe_files(root):
    """What lies below a staging root: absolute path to digest and mode, or link target (dict)."""
    files = {}
    for top, directories, names in os.walk(root):
        for name in names + [entry for entry in directories if os.path.islink(os.path.join(top, entry))]:
            path = os.path.join(top, name)
            key = "/" + os.path.relpath(path, root)
            if os.path.islink(path):
                files[key] = {"link": os.readlink(path)}
            else:
                files[key] = {"sha256": digest_file(path), "mode": "%04o" % (os.stat(path).st_mode & 0o777)}
    return files


def pack(manifest, root, path):
    """Write an archive by rename; equal trees give equal bytes.

    :param manifest: what it is; ``files`` as of :func:`describe_files` (dict)
    :param root: the staging root (path)
    """
    def plain(member):
        member.mtime = 0
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        return member

    new = path + ".new"
    with open(new, "wb") as stream, gzip.GzipFile("", "wb", 9, stream, 0) as squeezed, tarfile.open(
            fileobj=squeezed, mode="w", format=tarfile.PAX_FORMAT) as bundle:
        text = os.path.join(os.path.dirname(root), MANIFEST)
        with open(text, "w") as out:
            json.dump(manifest, out, indent=1, sort_keys=True)
        bundle.add(text, MANIFEST, filter=plain)
        for name in sorted(manifest["files"]):
            bundle.add(root + name, ROOT + name, filter=plain)
    files.rename(new, path)


def read_manifest(path, kind):
    """The manifest of a build archive, which is its first member (dict).

    :raises PtnetError: another kind of archive, or another format
    """
    try:
        with tarfile.open(path, "r:*") as bundle:
            first = bundle.next()
            manifest = json.loads(bundle.extractfile(first).read().decode()) if first.name == MANIFEST else {}
    except (tarfile.TarError, EOFError, OSError, ValueError, AttributeError, KeyError) as error:
        raise damaged(path, error) from error
    if manifest.get("kind") != kind or manifest.get("format") != FORMAT or not is_identity(manifest.get("identity")):
        raise PtnetError("%s is no build archive for this" % path,
                         found="%s, format %s" % (manifest.get("kind", "something else"), manifest.get("format")),
                         expected="%s, format %d" % (kind, FORMAT), remedy="build it with %s_build state=built" % kind)
    return manifest


def read_members(path, prefix, names):
    """Contents of those members ``prefix + name`` that an archive has: name to content (dict of str to bytes)."""
    try:
        with tarfile.open(path) as bundle:
            there = set(bundle.getnames())
            return {name: bundle.extractfile(prefix + name).read() for name in names if prefix + name in there}
    except (tarfile.TarError, EOFError, OSError) as error:
        raise damaged(path, error) from error


def flaws(manifest, root):
    """Files of a tree that are missing or differ from the manifest (list of absolute paths as in the manifest)."""
    found = []
    for name, entry in sorted(manifest["files"].items()):
        path = root + name
        try:
            if "link" in entry:
                whole = os.readlink(path) == entry["link"]
            else:
                whole = not os.path.islink(path) and digest_file(path) == entry["sha256"]
        except OSError:
            whole = False
        if not whole:
            found.append(name)
    return found
