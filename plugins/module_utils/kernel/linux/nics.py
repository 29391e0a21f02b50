# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the network interfaces of a Linux machine do that matters to netmap. Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import os
import struct

from .ethtool import OFFLOADS
from .ethtool import ask as ethtool

# Further offloads are bits of ETHTOOL_GFLAGS (linux/ethtool.h).
_GFLAGS = 0x25
_FLAGS = {"lro": 1 << 15, "rx-vlan": 1 << 8, "tx-vlan": 1 << 7}
_GPAUSEPARAM = 0x12
_IFF_UP = 1


def nics(root=""):
    """All interfaces of this namespace but the loopback (list of dict).

    ``name``, ``mtu`` (bytes), ``up`` and ``carrier`` (bool or None), ``module`` (the kernel module of its driver, or
    None), ``iommu_group`` (str or None), ``offloads`` and ``flow_control`` (names of what is on).

    :param root: prefix of all paths, for tests (path)
    """
    folder = root + "/sys/class/net"
    found = []
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(folder)):
            if name != "lo" and os.path.isdir(os.path.join(folder, name)):
                found.append(_nic(os.path.join(folder, name), name))
    return found


def _nic(folder, name):
    return {
        "name": name,
        "mtu": _number(folder + "/mtu"),
        "up": bool((_number(folder + "/flags") or 0) & _IFF_UP),
        # Unreadable while the interface is down.
        "carrier": {0: False, 1: True}.get(_number(folder + "/carrier")),
        "module": _target(folder + "/device/driver/module"),
        "iommu_group": _target(folder + "/device/iommu_group"),
        "offloads": offloads(lambda command: ethtool(name, command)),
        "flow_control": _flow_control(name),
    }


def offloads(ask):
    """The offloads that are on (list of str).

    :param ask: takes an ethtool command (int); returns the answer (bytes), or None where it is not supported
    """
    found = []
    for what, command in OFFLOADS.items():
        answer = ask(command)
        if answer and struct.unpack_from("=I", answer, 4)[0]:
            found.append(what)
    answer = ask(_GFLAGS)
    flags = struct.unpack_from("=I", answer, 4)[0] if answer else 0
    return sorted(found + [what for what, bit in _FLAGS.items() if flags & bit])


def _flow_control(name):
    answer = ethtool(name, _GPAUSEPARAM, 16)
    if not answer:
        return []
    _command, _negotiated, receive, send = struct.unpack_from("=IIII", answer)
    return [what for what, on in (("rx", receive), ("tx", send)) if on]


def _number(path):
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return int(stream.read().strip(), 0)
    except (OSError, ValueError):
        return None


def _target(path):
    return os.path.basename(os.path.realpath(path)) if os.path.exists(path) else None
