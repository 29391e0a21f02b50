# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages: read as they were written, and whatever else comes is refused in one of two ways."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import struct

import pytest
import vfio_user
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import protocol
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet.protocol import ProtocolError, Refused
from hypothesis import example, given
from hypothesis import strategies as st

WORD, LONG = 1 << 32, 1 << 64
VECTORS = 4
EXTREMES = (0, 1, 2, 3, 4, 5, 8, 9, 31, 32, 64, 4096, 4097, 0x7FFFFFFF, 0x80000000, WORD - 1, WORD, (1 << 63) - 1,
            1 << 63, LONG - 4096, LONG - 1)
# Reader, the layout of its fields, and a body that is taken.
READERS = {
    "map": (protocol.read_map, "IIQQQ", (32, 3, 0, 4096, 8192)),
    "unmap": (protocol.read_unmap, "IIQQ", (24, 0, 4096, 8192)),
    "region_info": (protocol.read_region_info, "IIIIQQ", (64, 0, 1, 0, 0, 0)),
    "read": (lambda body: protocol.read_access(body, write=False), "QII", (64, 0, 4)),
    "write": (lambda body: protocol.read_access(body, write=True), "QII4s", (64, 0, 4, b"\1\2\3\4")),
    "irq_info": (lambda body: protocol.irq_info(body, VECTORS), "IIII", (16, 0, 2, 0)),
    "irqs": (lambda body: protocol.read_irqs(body, VECTORS), "IIIII", (20, 0x24, 2, 0, 4)),
}
every_reader = pytest.mark.parametrize("name", READERS)


def packed(layout, values):
    return struct.pack("<" + layout, *values)


def harmless(read, body):
    """Read a body; a refusal has an errno and a reason that can be logged. Returns what was read, or None."""
    try:
        return read(body)
    except Refused as error:
        refusal = error
    assert 0 < refusal.code < 256
    assert re.fullmatch("[ -~]{1,200}", str(refusal))
    return None


def sane(read):
    """Whatever is taken is in range."""
    if isinstance(read, protocol.Map):
        assert read.size > 0
        assert read.address + read.size <= LONG
        assert read.offset + read.size <= 1 << 63
    elif isinstance(read, protocol.Unmap):
        assert read.everything or (read.size and read.address + read.size <= LONG)
    elif isinstance(read, protocol.Access):
        assert read.region < 9
        assert 0 < read.count <= protocol.DATA_MAX
        assert read.offset + read.count <= LONG
        assert read.data is None or len(read.data) == read.count
    elif isinstance(read, protocol.Irqs):
        assert read.index < 5
        assert read.start + read.count <= (VECTORS if read.index == 2 else 0)
    elif isinstance(read, tuple):
        assert read[0] < 9


# Requests

@every_reader
def test_what_is_meant_is_taken(name):
    read, layout, values = READERS[name]
    assert harmless(read, packed(layout, values)) is not None


@every_reader
def test_every_truncation_is_refused(name):
    read, layout, values = READERS[name]
    body = packed(layout, values)
    for length in range(len(body)):
        with pytest.raises(Refused):
            read(body[:length])


@every_reader
def test_every_extreme_in_every_field(name):
    read, layout, values = READERS[name]
    for place, kind in enumerate(layout.replace("4s", "")):
        limit = {"I": WORD, "Q": LONG}[kind]
        for value in (value for value in EXTREMES if value < limit):
            sane(harmless(read, packed(layout, values[:place] + (value,) + values[place + 1:])))


@pytest.mark.parametrize("name", ["map", "unmap", "irqs", "read"])
def test_pairs_of_extremes(name):
    read, layout, values = READERS[name]
    kinds = [(place, {"I": WORD, "Q": LONG}[kind]) for place, kind in enumerate(layout)]
    for (one, one_limit), (other, other_limit) in itertools.combinations(kinds, 2):
        for first, second in itertools.product(EXTREMES, EXTREMES):
            if first < one_limit and second < other_limit:
                changed = list(values)
                changed[one], changed[other] = first, second
                sane(harmless(read, packed(layout, changed)))


@given(st.sampled_from(sorted(READERS)), st.binary(max_size=80))
def test_any_bytes_at_all(name, body):
    sane(harmless(READERS[name][0], body))


def test_a_mapping_that_wraps_or_is_none():
    for address, size, offset, flags in (
            (LONG - 4096, 4097, 0, 3), (0, 0, 0, 3), (0, LONG - 1, 2, 3), (0, 4096, (1 << 63) - 4095, 3),
            (0, 4096, 0, 0), (0, 4096, 0, 4), (0, 4096, 0, 7)):
        with pytest.raises(Refused):
            protocol.read_map(packed("IIQQQ", (32, flags, offset, address, size)))
    assert protocol.read_map(packed("IIQQQ", (32, 1, 7, LONG - 4096, 4096))) == (7, LONG - 4096, 4096, False)


def test_data_of_another_length():
    for count, data in ((4, b"123"), (4, b"12345"), (0, b""), (4097, bytes(4097)), (WORD - 1, b"1234")):
        with pytest.raises(Refused):
            protocol.read_access(packed("QII", (0, 0, count)) + data, write=True)
    assert protocol.read_access(packed("QII", (8, 7, 4096)) + bytes(4096), write=True).count == 4096


