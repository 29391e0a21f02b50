# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests of /dev/netmap packed as bytes. Pure. Private to netmap.ptnet.

Sizes and offsets follow sys/net/netmap.h; fields are in the byte order of the machine, padding is written out.
"""

from __future__ import annotations

import struct

from ..errors import PtnetError

NIOCCTRL = 0xC0586997
VERSION = 14
NAME_SIZE = 64
# Of an interface's name with the byte that ends it (net/if.h); netmap, QEMU and the kernel cut longer ones.
IFNAMSIZ = 16

REGISTER = 1
PORT_INFO_GET = 2
VALE_ATTACH = 3
VALE_DETACH = 4
VALE_LIST = 5
PORT_HDR_SET = 6
PORT_HDR_GET = 7
VALE_NEWIF = 8
VALE_DELIF = 9
POLLING_ENABLE = 10
POLLING_DISABLE = 11
POOLS_INFO_GET = 12
SYNC_KLOOP_START = 13
SYNC_KLOOP_STOP = 14
CSB_ENABLE = 15

MODE_ALL_NIC = 1
MODE_NIC_SW = 3
MODE_NULL = 7
EXCLUSIVE = 0x800
NO_TX_POLL = 0x20000
POLLING_SINGLE = 1
POLLING_MULTI = 2

# NM_BDG_MAXPORTS in netmap_bdg.h. An index of 2^31 or more makes VALE_LIST read outside the table.
BRIDGE_PORTS = 254
# A switch keeps two of them free (nm_bdg_create in netmap_bdg.c).
SWITCH_PORTS = BRIDGE_PORTS - 2

HEADER = struct.Struct("=HHI64sQQ")

_REGISTER = "QQIIHHHHHHIIxxxxQ"
_REGISTER_FIELDS = ("offset", "memsize", "tx_slots", "rx_slots", "tx_rings", "rx_rings", "host_tx_rings",
                    "host_rx_rings", "mem_id", "ringid", "mode", "extra_bufs", "flags")

# Options of a request (enum of NETMAP_REQ_OPT_* in netmap.h).
OPTION_EVENTFDS = 2
OPTION_CSB = 3
_OPTION = struct.Struct("=QIIQ")
# struct nm_csb_atok and nm_csb_ktoa, one of each for a ring, transmit rings first.
CSB_ENTRY = 64
CSB_POINTERS = 8  # bytes at the start of struct nm_csb_ktoa: hwcur, hwtail
CSB_KTOA = struct.Struct("=III")
SLEEP_MAX = 1000000  # microseconds; netmap_sync_kloop refuses more

BODY = {
    REGISTER: (struct.Struct("=" + _REGISTER), _REGISTER_FIELDS),
    PORT_INFO_GET: (struct.Struct("=QIIHHHHH6x"), ("memsize", "tx_slots", "rx_slots", "tx_rings", "rx_rings",
                                                   "host_tx_rings", "host_rx_rings", "mem_id")),
    VALE_ATTACH: (struct.Struct("=" + _REGISTER + "I4x"), _REGISTER_FIELDS + ("port_index",)),
    VALE_DETACH: (struct.Struct("=I4x"), ("port_index",)),
    VALE_LIST: (struct.Struct("=H2xI"), ("bridge_idx", "port_idx")),
    PORT_HDR_SET: (struct.Struct("=I4x"), ("hdr_len",)),
    PORT_HDR_GET: (struct.Struct("=I4x"), ("hdr_len",)),
    VALE_NEWIF: (struct.Struct("=IIHHH2x"), ("tx_slots", "rx_slots", "tx_rings", "rx_rings", "mem_id")),
    VALE_DELIF: (None, ()),
    POLLING_ENABLE: (struct.Struct("=III4x"), ("mode", "first_cpu_id", "num_polling_cpus")),
    POLLING_DISABLE: (struct.Struct("=III4x"), ("mode", "first_cpu_id", "num_polling_cpus")),
    POOLS_INFO_GET: (struct.Struct("=QH6xQIIQIIQII"), (
        "memsize", "mem_id", "if_offset", "if_total", "if_size", "ring_offset", "ring_total", "ring_size",
        "buf_offset", "buf_total", "buf_size")),
    SYNC_KLOOP_START: (struct.Struct("=I4x"), ("sleep_us",)),
    SYNC_KLOOP_STOP: (None, ()),
    CSB_ENABLE: (None, ()),
}


def pack_header(reqtype, name, body_address, option_address=0):
    """The ``nmreq_header`` of a request (bytearray of 88).

    :param name: the kernel's port name, under 64 bytes of ASCII; empty for a list by index (str)
    :param body_address: where the body lies in this process, 0 for none (int)
    :param option_address: where its option lies, 0 for none (int)
    """
    raw = name.encode("ascii")
    if len(raw) >= NAME_SIZE or b"\0" in raw:
        raise PtnetError("a port name is refused", found=ascii(name[:80]), expected="under %d bytes" % NAME_SIZE)
    return bytearray(HEADER.pack(VERSION, reqtype, 0, raw, option_address, body_address))


def pack_csb(atok, ktoa):
    """The option of CSB_ENABLE (bytes).

    :param atok: where the rings' pointers from the guest lie in this process, a multiple of :data:`CSB_ENTRY` (int)
    :param ktoa: likewise the pointers to the guest (int)
    """
    return _OPTION.pack(0, OPTION_CSB, 0, _OPTION.size + 16) + struct.pack("=QQ", atok, ktoa)


def pack_eventfds(pairs):
    """The option of SYNC_KLOOP_START that says how both sides wake one another (bytes).

    :param pairs: for each ring what wakes the loop and what it signals, eventfds; -1 for none, and with a -1 in the
        first place the loop sleeps between its rounds and waits for nobody (list of pairs of int)
    """
    return _OPTION.pack(0, OPTION_EVENTFDS, 0, _OPTION.size + 8 * len(pairs)) + b"".join(
        struct.pack("=ii", *pair) for pair in pairs)


def header_name(header):
    """The port name in a header that the kernel has written to (str)."""
    return HEADER.unpack(bytes(header))[3].split(b"\0", 1)[0].decode("ascii", "backslashreplace")


def pack_body(reqtype, **fields):
    """The body of a request, zeros where no field is given (bytes); empty for requests that have none.

    :raises PtnetError: a value that its field cannot hold, or a list index that would crash the kernel
    """
    layout, names = BODY[reqtype]
    if layout is None:
        return b""
    if reqtype == VALE_LIST and not 0 <= fields.get("port_idx", 0) <= BRIDGE_PORTS:
        raise PtnetError("a port index is refused", found=fields["port_idx"], expected="0 to %d" % BRIDGE_PORTS)
    unknown = set(fields) - set(names)
    if unknown:
        raise KeyError(", ".join(sorted(unknown)))
    try:
        return layout.pack(*(fields.get(name, 0) for name in names))
    except struct.error as error:
        raise PtnetError("a netmap request cannot be packed", found=fields, expected=str(error)) from error


def unpack_body(reqtype, raw):
    """The fields of a body (dict of int)."""
    layout, names = BODY[reqtype]
    return dict(zip(names, layout.unpack(bytes(raw)))) if layout else {}
