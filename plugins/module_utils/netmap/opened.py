# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A netmap port that this process has open, as a hypervisor opens it. Private to netmap.ptnet.

The requests are those of net/netmap.c of the ptnet QEMU: all rings, exclusively, then the rings' pointers in the
guest's memory (CSB_ENABLE) and a thread that lends itself to the kernel (SYNC_KLOOP_START, netmap_kloop.c).
"""

from __future__ import annotations

import errno

from ..errors import PtnetError
from . import abi, opening
from .device import call


class Descriptor:
    """A descriptor of /dev/netmap on which a loop may run, ours or the duplicate of another process's.

    :param node: the device (device.Node)
    :param name: the port that it is bound to; for a duplicate any name, the kernel does not look at it (str)
    :ivar holds: the name, for :func:`forbidden.refuse` (str)
    """

    def __init__(self, node, name):
        self.holds = name
        self._node = node

    def fileno(self):
        """The descriptor (int)."""
        return self._node.fileno()

    def stop(self):
        """End the loop that runs on it, and wait until it has ended (netmap_sync_kloop_stop in netmap_kloop.c).

        Where none runs, the next one ends as soon as it begins: the kernel keeps the wish.

        :returns: whether there is a port behind it (bool)
        """
        try:
            self._call(abi.SYNC_KLOOP_STOP)
        except PtnetError as error:
            if error.facts.get("errno") != errno.ENXIO:
                raise
            return False
        return True

    def close(self):
        """Close it; the port is given back when nobody else holds it."""
        self._node.close()

    def _call(self, reqtype, **fields):
        return call(self._node, reqtype, self.holds, self, **fields)[1]


class OpenPort(Descriptor):
    """A port that we opened; made by :func:`open_port`.

    :ivar shape: offset, memsize, tx_slots, rx_slots, tx_rings, rx_rings, mem_id (dict of int)
    :ivar pools: the layout of its memory region, as POOLS_INFO_GET tells it (dict of int)
    """

    def __init__(self, node, name, shape):
        super().__init__(node, name)
        self.shape = shape
        self.pools = self._call(abi.POOLS_INFO_GET, mem_id=shape["mem_id"])

    def set_header_length(self, length):
        """Set the length of the virtio-net header: 0, 10 or 12 bytes. Returns whether the port has one (bool)."""
        try:
            self._call(abi.PORT_HDR_SET, hdr_len=length)
        except PtnetError:
            return False  # a pipe or a NIC: ENXIO, and the guest goes on without
        return True

    def take_pointers(self, atok, ktoa):
        """Have netmap exchange the rings' pointers at two addresses of this process, and begin anew (ints).

        :raises PtnetError: not aligned, not mapped, or a loop runs
        """
        self._call(abi.CSB_ENABLE, option=abi.pack_csb(atok, ktoa))

    def loop(self, eventfds, pause):
        """Lend this thread to the kernel until :meth:`stop`; a signal that is not blocked makes it spin.

        :param eventfds: for each ring what wakes the loop and what it signals (list of pairs of int)
        :param pause: microseconds between two rounds where nothing wakes the loop (int)
        """
        self._call(abi.SYNC_KLOOP_START, option=abi.pack_eventfds(eventfds), sleep_us=pause)


def open_port(device, name, interfaces=None):
    """Open a port with all its rings, exclusively (OpenPort).

    :param device: the door (changes.ChangeableDevice)
    :param name: the kernel's name, as :func:`names.qemu_ifname` gives it (str)
    :raises PtnetError: the port must not be opened, or the kernel refused; whoever names it stands in the text
    """
    with device.changing("opening %s" % name) as changes:
        opening.refuse_wedging([name], changes.entries(), interfaces)
        node = device.open_node()
        try:
            _name, shape = call(node, abi.REGISTER, name, changes, mode=abi.MODE_ALL_NIC,
                                flags=abi.EXCLUSIVE | abi.NO_TX_POLL)
            return OpenPort(node, name, shape)
        except PtnetError as error:
            node.close()
            if error.facts.get("errno") == errno.EBUSY:
                users = opening.users(name)
                raise PtnetError("port %s is in use" % name, found="named by " + ", ".join(users) if users else
                                 "netmap does not tell by whom", expected="a port, or end of a pipe, that nobody has "
                                 "open", remedy="end its user, or choose another port", errno=errno.EBUSY) from error
            raise


def open_region(device, mem_id):
    """A descriptor that maps one memory region and holds no port (node, with ``fileno`` and ``close``).

    Whoever maps a region through the descriptor of a port keeps that port busy; a null port (netmap_null.c) does not.

    :param mem_id: the region (int)
    """
    with device.changing("opening memory region %d" % mem_id) as changes:
        node = device.open_node()
        try:
            call(node, abi.REGISTER, "", changes, mode=abi.MODE_NULL, mem_id=mem_id)
        except BaseException:
            node.close()
            raise
        return node
