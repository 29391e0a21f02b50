# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks of a VM that this collection creates, and remembers. Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import json
import os
import struct

from .. import command, files
from ..errors import PtnetError

RECORD = "disks.json"
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
    made = set(_record(vm["directory"])) | set(missing(vm))
    return [disk["path"] for disk in vm["disks"] if disk["path"] in made]


def create(vm):
    """Create the missing disks and remember them; half-made ones have another name until they are whole."""
    wanted = missing(vm)
    record = _record(vm["directory"])
    _save(vm["directory"], record + [path for path in wanted if path not in record])
    for disk in vm["disks"]:
        if disk["path"] in wanted:
            argv = ["qemu-img", "create", "-q", "-f", disk["format"]]
            if disk["backing"]:
                argv += ["-b", disk["backing"], "-F", disk["backing_format"]]
            command.run([*argv, disk["path"] + ".new", *([disk["size"]] if disk["size"] else [])], TIMEOUT,
                        remedy="install qemu-img (Debian: qemu-utils), check the image and the free space")
            files.rename(disk["path"] + ".new", disk["path"])


def made(directory):
    """The disks that :func:`create` made for the VM of this directory and that are still there (list of paths)."""
    return [path for path in _record(directory) if os.path.exists(path)]


def remove(directory):
    """Remove the disks that :func:`create` made for the VM of this directory."""
    for path in _record(directory):
        for name in (path, path + ".new"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)


def backing(path):
    """The image that a qcow2 file stands on (str), or None; from its header (docs/interop/qcow2.txt of QEMU)."""
    with open(path, "rb") as stream:
        magic, _version, offset, size = struct.unpack(">4sIQI", stream.read(20).ljust(20, b"\0"))
        if magic != b"QFI\xfb" or not offset:
            return None
        stream.seek(offset)
        return stream.read(size).decode("utf-8", "replace")


def _record(directory):
    try:
        with open(os.path.join(directory, RECORD), encoding="utf-8") as stream:
            return json.load(stream)
    except FileNotFoundError:
        return []


def _save(directory, paths):
    path = os.path.join(directory, RECORD)
    files.replace(path, json.dumps(paths))
