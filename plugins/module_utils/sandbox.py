# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fence of systemd around a service of ours (systemd.exec(5), systemd.resource-control(5)). Pure.

Everything is forbidden here; a service says what it must be allowed. Private to netmap.ptnet.
"""

from __future__ import annotations

# What a program may have that computes and talks to Unix sockets which it is given: nothing else.
BASE = {
    "UMask": "0077",
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "PrivateUsers": "yes",
    "RemoveIPC": "yes",
    "KeyringMode": "private",
    # Files: all read-only, nobody's home, a /tmp of its own.
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    # Devices: only null, zero, random and their like. A device that is allowed (DeviceAllow) is not seen before it is
    # put into the private /dev (BindPaths).
    "PrivateDevices": "yes",
    "DevicePolicy": "closed",
    # The kernel, its clock, log, modules and settings; other processes.
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectControlGroups": "yes",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
    "ProtectProc": "invisible",
    "ProcSubset": "pid",
    "PrivateIPC": "yes",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    # The network: none.
    "PrivateNetwork": "yes",
    "RestrictAddressFamilies": "AF_UNIX",
    "IPAddressDeny": "any",
    # System calls.
    "SystemCallArchitectures": "native",
    "SystemCallFilter": ("@system-service", "~@privileged @resources @keyring"),
    "SystemCallErrorNumber": "EPERM",
    # What it can use up.
    "LimitCORE": "0",
    "TasksMax": "64",
    "LogRateLimitIntervalSec": "30",
    "LogRateLimitBurst": "200",
}


def directives(**exceptions):
    """Lines for the ``[Service]`` section of a unit (str); each one ends with a newline.

    :param exceptions: directives that differ from :data:`BASE` or come on top: a value (str), several lines of the
        same directive (list or tuple of str), or None to leave it out
    """
    lines = []
    for name, value in {**BASE, **exceptions}.items():
        values = [value] if isinstance(value, str) else value or ()
        lines += ["%s=%s\n" % (name, one) for one in values]
    return "".join(lines)
