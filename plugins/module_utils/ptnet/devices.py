# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ptnet's two PCI devices as a client of vfio-user sees them. Private to netmap.ptnet."""

from __future__ import annotations

import errno
import os
import threading

from ..errors import PtnetError
from ..netmap import abi
from . import protocol, registers
from .complaints import Complaints
from .loop import AUTOMATIC, POLLING, Loop
from .memory import GuestMemory
from .pci import IDS, MEMORY_BAR, MSIX_BAR, MSIX_SIZE, REGISTERS_BAR, SIZE, Config
from .protocol import Refused

_READ_WRITE = protocol.REGION_READABLE | protocol.REGION_WRITABLE
_NONE = -1


class Device:
    """What both devices have in common: configuration space, registers, memory of the guest.

    :ivar vectors: MSI-X vectors (int)
    """

    vectors = 0

    def __init__(self, config, values):
        self._config, self._registers = config, values
        self.memory = GuestMemory()

    def answer(self, message, descriptors):
        """Do what a message asks for.

        :param message: the request (protocol.Message)
        :param descriptors: what came with it; ours from now on (list of int)
        :returns: the body of the answer (bytes), and a descriptor to go with it (int or None)
        :raises Refused: it cannot be
        """
        if descriptors and message.command not in (protocol.DMA_MAP, protocol.SET_IRQS):
            for descriptor in descriptors:
                os.close(descriptor)
            raise Refused(errno.EINVAL, "descriptors with a message that has none")
        handler = self._HANDLERS.get(message.command)
        if handler is None:
            raise Refused(errno.EOPNOTSUPP, "command %d" % message.command)
        return handler(self, message.body, descriptors)

    def kicked(self, _offset):
        """Take a kick, the short way. Returns whether a write to that offset (int or None) of the registers is one."""
        return False

    def reset(self):
        """As after power-on."""
        self._config.reset()
        self._registers.reset()

    def disconnected(self):
        """The client has gone, and with it the guest's memory."""
        self.reset()
        self.memory.clear()

    # What the devices differ in

    def _bar(self, index):
        """Size, flags, and how much may be mapped (or None) of a base address (ints)."""
        raise NotImplementedError

    def _mappable(self, _index):
        """The descriptor that the client may map (int), None for none."""

    def _effect(self, effect):
        """Do what a write to a register asks for."""

    def _unmapped(self, pieces):
        """Ranges of the guest's memory have gone (list of memory.Piece)."""

    def _signals(self, start, eventfds):
        """What is signalled by vectors from a number on: descriptors, ours from now on, -1 for none (list of int)."""

    # Messages

    def _info(self, _body, _descriptors):
        return protocol.device_info(), None

    def _region_info(self, body, _descriptors):
        index, argsz = protocol.read_region_info(body)
        if index == protocol.CONFIG_REGION:
            size, flags, mapped = SIZE, _READ_WRITE, None
        elif index < protocol.BARS:
            size, flags, mapped = self._bar(index)
        else:
            size, flags, mapped = 0, 0, None
        return protocol.region_info(index, size, flags, argsz, mapped), self._mappable(index)

    def _irq_info(self, body, _descriptors):
        return protocol.irq_info(body, self.vectors), None

    def _set_irqs(self, body, descriptors):
        try:
            asked = protocol.read_irqs(body, self.vectors)
            if descriptors and (not asked.eventfds or len(descriptors) != asked.count or not asked.trigger):
                raise Refused(errno.EINVAL, "%d descriptors for %d interrupts" % (len(descriptors), asked.count))
            _check_eventfds(descriptors)
        except Refused:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        if asked.trigger and asked.index == protocol.MSIX_IRQ:
            # No interrupts at all: that is how a client switches them off.
            start, count = (asked.start, asked.count) if asked.count else (0, self.vectors)
            self._signals(start, descriptors or [_NONE] * count)
        return b"", None

    def _map(self, body, descriptors):
        try:
            asked = protocol.read_map(body)
        except Refused:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        self.memory.map(asked, descriptors)
        return b"", None

    def _unmap(self, body, _descriptors):
        asked = protocol.read_unmap(body)
        self._unmapped(self.memory.unmap(asked))
        return body[:24], None

    def _read(self, body, _descriptors):
        asked = protocol.read_access(body, write=False)
        if asked.region == protocol.CONFIG_REGION:
            data = self._config.read(asked.offset, asked.count)
        elif asked.region == REGISTERS_BAR and asked.count == 4 and not asked.offset % 4:
            data = self._registers.read(asked.offset).to_bytes(4, "little")
        else:
            data = bytes(asked.count)
        return protocol.access(asked, data), None

    def _write(self, body, _descriptors):
        asked = protocol.read_access(body, write=True)
        if asked.region == protocol.CONFIG_REGION:
            self._config.write(asked.offset, asked.data)
        elif asked.region == REGISTERS_BAR and asked.count == 4 and not asked.offset % 4:
            effect = self._registers.write(asked.offset, int.from_bytes(asked.data, "little"))
            if effect:
                self._effect(effect)
        return protocol.access(asked), None

    def _reset(self, _body, _descriptors):
        self.reset()
        return b"", None

    _HANDLERS = {
        protocol.GET_INFO: _info, protocol.GET_REGION_INFO: _region_info, protocol.GET_IRQ_INFO: _irq_info,
        protocol.SET_IRQS: _set_irqs, protocol.DMA_MAP: _map, protocol.DMA_UNMAP: _unmap,
        protocol.REGION_READ: _read, protocol.REGION_WRITE: _write, protocol.RESET: _reset,
    }


