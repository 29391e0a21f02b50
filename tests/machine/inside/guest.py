# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An honest guest with one port: what QEMU and the guest's driver do, as short as it can be.

Layouts are those of netmap.h and netmap_virt.h; the order of what is done is if_ptnet's and netmap_ptnet.c's.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import time

import vfio_user

MAC_LOW, MAC_HIGH, OFFSET, TX_RINGS, RX_RINGS, HEADER, REGION = 8, 12, 24, 28, 32, 44, 48
CONTROL, ATOK_HIGH, ATOK_LOW, KTOA_HIGH, KTOA_LOW, KICKS = 4, 52, 56, 60, 64, 128
CREATE, DELETE = 1, 2
RAM = 1 << 20
HIGH = 1 << 32  # where the memory above the hole of PCI begins
ATOK, KTOA = 0x8000, 0x9000  # where the rings' pointers are
ENTRY = 64


class Guest:
    """A guest that is connected, its port switched off.

    :param folder: where the sockets are (path)
    :param port: which device (str), likewise ``memory``; without one the packets are not seen
    """

    def __init__(self, folder, port="d0", memory="m0", patience=20):
        self.port = vfio_user.connect("%s/%s" % (folder, port), patience)
        self.device = vfio_user.connect("%s/%s" % (folder, memory), patience) if memory else None
        self.region = None
        self.descriptor = os.memfd_create("ram", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.descriptor, RAM)
        self.ram = mmap.mmap(self.descriptor, RAM)
        # The kernel reads pointers at any time: they are written as a whole, which struct does not do.
        self._words = memoryview(self.ram).cast("I")
        self.transmit = self.port.register(TX_RINGS)
        self.rings = self.transmit + self.port.register(RX_RINGS)
        self.offset = self.port.register(OFFSET)
        self.eventfds = [eventfd() for _ring in range(self.rings)]
        if self.device:
            shown = self.device.region(1)
            self.region = mmap.mmap(shown.descriptor, shown.mapped)
            os.close(shown.descriptor)

    def close(self):
        for client in (self.port, self.device):
            if client:
                client.close()
        vfio_user.close([self.descriptor, *self.eventfds])
        self.descriptor, self.eventfds = None, []
        self._words.release()
        self.ram.close()
        if self.region:
            self.region.close()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()

    # What the driver does

    def boot(self):
        """QEMU and firmware: memory, its two halves in one file, and interrupts."""
        assert self.port.map(0, RAM // 2, self.descriptor) == 0
        assert self.port.map(HIGH, RAM // 2, self.descriptor, RAM // 2) == 0
        assert self.port.irqs(self.eventfds) == 0

    def pointers(self, atok=ATOK, ktoa=KTOA):
        """Say where the rings' pointers are."""
        for high, low, address in ((ATOK_HIGH, ATOK_LOW, atok), (KTOA_HIGH, KTOA_LOW, ktoa)):
            self.port.write(high, address >> 32)
            self.port.write(low, address & 0xFFFFFFFF)

    def control(self, command):
        """Returns the errno (int)."""
        self.port.write(CONTROL, command)
        return self.port.register(CONTROL)

    def up(self):
        """The interface up. Returns the errno (int)."""
        self.pointers()
        self.port.write(HEADER, 0)
        return self.control(CREATE)

    def kick(self, ring=0):
        self.port.write(KICKS + 4 * ring, 0, posted=True)

    def ring(self, number):
        """The pointers of a ring: head, hwcur, hwtail, and whether the kernel wants to be kicked (ints)."""
        (head,) = struct.unpack_from("<I", self.ram, ATOK + ENTRY * number)
        return (head, *struct.unpack_from("<III", self.ram, KTOA + ENTRY * number))

    def move(self, number, head):
        """Give a ring's slots before ``head`` to the kernel; ``cur`` first (nm_sync_kloop_appl_write in netmap.h)."""
        place = (ATOK + ENTRY * number) // 4
        self._words[place + 1] = head
        self._words[place] = head
        if self.ring(number)[3]:
            self.kick(number)

    # Packets

    def send(self, frames):
        """Put frames (bytes) into the first transmit ring."""
        ring, head = self.layout(0), self.ring(0)[0]
        for frame in frames:
            ring.put(head, frame)
            head = (head + 1) % ring.slots
        self.move(0, head)

    def sent(self, patience=20):
        """Whether the kernel has taken all that was sent, in time (bool)."""
        return until(lambda: self.ring(0)[0] == self.ring(0)[1], patience)

    def receive(self):
        """The frames in the first receive ring (list of bytes), which are taken out of it."""
        ring = self.layout(self.transmit)
        head, _hwcur, tail, _wanted = self.ring(self.transmit)
        frames = []
        while head != tail:
            frames.append(ring.get(head))
            head = (head + 1) % ring.slots
        self.move(self.transmit, head)
        return frames

    def layout(self, number):
        """A ring as it lies in the memory device (Ring)."""
        return Ring(self.region, self.offset, number)


class Ring:
    """One ring, as the guest sees it in the memory of its second device.

    :param region: that memory (mmap)
    :param offset: where the port's struct netmap_if is (int)
    :param number: of the ring, transmit rings first (int)
    """

    _SLOTS = 256

    def __init__(self, region, offset, number):
        transmit, _receive, _head, host = struct.unpack_from("<IIII", region, offset + 24)
        # Between the two kinds are those of the host's stack.
        place = number if number < transmit else number + host
        (begin,) = struct.unpack_from("<q", region, offset + 56 + 8 * place)
        self.begin, self._region = offset + begin, region
        self._buffers, self.slots, self._size = struct.unpack_from("<qII", region, self.begin)

    def slot(self, number, index=None, length=0, flags=0, pointer=0):
        """Read a slot: buffer, length, flags, pointer (ints); or write one, with anything in it."""
        place = self.begin + self._SLOTS + 16 * number
        if index is not None:
            struct.pack_into("<IHHQ", self._region, place, index, length, flags, pointer)
        return struct.unpack_from("<IHHQ", self._region, place)

    def put(self, number, frame):
        index = self.slot(number)[0]
        place = self.begin + self._buffers + index * self._size
        self._region[place:place + len(frame)] = frame
        self.slot(number, index, len(frame))

    def get(self, number):
        index, length = self.slot(number)[:2]
        place = self.begin + self._buffers + index * self._size
        return bytes(self._region[place:place + length])


def frames(count, text):
    """Frames for everybody (list of bytes), each with a text and a number in it."""
    return [b"\xff" * 6 + b"\2\0\0\0\0\1\x08\0" + b"%s %d " % (text.encode(), number) + bytes(40)
            for number in range(count)]


def meet(guests, text, count=5, patience=30):
    """Whether all guests reach one another: each sends some frames to all, and gets those of the others, in order.

    :param text: in each frame (str); others that come in between do not count
    :returns: what was wrong (str), or nothing
    """
    for guest in guests:
        guest.receive()
    # What is full takes nothing in before the kernel has seen that it was emptied.
    until(lambda: all(guest.ring(guest.transmit)[0] == guest.ring(guest.transmit)[1] for guest in guests), patience)
    wanted = [frames(count, "%s from %d" % (text, number)) for number in range(len(guests))]
    for guest, some in zip(guests, wanted):
        guest.send(some)
    got = [[] for _guest in guests]

    def complete():
        for guest, some in zip(guests, got):
            some.extend(frame for frame in guest.receive() if b"%s from " % text.encode() in frame)
        return all(len(some) >= count * (len(guests) - 1) for some in got)

    until(complete, patience)
    came = {(by, to): [frame for frame in got[to] if frame in some]
            for by, some in enumerate(wanted) for to in range(len(guests)) if to != by}
    return "; ".join("%d of %d frames from guest %d to guest %d" % (len(some), count, by, to)
                     for (by, to), some in came.items() if some != wanted[by])


def until(condition, patience):
    """Wait for something. Returns whether it came in time (bool)."""
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def eventfd():
    """An eventfd; os.eventfd came with Python 3.10."""
    descriptor = ctypes.CDLL(None, use_errno=True).eventfd(0, os.O_CLOEXEC | os.O_NONBLOCK)
    assert descriptor >= 0
    return descriptor
