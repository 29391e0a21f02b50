# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SSH to a lab machine: is it there yet, and who is it. Private to netmap.ptnet."""

from __future__ import annotations

import socket
import time

from ..command import run
from ..errors import PtnetError

# The key is the image's and the address is our own loopback, so there is no host to mistake it for.
OPTIONS = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
           "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20")


def ssh(port, key, command, timeout):
    """Run a command there; returns ``(status, output)``."""
    return run(["ssh", *OPTIONS, "-i", key, "-p", str(port), "root@127.0.0.1", command], timeout, allowed=None)


def answers(port, key, timeout):
    """Whether a command runs there (bool)."""
    try:
        return ssh(port, key, "true", timeout)[0] == 0
    except PtnetError:
        return False


def wait(port, key, timeout):
    """Wait until the whole system is up and offers nested virtualization.

    :raises PtnetError: not within ``timeout`` seconds
    """
    end = time.monotonic() + timeout
    while not _banner(port):
        if time.monotonic() > end:
            raise PtnetError("no SSH answer within %s s" % timeout)
        time.sleep(0.1)
    # SSH answers before udev has loaded the KVM module.
    command = "systemctl is-system-running --wait; for i in 1 2 3 4 5 6 7 8 9; do [ -e /dev/kvm ] && exit 0; " \
              "sleep 1; done; exit 1"
    status, output = ssh(port, key, command, max(5, end - time.monotonic()))
    state = output.strip().splitlines()[0] if output.strip() else "no answer"
    if state not in ("running", "degraded"):
        raise PtnetError("the machine did not come up", found=state, expected="running")
    if status:
        raise PtnetError("the machine has no /dev/kvm", remedy="see its console for kvm_amd or kvm_intel")


def _banner(port):
    """QEMU accepts connections before the machine does; only the server's greeting counts."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def introduce(port, key, name):
    """Tell a machine its name and the time: a clone wakes with those of its template."""
    # The part before the first dot is what people type.
    names = " ".join(dict.fromkeys([name, name.partition(".")[0]]))
    command = "date -s @%d; hostname %s; echo %s > /etc/hostname; sed -i 's/^127.0.1.1.*/127.0.1.1 %s/' /etc/hosts"
    status, output = ssh(port, key, command % (time.time(), name, name, names), 60)
    if status:
        raise PtnetError("the machine did not take its name", found=output.strip())
