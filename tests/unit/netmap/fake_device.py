# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A /dev/netmap of our own: state, errnos and traps as measured on the real one.

It reads requests from memory as the kernel does, with offsets of its own, so packing is tested too. A request that
would crash or wedge the real kernel is kept in ``forbidden`` and has the effect that was seen.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import struct

from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import abi, forbidden
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.parameters import (
    PARAMETERS,
    RINGS_MAX,
    SLOTS_DEFAULT,
    SLOTS_MAX,
)

SIZES = {2: 32, 3: 64, 4: 8, 5: 8, 6: 8, 7: 8, 8: 16, 9: 0, 10: 16, 11: 16}
NAMES = {2: "INFO", 3: "ATTACH", 4: "DETACH", 5: "LIST", 6: "HDR_SET", 7: "HDR_GET", 8: "NEWIF", 9: "DELIF",
         10: "POLL", 11: "STOP"}
CHANGES = (3, 4, 6, 8, 9, 10, 11)


class FakeNetmap:
    """The machine: interfaces and their drivers, persistent ports, switches."""

    def __init__(self, nics=(), max_bridges=PARAMETERS["max_bridges"].default, lock=None):
        self.mtus = {}
        self.drivers = dict.fromkeys(nics, "veth")
        self.persistent = {}
        self.bridges = [{} for _unused in range(max_bridges)]  # port index -> [name, kind, interface]
        self.opened = set()
        self.pipes = {}
        self.half_attached = set()
        self.headers = {}
        self.polled = {}
        self.pairs = {}
        self.regions = {1}
        self.asked = set()
        self.online = [0, 1, 2]
        self.rings = {}
        self.on_change = None
        self.busy = set()
        self.lock = lock
        self.loaded = True
        self.forbidden = []
        self.changes = []
        self.fail = {}

    # What the test does to the machine

    def frame_limits(self, name):
        """MTU of an interface, and the size of a buffer."""
        return self.mtus.get(name, 1500), PARAMETERS["buf_size"].default

    def driver_of(self, name):
        return self.drivers.get(name)

    def open_node(self):
        if not self.loaded:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self

    def close(self):
        pass

    def open_port(self, name):
        """A VM opens an ephemeral port, or a program a persistent one."""
        if ":" not in name:
            self.opened.add(name)
            if self._find(name):
                self._wedge(name, "a VM opened an attached persistent port")
            return
        bridge = self._bridge(name, create=True)
        bridge[self._free(bridge)] = [name, "ephemeral", None]

    def close_port(self, name):
        for bridge in self.bridges:
            for index in [index for index, port in bridge.items() if port[0] == name and port[1] == "ephemeral"]:
                del bridge[index]
        self.opened.discard(name)

    def make_persistent(self, name, **shape):
        self.drivers[name] = ""
        self.persistent[name] = dict(
            {"tx_slots": SLOTS_DEFAULT, "rx_slots": SLOTS_DEFAULT, "tx_rings": 1, "rx_rings": 1}, **shape)

    def attach_by_hand(self, name, host_stack=False):
        assert self._attach(name, 3 if host_stack else 1) == 0

    def names(self):
        return [port[0] for bridge in self.bridges for _index, port in sorted(bridge.items())]

    # What the kernel does

    def ioctl(self, number, header):
        assert number == 0xC0586997, hex(number)
        assert len(header) == 88
        version, reqtype, reserved, raw, options, address = struct.unpack("<HHI64sQQ", bytes(header))
        name = raw.split(b"\0", 1)[0].decode()
        assert (reserved, options) == (0, 0)
        if version not in (14, 15):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        assert bool(address) == bool(SIZES[reqtype]), "DELIF has no body, all others have"
        body = bytearray(ctypes.string_at(address, SIZES[reqtype])) if address else bytearray()
        self._watch(reqtype, name, body)
        if reqtype in CHANGES:
            if self.on_change:
                self.on_change("%s %s" % (NAMES[reqtype], name))
            self.changes.append("%s %s" % (NAMES[reqtype], name))
        outcome = self.fail.pop((NAMES[reqtype], name), None)
        if outcome == "+1":
            return 1
        code = outcome if isinstance(outcome, int) else getattr(self, "_" + NAMES[reqtype].lower())(name, body, header)
        if outcome == "late":
            code = errno.EBUSY
        if code:
            raise OSError(code, os.strerror(code))
        if address:
            ctypes.memmove(address, bytes(body), len(body))
        return 0

    def _watch(self, reqtype, name, body):
        def forbid(key):
            self.forbidden.append("%s %s: %s" % (NAMES[reqtype], name, forbidden.TABLE[key].effect))

        if reqtype == 5:
            if struct.unpack_from("<I", body, 4)[0] >= 2**31:
                forbid("list-index")
            return
        interface = name.split(":")[-1]
        if "^" in name:
            forbid("host-entry")
        if reqtype == 7:
            interface = name.split("{")[0].split("}")[0]
        if reqtype in (2, 7) and ":" not in name and self.drivers.get(interface):
            forbid("adapter-flap")
        if reqtype in (2, 6, 7) and self._find(interface) and (reqtype == 2 or not self.drivers.get(interface)):
            forbid("query-attached")
            if interface in self.persistent and reqtype == 2:
                self._wedge(interface, "INFO")
        if reqtype == 3 and interface in self.persistent and (interface in self.opened or self.pipes.get(interface)):
            forbid("attach-open")
        if reqtype == 3 and interface in self.persistent and self._find(interface):
            forbid("two-switches")
        if reqtype == 4 and interface in self.half_attached:
            forbid("detach-unproven")
        if any(port[0] == interface for port in self._find(interface)):
            forbid("renamed")
        if reqtype == 8 and struct.unpack_from("<H", body, 12)[0] not in {0} | self.asked:
            forbid("region")
        if reqtype == 10:
            self._watch_polling(interface, body, forbid)
        if reqtype in CHANGES and not self.locked():
            forbid("unlocked")

    def locked(self):
        """Whether somebody holds the lock, or nobody was told of one."""
        if self.lock is None:
            return True
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _watch_polling(self, interface, body, forbid):
        mode, first, count = struct.unpack_from("<III", body)
        receive, transmit = self.rings.get(interface, (1, 1))
        if not set(range(first, first + count)) <= set(self.online):
            forbid("polling-cpu")
        if transmit > receive or (mode == 2 and first + count > receive):
            forbid("polling-rings")

    def _wedge(self, interface, _why):
        for bridge in self.bridges:
            for port in bridge.values():
                if port[2] == interface:
                    port[0] = interface

    def _find(self, interface):
        return [port for bridge in self.bridges for port in bridge.values() if port[2] == interface]

    def _bridge(self, name, create=False):
        switch = name.split(":", 1)[0]
        for bridge in self.bridges:
            if any(port[0].split(":", 1)[0] == switch and ":" in port[0] for port in bridge.values()):
                return bridge
        free = [bridge for bridge in self.bridges if not bridge]
        return free[0] if create and free else None

    @staticmethod
    def _free(bridge):
        return next(index for index in range(abi.BRIDGE_PORTS) if index not in bridge)

    def _list(self, name, body, header):
        assert name == ""
        bridge_index, port_index = struct.unpack("<H2xI", bytes(body))
        for index in range(bridge_index, len(self.bridges)):
            for port in sorted(self.bridges[index]):
                if index == bridge_index and port < port_index:
                    continue
                struct.pack_into("<H2xI", body, 0, index, port)
                struct.pack_into("<64s", header, 8, self.bridges[index][port][0].encode())
                return 0
        return errno.ENOENT

    def _attach(self, name, body, _header=None):
        region, mode = (0, body) if isinstance(body, int) else struct.unpack_from("<HxxI", body, 32)
        if region and region not in self.regions:
            return errno.EINVAL
        switch, colon, interface = name.partition(":")
        if not name.startswith("vale"):
            return errno.EINVAL
        if not colon or not re.fullmatch(r"\w{5,15}", switch):
            return errno.ENOMEM
        if interface not in self.drivers or interface == "lo":
            return errno.EINVAL
        held = interface in self.persistent and (interface in self.opened or bool(self.pipes.get(interface)))
        if self._find(interface) or (interface in self.busy and not held):
            return errno.EBUSY
        bridge = self._bridge(name, create=True)
        if bridge is None or len(bridge) + 2 >= abi.BRIDGE_PORTS:
            return errno.ENOMEM
        index = self._free(bridge)
        bridge[index] = [name, "nic", interface]
        if not isinstance(body, int):
            struct.pack_into("<I", body, 56, index)
        if mode == 3 and interface not in self.persistent:
            bridge[self._free(bridge)] = [name + "^", "host", interface]
        if held:
            self.half_attached.add(interface)
            return errno.EBUSY
        return 0

    def _detach(self, name, body, _header):
        if not name.startswith("vale"):
            return errno.EINVAL
        for bridge in self.bridges:
            for number, port in list(bridge.items()):
                if port[0] == name:
                    if port[1] == "ephemeral" or name in self.polled:
                        return errno.EBUSY
                    struct.pack_into("<I", body, 0, number)
                    self.headers.pop(name, None)
                    for index in [index for index, one in bridge.items() if one[2] == port[2]]:
                        del bridge[index]
                    return 0
        return errno.ENXIO

    def _newif(self, name, body, _header):
        if name in self.drivers:
            return errno.EEXIST
        if (name.startswith("vale") or not 0 < len(name) < abi.IFNAMSIZ or set(name) & set("/: %")
                or name in (".", "..")):
            return errno.EINVAL
        values = struct.unpack("<IIHHH2x", bytes(body))
        if values[4] and values[4] not in self.regions:
            return errno.EINVAL
        limits = (SLOTS_MAX, SLOTS_MAX, RINGS_MAX, RINGS_MAX)
        defaults = (SLOTS_DEFAULT, SLOTS_DEFAULT, 1, 1)
        granted = [min(value or default, most) for value, default, most in zip(values, defaults, limits)]
        region = values[4] or max(self.regions) + 1
        self.regions.add(region)
        self.make_persistent(name, mem_id=region, **dict(zip(("tx_slots", "rx_slots", "tx_rings", "rx_rings"),
                                                             granted)))
        struct.pack_into("<IIHHH", body, 0, *granted, region)
        return 0

    def _delif(self, name, _body, _header):
        if name not in self.drivers:
            return errno.ENXIO
        if name not in self.persistent:
            return errno.EINVAL
        if self._find(name) or name in self.opened or self.pipes.get(name):
            return errno.EBUSY
        del self.drivers[name], self.persistent[name]
        return 0

    def _info(self, name, body, _header):
        if not name:
            region = struct.unpack_from("<H", body, 24)[0] or 1
            if region not in self.regions:
                return errno.EINVAL
            self.asked.add(region)
            struct.pack_into("<Q16xH", body, 0, 42369024, region)
            return 0
        if name not in self.drivers:
            return errno.ENXIO
        shape = self.persistent.get(name)
        if shape is None:
            return errno.EINVAL
        struct.pack_into("<QIIHHHHH", body, 0, 42369024, shape["tx_slots"], shape["rx_slots"], shape["tx_rings"],
                         shape["rx_rings"], 0, 0, shape.get("mem_id", 7))
        return 0

    def _hdr_set(self, name, body, _header):
        if struct.unpack_from("<I", body)[0] not in (0, 10, 12):
            return errno.EINVAL
        if name not in self.names():
            return errno.ENXIO
        self.headers[name] = struct.unpack_from("<I", body)[0]
        return 0

    def _poll(self, name, body, _header):
        if not name.startswith("vale"):
            return errno.EINVAL
        if name not in self.names():
            return errno.ENXIO
        if name in self.polled:
            return errno.EFAULT
        mode, first, count = struct.unpack_from("<III", body)
        if not count or count >= len(self.online) or mode not in (1, 2) or (mode == 1 and count != 1):
            return errno.EINVAL
        if mode == 2 and first + count > self.rings.get(name.partition(":")[2], (1, 1))[0]:
            return errno.EINVAL
        self.polled[name] = (mode, first, count)
        return 0

    def _stop(self, name, _body, _header):
        if name not in self.names():
            return errno.ENXIO
        return 0 if self.polled.pop(name, None) else errno.EFAULT

    def _hdr_get(self, name, body, _header):
        parent, mark, pipe = name.replace("}", "{").partition("{")
        if ":" in name and parent not in self.names():
            return errno.ENXIO
        if not mark:
            struct.pack_into("<I", body, 0, self.headers.get(name, 0))
            return 0 if ":" in name or name in self.drivers else errno.ENXIO
        if pipe not in self.pipes.get(parent, ()):
            return errno.ENODEV
        struct.pack_into("<I", body, 0, 12)
        return 0
