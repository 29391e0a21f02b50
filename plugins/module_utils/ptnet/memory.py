# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guest's memory, of which only the pages with the rings' pointers are ever mapped. Private to netmap.ptnet.

All that is known of it comes from QEMU, a stranger: descriptors that are no memory are refused, because the kernel
reads the pointers under netmap's one lock (CSB_ENABLE in netmap.c), and a page that somebody else has to provide, of
a FUSE file for example, would hold up every netmap port of the host.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import stat
from collections import namedtuple

from . import protocol

_MEMORY_FILES = {0x01021994: "tmpfs", 0x958458F6: "hugetlbfs"}  # linux/magic.h; a memfd is on the one or the other
_STATFS_SIZE = 256  # more than any struct statfs

Piece = namedtuple("Piece", "address size offset descriptor writable")


class GuestMemory:
    """What a client said about the guest's memory: address ranges and the files behind them."""

    def __init__(self):
        self._pieces = {}

    def map(self, asked, descriptors):
        """Remember a range.

        :param asked: the range (protocol.Map)
        :param descriptors: what came with it, one or none; ours from now on (list of int)
        :raises protocol.Refused: it overlaps another, there are too many, or the descriptor is no memory
        """
        try:
            if len(self._pieces) >= protocol.MAPPINGS_MAX:
                raise protocol.Refused(errno.E2BIG, "too many mappings")
            if any(piece.address < asked.address + asked.size and asked.address < piece.address + piece.size
                   for piece in self._pieces.values()):
                raise protocol.Refused(errno.EEXIST, "a mapping at %#x that overlaps another" % asked.address)
            if len(descriptors) > 1:
                raise protocol.Refused(errno.EINVAL, "%d descriptors for one mapping" % len(descriptors))
            descriptor = descriptors[0] if descriptors else None
            # BARs come without a descriptor, and not only once; nothing of ours can lie in them.
            if descriptor is not None:
                _check_memory(descriptor)
            self._pieces[asked.address] = Piece(asked.address, asked.size, asked.offset, descriptor, asked.writable)
        except protocol.Refused:
            _close(descriptors)
            raise

    def unmap(self, asked):
        """Forget a range, or all.

        :param asked: the range (protocol.Unmap)
        :returns: the pieces that went (list of Piece); their descriptors are closed
        :raises protocol.Refused: there is no such range
        """
        gone = [piece for piece in self._pieces.values()
                if asked.everything or (asked.address <= piece.address
                                        and piece.address + piece.size <= asked.address + asked.size)]
        if not gone and not asked.everything:
            raise protocol.Refused(errno.ENOENT, "the end of a mapping at %#x that is none" % asked.address)
        for piece in gone:
            del self._pieces[piece.address]
            _close([piece.descriptor])
        return gone

    def clear(self):
        """Forget everything."""
        self.unmap(protocol.Unmap(0, 0, True))

    def window(self, address, size, alignment):
        """Map a few bytes of the guest's memory (Window).

        :raises protocol.Refused: they are not all in one range of writable memory, or not aligned
        """
        for piece in self._pieces.values():
            if piece.address <= address and address + size <= piece.address + piece.size:
                break
        else:
            raise protocol.Refused(errno.EFAULT, "%d bytes at %#x, which is no memory of the guest" % (size, address))
        if piece.descriptor is None or not piece.writable:
            raise protocol.Refused(errno.EFAULT, "%d bytes at %#x, which cannot be shared" % (size, address))
        if address % alignment:
            raise protocol.Refused(errno.EINVAL, "an address %#x that is not aligned" % address)
        return Window(piece.descriptor, piece.offset + address - piece.address, size, address)


class Window:
    """A few bytes of a file, mapped.

    :ivar guest: their address in the guest (int)
    :ivar address: their address in this process (int)
    """

    def __init__(self, descriptor, offset, size, guest):
        self.guest, self.size = guest, size
        self._offset = offset
        self._descriptor = os.dup(descriptor)
        try:
            if len(self.read()) != size:
                raise protocol.Refused(errno.EFAULT, "%d bytes beyond the end of the guest's memory" % size)
            # Whole pages, which are huge ones where the guest's memory is made of such.
            page = os.fstatvfs(self._descriptor).f_bsize
            first = offset // page * page
            end = min(-(-(offset + size) // page) * page, os.fstat(self._descriptor).st_size)
            self._mapping = mmap.mmap(self._descriptor, end - first, offset=first)
        except (OSError, ValueError, OverflowError) as error:  # the file may be cut at any time
            os.close(self._descriptor)
            raise protocol.Refused(errno.EFAULT, "the guest's memory: %s" % error) from error
        except protocol.Refused:
            os.close(self._descriptor)
            raise
        self._begin = ctypes.c_char.from_buffer(self._mapping)
        self.address = ctypes.addressof(self._begin) + offset - first

    def read(self):
        """What is there now (bytes), read from the file: a mapping whose file was cut would end us with SIGBUS."""
        return os.pread(self._descriptor, self.size, self._offset)

    def close(self):
        """Unmap them. No loop may use them any more."""
        del self._begin
        self._mapping.close()
        os.close(self._descriptor)


def _check_memory(descriptor):
    """Refuse a descriptor that is no memory file, or that cannot be read and written."""
    with contextlib.suppress(OSError):
        buffer = ctypes.create_string_buffer(_STATFS_SIZE)
        library = ctypes.CDLL(None, use_errno=True)
        readable = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
        if readable and stat.S_ISREG(os.fstat(descriptor).st_mode) and library.fstatfs(descriptor, buffer) == 0:
            kind = ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF
            if kind in _MEMORY_FILES:
                return
    raise protocol.Refused(errno.EINVAL, "a descriptor that is no memory (tmpfs, hugetlbfs) to read and write")


def _close(descriptors):
    for descriptor in descriptors:
        if descriptor is not None:
            os.close(descriptor)
