# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PCI configuration space of ptnet's devices. Pure. Private to netmap.ptnet.

QEMU keeps base addresses and the MSI-X table itself (hw/vfio/pci.c); it reads from here what they look like.
"""

from __future__ import annotations

import struct

SIZE = 256
REGISTERS_BAR, MEMORY_BAR, MSIX_BAR = 0, 1, 2
MSIX_SIZE = 4096
_MSIX_PENDING = MSIX_SIZE // 2
# Vendor of QEMU's virtual devices; 000c and 000d are also its pcie-root-port and qemu-xhci, so FreeBSD from 12.2 on
# looks for the second pair (sys/net/netmap_virt.h of either).
IDS = {"qemu": {"memory": (0x1B36, 0x000C), "port": (0x1B36, 0x000D)},
       "freebsd": {"memory": (0x1B36, 0xCCCC), "port": (0x1B36, 0xCCCD)}}
_CLASS = {"memory": 0xFF0000, "port": 0x020000}
_SUBSYSTEM = (0x1AF4, 0x1100)
_COMMAND = 4
_COMMAND_BITS = 0x0407  # I/O, memory, bus master, no INTx
_CAPABILITY = 0x40


class Config:
    """The configuration space of one device.

    :param kind: ``port`` or ``memory``
    :param ids: vendor and device (pair of int)
    :param bars: the type bits of base addresses: number to ``io``, ``memory`` or ``memory64`` (dict)
    :param vectors: MSI-X vectors, 0 for none (int)
    """

    def __init__(self, kind, ids, bars, vectors):
        self._bytes = bytearray(SIZE)
        struct.pack_into("<HHHHBBBB", self._bytes, 0, ids[0], ids[1], 0, 0x10 if vectors else 0, 0,
                         _CLASS[kind] & 0xFF, _CLASS[kind] >> 8 & 0xFF, _CLASS[kind] >> 16)
        for number, what in bars.items():
            bits = {"io": 1, "memory": 0, "memory64": 0x4}[what]
            # netmap's memory may be prefetched and written in one go.
            bits |= 0x8 if number == MEMORY_BAR else 0
            struct.pack_into("<I", self._bytes, 0x10 + 4 * number, bits)
        struct.pack_into("<HH", self._bytes, 0x2C, *_SUBSYSTEM)
        if vectors:
            self._bytes[0x34] = _CAPABILITY
            struct.pack_into("<BBHII", self._bytes, _CAPABILITY, 0x11, 0, vectors - 1, MSIX_BAR,
                             _MSIX_PENDING | MSIX_BAR)

    def read(self, offset, count):
        """Bytes of it; zeros beyond its end (bytes)."""
        return bytes(self._bytes[offset:offset + count]).ljust(count, b"\0")

    def write(self, offset, data):
        """Keep what the guest writes into its command register; nothing else can be written."""
        for index, byte in enumerate(data, offset):
            if index in (_COMMAND, _COMMAND + 1):
                self._bytes[index] = byte & _COMMAND_BITS >> 8 * (index - _COMMAND) & 0xFF

    def reset(self):
        """As after power-on."""
        self._bytes[_COMMAND:_COMMAND + 2] = b"\0\0"
