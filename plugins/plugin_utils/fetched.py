# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that many hosts of many runs bring to the controller, each fetched once. Private to netmap.ptnet.

Ansible runs a task for several hosts at once, in one process each, and somebody may run another playbook beside it.
Whoever comes first fetches, the others wait and find the file. What has a name in the cache is whole and never changes:
a file of another content has another folder.
"""

from __future__ import annotations

import fcntl
import os

from ansible.errors import AnsibleActionFail
from ansible.utils.hashing import checksum


def place(cache, digest, name):
    """Where a file is in the cache, or would be (path).

    :param cache: the folder of the cache (path)
    :param digest: SHA-1 of the content, as Ansible's ``checksum`` (str of hexadecimal digits)
    :param name: name of the file; folders in it are left out (str)
    """
    return os.path.join(cache, digest, os.path.basename(name))


def obtain(cache, digest, name, fetch):
    """Have a file in the cache, and return its path.

    :param cache, digest, name: as for :func:`place`
    :param fetch: brings the file to the path that it is given (function)
    :raises AnsibleActionFail: what was fetched has another content
    """
    path = place(cache, digest, name)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with open(os.path.join(os.path.dirname(path), "lock"), "a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if checksum(path) != digest:
            fetch(path + ".new")
            found = checksum(path + ".new")
            if found != digest:
                raise AnsibleActionFail(
                    "%s did not arrive whole; found: checksum %s; expected: %s. To do: run again; the file may have "
                    "changed on its way." % (name, found, digest))
            os.replace(path + ".new", path)
    return path
