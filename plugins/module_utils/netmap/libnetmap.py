# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libnetmap makes of a port name: rings, monitors, regions. Pure. Private to netmap.ptnet.

The grammar of libnetmap/nmreq.c and nmport.c, which pkt-gen and other programs of netmap use:
``PORT[^|*|-RING|^RING][/FLAGS][@MEMID][@OPTION]...``. The kernel and QEMU know the port alone. There are no ranges of
rings: all, one, or those of the host.
"""

from __future__ import annotations

import re
from collections import namedtuple

from ..errors import PtnetError
from . import names

# The masks of ring numbers and region ids: NETMAP_RING_MASK in netmap_legacy.h, nr_mem_id in netmap.h.
RING_MAX = 0x0FFF - 1
MEM_ID_MAX = 0xFFFF
# pkt-gen's buffer for a name has 512 bytes; a name this long is a mistake.
LENGTH_MAX = 255
FLAGS = {"x": "exclusive", "z": "zero-copy monitor", "t": "monitor of what is sent", "r": "monitor of what is received",
         "R": "receive rings only", "T": "transmit rings only"}
MONITOR = frozenset("ztr")

_SHAPE = re.compile(r"(?P<port>[^-*^/@]*)(?P<rest>.*)", re.DOTALL)
_SUFFIX = re.compile(r"(?:(?P<rings>[-^*])(?P<ring>[0-9]+)?)?(?:/(?P<flags>[xztrRT]+))?(?P<options>(?:@.*)?)",
                     re.DOTALL)
_CONF = {"rings": 1024, "tx_rings": 1024, "rx_rings": 1024, "host_rings": 1024, "host_tx_rings": 1024,
         "host_rx_rings": 1024, "slots": 65536, "tx_slots": 65536, "rx_slots": 65536}
_NEVER = {
    "extmem": "memory of the program's own is not built into netmap on Linux (EOPNOTSUPP)",
    "offset": "libnetmap has this option disabled, and pkt-gen does not enable it",
}


class Request(namedtuple("Request", "port rings ring flags mem_id share conf")):
    """A port as a program asks for it.

    ``rings`` is empty for all rings of the NIC, ``-`` for one of them, ``^`` for those of the host (or one of them),
    ``*`` for both; ``ring`` its number or None; ``flags`` letters of FLAGS in that order; ``mem_id`` of the region or
    None; ``share`` the port (Request) whose region is used, or None; ``conf`` pairs of a key and a number.
    """

    __slots__ = ()

    def text(self):
        """The name as libnetmap takes it, with ``netmap:`` where that is needed (str)."""
        name = self.port.kernel_name()
        text = name if name.startswith("vale") else "netmap:" + name
        text += self.rings + ("" if self.ring is None else str(self.ring))
        text += "/" + self.flags if self.flags else ""
        text += "" if self.mem_id is None else "@%d" % self.mem_id
        text += "@share=" + self.share.text() if self.share else ""
        return text + ("@conf:" + ",".join("%s=%d" % pair for pair in self.conf) if self.conf else "")

    @property
    def monitor(self):
        """Whether this only watches a port that somebody else has open (bool)."""
        return bool(MONITOR & set(self.flags))


def parse(text):
    """Read a name as users give it to pkt-gen, with or without ``netmap:`` in front (Request).

    :raises PtnetError: no such name, or a combination that the kernel never grants, with the reason
    """
    if not isinstance(text, str) or len(text) > LENGTH_MAX:
        raise PtnetError("a port name is refused", found=names.shown(text),
                         expected="at most %d characters" % LENGTH_MAX)
    shape = _SHAPE.fullmatch(text)
    port = names.parse(shape.group("port"))
    suffix = _SUFFIX.fullmatch(shape.group("rest"))
    if not suffix or (suffix.group("rings") == "-") > bool(suffix.group("ring")) or (
            suffix.group("rings") == "*" and suffix.group("ring")):
        raise PtnetError(
            "the suffix of a port is refused", found=names.shown(text),
            expected="one of -RING, ^, ^RING and *; then / and letters of %s; then @MEMID, @share=PORT, "
                     "@conf:KEY=NUMBER" % "".join(FLAGS),
            remedy="there are no ranges of rings; leave the suffix out for all of them")
    ring = suffix.group("ring") and number(suffix.group("ring"), 0, RING_MAX, "a ring", text)
    flags = "".join(flag for flag in FLAGS if flag in (suffix.group("flags") or ""))
    request = Request(port, suffix.group("rings") or "", ring, flags, *_options(suffix.group("options"), text))
    refuse_impossible(request)
    return request


def number(digits, low, high, what, text):
    """A decimal number of ASCII digits within its range (int); ``what`` and ``text`` go into the error."""
    if not re.fullmatch(r"[0-9]{1,10}", digits) or not low <= int(digits) <= high:
        raise PtnetError("the number of %s is refused" % what, found=names.shown(text),
                         expected="%d to %d" % (low, high))
    return int(digits)


def _options(options, text):
    mem_id, share, conf = None, None, {}
    for option in options.split("@")[1:]:
        key, mark, rest = re.fullmatch(r"([^=:]*)([=:]?)(.*)", option, re.DOTALL).groups()
        if re.fullmatch(r"[0-9]+", option) and mem_id is None and share is None and not conf:
            mem_id = number(option, 1, MEM_ID_MAX, "a memory region", text)
        elif key in _NEVER:
            raise PtnetError("the option @%s of a port cannot work" % key, found=names.shown(text),
                             expected=_NEVER[key], remedy="leave it out")
        elif key == "share" and mark and share is None and mem_id is None:
            share = _shared(rest if mark == "=" else rest[5:] if rest.startswith("port=") else "", text)
        elif key == "conf" and mark == ":":
            for pair in rest.split(","):
                name, _mark, digits = pair.replace("-", "_").partition("=")
                if name not in _CONF or name in conf:
                    raise PtnetError("the shape of a port is refused", found=names.shown(text),
                                     expected="each once of " + ", ".join(_CONF))
                conf[name] = number(digits, 1, _CONF[name], name, text)
        else:
            raise PtnetError("an option of a port is refused", found=names.shown(text),
                             expected="@MEMID or @share=PORT, and @conf:KEY=NUMBER")
    return mem_id, share, tuple((name, conf[name]) for name in _CONF if name in conf)


def _shared(name, text):
    # libnetmap reads a whole name here, with its prefix, and forgets what follows the port (nmreq_get_mem_id).
    if not name.startswith(("netmap:", "vale")):
        raise PtnetError("the port whose region is to be shared is refused", found=names.shown(text),
                         expected="netmap: in front, or a VALE port", remedy="write @share=netmap:NAME")
    return Request(names.parse(name), "", None, "", None, None, ())


def refuse_impossible(request):
    """Refuse what the kernel never grants, whatever the machine looks like, with the reason.

    :raises PtnetError: the first such combination
    """
    flags, name = set(request.flags), names.shown(request.text())
    if request.rings in ("^", "*") and not isinstance(request.port, names.Interface):
        # netmap_get_pipe_na in netmap_pipe.c, netmap_interp_ringid in netmap.c.
        raise PtnetError("a port without a host stack has no host rings", found=name, expected="a network interface, "
                         "such as eth0^", remedy="leave out %s; VALE ports and pipes have their own rings only"
                         % request.rings)
    if {"R", "T"} <= flags:
        raise PtnetError("a request leaves no ring at all", found=name, expected="R or T, not both")
    if "z" in flags and flags & set("tr"):
        # netmap_get_monitor_na in netmap_monitor.c sets both directions.
        raise PtnetError("a zero-copy monitor always sees both directions", found=name, expected="/z alone, or a "
                         "copying monitor with /t or /r")
    if request.monitor and "T" in flags:
        raise PtnetError("a monitor has receive rings only", found=name, expected="no T in its flags")
    if "z" in flags and (request.mem_id is not None or request.share):
        raise PtnetError("a zero-copy monitor lives in the region of the port that it watches", found=name,
                         expected="no @MEMID and no @share")
