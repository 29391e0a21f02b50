# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rc.d script that restores ports at boot. Not tried on a real FreeBSD. Private to netmap.ptnet."""

from __future__ import annotations

import sys

from .. import service
from ..service import ARCHIVE

NAME = "netmap_ptnet_ports"
SCRIPT = "/usr/local/etc/rc.d/" + NAME
# load_rc_config(8) reads this file beside rc.conf, so that no file of others is edited.
CONFIG = "/etc/rc.conf.d/" + NAME

# REQUIRE: netif has made and named the interfaces, NETWORKING has configured them; the loader loads netmap before.
# rc(8) runs scripts of /usr/local/etc/rc.d after FILESYSTEMS, and python3 lies below /usr/local too.
_TEXT = """\
#!/bin/sh
# Written by the Ansible collection netmap.ptnet; changes made here are lost.
#
# PROVIDE: %(name)s
# REQUIRE: FILESYSTEMS netif NETWORKING
# BEFORE: LOGIN
# KEYWORD: nojail

. /etc/rc.subr

name="%(name)s"
desc="NICs on VALE switches and parents of netmap pipes"
rcvar="%(name)s_enable"
start_cmd="%(name)s_start"
stop_cmd=":"

%(name)s_start()
{
    # The lines go to the console and to the system log.
    output=$("%(python)s" -I %(archive)s 2>&1)
    status=$?
    printf '%%s\\n' "${output}"
    printf '%%s\\n' "${output}" | logger -t "${name}"
    return ${status}
}

load_rc_config "${name}"
: "${%(name)s_enable:=NO}"
run_rc_command "$1"
"""


class PortService(service.PortService):
    """The code, the script, and the line that enables it; rc(8) reads them at boot, so nothing is to be told."""

    PATHS = (ARCHIVE, SCRIPT, CONFIG)
    MODES = {SCRIPT: 0o555}

    def wanted(self, archive):
        script = _TEXT % {"name": NAME, "python": sys.executable, "archive": ARCHIVE}
        config = '# Written by the Ansible collection netmap.ptnet.\n%s_enable="YES"\n' % NAME
        return {ARCHIVE: archive, SCRIPT: script.encode(), CONFIG: config.encode()}

    def write(self, wanted):
        self.place(wanted)
