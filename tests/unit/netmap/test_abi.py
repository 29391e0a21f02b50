# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import abi

# Size, then offset and width of each field, as measured on netmap's header files.
REGISTER = {"offset": (0, 8), "memsize": (8, 8), "tx_slots": (16, 4), "rx_slots": (20, 4), "tx_rings": (24, 2),
            "rx_rings": (26, 2), "host_tx_rings": (28, 2), "host_rx_rings": (30, 2), "mem_id": (32, 2),
            "ringid": (34, 2), "mode": (36, 4), "extra_bufs": (40, 4), "flags": (48, 8)}
LAYOUTS = {
    abi.REGISTER: (56, REGISTER),
    abi.PORT_INFO_GET: (32, {"memsize": (0, 8), "tx_slots": (8, 4), "rx_slots": (12, 4), "tx_rings": (16, 2),
                             "rx_rings": (18, 2), "host_tx_rings": (20, 2), "host_rx_rings": (22, 2),
                             "mem_id": (24, 2)}),
    abi.VALE_ATTACH: (64, dict(REGISTER, port_index=(56, 4))),
    abi.VALE_DETACH: (8, {"port_index": (0, 4)}),
    abi.PORT_HDR_SET: (8, {"hdr_len": (0, 4)}),
    abi.POLLING_ENABLE: (16, {"mode": (0, 4), "first_cpu_id": (4, 4), "num_polling_cpus": (8, 4)}),
    abi.POLLING_DISABLE: (16, {"mode": (0, 4), "first_cpu_id": (4, 4), "num_polling_cpus": (8, 4)}),
    abi.VALE_LIST: (8, {"bridge_idx": (0, 2), "port_idx": (4, 4)}),
    abi.PORT_HDR_GET: (8, {"hdr_len": (0, 4)}),
    abi.VALE_NEWIF: (16, {"tx_slots": (0, 4), "rx_slots": (4, 4), "tx_rings": (8, 2), "rx_rings": (10, 2),
                          "mem_id": (12, 2)}),
    abi.POOLS_INFO_GET: (64, {"memsize": (0, 8), "mem_id": (8, 2), "if_offset": (16, 8), "if_total": (24, 4),
                              "if_size": (28, 4), "ring_offset": (32, 8), "ring_total": (40, 4), "ring_size": (44, 4),
                              "buf_offset": (48, 8), "buf_total": (56, 4), "buf_size": (60, 4)}),
    abi.SYNC_KLOOP_START: (8, {"sleep_us": (0, 4)}),
}


def test_the_layouts_are_complete():
    assert {reqtype: set(fields) for reqtype, (_size, fields) in LAYOUTS.items()} == {
        reqtype: set(fields) for reqtype, (layout, fields) in abi.BODY.items() if layout}


@pytest.mark.parametrize("reqtype", LAYOUTS)
def test_size_and_offset_of_every_field(reqtype):
    size, fields = LAYOUTS[reqtype]
    for name, (offset, width) in fields.items():
        value = 7 if name == "port_idx" else (1 << (8 * width)) - 2
        raw = abi.pack_body(reqtype, **{name: value})
        assert len(raw) == size
        assert raw == value.to_bytes(width, "little").rjust(offset + width, b"\0").ljust(size, b"\0")
        assert abi.unpack_body(reqtype, raw)[name] == value


def test_header():
    header = abi.pack_header(abi.VALE_NEWIF, "p0", 0x1122334455667788)
    assert len(header) == 88
    assert header[:12] == struct.pack("<HHI", 14, 8, 0) + b"p0\0\0"
    assert header[72:] == bytes(8) + (0x1122334455667788).to_bytes(8, "little")
    assert abi.header_name(header) == "p0"
    assert (3 << 30) | (88 << 16) | (ord("i") << 8) | 151 == abi.NIOCCTRL


@pytest.mark.parametrize("name", ["a" * 64, "a" * 100, "a\0b"])
def test_names_that_the_kernel_would_cut(name):
    with pytest.raises(PtnetError):
        abi.pack_header(abi.VALE_NEWIF, name, 0)


@pytest.mark.parametrize("index", [255, 2**31, 2**32 - 1, -1])
def test_an_index_that_crashes_the_kernel_cannot_be_packed(index):
    with pytest.raises(PtnetError, match="index"):
        abi.pack_body(abi.VALE_LIST, port_idx=index)


def test_values_that_do_not_fit():
    with pytest.raises(PtnetError):
        abi.pack_body(abi.VALE_NEWIF, tx_rings=1 << 16)
    with pytest.raises(KeyError):
        abi.pack_body(abi.VALE_NEWIF, flags=1)


@pytest.mark.parametrize("reqtype", [abi.VALE_DELIF, abi.SYNC_KLOOP_STOP, abi.CSB_ENABLE])
def test_requests_without_a_body(reqtype):
    assert abi.pack_body(reqtype) == b""
    assert abi.unpack_body(reqtype, b"") == {}


def test_options():
    """struct nmreq_option in front: next, type, status, size of all."""
    assert abi.pack_csb(0x1000, 0x2000) == struct.pack("<QIIQQQ", 0, 3, 0, 40, 0x1000, 0x2000)
    assert abi.pack_eventfds([(5, 6), (7, -1)]) == struct.pack("<QIIQiiii", 0, 2, 0, 40, 5, 6, 7, -1)
    assert abi.pack_header(abi.CSB_ENABLE, "p0", 0, 0x1234)[72:] == struct.pack("<QQ", 0x1234, 0)
