# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What netmap and its kernel say of the calls that were made: the double counts those that crash the real one."""

from __future__ import annotations

testinfra_hosts = ["netmap_hosts", "netmap_guests"]
PARAMETERS = "/sys/module/netmap/parameters/"
# An oops, says Documentation/admin-guide/tainted-kernels.rst of Linux.
DIED = 1 << 7


def test_no_call_was_made_that_crashes_netmap(host):
    said = dict(line.split("=", 1) for line in host.check_output(
        "cat /proc/sys/kernel/tainted | sed s/^/tainted=/; cat /sys/module/netmap/initstate | sed s/^/state=/; "
        "cd %s && for name in double forbidden_calls forbidden_last; do "
        "[ ! -e $name ] || echo $name=$(cat $name); done" % PARAMETERS).splitlines())
    assert said["state"] == "live"
    assert int(said["tainted"]) & DIED == 0
    if "double" in said:
        assert said["forbidden_calls"] == "0", said["forbidden_last"]
