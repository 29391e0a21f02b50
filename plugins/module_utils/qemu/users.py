# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user that runs one VM: made with it, removed with it, and what it may open. Private to netmap.ptnet."""

from __future__ import annotations

import grp
import os
import pwd

from .. import command
from ..errors import PtnetError

_SECONDS = 60
# Nobody's home and no shell: nobody logs in, and useradd copies no files.
_HOME = "/nonexistent"
_SHELL = "/usr/sbin/nologin"


def there(name):
    """Whether there is a user of this name (bool)."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def group(name):
    """The number of a group (int)."""
    return grp.getgrnam(name).gr_gid


def create(name, vm):
    """Make a system user with a group of its own name.

    :param vm: the name of the VM, for the user's description (str)
    """
    command.run(["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", _HOME, "--shell", _SHELL,
                 "--comment", "ptnet VM %s" % vm, name], _SECONDS,
                remedy="install the package that has useradd (Debian: passwd)")


def remove(name):
    """Remove the user, and its group; one that is not there is no error."""
    if there(name):
        command.run(["userdel", name], _SECONDS)
    try:
        grp.getgrnam(name)
    except KeyError:
        return
    command.run(["groupdel", name], _SECONDS)


def group_of(path):
    """The group that may use a device node besides root (str), or None: nobody, or everybody.

    A node that is not there yet will belong to the group that udev's rules give it, by the node's name.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return os.path.basename(path)
    if found.st_gid == 0 or found.st_mode & 0o006 == 0o006 or found.st_mode & 0o060 != 0o060:
        return None
    try:
        return grp.getgrgid(found.st_gid).gr_name
    except KeyError:
        return None


def refuse_closed(name, wanted):
    """Refuse a start for which the user cannot open what it must; nothing that is not ours is ever changed for it.

    :param name: the user (str)
    :param wanted: what it must open, as path and whether it must write it (list of pairs)
    :raises PtnetError: says which file or folder is in the way, and what to do
    """
    for path, writes in wanted:
        if _may(name, "-r", path, *(["-a", "-w", path] if writes else [])):
            continue
        closed = next((folder for folder in _folders(path) if not _may(name, "-x", folder)), None)
        raise PtnetError(
            "user %s, which runs the VM, cannot %s %s" % (name, "read and write" if writes else "read", path),
            found="folder %s is closed to it" % closed if closed else _owner(path),
            remedy="chmod o+x %s" % closed if closed else
            "chown %s %s, if no other VM uses it" % (name, path) if writes else
            "chmod o+r %s, or setfacl -m u:%s:r %s" % (path, name, path))


def _may(name, *test):
    account = pwd.getpwnam(name)
    return command.run(["setpriv", "--reuid=%d" % account.pw_uid, "--regid=%d" % account.pw_gid, "--clear-groups",
                        "test", *test], _SECONDS, allowed=(0, 1), remedy="install setpriv (util-linux)")[0] == 0


def _folders(path):
    """The folders on the way to a file, from the top (list of paths)."""
    parts = os.path.dirname(path).split("/")
    return ["/".join(parts[:count]) for count in range(2, len(parts) + 1)]


def _owner(path):
    try:
        found = os.stat(path)
    except OSError as error:
        return error.strerror
    return "owner %d, group %d, mode %o" % (found.st_uid, found.st_gid, found.st_mode & 0o7777)
