# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One port of a port process, as a word of its command line. Pure. Private to netmap.ptnet."""

from __future__ import annotations

import re

from .. import mac
from ..errors import PtnetError
from ..netmap import names
from . import pci
from .loop import AUTOMATIC, MODES, PAUSE, PAUSE_MAX

REGISTERS = ("memory", "io")
DEFAULTS = {"mode": AUTOMATIC, "pause": PAUSE, "registers": "memory", "pci_ids": "qemu"}
_KEYS = ("id", "ifname", "mac", *DEFAULTS)


def write(port):
    """The word for a port (str).

    :param port: id, ifname, mac, and what of :data:`DEFAULTS` differs (dict)
    :raises PtnetError: a value that cannot be
    """
    complete = check(port)
    return ",".join("%s=%s" % (key, complete[key]) for key in _KEYS)


def read(word):
    """The port that a word stands for (dict).

    :raises PtnetError: as :func:`check`, or a word that is none
    """
    pairs = [part.partition("=") for part in word.split(",")]
    if not all(between for _key, between, _value in pairs):
        raise PtnetError("a port is refused", found=names.shown(word), expected="key=value, separated by commas")
    port = {key: value for key, _between, value in pairs}
    if re.fullmatch("[0-9]{1,7}", port.get("pause", "")):
        port["pause"] = int(port["pause"])
    return check(port)


def check(port):
    """The port with every option, each of them possible (dict).

    :raises PtnetError: another key, or a value that cannot be
    """
    unknown = sorted(set(port) - set(_KEYS))
    missing = [key for key in ("id", "ifname", "mac") if not port.get(key)]
    if unknown or missing:
        raise PtnetError("a port is refused", found=", ".join([names.shown(key) for key in unknown]
                                                              or ["no " + key for key in missing]),
                         expected=", ".join(_KEYS))
    complete = dict(DEFAULTS, **port)
    complete["ifname"] = names.qemu_ifname(complete["ifname"])
    names.part(complete["id"], "the id of a port")
    complete["mac"] = mac.check(complete["mac"], "port %s" % complete["ifname"])
    for key, allowed in (("mode", MODES), ("registers", REGISTERS), ("pci_ids", tuple(pci.IDS))):
        if complete[key] not in allowed:
            raise PtnetError("%s of port %s is refused" % (key, complete["ifname"]), found=names.shown(complete[key]),
                             expected="one of " + ", ".join(allowed))
    if not isinstance(complete["pause"], int) or not 0 <= complete["pause"] <= PAUSE_MAX:
        raise PtnetError("pause of port %s is refused" % complete["ifname"], found=names.shown(complete["pause"]),
                         expected="0 to %d microseconds" % PAUSE_MAX)
    return complete