def test_interrupts_that_there_are_not():
    for flags, index, start, count in ((0x24, 2, 0, 5), (0x24, 2, 4, 1), (0x24, 2, WORD - 1, WORD - 1), (0x24, 0, 0, 1),
                                       (0x24, 5, 0, 0), (0x40, 2, 0, 1), (0x24, 2, 5, 0)):
        with pytest.raises(Refused):
            protocol.read_irqs(packed("IIIII", (20, flags, index, start, count)), VECTORS)
    assert protocol.read_irqs(packed("IIIII", (20, 0x21, 0, 0, 0)), VECTORS) == (0, 0, 0, False, True)


# Answers

def test_what_a_device_is():
    assert protocol.device_info() == packed("IIII", (16, 3, 9, 5))


@pytest.mark.parametrize(("argsz", "length"), [(32, 32), (63, 32), (64, 64), (WORD - 1, 64)])
def test_a_region_that_is_mapped_in_part(argsz, length):
    body = protocol.region_info(1, 1 << 22, 7, argsz, 3 << 20)
    assert len(body) == length
    # The length that is wanted is told, whatever was given.
    assert struct.unpack_from("<IIIIQQ", body) == (64, 7 | 8, 1, 32, 1 << 22, 0)
    if length == 64:
        assert struct.unpack_from("<HHIIIQQ", body, 32) == (1, 1, 0, 1, 0, 0, 3 << 20)


def test_interrupts_of_a_device():
    for index in range(5):
        body = protocol.irq_info(packed("IIII", (16, 0, index, 0)), VECTORS)
        assert struct.unpack("<IIII", body) == (16, 1, index, VECTORS if index == 2 else 0)


def test_an_interrupt_that_there_is_not():
    with pytest.raises(Refused, match="interrupt 5"):
        protocol.irq_info(packed("IIII", (16, 0, 5, 0)), VECTORS)


def test_an_answer_is_read_by_others():
    request = protocol.Message(0xFFFF, 9, 0, b"")
    assert vfio_user.HEADER.unpack(protocol.error(request, 22)) == (0xFFFF, 9, 16, 1 | 0x20, 22)
    assert protocol.reply(request, b"abc") == vfio_user.HEADER.pack(0xFFFF, 9, 19, 1, 0) + b"abc"
    asked = protocol.Access(0, 4, 4, None)
    assert protocol.access(asked, b"1234") == packed("QII", (4, 0, 4)) + b"1234"


# The greeting

@pytest.mark.parametrize("text", [
    b"", b"\0", b"{}", b"{}\0\0", b'{"capabilities": {"max_msg_fds": 1}}\0', b' {"a": 1e999}'])
def test_a_greeting(text):
    protocol.read_version(packed("HH", (0, 0xFFFF)) + text)


@pytest.mark.parametrize("text", [
    b"{", b"[]", b"1", b"null", b"[" * 8000, b'{"a":' * 1600, b"\xff\xfe\xfd", b"\0{}", b"{}{}", b"9" * 8000,
    b'"\\ud800"'])
def test_capabilities_that_are_none(text):
    with pytest.raises(Refused):
        protocol.read_version(packed("HH", (0, 1)) + text)


@given(st.binary(max_size=200))
@example(b"\1\0\0\0{}")
@example(b"\0\0\0")
def test_any_greeting(body):
    harmless(protocol.read_version, body)


def test_our_greeting():
    body = protocol.version()
    assert body[:4] == bytes(4)
    assert body[-1:] == b"\0"
    told = json.loads(body[4:-1])["capabilities"]
    assert told == {"max_msg_fds": 8, "max_data_xfer_size": 4096, "max_dma_maps": 512}


# The stream

def test_sizes_of_messages():
    head = vfio_user.HEADER
    for size in (0, 1, 15, 8193, 1 << 30, WORD - 1):
        with pytest.raises(ProtocolError):
            protocol.wanted(head.pack(1, 4, size, 0, 0), 16)
    for size in (16, 8192):
        assert protocol.wanted(head.pack(1, 4, size, 0, 0), 16) == size
    assert protocol.wanted(bytes(16), 15) == 0


@pytest.mark.parametrize("flags", [1, 2, 15, 0x21, WORD - 1])
def test_what_is_no_request(flags):
    with pytest.raises(ProtocolError):
        protocol.read(vfio_user.HEADER.pack(1, 4, 16, flags, 0), 0, 16)


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(max_size=40)), max_size=6),
       st.integers(0, 30))
def test_messages_one_after_the_other(messages, cut):
    stream = b"".join(vfio_user.HEADER.pack(number, command, 16 + len(body), 0x10, 0) + body
                      for number, command, body in messages)
    have, begin, read = max(0, len(stream) - cut), 0, []
    while True:
        size = protocol.wanted(stream, have, begin)
        if not size or begin + size > have:
            break
        read.append(protocol.read(stream, begin, size))
        begin += size
    assert read == [(number, command, 0x10, body) for number, command, body in messages][:len(read)]
    # What is left is no whole message.
    assert cut or len(read) == len(messages)


@given(st.binary(max_size=64))
def test_any_stream(stream):
    with contextlib.suppress(ProtocolError):
        size = protocol.wanted(stream, len(stream))
        if 0 < size <= len(stream):
            protocol.read(stream, 0, size)
