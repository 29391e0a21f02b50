# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of netmap ports. Private to netmap.ptnet.

Some requests crash or wedge the kernel (names with ``^``, attached persistent ports, concurrent changes). They
cannot be expressed here: a change exists only under the host-wide lock, and each is checked against the list of
switch ports and against the interfaces before the ioctl.
"""

from __future__ import annotations

import contextlib
import errno

from ..errors import PtnetError
from . import abi, names
from .device import Device, call, entries

# With so many entries a switch takes no further port (netmap_get_bdg_na in netmap_bdg.c).
SWITCH_PORTS_MAX = abi.BRIDGE_PORTS - 2


class Unloaded:
    """Stands in for the device, and for :class:`Changes`, where netmap is not loaded: no port is anywhere."""

    @staticmethod
    def entries():
        return []


class ChangeableDevice(Device):
    """The device, with the way to change it."""

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
                changes = Changes(stack.enter_context(self.node()), self.driver_of)
            except PtnetError as error:
                if not (absent and error.facts.get("device_absent")):
                    raise
                changes = Unloaded
            yield changes


class Changes:
    """Requests that need the host-wide lock. Made by :meth:`ChangeableDevice.changing` only.

    The list is read once and kept: nobody else who takes the lock can change it. Any error drops it.
    """

    def __init__(self, node, driver_of):
        self._node = node
        self._driver_of = driver_of
        self._kept = None

    def entries(self):
        """All ports of all switches (list of names.Entry)."""
        if self._kept is None:
            self._kept = entries(self._node)
        return list(self._kept)

    def forget(self):
        """Read the list again at the next use."""
        self._kept = None

    def attach(self, switch, nic, host_stack=False):
        """Attach a NIC or one end of a veth pair to a switch, which is made if it is the first port.

        :raises PtnetError: refused before the kernel is asked, or by the kernel (``errno`` in its facts)
        """
        names.switch(switch), names.interface(nic)
        driver = self._driver_of(nic)
        if driver is None:
            raise PtnetError("%s cannot be attached" % nic, found="no interface of this name")
        if not driver:
            # ATTACH of an open persistent port answers EBUSY but attaches, and the DETACH that follows hangs its
            # owner for good; opened later by name it can never be detached (netmap_bdg_attach in netmap_bdg.c).
            raise PtnetError(
                "%s is a persistent netmap port and is never attached to a switch" % nic, found="an interface "
                "without a driver", expected="a NIC or one end of a veth pair", remedy="use it as a pipe parent; "
                "for a host leg on a switch attach one end of a veth pair")
        self._refuse_listed(nic, "attached")
        mode = abi.MODE_NIC_SW if host_stack else abi.MODE_ALL_NIC
        self._call(abi.VALE_ATTACH, "%s:%s" % (switch, nic), mode=mode)

    def detach(self, switch, nic):
        """Take a NIC or a veth end off its switch; its host-stack entry goes with it.

        :raises PtnetError: refused before the kernel is asked, or by the kernel (``errno`` in its facts)
        """
        names.switch(switch), names.interface(nic)
        name = "%s:%s" % (switch, nic)
        if not any(entry.name == name for entry in self.entries()):
            raise PtnetError("%s cannot be detached" % name, found="no such port on the switch")
        if self._driver_of(nic) == "":
            # A DETACH after the half-done ATTACH of an open persistent port underflows a reference.
            raise PtnetError("%s is a persistent netmap port, detaching it can hang the machine" % name,
                             remedy="stop the VMs and reboot")
        self._call(abi.VALE_DETACH, name)

    def newif(self, name, tx_slots, rx_slots, tx_rings=1, rx_rings=1):
        """Create a persistent port, the parent of pipes, with a memory region of its own.

        :returns: what the kernel granted: tx_slots, rx_slots, tx_rings, rx_rings, mem_id (dict of int)
        :raises PtnetError: refused before the kernel is asked, or by the kernel (``errno`` in its facts)
        """
        names.interface(name)
        if self._driver_of(name) is not None:
            raise PtnetError("the persistent port %s cannot be created" % name,
                             found="an interface of this name exists")
        self._refuse_listed(name, "created")
        return self._call(abi.VALE_NEWIF, name, tx_slots=tx_slots, rx_slots=rx_slots, tx_rings=tx_rings,
                          rx_rings=rx_rings)

    def delif(self, name):
        """Delete a persistent port.

        :raises PtnetError: refused before the kernel is asked, or by the kernel (``errno`` in its facts)
        """
        self._refuse_unless_free(names.interface(name), "deleted")
        self._call(abi.VALE_DELIF, name)

    def info(self, name):
        """Rings, slots and region of a persistent port that is on no switch.

        An attached one would be renamed in the list and wedged (netmap_update_config in netmap.c); a NIC without
        native support would get an emulated adapter for a moment (its link resets).

        :returns: memsize in bytes, tx_slots, rx_slots, tx_rings, rx_rings, mem_id and others (dict of int)
        """
        self._refuse_unless_free(names.interface(name), "queried")
        return self._call(abi.PORT_INFO_GET, name)

    def header_length(self, name):
        """The virtio-net header length in bytes of one end of an open pipe (int); None when the pipe is not open.

        Creates nothing.
        """
        end = names.parse(name)
        if not isinstance(end, names.PipeEnd):
            raise PtnetError("only a pipe can be probed", found=names.shown(name), expected="a name such as p0{1")
        if self._driver_of(end.parent) is None:
            return None
        self._refuse_unless_free(end.parent, "probed")
        try:
            return self._call(abi.PORT_HDR_GET, end.kernel_name())["hdr_len"]
        except PtnetError as error:
            if error.facts.get("errno") in (errno.ENODEV, errno.ENXIO):
                return None
            raise

    def _refuse_unless_free(self, name, done):
        driver = self._driver_of(name)
        if driver is None:
            raise PtnetError("%s cannot be %s" % (name, done), found="no interface of this name")
        if driver:
            raise PtnetError("%s cannot be %s" % (name, done), found="an interface with the driver %s" % driver,
                             expected="a persistent netmap port")
        self._refuse_listed(name, done)

    def _refuse_listed(self, name, done):
        for entry in self.entries():
            if entry.port != name:
                continue
            if entry.stuck:
                raise PtnetError("%s cannot be %s" % (name, done), found="the port is stuck: it was opened or "
                                 "queried while attached, and the kernel lost its switch",
                                 remedy="reboot the machine, nothing else frees it")
            # A VM may name its port as it likes; only an interface of that name is the same thing.
            if self._driver_of(name) is not None:
                raise PtnetError("%s cannot be %s" % (name, done), found="it is attached as %s" % entry.name,
                                 remedy="detach it there first")

    def _call(self, reqtype, name, **fields):
        self._kept = None
        return call(self._node, reqtype, name, **fields)[1]
