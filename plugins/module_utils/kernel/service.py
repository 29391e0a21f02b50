# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a service of ours, such as the one that restores ports at boot. Private to netmap.ptnet."""

from __future__ import annotations

import abc
import contextlib
import hashlib
import os

from .. import files
from ..places import RESTORE as ARCHIVE


class ServiceFiles:
    """The code, and what makes the system start it.

    :cvar PATHS: the files, in an order in which none points to one that is not there yet (tuple of paths)
    :cvar MODES: the mode of those that are not 0644 (dict)
    :param root: prefix of all paths, for tests (path)
    """

    PATHS = (ARCHIVE,)
    MODES = {}

    def __init__(self, root):
        self._root = root

    def read(self):
        """The files that there are: path to content (bytes), or to the target of a link (str)."""
        found = {}
        for path in self.PATHS:
            full = self._root + path
            with contextlib.suppress(FileNotFoundError):
                if os.path.islink(full):
                    found[path] = os.readlink(full)
                    continue
                with open(full, "rb") as stream:
                    found[path] = stream.read()
        return found

    def place(self, wanted):
        """Make the files so, each at once or not at all; returns those that there were before (dict)."""
        present = self.read()
        for path in self.PATHS if wanted else reversed(self.PATHS):
            if path not in wanted:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._root + path)
            elif present.get(path) != wanted[path]:
                self._place(self._root + path, wanted[path], self.MODES.get(path, 0o644))
        return present

    @staticmethod
    def _place(full, content, mode):
        os.makedirs(os.path.dirname(full), mode=0o755, exist_ok=True)
        draft = full + ".new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        if isinstance(content, str):
            os.symlink(content, draft)
            files.rename(draft, full)
        else:
            files.replace(full, content, mode)


class PortService(ServiceFiles, abc.ABC):
    """The service that restores ports at boot, and what starts it on this system."""

    @abc.abstractmethod
    def wanted(self, archive):
        """The files that there should be, in the form of :meth:`read` (dict).

        :param archive: the code (bytes)
        """

    @abc.abstractmethod
    def write(self, wanted):
        """Make the files so, and tell the system if it has to know.

        :param wanted: from :meth:`wanted`; empty when nothing should be there (dict)
        """


def lines(found):
    """Files as a difference shows them: each with a digest of its content (list of str).

    :param found: as :meth:`ServiceFiles.read` returns them (dict)
    """
    contents = {path: content if isinstance(content, bytes) else content.encode() for path, content in found.items()}
    return ["%s %s" % (path, hashlib.sha256(contents[path]).hexdigest()[:12]) for path in sorted(contents)]
