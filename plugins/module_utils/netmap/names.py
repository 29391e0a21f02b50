# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of netmap ports, as the kernel knows them. Pure. Private to netmap.ptnet.

The kernel is more lenient than is good (it takes ``vale0:``, ``val:p``, ``x{a b``) and cuts long names without
a word, so names are checked here before anything reaches it (netmap_bdg.c, netmap_pipe.c, netmap.h).
"""

from __future__ import annotations

import re
from collections import namedtuple

from ..errors import PtnetError
from .abi import IFNAMSIZ

PART_MAX = QEMU_MAX = IFNAMSIZ - 1
_PART = re.compile(r"[A-Za-z0-9_]+")
_LIBNETMAP = re.compile(r"[-^*@/]")
_MONITOR = re.compile(r"/[xztrRT]*[ztr]")
_EXPECTED = "letters, digits and underscores, at most %d of them" % PART_MAX


class Interface(namedtuple("Interface", "name")):
    """A network interface: a NIC, one end of a veth pair, or a persistent port."""

    __slots__ = ()

    def kernel_name(self):
        """The name as ``nr_name`` takes it (str)."""
        return self.name


class VALEPort(namedtuple("VALEPort", "switch port")):
    """A port of a VALE switch, such as ``vale1:10``."""

    __slots__ = ()

    def kernel_name(self):
        """The name as ``nr_name`` takes it (str)."""
        return "%s:%s" % (self.switch, self.port)


class PipeEnd(namedtuple("PipeEnd", "parent end pipe")):
    """One end of a pipe, such as ``p0{1`` (master) or ``p0}1`` (slave).

    ``parent`` is the kernel's name of an interface, a persistent port or a VALE port: netmap_get_pipe_na in
    netmap_pipe.c looks it up as any port. A VALE port is made for it and lives as long as the pipe.
    """

    __slots__ = ()

    def kernel_name(self):
        """The name as ``nr_name`` takes it (str)."""
        return self.parent + self.end + self.pipe

    def peer(self):
        """The other end (PipeEnd)."""
        return self._replace(end="}" if self.end == "{" else "{")


def shown(text):
    """A name in a form that is safe to print (str)."""
    quoted = ascii(text)
    return quoted if len(quoted) <= 80 else quoted[:76] + "...'"


def part(text, what):
    """Return ``text`` if it is a legal part of a port name; ``what`` names the part in the error."""
    if not isinstance(text, str) or not _PART.fullmatch(text) or len(text) > PART_MAX:
        raise PtnetError("%s is refused" % what, found=shown(text), expected=_EXPECTED)
    return text


def switch(text):
    """Return ``text`` if it names a VALE switch, such as ``vale1``; else PtnetError."""
    part(text, "the name of a VALE switch")
    if not text.startswith("vale") or text == "vale":
        raise PtnetError("the name of a VALE switch is refused", found=shown(text),
                         expected="vale and at least one letter, digit or underscore, such as vale1")
    return text


def interface(text, what="the name of an interface"):
    """Return ``text`` if it can name an interface in netmap.

    Three letters suffice for netmap to look for a switch (``strlen(ops->name) - 1`` in netmap_get_bdg_na).
    """
    part(text, what)
    if text.startswith("val"):
        raise PtnetError("%s is refused" % what, found=shown(text),
                         expected="no val in front: netmap takes such a name for a VALE switch")
    return text


def parse(text):
    """Read the name of a port as the kernel knows it, with or without ``netmap:`` in front.

    Interfaces (``eth0``), VALE ports (``vale1:10``), and ends of pipes (``p0{1``, ``p0}1``, ``vale1:10{1``). What
    libnetmap adds to them is read by :func:`libnetmap.parse`.

    :returns: Interface, VALEPort or PipeEnd
    :raises PtnetError: anything else, with what is wrong
    """
    if not isinstance(text, str):
        raise PtnetError("a port name is refused", found=shown(text), expected="a string")
    name = text[len("netmap:"):] if text.startswith("netmap:") else text
    if _LIBNETMAP.search(name):
        raise PtnetError(
            "a port name is refused", found=shown(text), expected="a name such as eth0, vale1:10 or p0{1",
            remedy="leave out suffixes such as -0, ^, *, /x and @1: they are libnetmap's language, "
                   "neither the kernel nor QEMU knows them")
    for end in "{}":
        if end in name:
            left, right = name.split(end, 1)
            return PipeEnd(_whole(left, text, "the parent in %s").kernel_name(), end,
                           part(right, "the pipe id in %s" % shown(text)))
    return _whole(name, text, "a port name")


def _whole(name, text, what):
    if ":" in name:
        left, right = name.split(":", 1)
        return VALEPort(switch(left), part(right, "the port part of %s" % shown(text)))
    return Interface(interface(name, what % shown(text) if "%s" in what else what))


def qemu_ifname(text):
    """The name for QEMU's ``ifname=``; refused where QEMU would silently cut it (net/netmap.c, IFNAMSIZ).

    QEMU strips ``netmap:`` and hands the rest to the kernel, all rings, exclusively. So whatever the kernel knows by
    its name can be passed through: NICs, VALE ports, ends of pipes. A monitor has no name, only flags of the request,
    and QEMU sets none of them: given ``vale1:10/r`` it gets an ordinary new port that is called so (seen).

    :raises PtnetError: not a port name, or longer than 15 characters in all
    """
    if isinstance(text, str) and _MONITOR.search(text):
        raise PtnetError("QEMU cannot pass a monitor through", found=shown(text),
                         expected="a NIC, a VALE port or the end of a pipe",
                         remedy="run pkt-gen or another program on the monitor, or bridge it into a pipe (lb, bridge) "
                                "whose other end the VM has")
    name = parse(text).kernel_name()
    if len(name) > QEMU_MAX:
        raise PtnetError("QEMU cannot open the port %s" % name, found="%d characters" % len(name),
                         expected="at most %d characters in all, QEMU cuts longer names" % QEMU_MAX,
                         remedy="choose shorter names for the switch, the port or the pipe parent")
    return name


Entry = namedtuple("Entry", "bridge name switch port host_stack stuck")
Entry.__doc__ = "One entry of a switch list; ``switch`` is None for a stuck port on a switch without other ports."


def listed(pairs):
    """Turn the kernel's list, ``(bridge index, name)`` pairs, into entries (list of Entry).

    A name without a switch in front belongs to a persistent port that was opened or queried while attached
    (netmap_update_config in netmap.c renamed it): it is stuck until the machine reboots.
    """
    pairs = list(pairs)
    switch_of = {bridge: name.split(":", 1)[0] for bridge, name in pairs if ":" in name}
    entries = []
    for bridge, name in pairs:
        stuck = ":" not in name
        port = name if stuck else name.split(":", 1)[1]
        host_stack = port.endswith("^")
        entries.append(Entry(bridge, name, switch_of.get(bridge), port[:-1] if host_stack else port, host_stack, stuck))
    return entries


def switches(entries, interfaces):
    """The switches with their ports, in the order of their names (list of dict). Pure.

    A port is ``attached`` when an interface has its name, otherwise a program holds it and it is ``ephemeral``;
    stuck ones have lost their switch where no other port tells it.
    """
    found = {}
    for entry in entries:
        ports = found.setdefault(entry.switch, {})
        port = ports.setdefault(entry.port, {"name": entry.port, "host_stack": False, "kind": (
            "stuck" if entry.stuck else "attached" if entry.port in interfaces else "ephemeral")})
        port["host_stack"] = port["host_stack"] or entry.host_stack
    return [{"name": name, "ports": [found[name][port] for port in sorted(found[name])]}
            for name in sorted(found, key=str)]
