# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which reader fits a platform object. Private to netmap.ptnet."""

from __future__ import annotations

import os


def reading(system):
    """What only the diagnosis asks of this machine: an object with the methods of ``linux_reading.LinuxReading``.

    :param system: from ``modules.platform()``
    """
    if os.uname().sysname == "FreeBSD":
        from .freebsd_reading import FreeBSDReading

        return FreeBSDReading(system)
    from .linux_reading import LinuxReading

    return LinuxReading(system)
