# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd service that restores ports at boot. Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import os
import sys

from ..errors import PtnetError
from ..netmap.record import STORE

UNIT = "netmap-ptnet-ports.service"
_FOLDER = "/etc/systemd/system"
ARCHIVE = STORE + "/restore.pyz"
UNIT_FILE = "%s/%s" % (_FOLDER, UNIT)
LINK = "%s/multi-user.target.wants/%s" % (_FOLDER, UNIT)

_TEXT = """\
# Written by the Ansible collection netmap.ptnet; changes made here are lost.
[Unit]
Description=NICs on VALE switches and parents of netmap pipes
After=systemd-modules-load.service network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart="%s" -I %s
TimeoutStartSec=300

[Install]
WantedBy=multi-user.target
"""


class PortService:
    """The files of the service: the code, the unit, and the link that enables it.

    :param root: prefix of all paths, for tests (path)
    :param program: runs a program (``Linux._program``)
    :raises PtnetError: there is no systemd here
    """

    def __init__(self, root, program):
        self._root = root
        self._program = program
        if not os.path.isdir(root + "/run/systemd/system"):
            raise PtnetError("ports and parents of pipes do not come back after a reboot", found="no systemd",
                             expected="systemd", remedy="after a reboot run the same task again")

    def wanted(self, archive):
        """The files that there should be: path to content (bytes), or to the target of a link (str)."""
        return {ARCHIVE: archive, UNIT_FILE: (_TEXT % (sys.executable, ARCHIVE)).encode(), LINK: UNIT_FILE}

    def read(self):
        """The files that there are, in the form of :meth:`wanted` (dict)."""
        found = {}
        for path in (ARCHIVE, UNIT_FILE, LINK):
            full = self._root + path
            with contextlib.suppress(FileNotFoundError):
                if os.path.islink(full):
                    found[path] = os.readlink(full)
                    continue
                with open(full, "rb") as stream:
                    found[path] = stream.read()
        return found

    def write(self, wanted):
        """Make the files so, each at once or not at all, in an order in which the link never dangles."""
        present = self.read()
        for path in (ARCHIVE, UNIT_FILE, LINK) if wanted else (LINK, UNIT_FILE, ARCHIVE):
            if path not in wanted:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._root + path)
            elif present.get(path) != wanted[path]:
                self._place(self._root + path, wanted[path])
        if any(present.get(path) != wanted.get(path) for path in (UNIT_FILE, LINK)):
            with contextlib.suppress(PtnetError):  # The next boot reads the files by itself.
                self._program(["systemctl", "daemon-reload"])
        if present and not wanted:
            with contextlib.suppress(PtnetError):  # A failure would be shown on; most often there was none.
                self._program(["systemctl", "reset-failed", UNIT])

    @staticmethod
    def _place(full, content):
        os.makedirs(os.path.dirname(full), mode=0o755, exist_ok=True)
        draft = full + ".new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        if isinstance(content, str):
            os.symlink(content, draft)
        else:
            with open(draft, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fchmod(stream.fileno(), 0o644)
                os.fsync(stream.fileno())
        os.replace(draft, full)
