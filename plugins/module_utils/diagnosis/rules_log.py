# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about what the kernel said, netmap or others about it. Private to netmap.ptnet.

What was said before the last load of netmap is history and left out.
"""

from __future__ import annotations

import functools
import re

from ..netmap import abi, names
from ..netmap.parameters import PARAMETERS
from .rule import ERROR, NOTE, WARNING, Rule

_LOADED = re.compile(r"netmap: loaded module$")
_STAMP = re.compile(r"^\d+\.\d+ \[ *\d+\] (\w+) +")


def _since(facts, loads):
    """The lines since the last load (``loads=1``), or with those of the last load itself (``loads=2``)."""
    lines = [line["text"] for line in facts["log"] or ()]
    places = [index for index, text in enumerate(lines) if _LOADED.search(text)]
    return lines[places[-loads] + 1:] if len(places) >= loads else lines


def _said(pattern, facts, loads=1):
    """The messages that match, each once with how often it was seen (list of str)."""
    seen = {}
    for text in _since(facts, loads):
        if re.search(pattern, text):
            text = _STAMP.sub(r"\1: ", text)
            seen[text] = seen.get(text, 0) + 1
    return [text + (" (%d times)" % count if count > 1 else "") for text, count in seen.items()]


def _while_unloaded(pattern, facts):
    """Why netmap did not load; of no interest once it is loaded."""
    return [] if facts["loaded"] else _said(pattern, facts)


def _while_unfit(pattern, facts):
    """Why a NIC was refused, as long as one has such an MTU."""
    return _said(pattern, facts) if any(nic["mtu_fits"] is False for nic in facts["nics"]) else []


def _while_mitigated(pattern, facts):
    """As long as timers run; below this number there are none (generic_rx_handler in netmap_generic.c)."""
    now = facts["parameters"]["now"].get("generic_mit", PARAMETERS["generic_mit"].default)
    return _said(pattern, facts) if now >= 32768 else []


def _too_large(kind, facts):
    """A request that is larger than an object, as long as the parameter was not raised.

    The pools of private regions are called ``5_ring``, those of NICs ``netmap_ring``, or ``%s_ring-5`` with an IOMMU
    (netmap_mem2.c).
    """
    largest = {}
    for text in _since(facts, 1):
        found = re.search(r"(\S+)_%s(?:-\d+)? request size (\d+) too large" % kind, text)
        if found:
            name = ("priv_" if found.group(1).isdecimal() else "") + kind + "_size"
            largest[name] = max(int(found.group(2)), largest.get(name, 0))
    for name, wanted in sorted(largest.items()):
        now = facts["parameters"]["now"].get(name, PARAMETERS[name].default)
        if wanted > now:
            yield "%d bytes were asked for, %s is %d" % (wanted, name, now)


def _rule(name, severity, pattern, symptom, cause, fix, look=_said, **options):
    return Rule(name, severity, symptom, cause, fix, functools.partial(look, pattern, **options))


_RAISE = "raise %s in netmap_parameters of role netmap.ptnet.netmap (netmap_module); it counts once nobody uses netmap"

RULES = (
    _rule("kernel_fault", ERROR, r"RIP: \S+ .*\[netmap\]|BUG: .*\bnetmap_",
          "the kernel faulted inside netmap", "a request that this netmap does not survive",
          "reboot; use vale_port and netmap_pipe, which make none of those requests"),
    _rule("interface_wedged", ERROR, r"unregister_netdevice: waiting for",
          "deleting an interface hangs", "netmap still holds it: an attached NIC was deleted, or pipes without a made "
          "parent were opened and closed at once", "detach it under its old name if it is listed, else reboot; make "
          "parents with netmap_pipe"),
    _rule("unknown_symbol", ERROR, r"\bnetmap: (Unknown symbol|disagrees about version of symbol)",
          "loading ends with \"Unknown symbol\" or \"disagrees about version\"",
          "netmap was built against another kernel, or loaded with insmod without what it depends on",
          "build it for this kernel with netmap_build, and load it with netmap_module", look=_while_unloaded),
    _rule("driver_symbol", ERROR, r"\b(?!netmap:)\w+: (Unknown symbol|disagrees about version of symbol) netmap_",
          "a patched NIC driver does not load", "it was built against another netmap, or loaded before netmap",
          "build both in one run: netmap_drivers of role netmap.ptnet.netmap"),
    _rule("version_magic", ERROR, r"\bnetmap: version magic ",
          "loading ends with \"Exec format error\" or \"Invalid module format\"",
          "netmap was built for another kernel", "build it for this kernel with netmap_build", look=_while_unloaded),
    _rule("signature_refused", ERROR, r"[Ll]oading of (unsigned )?module is rejected|unsigned module loading is "
          r"restricted|Loading of module with unavailable key is rejected",
          "loading ends with \"Required key not available\"", "this kernel takes signed modules only (Secure Boot)",
          "sign netmap.ko with a key that is enrolled (mokutil --import), or switch Secure Boot off",
          look=_while_unloaded),
    _rule("ring_too_large", ERROR, "ring", "a NIC with large rings cannot be opened",
          "a ring takes 256 + 16 * slots bytes, more than ring_size",
          _RAISE % "ring_size" + ", or use fewer slots (ethtool -G)", look=_too_large),
    _rule("if_too_large", ERROR, "if", "a NIC with many queues cannot be opened",
          "the table of rings takes 56 + 8 * rings bytes, more than if_size",
          _RAISE % "if_size" + ", or use fewer queues (ethtool -L)", look=_too_large),
    _rule("parameter_refused", ERROR, r"requested (objsize|objtotal) \d+ out of range|unsupported allocation for",
          "every open of a port fails with \"Cannot allocate memory\"", "a memory parameter is out of range",
          "set it with netmap_module and allow_reload=true: only a reload heals it"),
    _rule("iommu_mismatch", ERROR, r"iommu group mismatch", "a second NIC cannot be opened",
          "the NICs of one memory region are in different IOMMU groups",
          "boot with iommu=pt, or give each NIC a region of its own"),
    _rule("pool_exhausted", WARNING, r"no more \S+ objects|_buf\S*: not enough buffers|no more buffers after|"
          r"_(buf|ring|if)\S*: (no objects available|request too large)",
          "opening a port failed with \"Cannot allocate memory\"",
          "a pool of netmap's memory is too small for all ports that are open",
          _RAISE % "buf_num, ring_num or if_num (with priv_ for pipes and VALE ports)"),
    _rule("memory_refused", WARNING, r"Unable to create (cluster|lookup table|bitmap)",
          "netmap made fewer buffers than asked for", "the machine had no memory for them",
          "lower buf_num or priv_buf_num in netmap_parameters, or load netmap right after the boot"),
    _rule("mtu_refused", WARNING, r"netmap buf size \(\d+\) < device MTU|large MTU \(\d+\) needed|"
          r"using NS_MOREFRAG on \S+ requires",
          "opening or attaching a NIC failed with \"Invalid argument\"", "its MTU is larger than a netmap buffer",
          "lower the MTU, or raise buf_size in netmap_parameters", look=_while_unfit),
    _rule("timer_sends", WARNING, r"generic_timer_handler\+\S+ \[netmap\]",
          "the kernel warns of __local_bh_enable_ip", "the timer of an emulated adapter sends to another NIC of its "
          "switch in a hard interrupt", "set generic_mit to 0 in netmap_parameters; it counts at once",
          look=_while_mitigated),
    _rule("nic_busy", WARNING, r"NIC \S+ busy, cannot attach to bridge", "attaching a NIC failed with \"busy\"",
          "a program has the NIC open in netmap mode", "stop it: netmap_info lists the users of netmap"),
    _rule("api_mismatch", WARNING, r"API mismatch: got \d+ need \d+",
          "a program could not open any port", "it was compiled with the headers of another netmap",
          "compile it again, with the headers that netmap_build installs"),
    _rule("switch_full", WARNING, r"bridge full \d+, cannot create new port", "a port of a switch was refused",
          "a switch has room for %d ports" % abi.SWITCH_PORTS, "use another switch"),
    _rule("switch_name", WARNING, r"invalid bridge name", "a port was refused with \"Cannot allocate memory\"",
          "the name of its switch has a bad character or is too long",
          "use vale, letters, digits and underscores, at most %d" % names.PART_MAX),
    _rule("vnet_header", WARNING, r"virt_hdr_mismatch|virt_hdr_len=\d+, but application does",
          "no packets, or half the rate, between guests on a switch",
          "the virtio-net header lengths of the two ends differ",
          "set ptnet_vnet_hdr in both guests (role netmap.ptnet.guest): 1 for a TCP endpoint, 0 for a middlebox"),
    _rule("packets_dropped", WARNING, r"drop mbuf that needs|from_host, drop packet size|driver pushed up big packet",
          "packets between a NIC and the host are dropped", "offloads make packets that netmap cannot take",
          "switch them off, of a veth pair at both ends: ethtool -K NAME tx off tso off gso off gro off lro off"),
    _rule("unknown_parameter", WARNING, r"\bnetmap: unknown parameter '", "a parameter has no effect",
          "netmap has no parameter of this name; the kernel only logs it",
          "correct the files in /etc/modprobe.d; netmap_module refuses unknown names", loads=2),
    _rule("unsigned", NOTE, r"\bnetmap: module verification failed", "netmap taints the kernel",
          "it is not signed; a kernel that enforces signatures would refuse it",
          "nothing, unless Secure Boot is to be switched on: then sign netmap.ko", loads=2),
)
