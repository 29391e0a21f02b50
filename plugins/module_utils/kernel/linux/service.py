# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd service that restores ports at boot. Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import os
import sys

from ...errors import PtnetError
from ...places import UNITS
from .. import service
from ..service import ARCHIVE

UNIT = "netmap-ptnet-ports.service"
UNIT_FILE = "%s/%s" % (UNITS, UNIT)
LINK = "%s/multi-user.target.wants/%s" % (UNITS, UNIT)

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


class PortService(service.PortService):
    """The code, the unit, and the link that enables it.

    :param program: runs a program (``Linux._program``)
    :raises PtnetError: there is no systemd here
    """

    PATHS = (ARCHIVE, UNIT_FILE, LINK)

    def __init__(self, root, program):
        super().__init__(root)
        self._program = program
        if not os.path.isdir(root + "/run/systemd/system"):
            raise PtnetError("ports and parents of pipes do not come back after a reboot", found="no systemd",
                             expected="systemd", remedy="after a reboot run the same task again")

    def wanted(self, archive):
        return {ARCHIVE: archive, UNIT_FILE: (_TEXT % (sys.executable, ARCHIVE)).encode(), LINK: UNIT_FILE}

    def write(self, wanted):
        """Make the files so, and tell systemd if it has read the unit before."""
        present = self.place(wanted)
        if all(present.get(path) == wanted.get(path) for path in (UNIT_FILE, LINK)):
            return
        with contextlib.suppress(PtnetError):  # The next boot reads the files by itself.
            # Units that it has not read yet it finds by itself, and a reload takes seconds where there are hundreds of
            # interfaces, each of which is a unit.
            if not self._program(["systemctl", "list-units", "--all", "--plain", "--no-legend", UNIT])[1].strip():
                return
            if not wanted:
                # It has run at this boot, and would be shown as active or failed on.
                self._program(["systemctl", "stop", UNIT])
            self._program(["systemctl", "daemon-reload"])
            if not wanted:
                self._program(["systemctl", "reset-failed", UNIT])
