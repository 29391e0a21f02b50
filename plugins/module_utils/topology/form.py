# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The form of a topology file: its keys and what each holds, for the reader and for editors. Pure data.

Private to netmap.ptnet.
"""

from __future__ import annotations

from collections import namedtuple

from .. import limits
from ..netmap.names import PART_MAX
from ..qemu.options import PTNET_VM
from .fields import MAP, Fields, Flag, Items, Names, Size, Text, Whole, keyed
from .problems import problem, shown, suggestion

PLUGIN = "netmap.ptnet.topology"
VALE, PIPE, NIC, CABLE = "vale", "pipe", "nic", "cable"
PRIVATE, SHARED = "private", "shared"
ENDPOINT_ROLE, MIDDLEBOX = "endpoint", "middlebox"
# Not a machine: a program of the host has the other end.
HOST = "host"
# Ansible would take a VM of these names for the group, or for the machine that it runs on.
_TAKEN = (HOST, "all", "ungrouped", "localhost")

NAME = Text(r"[a-z0-9][a-z0-9-]{0,31}", "1 to 32 of a-z, 0-9 and '-', the first one no '-'")
VM_NAME = Text(r"(?!(?:%s)$)[a-z0-9][a-z0-9-]{0,31}" % "|".join(_TAKEN),
               "1 to 32 of a-z, 0-9 and '-', the first one no '-', and none of %s" % ", ".join(_TAKEN))
HOST_NAME = Text(r"(?!(?:host|all|ungrouped|netmap_hosts|netmap_guests)$|guests_of_)[A-Za-z0-9][A-Za-z0-9._-]{0,254}",
                 "letters, digits, '.', '-' and '_', neither host nor the name of a group")
SWITCH_NAME = Text(r"vale[A-Za-z0-9_]{1,9}", "vale and 1 to 9 letters, digits or underscores, such as vale1")
INTERFACE = Text(r"[A-Za-z0-9_]{1,%d}" % PART_MAX, "1 to %d letters, digits and underscores" % PART_MAX)
PATH = Text(r"/[^\x00-\x20\x7f\x22\x27\\]*", "an absolute path without blanks, quotes and backslashes")
ENDPOINT = Text(r"[A-Za-z0-9][A-Za-z0-9._-]*(:[A-Za-z0-9_-]{1,32})?",
                "VM, VM:LABEL, host:NAME, or HOST:NIC where the link is of a NIC")
VM_PORT = Text(r"[a-z0-9][a-z0-9-]{0,31}:[A-Za-z0-9_-]{1,%d}" % PART_MAX, "VM:LABEL")

_DISK = PTNET_VM["disks"]["options"]
DISK = Fields({
    "path": Text(r"/[^\x00-\x20\x7f\x22\x27\\]*|[^\x00-\x20\x7f\x22\x27\\/]+",
                 "an absolute path, or the name of a file of the VM's own, without blanks, quotes, backslashes"),
    "format": Text(choices=_DISK["format"]["choices"]),
    "backing": PATH,
    "backing_format": Text(choices=_DISK["backing_format"]["choices"]),
    "size": Text(r"[1-9][0-9]*[KMGT]?", "a number with K, M, G or T, such as 4G; in quotes, a number of bytes"),
    "read_only": Flag(),
    "serial": Text(r"[A-Za-z0-9_.-]{1,20}", "1 to 20 of A-Z a-z 0-9 _ . -"),
}, required=("path",))
VM = {
    "host": HOST_NAME,
    "image": NAME,
    "role": Text(choices=[ENDPOINT_ROLE, MIDDLEBOX]),
    "memory": Size(1, limits.MEMORY_MAX),
    "cpus": Whole(1, limits.CPUS_MAX),
    "cpu_quota": Whole(1, limits.CPUS_MAX * 100, "per cent of one processor"),
    "allowed_cpus": Text(r"[0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?)*",
                         "numbers and ranges with commas between, such as '0,4-7'"),
    "io_weight": Whole(1, 10000),
    "hypervisor": Text(choices=PTNET_VM["hypervisor"]["choices"]),
    "machine": Text(r"(pc|q35)(-[A-Za-z0-9.-]+)?", "pc, q35, or a version of one"),
    "firmware": Text(choices=PTNET_VM["firmware"]["choices"]),
    "cpu": Text(),
    "kernel": PATH,
    "initrd": PATH,
    "append": Text(),
    "disks": Items(DISK),
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

LinkKind = namedtuple("LinkKind", "fields shares")
LinkKind.__doc__ = """Its Fields, and what the ends of such a link see of each other (str, None where all is copied)."""


def _kind(name, least, most, more=(), required=(), shares=None):
    kinds = {"type": Text(choices=[name]), "endpoints": Items(ENDPOINT, least, most, "endpoint"), **dict(more)}
    return LinkKind(Fields(kinds, ("type", "endpoints", *required)), shares)


_TRUST = Text(choices=[PRIVATE, SHARED])
LINKS = {
    VALE: _kind(VALE, 1, None, {"switch": SWITCH_NAME}, ["switch"]),
    PIPE: _kind(PIPE, 2, 2, {"trust": _TRUST, "domain": NAME},
                shares="each end sees what the other one has in its rings"),
    NIC: _kind(NIC, 2, 2, {"trust": _TRUST},
               shares="the guest sees the packets of all NICs that netmap uses on that host"),
    CABLE: _kind(CABLE, 2, 2),
}
_TYPE = Text(choices=list(LINKS))


class Link:
    """One link: ``vale1: [a, b]``, or its ``type``, ``endpoints`` and the rest by name."""

    def __init__(self):
        self._words = list(dict.fromkeys(word for kind in LINKS.values() for word in kind.fields.kinds))
        self._short = Items(ENDPOINT, 1, None, "endpoint")

    def read(self, node, problems, what):
        if node.kind != MAP or not any(key.value in self._words for key, _value in keyed(node, [], what)):
            return self._read_short(node, problems, what)
        types = [value for key, value in node.value if key.value == "type"]
        if not types:
            others = [key for key, _value in keyed(node, problems, what) if key.value not in self._words]
            problems += [problem(key.mark, "%s has no %s" % (what, shown(key.value)), None, ", ".join(self._words),
                                 suggestion(key.value, self._words)) for key in others] or [
                problem(node.mark, "%s has no type" % what, None, "type: one of %s" % ", ".join(LINKS))]
            return None
        kind = _TYPE.read(types[0], problems, "type of %s" % what)
        return kind and self._read_kind(node, problems, "%s of type %s" % (what, kind.value), LINKS[kind.value])

    @staticmethod
    def _read_kind(node, problems, what, kind):
        item = kind.fields.read(node, problems, what)
        trust = item.value.get("trust")
        if kind.shares and (trust is None or trust.value == PRIVATE):
            problems.append(problem(trust.mark if trust else node.mark, "%s shares memory: %s" % (
                what, kind.shares), None, "trust: shared", "; to do: add it, or use a switch, which copies"))
        return item

    def _read_short(self, node, problems, what):
        found = list(keyed(node, problems, what)) if node.kind == MAP else []
        if len(found) != 1 or len(node.value) != 1:
            problems.append(problem(node.mark, "%s is refused" % what, "%d keys" % len(node.value)
                                    if node.kind == MAP else node.kind,
                                    "one switch with its endpoints, or type, endpoints and what the type has besides"))
            return None
        (key, value), = found
        switch = SWITCH_NAME.read(key, problems, "the switch of %s" % what)
        ends = self._short.read(value, problems, "the list of endpoints of %s" % what)
        if switch is None or ends is None:
            return None
        return ends._replace(value={"type": switch._replace(value=VALE), "switch": switch, "endpoints": ends},
                             mark=node.mark)

    def schema(self):
        kinds = []
        for kind in LINKS.values():
            one = kind.fields.schema()
            if kind.shares:
                one["properties"]["trust"] = {"const": SHARED}
                one["required"].append("trust")
            kinds.append(one)
        return {"anyOf": [*kinds, {
            "type": "object", "minProperties": 1, "maxProperties": 1, "propertyNames": SWITCH_NAME.schema(),
            "additionalProperties": self._short.schema()}]}


FILE = Fields({
    "plugin": Text(choices=[PLUGIN]),
    "name": NAME,
    "defaults": Fields(VM),
    "images": Names(NAME, IMAGE, "image"),
    "hosts": Names(HOST_NAME, Fields(HOST_FIELDS), "host", 1),
    "switches": Names(SWITCH_NAME, Fields({"host": HOST_NAME, "nics": Items(INTERFACE)}), "switch"),
    "vms": Names(VM_NAME, Fields(VM), "VM"),
    "links": Items(Link(), name="link"),
    "mirrors": Items(Fields({"of": VM_PORT, "to": ENDPOINT}, required=("of", "to")), name="mirror"),
}, required=("plugin", "name", "hosts"))


def schema():
    """The JSON schema of a topology file, for editors (dict)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A topology of netmap.ptnet",
            **FILE.schema()}