class MemoryDevice(Device):
    """The device that shows the guest one memory region of netmap.

    :param pools: what POOLS_INFO_GET said (dict of int)
    :param region: what maps it, and holds no port (with ``fileno``)
    :param where: where its registers are: ``io``, as the ptnet QEMU's are, or ``memory``
    :param ids: whose PCI ids it has, a key of :data:`pci.IDS`
    """

    def __init__(self, pools, region, where, ids):
        # Not below 4 GiB: a root port of q35 has no room for it there.
        bars = {REGISTERS_BAR: where, MEMORY_BAR: "memory64"}
        super().__init__(Config("memory", IDS[ids]["memory"], bars, 0), registers.MemoryRegisters(pools))
        self._size, self._region = pools["memsize"], region

    def _bar(self, index):
        if index == REGISTERS_BAR:
            return registers.MEMORY_SIZE, _READ_WRITE, None
        if index == MEMORY_BAR:
            # A base address is a power of two, the region seldom is.
            return 1 << (self._size - 1).bit_length(), _READ_WRITE | protocol.REGION_MAPPABLE, self._size
        return 0, 0, None

    def _mappable(self, index):
        return self._region.fileno() if index == MEMORY_BAR else None


class PortDevice(Device):
    """The device that lends the guest one netmap port.

    Each method but :meth:`quiet`, :meth:`change` and :meth:`release` is called by the thread of its one client; the
    lock is for these, which others call.

    :param port: the open port (opened.OpenPort)
    :param declared: ifname, id, mac (str), mode, pause, registers, pci_ids (dict)
    :param say: takes a line for the log
    :param polling: called when the loop begins to poll, so that :meth:`quiet` is called from then on
    """

    def __init__(self, port, declared, say, polling):
        self.vectors = port.shape["tx_rings"] + port.shape["rx_rings"]
        if self.vectors > registers.MAX_RINGS:
            raise PtnetError("port %s cannot be passed through" % declared["ifname"], found="%d rings" % self.vectors,
                             expected="at most %d, both ways together" % registers.MAX_RINGS)
        header = port.set_header_length(12)
        if header:
            port.set_header_length(0)
        super().__init__(
            Config("port", IDS[declared["pci_ids"]]["port"],
                   {REGISTERS_BAR: declared["registers"], MSIX_BAR: "memory"}, self.vectors),
            registers.PortRegisters(bytes.fromhex(declared["mac"].replace(":", "")), port.shape, header))
        self.declared, self._say, self._polling = declared, say, polling
        self._complaints = Complaints(say)
        self.port = port
        self._lock = threading.RLock()
        self._windows = {"atok": None, "ktoa": None}
        self._eventfds = [_NONE] * self.vectors
        self.kicks = 0
        self._rings = {registers.KICKS + 4 * ring: ring for ring in range(self.vectors)}
        self.loop = Loop(port, self.vectors, declared["mode"], declared["pause"], "ptnet-%s" % declared["id"], say)

    def release(self):
        """Give the port back while the device stays; the guest's next start of it answers ENXIO."""
        with self._lock:
            if self.port is not None:
                self.loop.stop()
                self.port.close()
                self.port = None

    def change(self, declared):
        """Serve it from now on in the mode, and with the pause, of another declaration (dict)."""
        with self._lock:
            self.declared = declared
            self.loop.mode, self.loop.pause = declared["mode"], declared["pause"]
            self.loop.poll(self.loop.mode == POLLING)

    def quiet(self, now):
        """Whether polling is over, by what the rings' pointers do; then the loop waits for kicks again.

        :param now: seconds of time.monotonic (float)
        """
        if self.loop.mode != AUTOMATIC or not self.loop.polls:
            return
        with self._lock:
            pointers = self._pointers()
            if self.port and self.loop.running and pointers and self.loop.pace.polled(now, pointers):
                self.loop.poll(False)

    def kicked(self, offset):
        ring = self._rings.get(offset)
        if ring is None:
            return False
        self._kick(ring)
        return True

    def _kick(self, ring):
        self.kicks += 1
        if self.loop.kick(ring, self._pointers):
            with self._lock:
                # Its mode may have been changed meanwhile.
                if self.loop.mode == AUTOMATIC and not self.loop.polls:
                    self.loop.poll(True)
            self._polling()

    def _pointers(self):
        """How far the kernel is with each ring (bytes), None before it tells the guest."""
        window = self._windows["ktoa"]
        if not window:
            return None
        try:
            told = window.read()
        except OSError:  # the guest's memory, which QEMU may do anything with
            return None
        # Behind these two it says whether it wants to be kicked, which changes without a packet.
        return b"".join(told[at:at + abi.CSB_POINTERS] for at in range(0, len(told), abi.CSB_ENTRY))

    def status(self):
        """What it does now (dict)."""
        return {"id": self.declared["id"], "port": self.declared["ifname"], "open": self.port is not None,
                "mode": self.declared["mode"], "running": self.loop.running, "polls": self.loop.polls,
                "kicks": self.kicks}

    def reset(self):
        with self._lock:
            self._stop()
            for which in self._windows:
                self._window(which, 0)
            super().reset()

    def disconnected(self):
        with self._lock:
            self._complaints = Complaints(self._say)
            super().disconnected()
            self._signals(0, [_NONE] * self.vectors)
            self.release()

    def _bar(self, index):
        if index == REGISTERS_BAR:
            return registers.SIZE, _READ_WRITE, None
        return (MSIX_SIZE, _READ_WRITE, None) if index == MSIX_BAR else (0, 0, None)

    def _effect(self, effect):
        if effect.what == "kick":
            self._kick(effect.value)
            return
        with self._lock:
            code = 0
            try:
                if effect.what == "create":
                    self._start()
                elif effect.what == "delete":
                    self._stop()
                elif effect.what == "header":
                    self.loop.hold_up()
                    code = 0 if self.port and self.port.set_header_length(effect.value) else errno.ENXIO
                else:
                    self._stop()
                    self._window(effect.what, effect.value)
            except Refused as error:
                code = error.code
                self._complaints.say("%s: refused: %s" % (self.declared["id"], error))
            except PtnetError as error:
                code = error.facts.get("errno") or errno.EIO
                self._complaints.say("%s: %s" % (self.declared["id"], error))
            self._registers.done(effect, code)

    def _start(self):
        if self.port is None:
            raise Refused(errno.ENXIO, "the port was given back")
        if self.loop.running:
            return
        atok, ktoa = self._windows["atok"], self._windows["ktoa"]
        if not atok or not ktoa:
            raise Refused(errno.ENXIO, "no pointers of the rings")
        if max(atok.guest, ktoa.guest) < min(atok.guest + atok.size, ktoa.guest + ktoa.size):
            raise Refused(errno.EINVAL, "pointers of the rings that overlap")
        if self.loop.mode == AUTOMATIC:
            self.loop.poll(False)
        self.loop.interrupts(self._eventfds)
        self.loop.start(lambda: self.port.take_pointers(atok.address, ktoa.address))

    def _stop(self):
        self.loop.stop()

    def _window(self, which, address):
        old, self._windows[which] = self._windows[which], None
        if old:
            old.close()
        if address:
            self._windows[which] = self.memory.window(address, abi.CSB_ENTRY * self.vectors, abi.CSB_ENTRY)

    def _unmapped(self, pieces):
        with self._lock:
            for which, window in self._windows.items():
                if window and any(piece.address <= window.guest < piece.address + piece.size for piece in pieces):
                    self._stop()
                    self._window(which, 0)

    def _signals(self, start, eventfds):
        with self._lock:
            old = self._eventfds[start:start + len(eventfds)]
            # The kernel holds what it was given until the loop begins anew.
            self._eventfds[start:start + len(eventfds)] = eventfds
            try:
                others = [_identity(one) for one in old] != [_identity(one) for one in eventfds]
                self.loop.interrupts(self._eventfds, others)
            finally:
                for descriptor in old:
                    if descriptor != _NONE:
                        os.close(descriptor)


def _identity(descriptor):
    """Which eventfd a descriptor is (str), to tell a new one from the same sent again (proc(5), fdinfo)."""
    if descriptor == _NONE:
        return ""
    with open("/proc/self/fdinfo/%d" % descriptor, encoding="ascii") as stream:
        lines = dict(line.split(":", 1) for line in stream if ":" in line)
    return lines.get("eventfd-id", str(descriptor)).strip()


def _check_eventfds(descriptors):
    """Refuse what is no eventfd: the kernel takes nothing else (eventfd_fget), and says so with an error of its own."""
    for descriptor in descriptors:
        if os.readlink("/proc/self/fd/%d" % descriptor) != "anon_inode:[eventfd]":
            raise Refused(errno.EINVAL, "an interrupt that is no eventfd")
