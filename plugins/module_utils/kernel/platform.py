# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel of the managed machine, whichever it is: what is asked of it, and which it is. Private to netmap.ptnet.

Each system has a folder beside this file, and implements exactly these classes; everything else talks to them.
"""

from __future__ import annotations

import abc
import os

from ..errors import PtnetError


def platform():
    """The doors to this machine's kernel (Platform).

    :raises PtnetError: neither Linux nor FreeBSD
    """
    system = os.uname().sysname
    if system == "Linux":
        from .linux.platform import Linux

        return Linux()
    if system == "FreeBSD":
        from .freebsd.platform import FreeBSD

        return FreeBSD()
    raise PtnetError("this operating system is not supported", found=system, expected="Linux or FreeBSD")


class Platform(abc.ABC):
    """Reads and changes one machine. What runs a program raises PtnetError when the program fails.

    :cvar ptnet_driver: the driver of ptnet interfaces in a guest, as :meth:`driver_of` names it (str)
    """

    ptnet_driver = None

    # The module

    @abc.abstractmethod
    def loaded(self):
        """Whether netmap is in the kernel (bool)."""

    @abc.abstractmethod
    def module(self):
        """The loaded module, or None: refcount (int; None where it is not shown), version and srcversion (str or None),
        holders (list of str), built_in (bool)."""

    @abc.abstractmethod
    def installed(self, release=None):
        """The module that would be loaded: path, version, srcversion, vermagic (each str or None); None when none.

        :param release: the kernel it is for, as ``uname -r`` prints it; None for the running one (str)
        """

    @abc.abstractmethod
    def stale(self, module, installed, name="netmap"):
        """Whether a loaded module is another build than the installed one (bool); None when that cannot be told.

        :param module: from :meth:`module`, or its ``srcversion`` alone (dict)
        :param installed: from :meth:`installed` (dict)
        :param name: of the module (str)
        """

    @abc.abstractmethod
    def kernel_release(self):
        """The running kernel's release (str)."""

    @abc.abstractmethod
    def fits(self, installed, release=None):
        """Whether the installed module is built for a kernel, by default the running one (bool)."""

    @abc.abstractmethod
    def headers_present(self, release=None):
        """Whether modules can be built for a kernel, by default the running one (bool)."""

    @abc.abstractmethod
    def kernels(self):
        """The kernels that can be booted, in the order of their versions (list of dict).

        Each has ``release`` (str), ``running`` (bool), ``headers`` (bool: modules can be built for it) and ``netmap``
        (None, or ``path``, ``vermagic``, ``fits``).
        """

    @abc.abstractmethod
    def load(self, parameters):
        """Load netmap with these parameters (dict of int).

        :raises PtnetError: what the kernel said, with the usual cause
        """

    @abc.abstractmethod
    def unload(self):
        """Unload netmap; never by force.

        :raises PtnetError: it is still there
        """

    @abc.abstractmethod
    def unsigned(self, paths):
        """Those module files that this kernel refuses because they bear no signature (list of str)."""

    @abc.abstractmethod
    def drivers(self):
        """The NIC drivers that netmap patches (Drivers).

        :raises PtnetError: this system has none to load
        """

    # Parameters

    @abc.abstractmethod
    def parameters(self):
        """The values in the kernel, as the kernel shows them in numbers (dict of int); None when not loaded."""

    @abc.abstractmethod
    def write_parameter(self, name, number):
        """Write one parameter into the kernel; ranges are the caller's duty, the kernel checks nothing.

        :raises PtnetError: it cannot be written
        """

    # What comes back after a reboot

    @abc.abstractmethod
    def boot(self):
        """What comes back: ``load`` (bool), ``parameters`` (dict of int), ``node`` (group and mode, or None),
        ``drivers`` (list of str: loaded after netmap)."""

    @abc.abstractmethod
    def write_boot(self, boot):
        """Make the boot files say this, in the form of :meth:`boot`; what is empty has no file."""

    @abc.abstractmethod
    def boot_conflicts(self):
        """Files of others that speak of netmap and may win at boot (list of str)."""

    @abc.abstractmethod
    def port_service(self):
        """The service that restores ports at boot (service.PortService).

        :raises PtnetError: this machine has nothing that would start it
        """

    # The device node

    @abc.abstractmethod
    def node(self):
        """The device node: path, mode such as ``0660``, group; or None."""

    @abc.abstractmethod
    def write_node(self, group, mode):
        """Give the node a group and a mode (str, octal).

        :raises OSError: it may not be changed
        """

    @abc.abstractmethod
    def group_exists(self, group):
        """Whether the group is known (bool)."""

    @abc.abstractmethod
    def make_group(self, group):
        """Make a system group."""

    # Interfaces

    @abc.abstractmethod
    def interfaces(self):
        """All network interfaces of this namespace (list of str)."""

    @abc.abstractmethod
    def driver_of(self, name):
        """An interface's driver (str); ``""`` when it has none, as a persistent netmap port; None when there is no such
        interface."""

    @abc.abstractmethod
    def address_of(self, name):
        """An interface's MAC address (str or None)."""

    @abc.abstractmethod
    def mtu_of(self, name):
        """The largest packet that an interface takes, bytes (int); 0 when there is no such interface."""

    @abc.abstractmethod
    def bus_address_of(self, name):
        """The PCI address of an interface, such as ``0000:00:04.0`` (str or None)."""

    @abc.abstractmethod
    def links(self):
        """The pairs of interfaces, and what polling may use (Links)."""

    @abc.abstractmethod
    def management(self):
        """Interfaces whose loss may cut this machine off, and what they carry (dict of str); by each name they have.

        They carry the SSH connection of this run, by the address that it came in on and by the way of its answers, or
        the default route; or one that does stands on them. Where the connection came from this machine itself, such
        as through a forward, has ended, or was not found, all SSH connections count that are known. Not known are
        tunnels of other programs, marks of a firewall that choose routes, and default routes in other tables than
        ``main`` and ``default`` (policy routing, VRFs) by which no such connection is answered.

        :raises PtnetError: the kernel does not tell
        """

    # The machine, and who uses netmap

    @abc.abstractmethod
    def processes(self):
        """Processes that have the device node open or mapped (list of dict): ``pid`` (int), ``command`` (str),
        ``holds`` and ``ports``, those in its command line (lists of str). Not our watch, which lets go when they do."""

    @abc.abstractmethod
    def memory_available(self):
        """Memory that can be had without swapping, bytes (int)."""

    @abc.abstractmethod
    def memory_total(self):
        """Memory of the machine, bytes (int)."""

    @abc.abstractmethod
    def kvm_usable(self):
        """Whether this machine runs guests with KVM (bool)."""

    @abc.abstractmethod
    def reading(self):
        """What only the diagnosis asks (Reading)."""


