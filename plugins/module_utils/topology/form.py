# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The form of a topology file: its keys and what each holds, for the reader and for editors. Pure data.

Private to netmap.ptnet.
"""

from __future__ import annotations

from .. import limits
from ..netmap.names import PART_MAX
from ..qemu.options import PTNET_VM
from .fields import MAP, Anything, Fields, Items, Names, Size, Text, Whole, pairs
from .problems import problem

PLUGIN = "netmap.ptnet.topology"
VALE, PIPE, NIC, CABLE = "vale", "pipe", "nic", "cable"
SHARED = "shared"
# Not a machine: a program of the host has the other end.
HOST = "host"

NAME = Text(r"[a-z0-9][a-z0-9-]{0,31}", "1 to 32 of a-z, 0-9 and '-', the first one no '-'")
HOST_NAME = Text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", "letters, digits, '.', '-' and '_'")
SWITCH_NAME = Text(r"vale[A-Za-z0-9_]{1,9}", "vale and 1 to 9 letters, digits or underscores, such as vale1")
INTERFACE = Text(r"[A-Za-z0-9_]{1,%d}" % PART_MAX, "1 to %d letters, digits and underscores" % PART_MAX)
PATH = Text(r"/[^\x00-\x20\x7f\"'\\]*", "an absolute path without blanks and quotes")
ENDPOINT = Text(r"[A-Za-z0-9][A-Za-z0-9._-]*(:[A-Za-z0-9_-]{1,32})?",
                "VM, VM:LABEL, host:NAME, or HOST:NIC where the link is of a NIC")

VM = {
    "host": HOST_NAME,
    "image": NAME,
    "memory": Size(1, limits.MEMORY_MAX),
    "cpus": Whole(1, limits.CPUS_MAX),
    "hypervisor": Text(choices=PTNET_VM["hypervisor"]["choices"]),
    "machine": Text(r"(pc|q35)(-[A-Za-z0-9.-]+)?", "pc, q35, or a version of one"),
    "firmware": Text(choices=PTNET_VM["firmware"]["choices"]),
    "cpu": Text(),
    "kernel": PATH,
    "initrd": PATH,
    "append": Text(),
    "disks": Items(Anything()),
}
# No other variables: a file that others wrote says where a host is, and not what the controller runs to get there.
HOST_FIELDS = {
    "ansible_host": Text(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,254}", "a name or an address"),
    "ansible_port": Whole(1, 65535),
    "ansible_user": Text(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", "a user's name"),
    "memory": Size(1, limits.MEMORY_MAX),
    "cpus": Whole(1, 1 << 16),
}
IMAGE = Fields({"path": PATH, "format": Text(choices=["qcow2", "raw"])}, required=("path",))


class Link:
    """One link: ``vale1: [a, b]``, or its ``type``, ``endpoints`` and the rest by name."""

    def __init__(self):
        self._long = Fields({"type": Text(choices=[VALE, PIPE, NIC, CABLE]), "endpoints": Items(ENDPOINT, 1),
                             "switch": SWITCH_NAME, "trust": Text(choices=["private", SHARED])},
                            required=("type", "endpoints"))
        self._short = Items(ENDPOINT, 1)

    def read(self, node, problems, what):
        if node.kind != MAP or any(key.value in self._long.kinds for key, _value in node.value):
            return self._long.read(node, problems, what)
        found = pairs(node, problems, what)
        if len(found) != 1:
            problems.append(problem(node.mark, "%s is refused" % what, "%d keys" % len(found),
                                    "one switch with its endpoints, or type and endpoints"))
            return None
        (key, value), = found
        switch = SWITCH_NAME.read(key, problems, "the switch of %s" % what)
        ends = self._short.read(value, problems, "the list of endpoints of %s" % what)
        if switch is None or ends is None:
            return None
        return self._item(node, switch, ends)

    @staticmethod
    def _item(node, switch, ends):
        kind = switch._replace(value=VALE)
        return ends._replace(value={"type": kind, "switch": switch, "endpoints": ends}, mark=node.mark)

    def schema(self):
        return {"anyOf": [self._long.schema(), {
            "type": "object", "minProperties": 1, "maxProperties": 1, "propertyNames": SWITCH_NAME.schema(),
            "additionalProperties": self._short.schema()}]}


FILE = Fields({
    "plugin": Text(choices=[PLUGIN]),
    "name": NAME,
    "defaults": Fields(VM),
    "images": Names(NAME, IMAGE, "image"),
    "hosts": Names(HOST_NAME, Fields(HOST_FIELDS), "host"),
    "switches": Names(SWITCH_NAME, Fields({"host": HOST_NAME, "nics": Items(INTERFACE)}), "switch"),
    "vms": Names(NAME, Fields(VM), "VM"),
    "links": Items(Link()),
}, required=("plugin", "name", "hosts"))


def schema():
    """The JSON schema of a topology file, for editors (dict)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A topology of netmap.ptnet",
            **FILE.schema()}
