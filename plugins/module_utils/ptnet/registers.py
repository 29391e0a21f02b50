# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registers of ptnet's two PCI devices and their life. Pure: a write returns what has to be done.

The map is sys/net/netmap_virt.h of netmap, the behaviour that of hw/net/ptnetmap-netif.c and ptnetmap-memdev.c of the
ptnet QEMU, which unmodified guests expect. Private to netmap.ptnet.
"""

from __future__ import annotations

import errno
from collections import namedtuple

SIZE = 256  # bytes of a port's registers
KICKS = 128  # from here one register of 4 bytes for each ring, transmit rings first
MAX_RINGS = (SIZE - KICKS) // 4
MEMORY_SIZE = 128  # bytes of a memory device's registers

FEATURE_HEADER = 1  # PTNETMAP_F_VNET_HDR
CREATE, DELETE = 1, 2  # what a guest writes into the control register

_FEATURES, _CONTROL, _MAC_LOW, _MAC_HIGH = 0, 4, 8, 12
_OFFSET, _TX_RINGS, _RX_RINGS, _TX_SLOTS, _RX_SLOTS, _HEADER, _REGION = 24, 28, 32, 36, 40, 44, 48
_ATOK_HIGH, _ATOK_LOW, _KTOA_HIGH, _KTOA_LOW = 52, 56, 60, 64
_KEPT = (_ATOK_HIGH, _KTOA_HIGH)
_WORD = 0xFFFFFFFF
# Header lengths that netmap takes (netmap_vp_bdg_ctl in netmap_bdg.c).
HEADERS = (0, 10, 12)

Effect = namedtuple("Effect", "what value")
Effect.__doc__ = """What a write asks for: ``what`` is ``kick`` (``value``: the ring), ``create``, ``delete``,
``atok`` or ``ktoa`` (``value``: the address in the guest's memory, 0 for none) or ``header`` (``value``: its length).
"""


class PortRegisters:
    """Registers of a port.

    :param mac: six bytes (bytes)
    :param shape: offset, tx_rings, rx_rings, tx_slots, rx_slots, mem_id, as REGISTER returned them (dict of int)
    :param header: whether the port can carry a virtio-net header (bool)
    """

    def __init__(self, mac, shape, header):
        self.rings = shape["tx_rings"] + shape["rx_rings"]
        self._offered = FEATURE_HEADER if header else 0
        self._fixed = {
            _MAC_HIGH: int.from_bytes(mac[:2], "big"), _MAC_LOW: int.from_bytes(mac[2:], "big"),
            _OFFSET: shape["offset"], _TX_RINGS: shape["tx_rings"], _RX_RINGS: shape["rx_rings"],
            _TX_SLOTS: shape["tx_slots"], _RX_SLOTS: shape["rx_slots"], _REGION: shape["mem_id"]}
        self._values = {}
        self.reset()

    def reset(self):
        """As after power-on; the header length is the port's and stays."""
        self._values = {_HEADER: self._values.get(_HEADER, 0)}

    def read(self, offset):
        """The register at an offset (int); 0 where there is none."""
        return self._fixed.get(offset, self._values.get(offset, 0)) & _WORD

    def write(self, offset, value):
        """Write 32 bits to a register.

        :returns: what has to be done (Effect), None for nothing; what came of ``create``, ``delete`` and ``header``
            is told by :meth:`done`
        """
        if offset >= KICKS:
            ring, odd = divmod(offset - KICKS, 4)
            return Effect("kick", ring) if not odd and ring < self.rings else None
        if offset == _FEATURES:
            self._values[_FEATURES] = value & self._offered
        elif offset == _CONTROL:
            if value in (CREATE, DELETE):
                return Effect("create" if value == CREATE else "delete", None)
            self._values[_CONTROL] = errno.EINVAL
        elif offset in _KEPT:
            self._values[offset] = value
        elif offset in (_ATOK_LOW, _KTOA_LOW):
            self._values[offset] = value
            high = _ATOK_HIGH if offset == _ATOK_LOW else _KTOA_HIGH
            return Effect("atok" if offset == _ATOK_LOW else "ktoa", self._values.get(high, 0) << 32 | value)
        elif offset == _HEADER and value in HEADERS:
            return Effect("header", value)
        return None

    def done(self, effect, code):
        """Keep what an effect came to, for the guest to read: an errno, 0 for success (int)."""
        if effect.what in ("create", "delete"):
            self._values[_CONTROL] = code
        elif effect.what == "header" and not code:
            self._values[_HEADER] = effect.value


class MemoryRegisters:
    """Registers of a memory device, which nobody writes.

    :param pools: what POOLS_INFO_GET returned (dict of int)
    """

    def __init__(self, pools):
        self._values = {0: pools["memsize"] & _WORD, 4: pools["memsize"] >> 32, 8: pools["mem_id"]}
        for index, pool in enumerate(("if", "ring", "buf")):
            for place, key in enumerate(("offset", "total", "size")):
                self._values[64 + 12 * index + 4 * place] = pools["%s_%s" % (pool, key)]

    def read(self, offset):
        """The register at an offset (int); 0 where there is none."""
        return self._values.get(offset, 0) & _WORD

    @staticmethod
    def write(_offset, _value):
        """Nothing happens."""

    @staticmethod
    def reset():
        """Nothing changes."""
