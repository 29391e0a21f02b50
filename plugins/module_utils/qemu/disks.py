# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks of a VM that this collection creates, and remembers. Private to netmap.ptnet."""

from __future__ import annotations

import json
import os
import struct

from .. import command, files
from ..errors import PtnetError
from .definition import DRAFT, RECORD

TIMEOUT = 600


def missing(vm):
    """The disks that have to be created (list of paths).

    :raises PtnetError: a disk stands on another image than declared
    """
    found = []
    for disk in vm["disks"]:
        if os.path.exists(disk["path"]):
            below = backing(disk["path"]) if disk["backing"] else None
            if disk["backing"] and below != disk["backing"]:
                raise PtnetError(
                    "disk %s stands on another image" % disk["path"], found=below or "no backing file",
                    expected=disk["backing"],
                    remedy="declare that image, or remove the disk with what is on it and run again")
        elif disk["backing"] or disk["size"]:
            found.append(disk["path"])
    return found


def refuse_absent(vm):
    """Refuse to go on without the images that others put there; a check run does not ask, they may come before us.

    :raises PtnetError: a disk or the image below one is not there
    """
    for disk in vm["disks"]:
        if not os.path.exists(disk["path"]) and not (disk["backing"] or disk["size"]):
            raise PtnetError("disk %s is not there" % disk["path"], expected="an existing file or device",
                             remedy="copy it there first, or set backing or size to have it created")
        if disk["backing"] and not os.path.exists(disk["backing"]):
            raise PtnetError("the image below disk %s is not there" % disk["path"], found="no %s" % disk["backing"],
                             remedy="copy the image there first (role netmap.ptnet.vms), or correct backing")


def ours(vm):
    """The disks of a VM that we made, or will make (list of paths): those that its user is given."""
    known = set(made(vm["directory"])) | set(missing(vm))
    return [disk["path"] for disk in vm["disks"] if disk["path"] in known]


def create(vm):
    """Create the missing disks and remember them; half-made ones have another name until they are whole.

    :raises PtnetError: a disk cannot be made, and then nothing is left of it
    """
    wanted = missing(vm)
    for disk in vm["disks"]:
        if disk["path"] in wanted:
            draft = _claim(vm["directory"], disk["path"])
            argv = ["qemu-img", "create", "-q", "-f", disk["format"]]
            if disk["backing"]:
                argv += ["-b", disk["backing"], "-F", disk["backing_format"]]
            try:
                command.run([*argv, draft, *([disk["size"]] if disk["size"] else [])], TIMEOUT,
                            remedy="install qemu-img (Debian: qemu-utils), check the image and the free space")
            except PtnetError:
                os.unlink(draft)
                _remember(vm["directory"], disk["path"], forget=True)
                raise
            files.rename(draft, disk["path"])


def _claim(directory, path):
    """Make the file that will be a disk, and remember that it is ours, before anything is in it (path).

    :raises PtnetError: a file of others has its name
    """
    draft = path + DRAFT
    if os.path.lexists(draft):
        # An empty one may have been made by us just before we were ended.
        if os.lstat(draft).st_size and not _is_ours(draft, _record(directory).get(path, 0)):
            raise PtnetError("disk %s cannot be made" % path, found="%s, which is none of ours" % draft,
                             expected="no such file", remedy="move it away")
        os.unlink(draft)
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    _remember(directory, path)
    return draft


def made(directory):
    """The disks that :func:`create` made for the VM of this directory and that are still there (list of paths)."""
    return [path for path, inode in _record(directory).items() if _is_ours(path, inode)]


def remove(directory):
    """Remove the disks that :func:`create` made for the VM of this directory; what others put in their place stays."""
    for path, inode in _record(directory).items():
        for name in (path, path + DRAFT):
            if _is_ours(name, inode):
                os.unlink(name)


def backing(path):
    """The image that a qcow2 file stands on (str), or None; from its header (docs/interop/qcow2.txt of QEMU)."""
    with open(path, "rb") as stream:
        magic, _version, offset, size = struct.unpack(">4sIQI", stream.read(20).ljust(20, b"\0"))
        if magic != b"QFI\xfb" or not offset:
            return None
        stream.seek(offset)
        return stream.read(size).decode("utf-8", "replace")


def _is_ours(path, inode):
    """Whether a file is the one that was made (bool).

    :param inode: its number, which a rename keeps; None where version 0.1.0 made it, which noted the path alone (int)
    """
    try:
        return inode in (os.lstat(path).st_ino, None)
    except FileNotFoundError:
        return False


def _record(directory):
    """What we made: path to inode, None where that is not known (dict)."""
    try:
        with open(os.path.join(directory, RECORD), encoding="utf-8") as stream:
            known = json.load(stream)
    except FileNotFoundError:
        return {}
    return known if isinstance(known, dict) else dict.fromkeys(known)


def _remember(directory, path, forget=False):
    known = {other: inode for other, inode in _record(directory).items() if other != path}
    if not forget:
        known[path] = os.lstat(path + DRAFT).st_ino
    files.replace(os.path.join(directory, RECORD), json.dumps(known))
