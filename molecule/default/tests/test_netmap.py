# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What netmap says of the calls that were made: its double counts those that crash the real one."""

from __future__ import annotations

testinfra_hosts = ["netmap_hosts", "netmap_guests"]
PARAMETERS = "/sys/module/netmap/parameters/"


def test_no_call_was_made_that_crashes_netmap(host):
    if host.file(PARAMETERS + "double").exists:
        assert host.file(PARAMETERS + "forbidden_calls").content_string.strip() == "0", \
            host.file(PARAMETERS + "forbidden_last").content_string
    else:
        # The real one does not count them; it would not be here any more.
        assert host.file("/dev/netmap").exists
