# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of netmap ports, under the host-wide lock. Private to netmap.ptnet.

Each request passes :func:`forbidden.refuse`, which is told here what the switches hold and what was proven.
"""

from __future__ import annotations

import contextlib
import errno
import os

from ..errors import PtnetError
from . import abi, names
from .device import Device, call, entries
from .forbidden import ForbiddenRequest

# With so many entries a switch takes no further port (netmap_get_bdg_na in netmap_bdg.c).
SWITCH_PORTS_MAX = abi.BRIDGE_PORTS - 2
_HASTE = -10  # nice value
# The kernel takes an interface away in milliseconds of waiting, not of work; ports that go at once wait together
# (netdev_run_todo in Linux's net/core/dev.c waits without the lock of all interfaces). Netmap has its own lock, and the
# names differ.
_TOGETHER = 16


class Unloaded:
    """Stands in for the device, and for :class:`Changes`, where netmap is not loaded: no port is anywhere."""

    @staticmethod
    def entries():
        return []

    @staticmethod
    def forget():
        """Nothing was kept."""

    @staticmethod
    def unlink(_name, remove):
        """Delete an interface; no switch can hold it."""
        remove()


class ChangeableDevice(Device):
    """The device, with the way to change it.

    :param polling_limits: interface to online CPUs (list of int), receive and transmit rings (int); without it polling
        cannot be switched on
    :param frame_limits: interface to its MTU and the size of netmap's buffers, bytes (ints); without it a NIC cannot be
        attached
    """

    def __init__(self, driver_of, open_node=None, polling_limits=None, frame_limits=None, **options):
        super().__init__(driver_of, open_node, **options)
        self.polling_limits = polling_limits or (lambda _name: ([], 0, 0))
        self.frame_limits = frame_limits or (lambda _name: (1, 0))

    @contextlib.contextmanager
    def changing(self, purpose, absent=False):
        """Hold the host-wide lock and yield :class:`Changes`.

        netmap panics when the same port is created, attached or deleted twice at once (seen 2 of 2).

        :param purpose: shown to whoever waits for the lock (str)
        :param absent: ports shall only go; where netmap is not loaded they are gone, and :class:`Unloaded` is yielded
        :raises PtnetError: the lock was not free in time, with its holder
        """
        with self.locked(purpose), contextlib.ExitStack() as stack:
            try:
                changes = Changes(stack.enter_context(self.node()), self.driver_of, self.polling_limits,
                                  self.frame_limits)
            except PtnetError as error:
                if not (absent and error.facts.get("device_absent")):
                    raise
                changes = Unloaded
            # Each new interface keeps udev busy for longer than netmap takes to make it; the lock is held less long.
            with contextlib.suppress(OSError):
                os.nice(_HASTE - os.nice(0))
            yield changes


class Changes:
    """Requests that need the host-wide lock. Made by :meth:`ChangeableDevice.changing` only.

    The list is read once and kept up to date: nobody else who takes the lock can change it. Any error drops it.
    ``fresh`` are the persistent ports made under this lock, ``sound`` the attached ones of which it is known that
    nobody had them open when they were attached, ``regions`` the memory regions that answered.
    """

    def __init__(self, node, driver_of, polling_limits, frame_limits):
        self._node = node
        self._kept = None
        self._driver_of = driver_of
        self.polling_limits = polling_limits
        self.frame_limits = frame_limits
        self.fresh, self.sound, self.regions = set(), set(), set()
        self._driverless = set()

    def driver_of(self, name):
        """The driver of an interface (str), empty for none; None when there is no such interface."""
        # Asking takes the kernel's lock of all interfaces, and udev holds it for each new one; a persistent port is
        # what it was, the kernel deletes it for nobody who lacks our lock (netmap_linux.c: no rtnl operations).
        if name in self._driverless:
            return ""
        driver = self._driver_of(name)
        if driver == "":
            self._driverless.add(name)
        return driver

    def entries(self):
        """All ports of all switches (list of names.Entry)."""
        return [entry for there in self._ports().values() for entry in there]

    def listed(self, name):
        """The entries whose port part is this name (list of names.Entry)."""
        return self._ports().get(name, [])

    def forget(self):
        """Read the list again at the next use."""
        self._kept = None

    def _ports(self):
        kept = self._kept
        if kept is None:
            kept = {}
            for entry in entries(self._node):
                kept.setdefault(entry.port, []).append(entry)
            self._kept = kept
        return kept

    def vouch(self, switch, port):
        """A persistent port of ours that is on a switch was attached soundly, says the record."""
        self.sound.add("%s:%s" % (switch, port))

    def attach(self, switch, port, host_stack=False):
        """Attach a NIC, a veth end, or a persistent port that was made under this lock; the first makes the switch.

        :raises PtnetError: refused before the kernel is asked, or by the kernel (``errno`` in its facts)
        """
        names.switch(switch), names.interface(port)
        if self.driver_of(port) is None:
            raise PtnetError("%s cannot be attached" % port, found="no interface of this name")
        name = "%s:%s" % (switch, port)
        ports = self._ports()
        self._call(abi.VALE_ATTACH, name, mode=abi.MODE_NIC_SW if host_stack else abi.MODE_ALL_NIC)
        self.sound.add(name)
        bridge = next((one.bridge for there in ports.values() for one in there if one.switch == switch), None)
        ports[port] = [names.Entry(bridge, name, switch, port, False, False)]
        if host_stack:
            ports[port].append(names.Entry(bridge, name + "^", switch, port, True, False))

    def detach(self, switch, port):
        """Take a port off its switch; its host-stack entry goes with it.

        :raises PtnetError: refused before the kernel is asked, or by the kernel (``errno`` in its facts)
        """
        names.switch(switch), names.interface(port)
        name = "%s:%s" % (switch, port)
        if not any(entry.name == name or entry.stuck for entry in self.listed(port)):
            raise PtnetError("%s cannot be detached" % name, found="no such port on the switch")
        ports = self._ports()
        self._call(abi.VALE_DETACH, name)
        self.sound.discard(name)
        ports[port] = [entry for entry in ports[port] if entry.switch != switch]

    def newif(self, name, tx_slots, rx_slots, tx_rings=1, rx_rings=1, mem_id=0):
        """Create a persistent port, by default with a memory region of its own.

        :param mem_id: a region to share, which :meth:`region` has asked (int); 0 for a new one
        :returns: what the kernel granted: tx_slots, rx_slots, tx_rings, rx_rings, mem_id (dict of int)
        :raises PtnetError: refused before the kernel is asked, or by the kernel (``errno`` in its facts)
        """
        names.interface(name)
        if self.driver_of(name) is not None:
            raise PtnetError("the persistent port %s cannot be created" % name,
                             found="an interface of this name exists")
        granted = self._call(abi.VALE_NEWIF, name, tx_slots=tx_slots, rx_slots=rx_slots, tx_rings=tx_rings,
                             rx_rings=rx_rings, mem_id=mem_id)
        self.fresh.add(name)
        self._driverless.add(name)
        return granted

    def delif(self, name):
        """Delete a persistent port; the kernel refuses while a program has it, or a pipe of it, open.

        :raises PtnetError: refused before the kernel is asked, or by the kernel (``errno`` in its facts)
        """
        self._persistent(name, "deleted")
        try:
            self._call(abi.VALE_DELIF, name)
        finally:
            self.fresh.discard(name)
            self._driverless.discard(name)

    def delif_all(self, several):
        """Delete persistent ports, as many at once as the kernel is quicker with.

        :param several: their names, each once (list of str)
        :returns: why some are still there: name to PtnetError (dict)
        """
        failed = {}

        def delete(name):
            try:
                self.delif(name)
            except PtnetError as error:
                failed[name] = error

        if len(several) < 2:
            for name in several:
                delete(name)
            return failed
        from concurrent.futures import ThreadPoolExecutor  # Its import takes as long as a deletion.

        self._ports()
        with ThreadPoolExecutor(_TOGETHER) as threads:
            list(threads.map(delete, several))
        return failed

    def info(self, name):
        """Rings, slots and region of a persistent port that is on no switch.

        :returns: memsize in bytes, tx_slots, rx_slots, tx_rings, rx_rings, mem_id and others (dict of int)
        """
        self._persistent(name, "queried")
        return self._call(abi.PORT_INFO_GET, name)

    def region(self, mem_id):
        """The size of a memory region, bytes (int); afterwards :meth:`newif` may share it.

        :raises PtnetError: there is none, or it cannot be laid out
        """
        size = self._call(abi.PORT_INFO_GET, "", mem_id=mem_id)["memsize"]
        self.regions.add(mem_id)
        return size

    def header_length(self, name):
        """The virtio-net header length, in bytes, of one end of an open pipe or of an attached NIC (int).

        None when the pipe is not open. Creates nothing.
        """
        port = names.parse(name)
        if isinstance(port, names.PipeEnd):
            if self.driver_of(port.parent) is None:
                return None
        elif not isinstance(port, names.VALEPort):
            raise PtnetError("only a pipe or an attached NIC can be probed", found=names.shown(name),
                             expected="a name such as p0{1 or vale1:eth1")
        try:
            return self._call(abi.PORT_HDR_GET, port.kernel_name())["hdr_len"]
        except PtnetError as error:
            if error.facts.get("errno") in (errno.ENODEV, errno.ENXIO):
                return None
            raise

    def set_header_length(self, switch, nic, length):
        """Set the virtio-net header length of an attached NIC (0, 10 or 12 bytes)."""
        self._call(abi.PORT_HDR_SET, "%s:%s" % (names.switch(switch), names.interface(nic)), hdr_len=length)

    def poll(self, switch, nic, mode, first_cpu, cpus):
        """Have kernel threads poll an attached NIC.

        :param mode: ``single``: one CPU for all rings, ``multi``: one CPU for each ring of the same number (str)
        """
        self._call(abi.POLLING_ENABLE, "%s:%s" % (names.switch(switch), names.interface(nic)),
                   mode=abi.POLLING_MULTI if mode == "multi" else abi.POLLING_SINGLE,
                   first_cpu_id=first_cpu, num_polling_cpus=cpus)

    def stop_polling(self, switch, nic):
        """End polling; it is no error when there was none. Returns whether there was (bool)."""
        try:
            self._call(abi.POLLING_DISABLE, "%s:%s" % (names.switch(switch), names.interface(nic)))
        except PtnetError as error:
            if error.facts.get("errno") != errno.EFAULT:
                raise
            return False
        return True

    def unlink(self, name, remove):
        """Delete an interface that no switch holds.

        :param remove: deletes it, without arguments
        """
        if any(not entry.stuck for entry in self.listed(name)) and self.driver_of(name) is not None:
            raise ForbiddenRequest("unlink-attached", "%s cannot be deleted" % name)
        remove()

    def _persistent(self, name, done):
        driver = self.driver_of(names.interface(name))
        if driver is None:
            raise PtnetError("%s cannot be %s" % (name, done), found="no interface of this name")
        if driver:
            raise PtnetError("%s cannot be %s" % (name, done), found="an interface with the driver %s" % driver,
                             expected="a persistent netmap port")

    def _call(self, reqtype, name, **fields):
        try:
            return call(self._node, reqtype, name, self, **fields)[1]
        except PtnetError:
            self._kept = None
            raise
