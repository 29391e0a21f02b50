# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which virtual machine of all is meant: by fleet, host and name. Pure. Private to netmap.ptnet.

A name is unique on one host, a host's in one inventory. Whatever is derived for a VM (MAC addresses, the uuid that its
guest reads, the address that it is reached at) is derived from all three.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections import namedtuple

from .errors import PtnetError

NAMESPACE = uuid.UUID("3f6c7d0e-6b0f-5a8e-9c55-7e1f0b1d2a44")  # never another one: guests know themselves by it
HOST_MAX = 255  # a DNS name is no longer
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z")


class Identity(namedtuple("Identity", "fleet host name")):
    """Which VM it is.

    :ivar fleet: what tells hosts of one name apart, such as two labs; empty where inventory names do (str)
    :ivar host: the host's name in the inventory (str)
    :ivar name: the VM's name on that host (str)
    """

    def __str__(self):
        return "/".join(part for part in self if part)

    def uuid(self):
        """The system's uuid, which the guest reads from its SMBIOS tables (str, lower case)."""
        return str(uuid.uuid5(NAMESPACE, "\0".join(self)))

    def serial(self):
        """The system's serial number, for people who read it in the guest: the identity in plain letters (str)."""
        return re.sub(r"[^A-Za-z0-9._/-]", "?", str(self))

    def address(self):
        """An address of its own on the loopback of its host (str).

        Linux answers at all of 127.0.0.0/8. 127.0.0.0/16 is left to what others listen at there (127.0.0.1,
        127.0.0.53, 127.0.1.1), and so are the addresses that look like a network's or a broadcast's. 16.4 million are
        left: among 1000 VMs two share one with a probability of 3 %. On one host the second one's forward cannot be
        opened then; behind two hosts the role guest refuses who answers. One of the two gets an address by hand.
        """
        digest = hashlib.sha256("\0".join(("loopback", *self)).encode()).digest()
        # Of 32 bits each, so that no number is likelier than another by more than a millionth.
        second, last = (int.from_bytes(digest[at:at + 4], "big") % 253 + 1 for at in (0, 4))
        return "127.%d.%d.%d" % (second, digest[8], last)


def is_name(name):
    """Whether a VM can be called so (bool)."""
    return _NAME.match(name) is not None


def check_name(name):
    """Refuse what is no name for a VM; it becomes part of paths and of a unit's name.

    :raises PtnetError: it is none
    """
    if not _NAME.match(name):
        raise PtnetError("this is no name for a VM", found=repr(name),
                         expected="1 to 32 of a-z, 0-9 and '-', the first one no '-'")


def identity(fleet, host, name):
    """The identity of a VM (Identity).

    :param fleet: as all others text, or a whole number, which is what YAML makes of digits that nobody quoted
    :raises PtnetError: a part of it that cannot be one
    """
    fleet, host, name = (_text(what, given) for what, given in (("fleet", fleet), ("host", host), ("name", name)))
    check_name(name)
    for what, text in (("fleet", fleet), ("host", host)):
        if len(text) > HOST_MAX or re.search(r"[\x00-\x1f\x7f]", text):
            raise PtnetError("the %s of VM %s is not usable" % (what, name), found=repr(text),
                             expected="one line of at most %d characters" % HOST_MAX)
    return Identity(fleet, host, name)


def _text(what, given):
    if isinstance(given, str):
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    # Of 1.10 and yes, YAML does not tell how they were written.
    raise PtnetError("the %s of a VM is no text" % what, found=repr(given), expected="text", remedy="quote it")


def answers(said):
    """What a guest says of its machine (dict): ``system``, ``user``, ``uuid``, ``serial``; empty where it says none.

    :param said: lines ``key=value`` of any order and case, with whatever else a login prints (str)
    """
    found = dict.fromkeys(("system", "user", "uuid", "serial"), "")
    for line in said.splitlines():
        key, mark, value = line.strip().partition("=")
        if mark and key in found:
            found[key] = value.strip()
    return dict(found, system=found["system"].lower(), uuid=found["uuid"].lower())


def stranger(said, wanted):
    """Why who answers is not the wanted machine (str), None where it is.

    :param said: as :func:`answers` returns it (dict)
    :param wanted: an Identity, or the uuid of a machine that somebody else starts (str)
    :raises PtnetError: a uuid that is none
    """
    given = isinstance(wanted, Identity)
    try:
        expected = uuid.UUID(wanted.uuid() if given else str(wanted))
    except ValueError as error:
        raise PtnetError("this is no uuid of a machine", found=wanted, expected="such as %s" % NAMESPACE) from error
    # Before SMBIOS 2.6 the first three fields were read in the other order, and some systems still do.
    if said["uuid"] in (str(expected), str(uuid.UUID(bytes_le=expected.bytes))):
        return None
    who = said["serial"] if said["serial"] and said["uuid"] else ""
    return "%s answers, and %s is wanted" % (
        "%s (uuid %s)" % (who or "another machine", said["uuid"]) if said["uuid"] else "a machine without a uuid",
        "%s (uuid %s)" % (wanted, expected) if given else "uuid %s" % expected)
