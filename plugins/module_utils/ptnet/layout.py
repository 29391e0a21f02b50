# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a port process keeps what it offers, and which devices that are. Pure. Private to netmap.ptnet.

Whoever starts a virtual machine needs the sockets before the process has opened a single port, so they follow from
the declaration alone.
"""

from __future__ import annotations

import re

from ..errors import PtnetError
from ..netmap import names

UNIT_PREFIX = "ptnet-port-"
SOCKETS = "/run/" + UNIT_PREFIX
# All NICs of a host share netmap's global region (netmap_mem_get_iommu gives each IOMMU group one of its own; a region
# that is offered twice does no harm, the guest takes the last).
_NICS = "NICs"
CONTROL = "control"  # beside the sockets of the devices, for root alone


def check_name(name):
    """The name of a port process, which becomes part of a unit's name and of a path (str).

    :raises PtnetError: any other text
    """
    if not isinstance(name, str) or not re.match(r"[a-z0-9][a-z0-9-]{0,31}\Z", name):
        raise PtnetError("this is no name for a port process", found=repr(name),
                         expected="1 to 32 of a-z, 0-9 and '-', the first one no '-'")
    return name


def unit(name):
    """The systemd unit of a port process (str)."""
    return "%s%s.service" % (UNIT_PREFIX, check_name(name))


def directory(name):
    """Where the sockets of a port process are while it runs (path)."""
    return SOCKETS + check_name(name)


def control(name):
    """Where a port process is asked what it does (path)."""
    return "%s/%s" % (directory(name), CONTROL)


def devices(name, ports):
    """The PCI devices of a port process, in the order in which a guest must find them: memory first.

    :param ports: kernel names such as vale1:10 or p0{1, in the order of the guest's interfaces (list of str)
    :returns: dicts with ``id`` (m0, m1, … one for each memory region; d0, d1, … one for each port), ``kind`` (memory
        or port) and ``socket`` (path) (list)
    """
    regions = list(dict.fromkeys(region(port) for port in ports))
    found = [("m%d" % index, "memory") for index in range(len(regions))]
    found += [("d%d" % index, "port") for index in range(len(ports))]
    return [{"id": one, "kind": kind, "socket": "%s/%s" % (directory(name), one)} for one, kind in found]


def region(port):
    """What names the memory region of a port (str): the port of a switch has its own, a pipe that of its parent.

    :param port: the kernel's name (str)
    """
    parsed = names.parse(port)
    if isinstance(parsed, names.PipeEnd):
        return parsed.parent
    return _NICS if isinstance(parsed, names.Interface) else port