class Drivers(abc.ABC):
    """NIC drivers with netmap support: which are loaded, which would be, and what boots."""

    @abc.abstractmethod
    def read(self, names):
        """What is known of each driver (dict of dict), by name with underscores.

        ``loaded`` is None, ``stock``, ``netmap``, or ``other build`` (with netmap, but not the installed file);
        ``installed`` is None, ``built in``, ``stock`` or ``netmap``, of what would be loaded; ``path`` and ``fits``
        belong to it; ``interfaces`` are its NICs, ``holders`` the modules on top of it.
        """

    @abc.abstractmethod
    def unload(self, name):
        """Unload one driver; what it depends on stays, so that either build of it can be loaded again."""

    @abc.abstractmethod
    def load(self, name):
        """Load the driver that is preferred, netmap's."""

    @abc.abstractmethod
    def load_stock(self, name):
        """Load the kernel's own driver although another is preferred."""

    @abc.abstractmethod
    def settle(self):
        """Wait until the interfaces have their names."""

    @abc.abstractmethod
    def images(self, names):
        """Kernels that boot with a driver that is not the installed one with netmap: release to drivers (dict)."""

    @abc.abstractmethod
    def rebuild(self, release):
        """Make what one kernel boots with anew."""

    @abc.abstractmethod
    def foreign_initramfs(self):
        """Whether this machine makes its initramfs with a tool that is not looked into (bool)."""


class Links(abc.ABC):
    """Pairs of interfaces, and what polling may use.

    :cvar PAIR: the driver of one end, as :meth:`Platform.driver_of` names it (str)
    """

    PAIR = None

    @abc.abstractmethod
    def pair(self, name):
        """One end of a pair that exists: ``peer`` (str, None when it is elsewhere or unknown), ``up`` (bool: both ends
        are)."""

    @abc.abstractmethod
    def make(self, name, peer, mac):
        """Make a pair; the end ``peer`` gets the MAC address. Both are down still."""

    @abc.abstractmethod
    def raise_ends(self, *names):
        """Bring interfaces up."""

    @abc.abstractmethod
    def remove(self, name):
        """Delete a pair by one of its ends."""

    @abc.abstractmethod
    def polling_limits(self, name):
        """What polling of a NIC may use: online CPUs (list of int), receive and transmit rings (two ints)."""


class Reading(abc.ABC):
    """What only the diagnosis asks of a machine. Reads, and changes nothing."""

    @abc.abstractmethod
    def kernels(self):
        """What :meth:`Platform.kernels` returns, each with ``copies``: all its netmap modules (list of dict)."""

    @abc.abstractmethod
    def security(self):
        """What guards the loading of modules: ``lockdown`` (str), ``signed_only`` and ``secure_boot`` (bool)."""

    @abc.abstractmethod
    def nics(self):
        """All interfaces of this namespace but the loopback (list of dict).

        ``name``, ``mtu`` (bytes), ``up`` and ``carrier`` (bool or None), ``module`` (the kernel module of its driver,
        or None), ``iommu_group`` (str or None), ``offloads`` and ``flow_control`` (names of what is on).
        """

    @abc.abstractmethod
    def namespaces(self):
        """The network namespaces beside our own (list of dict: ``inode``, ``name`` or None, ``pid`` or None,
        ``path``)."""

    @abc.abstractmethod
    def look_into(self, path, act):
        """What ``act`` returns inside a network namespace (JSON-able); it takes the interfaces there (list of str).

        :param path: the namespace as a file (path)
        :raises PtnetError: it cannot be entered, ``act`` failed, or it took too long
        """

    @abc.abstractmethod
    def kernel_log(self, lines):
        """The newest lines of the kernel, oldest first (list of dict: ``at`` in seconds, ``text``).

        :param lines: how many at most (int)
        :raises PtnetError: the log cannot be read
        """

    @abc.abstractmethod
    def argv(self, pid):
        """The arguments a process was started with (list of str); empty when it is gone."""

    @abc.abstractmethod
    def started(self, pid):
        """When a process was started, in the kernel's ticks since the boot (int); None when that is not known."""

    @abc.abstractmethod
    def program(self, pid):
        """The file that a process runs (path), " (deleted)" behind one that was replaced; None when not known."""

    @abc.abstractmethod
    def service(self):
        """How the unit that restores ports ended: ``active`` and ``result`` (dict of str or None)."""
