# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that outlive a power failure. Private to netmap.ptnet.

A rename alone does not: file systems write names before contents (ext4 for up to half a minute), so that a file may
come back empty, or not at all.
"""

from __future__ import annotations

import contextlib
import os

from .errors import PtnetError


@contextlib.contextmanager
def own_folder(path):
    """A folder in which nobody but root, or we, can make, rename or remove anything, open (context manager: int).

    It is made, for us alone, where there is none. What is opened relative to the descriptor lies in this folder,
    whatever happens to its name meanwhile.

    :raises PtnetError: it is a link or no folder, others own it or may write it, or it cannot be made or opened
    """
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise PtnetError("the folder %s cannot be opened" % path, found=error.strerror, expected="a folder of root's, "
                         "and no link to one", remedy="run as root; remove what is in its place") from error
    try:
        status = os.fstat(descriptor)
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
            raise PtnetError("the folder %s is refused, others could have put into it what they like" % path,
                             found="owner %d, mode %04o" % (status.st_uid, status.st_mode & 0o7777),
                             expected="a folder that only root may write", remedy="remove it, then run again")
        yield descriptor
    finally:
        os.close(descriptor)


def replace(path, content, mode=0o644):
    """Write a file: the old content or the new one, never half of it; what is written stays.

    :param content: what it shall hold (str or bytes)
    :param mode: its permissions (int)
    """
    with open(path + ".new", "wb", opener=_closed) as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(content.encode() if isinstance(content, str) else content)
    rename(path + ".new", path)


def _closed(path, flags):
    return os.open(path, flags, 0o600)  # whoever opens it before it has its mode reads what is written later


def rename(draft, path):
    """Give a finished file, or a link, its name; both stay."""
    if not os.path.islink(draft):
        flush(draft)
    os.replace(draft, path)
    flush(os.path.dirname(path))


def flush(path):
    """Have the disk hold what was written to a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_tree(path):
    """:func:`flush` every file and folder below a folder, and the folder itself."""
    for top, _folders, names in os.walk(path):
        for name in names:
            if os.path.isfile(os.path.join(top, name)) and not os.path.islink(os.path.join(top, name)):
                flush(os.path.join(top, name))
        flush(top)
