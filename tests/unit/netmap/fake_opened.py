# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake /dev/netmap for those who open ports: each open node knows its port, its pointers and its loop.

The requests are read from memory with offsets of their own, the rings' pointers are exchanged there as the kernel does
it (netmap_csb_validate in netmap.c, netmap_kloop.c), and a loop keeps its thread until somebody stops it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import struct
import threading

from fake_device import FakeNetmap

REGISTER, HDR_SET, POOLS, START, STOP, POINTERS = 1, 6, 12, 13, 14, 15
ENTRY = 64
MEMORY = 3 << 20
POOL = {"if_offset": 0, "if_total": 2, "if_size": 1024, "ring_offset": 4096, "ring_total": 4, "ring_size": 20480,
        "buf_offset": 90112, "buf_total": 600, "buf_size": 2048}


class OpenableNetmap(FakeNetmap):
    """The machine, with ports that can be opened.

    :ivar nodes: all that are open (list of Node)
    :ivar shape: of a port that is opened: slots and rings (dict)
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.nodes = []
        self.shape = {"tx_slots": 1024, "rx_slots": 1024, "tx_rings": 1, "rx_rings": 1}
        self._next_region = 10

    def open_node(self):
        super().open_node()
        self.nodes.append(Node(self))
        return self.nodes[-1]

    def free(self):
        """Whether nobody has anything open."""
        return not self.nodes and not any(port[1] == "ephemeral" for bridge in self.bridges for port in bridge.values())

    def next_region(self):
        self._next_region += 1
        return self._next_region


class Node:
    """The device, open; a null device stands for its descriptor."""

    def __init__(self, netmap):
        self.netmap = netmap
        self.port, self.null, self.region = None, False, None
        self.log = []
        self._descriptor = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self._pointers = self._pairs = None
        self._changed = threading.Condition()
        self._running = self._stopping = False
        self._ended, self._end = os.pipe()

    def fileno(self):
        return self._descriptor

    def close(self):
        if self._running:
            # The real one keeps it, and its port, for ever.
            self.netmap.forbidden.append("closed while its loop runs")
        for descriptor in (self._descriptor, self._ended, self._end):
            os.close(descriptor)
        self.netmap.nodes.remove(self)
        if self.port:
            self.netmap.close_port(self.port)

    def ioctl(self, number, header):
        version, reqtype, _reserved, raw, option, body = struct.unpack("<HHI64sQQ", bytes(header))
        name = raw.split(b"\0", 1)[0].decode()
        mine = {REGISTER: self._register, POOLS: self._pools, START: self._loop, STOP: self._stop,
                POINTERS: self._take, HDR_SET: self._header}
        if reqtype not in mine or (reqtype == HDR_SET and name != self.port):
            return self.netmap.ioctl(number, header)
        assert number == 0xC0586997
        assert version == 14
        self.log.append(reqtype)
        outcome = self.netmap.fail.pop((reqtype, name), None)
        code = mine[reqtype](name, body, option) if outcome is None else outcome
        if code:
            raise OSError(code, os.strerror(code))
        return 0

    # Requests: each returns an errno

    def _register(self, name, body, _option):
        fields = list(struct.unpack("<QQIIHHHHHHII4xQ", ctypes.string_at(body, 56)))
        region, mode, flags = fields[8], fields[10], fields[12]
        if not self.netmap.locked():
            self.netmap.forbidden.append("REGISTER %s: without the lock" % name)
        if self.port or self.null:
            return errno.EBUSY
        if mode == 7:
            if region not in self.netmap.regions:
                return errno.EINVAL
            self.null, self.region = True, region
            return 0
        assert mode == 1
        assert flags == 0x800 | 0x20000
        interface = name.rpartition(":")[2]
        if self.netmap._find(interface):
            self.netmap.forbidden.append("REGISTER %s: of an attached port" % name)
        if name in self.netmap.names() or name in self.netmap.opened:
            return errno.EBUSY
        if ":" not in name and name.replace("}", "{").split("{")[0] not in self.netmap.drivers:
            return errno.ENXIO
        self.netmap.open_port(name)
        # A port of a switch has a region of its own, unless it is told which; that lives as long as somebody has it.
        self.port, self.region = name, region or self.netmap.next_region()
        self.netmap.regions.add(self.region)
        shape = self.netmap.shape
        fields[:9] = [4096, MEMORY, shape["tx_slots"], shape["rx_slots"], shape["tx_rings"], shape["rx_rings"], 0, 0,
                      self.region]
        ctypes.memmove(body, struct.pack("<QQIIHHHHHHII4xQ", *fields), 56)
        return 0

    def _pools(self, name, body, _option):
        assert name == self.port
        (region,) = struct.unpack_from("<H", ctypes.string_at(body, 64), 8)
        ctypes.memmove(body, struct.pack("<QH6xQIIQIIQII", MEMORY, region, *POOL.values()), 64)
        return 0

    def _header(self, name, body, _option):
        (length,) = struct.unpack("<I", ctypes.string_at(body, 4))
        if ":" not in name or "{" in name or "}" in name:
            return errno.ENXIO
        self.netmap.headers[name] = length
        return 0 if length in (0, 10, 12) else errno.EINVAL

    def _take(self, _name, body, option):
        assert not body
        following, kind, _status, size, atok, ktoa = struct.unpack("<QIIQQQ", ctypes.string_at(option, 40))
        assert (following, kind, size) == (0, 3, 40)
        if self._running:
            return errno.EBUSY
        if (atok | ktoa) % ENTRY:
            return errno.EINVAL
        count = self._rings()
        ctypes.string_at(atok, ENTRY * count)
        ctypes.memset(ktoa, 0, ENTRY * count)
        for ring in range(count):
            _put(atok + ENTRY * ring, 0, 0, 1, 1)
            _put(ktoa + ENTRY * ring, 0, self.netmap.shape["tx_slots"] - 1, 1)
        self._pointers = (atok, ktoa)
        return 0

    def _loop(self, _name, body, option):
        (pause,) = struct.unpack("<I", ctypes.string_at(body, 4))
        following, kind, _status, size = struct.unpack("<QIIQ", ctypes.string_at(option, 24))
        pairs = struct.unpack("<%di" % ((size - 24) // 4), ctypes.string_at(option + 24, size - 24))
        assert (following, kind) == (0, 2)
        if not (self.port or self.null):
            return errno.ENXIO
        if pause > 1000000 or not self._pointers or len(pairs) != 2 * self._rings():
            return errno.EINVAL
        with self._changed:
            if self._running:
                return errno.EBUSY
            self._running = True
        self._pairs = list(zip(pairs[::2], pairs[1::2]))
        try:
            self._rounds(pause / 1e6)
        finally:
            with self._changed:
                self._running = self._stopping = False
                self._changed.notify_all()
        return 0

    def _rounds(self, pause):
        polls = any(wake < 0 for wake, _signal in self._pairs)
        with contextlib.closing(select.epoll()) as waiting:
            if not polls:
                # An eventfd is never read: each write to it wakes the loop once.
                for wake, _signal in self._pairs:
                    waiting.register(wake, select.EPOLLIN | select.EPOLLET)
            waiting.register(self._ended, select.EPOLLIN)
            while not self._stopping:
                self._exchange()
                waiting.poll(pause if polls else 3)
            os.read(self._ended, 1)

    def _exchange(self):
        """What a guest sent is sent, and it is told so."""
        for ring, (_wake, signal) in enumerate(self._pairs):
            atok, ktoa = (one + ENTRY * ring for one in self._pointers)
            (head,) = struct.unpack("<I", ctypes.string_at(atok, 4))
            (sent,) = struct.unpack("<I", ctypes.string_at(ktoa, 4))
            if head != sent:
                _put(ktoa, head)
                if signal >= 0:
                    os.write(signal, (1).to_bytes(8, "little"))

    def _stop(self, _name, _body, _option):
        if not (self.port or self.null):
            return errno.ENXIO
        with self._changed:
            if not self._stopping:
                os.write(self._end, b"x")
            self._stopping = True
            self._changed.wait_for(lambda: not self._running)
        return 0

    def _rings(self):
        return self.netmap.shape["tx_rings"] + self.netmap.shape["rx_rings"]


def _put(address, *values):
    ctypes.memmove(address, struct.pack("<%dI" % len(values), *values), 4 * len(values))
