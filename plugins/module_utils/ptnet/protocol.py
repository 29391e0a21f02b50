# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages of vfio-user, encoded and decoded. Pure. Private to netmap.ptnet.

The protocol is docs/interop/vfio-user.rst of QEMU, the structures behind it linux/vfio.h; all of it little-endian.
Whatever comes in is checked for length and range here; what it means for a device is devices.py's business.
"""

from __future__ import annotations

import errno
import json
import struct
from collections import namedtuple

VERSION, DMA_MAP, DMA_UNMAP, GET_INFO, GET_REGION_INFO, GET_REGION_IO_FDS, GET_IRQ_INFO, SET_IRQS, REGION_READ, \
    REGION_WRITE, _DMA_READ, _DMA_WRITE, RESET = range(1, 14)

HEADER = struct.Struct("<HHIII")  # id, command, size of all, flags, errno
REPLY, NO_REPLY, ERROR = 0x1, 0x10, 0x20
_TYPE = 0xF

# What one message may be: nothing that we take is longer, but for the capabilities of VERSION.
MESSAGE_MAX = 8192
DATA_MAX = 4096
DESCRIPTORS_MAX = 8
# Guest memory comes in a handful of pieces; a base address that moves at boot adds some.
MAPPINGS_MAX = 512

# Numbers of regions and interrupts of a PCI device (linux/vfio.h).
BARS, ROM_REGION, CONFIG_REGION, REGIONS = 6, 6, 7, 9
MSIX_IRQ, IRQS = 2, 5
REGION_READABLE, REGION_WRITABLE, REGION_MAPPABLE, REGION_CAPABILITIES = 1, 2, 4, 8
_DEVICE_FLAGS = 0x1 | 0x2  # can be reset, is PCI
_IRQ_EVENTFD = 0x1
_SPARSE_MMAP = 1

_PAIR = struct.Struct("<HH")
_DEVICE = struct.Struct("<IIII")
_REGION = struct.Struct("<IIIIQQ")
_SPARSE = struct.Struct("<HHIIIQQ")
_IRQ = struct.Struct("<IIII")
_IRQ_SET = struct.Struct("<IIIII")
_MAP = struct.Struct("<IIQQQ")
_UNMAP = struct.Struct("<IIQQ")
_ACCESS = struct.Struct("<QII")
_POSTED = struct.Struct("<HHIIIQIII")  # the header, an access, 32 bits
_WORD = 1 << 64


class ProtocolError(Exception):
    """The stream can no longer be trusted: the connection is to be closed."""


class Refused(Exception):
    """One message is refused, with an errno; the connection goes on.

    :param code: the errno (int)
    :param why: for the log (str)
    """

    def __init__(self, code, why):
        super().__init__(why)
        self.code = code


Message = namedtuple("Message", "id command flags body")
Map = namedtuple("Map", "offset address size writable")
Unmap = namedtuple("Unmap", "address size everything")
Access = namedtuple("Access", "region offset count data")
Irqs = namedtuple("Irqs", "index start count eventfds trigger")


def wanted(buffer, have, begin=0):
    """How many bytes the message that begins at an offset has in all (int), 0 when its header is not there yet.

    :raises ProtocolError: a size that no message has
    """
    if have - begin < HEADER.size:
        return 0
    size = HEADER.unpack_from(buffer, begin)[2]
    if not HEADER.size <= size <= MESSAGE_MAX:
        raise ProtocolError("a message of %d bytes" % size)
    return size


def posted(buffer, begin, size):
    """The offset in region 0 (int) where a message writes 32 bits that nobody is told of, None for any other message.

    Kicks are such messages, and each of thousands a second comes through here.
    """
    if size != _POSTED.size:
        return None
    _number, command, _size, flags, _error, offset, region, count, _data = _POSTED.unpack_from(buffer, begin)
    return offset if command == REGION_WRITE and flags == NO_REPLY and region == 0 and count == 4 else None


def read(buffer, begin, size):
    """The message at an offset (Message).

    :raises ProtocolError: it is no request
    """
    number, command, _size, flags, _error = HEADER.unpack_from(buffer, begin)
    if flags & _TYPE:
        raise ProtocolError("a message that is no request")
    return Message(number, command, flags, bytes(buffer[begin + HEADER.size:begin + size]))


def reply(message, body=b""):
    """The answer to a message (bytes)."""
    return HEADER.pack(message.id, message.command, HEADER.size + len(body), REPLY, 0) + body


def error(message, code):
    """The answer that says that a message was refused (bytes)."""
    return HEADER.pack(message.id, message.command, HEADER.size, REPLY | ERROR, code)


# VERSION

def read_version(body):
    """Check what a client offers.

    :raises Refused: another major version, or no capabilities that can be read
    """
    major = _unpack(_PAIR, body)[0]
    try:
        capabilities = json.loads(body[_PAIR.size:].rstrip(b"\0") or b"{}")
    except (ValueError, RecursionError):
        raise Refused(errno.EINVAL, "capabilities that are no JSON") from None
    if major or not isinstance(capabilities, dict):
        raise Refused(errno.EINVAL, "version %d of the protocol" % major)


def version():
    """The body of our answer to VERSION (bytes)."""
    capabilities = {"capabilities": {"max_msg_fds": DESCRIPTORS_MAX, "max_data_xfer_size": DATA_MAX,
                                     "max_dma_maps": MAPPINGS_MAX}}
    return _PAIR.pack(0, 0) + json.dumps(capabilities).encode() + b"\0"


# Memory of the guest

def read_map(body):
    """What DMA_MAP asks for (Map).

    :raises Refused: too short, or a range that is none
    """
    _argsz, flags, offset, address, size = _unpack(_MAP, body)
    if not size or address + size > _WORD or offset + size > _WORD >> 1 or flags & ~3 or not flags:
        raise Refused(errno.EINVAL, "a mapping of %d bytes at %#x" % (size, address))
    return Map(offset, address, size, bool(flags & 2))


def read_unmap(body):
    """What DMA_UNMAP asks for (Unmap).

    :raises Refused: too short, or what we do not offer
    """
    _argsz, flags, address, size = _unpack(_UNMAP, body)
    if flags & ~2 or (not flags and (not size or address + size > _WORD)):
        raise Refused(errno.EINVAL, "an end of a mapping of %d bytes at %#x, flags %#x" % (size, address, flags))
    return Unmap(address, size, bool(flags & 2))


# Regions

def device_info():
    """The body of our answer to GET_INFO (bytes)."""
    return _DEVICE.pack(_DEVICE.size, _DEVICE_FLAGS, REGIONS, IRQS)


def read_region_info(body):
    """Which region is asked for, and how long the answer may be (two ints).

    :raises Refused: too short, or no such region
    """
    argsz, _flags, index = _unpack(_REGION, body)[:3]
    if index >= REGIONS or argsz < _REGION.size:
        raise Refused(errno.EINVAL, "region %d, %d bytes" % (index, argsz))
    return index, argsz


def region_info(index, size, flags, argsz, mapped=None):
    """The body of our answer to GET_REGION_INFO (bytes).

    :param mapped: how much of it may be mapped from its begin, where that is not all (int)
    :param argsz: how long an answer the client has room for (int)
    """
    if mapped is None:
        return _REGION.pack(_REGION.size, flags, index, 0, size, 0)
    full = _REGION.size + _SPARSE.size
    body = _REGION.pack(full, flags | REGION_CAPABILITIES, index, _REGION.size, size, 0)
    # Without room for all the client asks again; QEMU reads the place of the rest in either answer.
    return body + (_SPARSE.pack(_SPARSE_MMAP, 1, 0, 1, 0, 0, mapped) if argsz >= full else b"")


def read_access(body, write):
    """What REGION_READ or REGION_WRITE asks for (Access).

    :raises Refused: too short, too long, or data of another length
    """
    offset, region, count = _unpack(_ACCESS, body)
    data = body[_ACCESS.size:]
    if region >= REGIONS or not 0 < count <= DATA_MAX or offset + count > _WORD:
        raise Refused(errno.EINVAL, "%d bytes of region %d at %#x" % (count, region, offset))
    if write and len(data) != count:
        raise Refused(errno.EINVAL, "%d bytes announced, %d sent" % (count, len(data)))
    return Access(region, offset, count, data if write else None)


def access(request, data=b""):
    """The body of our answer to REGION_READ or REGION_WRITE (bytes)."""
    return _ACCESS.pack(request.offset, request.region, request.count) + data


# Interrupts

def irq_info(body, vectors):
    """The body of our answer to GET_IRQ_INFO (bytes).

    :param vectors: how many MSI-X vectors the device has (int)
    :raises Refused: too short, or no such interrupt
    """
    index = _unpack(_IRQ, body)[2]
    if index >= IRQS:
        raise Refused(errno.EINVAL, "interrupt %d" % index)
    return _IRQ.pack(_IRQ.size, _IRQ_EVENTFD, index, vectors if index == MSIX_IRQ else 0)


def read_irqs(body, vectors):
    """What SET_IRQS asks for (Irqs): ``eventfds`` says whether descriptors come with it, ``trigger`` whether it is
    about who is signalled, not about masking.

    :raises Refused: too short, or interrupts that there are not
    """
    _argsz, flags, index, start, count = _unpack(_IRQ_SET, body)
    limit = vectors if index == MSIX_IRQ else 0
    if index >= IRQS or start + count > limit or flags & ~0x3F:
        raise Refused(errno.EINVAL, "interrupts %d to %d of kind %d" % (start, start + count, index))
    return Irqs(index, start, count, bool(flags & 0x4), bool(flags & 0x20))


def _unpack(layout, body):
    if len(body) < layout.size:
        raise Refused(errno.EINVAL, "%d bytes instead of %d" % (len(body), layout.size))
    return layout.unpack_from(body)
