# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel of the managed machine, whichever it is. Private to netmap.ptnet."""

from __future__ import annotations

import os

from ..errors import PtnetError


def platform():
    """The doors to this machine's kernel: an object with the methods of ``linux.Linux``.

    :raises PtnetError: neither Linux nor FreeBSD
    """
    system = os.uname().sysname
    if system == "Linux":
        from .linux import Linux

        return Linux()
    if system == "FreeBSD":
        from .freebsd import FreeBSD

        return FreeBSD()
    raise PtnetError("this operating system is not supported", found=system, expected="Linux or FreeBSD")
