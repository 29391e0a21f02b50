# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build archives: ``manifest.json`` and ``root/<absolute path>`` in a .tar.gz. Private to netmap.ptnet."""

from __future__ import annotations

import gzip
import json
import os
import posixpath
import tarfile

from .. import files
from ..errors import PtnetError
from .identity import FORMAT, digest_file, is_identity

MANIFEST = "manifest.json"
ROOT = "root"
_MANIFEST_MAX = 1 << 24  # bytes; 250 files take 40,000


def unpack(path, into, only=None):
    """Unpack any .tar; nothing lands outside ``into``, and no link in it leads out.

    Everything belongs to whoever unpacks, and nobody else may write it.

    :param only: the names that its members must have, all of them files or symbolic links (set of str); None for any
    :raises PtnetError: no archive, cut short, or a member that is refused; then nothing was written
    """
    try:
        with tarfile.open(path) as bundle:
            members = bundle.getmembers()
            refuse_members(path, members, only)
            for member in members:
                member.name = posixpath.normpath(member.name)  # what was looked at is what is made
                if member.islnk():
                    member.linkname = posixpath.normpath(member.linkname)
                member.mode &= 0o755
                member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
            # Python 3.9 to 3.11 know filters since some bug fix release each; what they refuse was refused above.
            bundle.extractall(into, members, **({"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise damaged(path, error) from error


def refuse_members(path, members, only=None):
    """Refuse an archive that would write outside the folder that it is unpacked in. Pure.

    :param path: of the archive, for the message (path)
    :param members: all of them, in their order (list of tarfile.TarInfo)
    :param only: as for :func:`unpack`
    :raises PtnetError: the first member that is refused
    """
    names = [posixpath.normpath(member.name) for member in members]
    folders = {name for name, member in zip(names, members) if member.isdir()} | {"."}
    folders.update(name[:index] for name in names for index, letter in enumerate(name) if letter == "/")
    before = {}
    for name, member in zip(names, members):
        flaw = _flaw(name, member, folders, before)
        if not flaw and only is not None:
            flaw = _foreign(member, only)
        if flaw:
            raise PtnetError("the archive %s is refused" % path, found="%r %s" % (member.name, flaw),
                             expected="files, folders, and links that stay inside it",
                             remedy="take the archive from where it was made; if it was like this there, trust it not")
        if not member.isdir():
            before[name] = member


def _flaw(name, member, folders, before):
    """What is wrong with a member (str), or None.

    :param name: its path in plain form (str)
    :param folders: the paths of all folders, those that others lie in too (set of str)
    :param before: what is no folder and comes before it: path to member (dict)
    """
    if posixpath.isabs(name) or ".." in member.name.split("/"):
        return "may lie outside"
    if name in before:
        return "comes twice"
    if name in folders and not member.isdir():
        return "is what others lie in"
    if member.issym() and not member.linkname:
        return "leads nowhere"
    if member.issym():
        return "leads out" if _leads_out(name, member.linkname) else None
    if member.islnk():
        # Behind the name of a link, ``..`` climbs from where that leads to; so the kernel gets the name that was seen.
        first = None if ".." in member.linkname.split("/") else before.get(posixpath.normpath(member.linkname))
        return None if first and first.isreg() else "is a second name of no file of it"
    if not member.isreg() and not member.isdir():
        return "is a device or a pipe"
    return "would run with the rights of its owner" if member.isreg() and member.mode & 0o6000 else None


def _foreign(member, only):
    if member.name not in only:
        return "is not in its manifest"
    return None if member.isreg() or member.issym() else "is neither a file nor a symbolic link"


def _leads_out(name, target):
    """Whether a link may lead out of the folder that its relative path is in (bool).

    ``..`` counts at the beginning alone: behind the name of another link it climbs from where that leads to.
    """
    steps = [step for step in target.split("/") if step not in ("", ".")]
    ups = next((index for index, step in enumerate(steps) if step != ".."), len(steps))
    return posixpath.isabs(target) or ".." in steps[ups:] or ups > name.count("/")


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
            bundle.inodes = {}  # a file with two names comes twice, not as a hard link
            bundle.add(root + name, ROOT + name, filter=plain)
    files.rename(new, path)


def read_manifest(path, kind, folders=None):
    """The manifest of a build archive, which is its first member (dict).

    :param folders: where its files may be installed (list of paths); None when they are not
    :raises PtnetError: another kind of archive, another format, or a file that would lie elsewhere
    """
    try:
        with tarfile.open(path, "r:*") as bundle:
            first = bundle.next()
            manifest = json.loads(bundle.extractfile(first).read(_MANIFEST_MAX).decode()) \
                if first.name == MANIFEST else {}
    except (tarfile.TarError, EOFError, OSError, ValueError, AttributeError, KeyError, RecursionError) as error:
        raise damaged(path, error) from error
    if not isinstance(manifest, dict):
        raise damaged(path, "a manifest that is no table")
    if manifest.get("kind") != kind or manifest.get("format") != FORMAT or not is_identity(manifest.get("identity")):
        raise PtnetError("%s is no build archive for this" % path,
                         found="%s, format %s" % (manifest.get("kind", "something else"), manifest.get("format")),
                         expected="%s, format %d" % (kind, FORMAT), remedy="build it with %s_build state=built" % kind)
    if folders is not None:
        refuse_places(path, manifest, folders)
    return manifest


def refuse_places(path, manifest, folders):
    """Refuse a build that would install anything outside some folders. Pure.

    :param path: of the archive, for the message (path)
    :param manifest: of a build (dict)
    :param folders: (list of paths)
    :raises PtnetError: the first place that is refused, or a manifest that is none
    """
    entries, copied = manifest.get("files"), manifest.get("copied")
    if not isinstance(entries, dict) or not isinstance(copied, list) or not set(map(str, copied)) <= set(entries) or \
            not {"kinship", "slot", "commit"} <= set(manifest):
        raise damaged(path, "a manifest that lacks what every build has")
    for place, entry in sorted(entries.items()):
        link = entry.get("link") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(link or entry.get("sha256"), str):
            raise damaged(path, "a manifest that does not say what %r is" % place)
        folder = next((folder for folder in folders if place.startswith(folder + "/")), None)
        if posixpath.normpath(place) != place or folder is None or (
                link and _leads_out(posixpath.relpath(place, folder), link)):
            raise PtnetError(
                "the archive %s is refused" % path,
                found="%r%s" % (place, ", a link to %r" % link if link else ""),
                expected="files below %s, and links that stay there" % " and ".join(folders),
                remedy="if the build was made for another prefix, give that prefix here as well; otherwise find out "
                       "who made the archive")


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
