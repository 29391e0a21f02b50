# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MAC addresses of virtual machines and generated frames. Private to netmap.ptnet."""

from __future__ import annotations

import hashlib
import re

from .errors import PtnetError


def derive(*parts):
    """A stable address made from names: locally administered, unicast, never zero (str)."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return "02:" + ":".join("%02x" % octet for octet in digest[:5])


def check(text, owner):
    """The address in lower case.

    :param owner: whose address it is, for the message (str)
    :raises PtnetError: malformed, multicast (QEMU takes such a one without a word), or zero (bridges drop it)
    """
    mac = text.lower()
    if not re.match(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z", mac):
        raise PtnetError("the MAC address of %s is malformed" % owner, found=text,
                         expected="six pairs of hex digits with colons, such as 02:00:00:00:00:01")
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise PtnetError("the MAC address of %s is no station's address" % owner, found=text,
                         expected="a unicast address (even first octet), not all zeros",
                         remedy="leave the address out to have a stable one derived")
    return mac
