# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only door to /dev/netmap. Private to netmap.ptnet.

Here ports are listed, the one request that is safe at any time. Everything else is in changes.py, under the lock.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os

from ..errors import PtnetError
from ..places import DEVICE
from . import abi, forbidden, names
from .lock import TIMEOUT, locked, path

_MEANING = {
    (abi.VALE_ATTACH, errno.EBUSY): "it is attached already, or a program has the interface open in netmap mode",
    (abi.VALE_ATTACH, errno.EINVAL): "the interface is gone, or its MTU is larger than a netmap buffer",
    (abi.VALE_ATTACH, errno.ENOMEM): "the switch is full, there are max_bridges switches, or memory ran out",
    (abi.VALE_DETACH, errno.EBUSY): "a program holds the port, or polling is on",
    (abi.VALE_DETACH, errno.ENXIO): "no such port",
    (abi.VALE_NEWIF, errno.EEXIST): "an interface of this name exists",
    (abi.VALE_NEWIF, errno.ENOMEM): "memory ran out, or a priv_ parameter is out of range",
    (abi.VALE_DELIF, errno.EBUSY): "a program has the port, or a pipe of it, open",
    (abi.VALE_DELIF, errno.ENXIO): "no such interface",
    (abi.VALE_DELIF, errno.EINVAL): "not a persistent port",
    (abi.PORT_INFO_GET, errno.EINVAL): "no such memory region",
    (abi.PORT_INFO_GET, errno.ENOMEM): "its memory cannot be laid out with the parameters that netmap has or had",
    (abi.POLLING_ENABLE, errno.EFAULT): "it is polled already",
    (abi.POLLING_DISABLE, errno.EFAULT): "it is not polled",
    (abi.REGISTER, errno.EBUSY): "a program or a VM has it open, or it is attached to a switch",
    (abi.REGISTER, errno.ENXIO): "no such interface or parent",
    (abi.REGISTER, errno.ENOMEM): "its memory cannot be laid out, its switch is full, or there are max_bridges",
}
_VERB = {abi.PORT_INFO_GET: "query", abi.VALE_ATTACH: "attach", abi.VALE_DETACH: "detach", abi.VALE_LIST: "list",
         abi.PORT_HDR_GET: "probe", abi.PORT_HDR_SET: "set the header length of", abi.VALE_NEWIF: "create",
         abi.VALE_DELIF: "delete", abi.POLLING_ENABLE: "poll", abi.POLLING_DISABLE: "stop polling",
         abi.REGISTER: "open", abi.POOLS_INFO_GET: "tell the memory of", abi.CSB_ENABLE: "take the rings' pointers of",
         abi.SYNC_KLOOP_START: "start the loop of", abi.SYNC_KLOOP_STOP: "stop the loop of"}


class Node:
    """The character device, open.

    :param descriptor: one that is open already, such as a duplicate of another process's (int)
    """

    def __init__(self, descriptor=None):
        self._descriptor = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC) if descriptor is None else descriptor

    def ioctl(self, number, header):
        """Issue one request; the header is updated in place. Returns what the kernel returned (int)."""
        return fcntl.ioctl(self._descriptor, number, header, True)

    def fileno(self):
        """The descriptor, to be mapped or handed on (int)."""
        return self._descriptor

    def close(self):
        os.close(self._descriptor)


class Device:
    """What can be asked of netmap at any time.

    :param driver_of: interface name to its driver (str), ``""`` for none, None when there is no such interface
    :param open_node: opens the character device; returns an object with ``ioctl`` and ``close``
    :param lock: the lock file (path); by default that of the machine
    """

    def __init__(self, driver_of, open_node=None, lock=None, lock_timeout=TIMEOUT):
        self.driver_of = driver_of
        self._open_node = open_node or Node
        self._lock = lock
        self._lock_timeout = lock_timeout

    def entries(self):
        """All ports of all switches in this network namespace (list of names.Entry)."""
        with self.node() as node:
            return entries(node)

    def locked(self, purpose):
        """Hold the host-wide lock without the device, for what must not meet a change of ports (context manager)."""
        return locked(self._lock or path(), self._lock_timeout, purpose)

    @contextlib.contextmanager
    def node(self):
        """The character device, open (context manager).

        :raises PtnetError: it cannot be opened; ``device_absent`` in its facts says whether it is missing
        """
        node = self.open_node()
        try:
            yield node
        finally:
            node.close()

    def open_node(self):
        """The character device, open; whoever calls this closes it.

        :raises PtnetError: as :meth:`node`
        """
        try:
            return self._open_node()
        except OSError as error:
            absent = error.errno in (errno.ENOENT, errno.ENXIO, errno.ENODEV)
            raise PtnetError(
                "%s cannot be opened" % DEVICE, found=error.strerror,
                remedy="load netmap first, for example with netmap.ptnet.netmap_module" if absent else
                "run as root, or as a member of the group that owns the node", device_absent=absent) from error


def entries(node):
    """All ports of all switches, read through an open device (list of names.Entry)."""
    pairs, bridge, port = [], 0, 0
    while True:
        try:
            name, found = call(node, abi.VALE_LIST, "", bridge_idx=bridge, port_idx=port)
        except PtnetError as error:
            if error.facts.get("errno") == errno.ENOENT:
                return names.listed(pairs)
            raise
        if (found["bridge_idx"], found["port_idx"]) < (bridge, port):
            raise PtnetError("netmap lists its ports in disorder", found=found, expected="growing indices")
        pairs.append((found["bridge_idx"], name))
        bridge, port = found["bridge_idx"], found["port_idx"] + 1


def call(node, reqtype, name, guard=None, option=None, **fields):
    """Issue one request through an open device; returns the name and the fields that come back (str, dict).

    :param guard: whoever holds the lock (Changes), or the port that the device was bound to (opened.OpenPort); without
        one only VALE_LIST is possible
    :param option: an option of the request, as abi packs it (bytes)
    :raises ForbiddenRequest: it would crash or wedge the kernel, see :data:`forbidden.TABLE`
    :raises PtnetError: the kernel refused, ``errno`` in its facts
    """
    forbidden.refuse(reqtype, name, fields, guard)
    body = abi.pack_body(reqtype, **fields)
    buffer = ctypes.create_string_buffer(body, len(body)) if body else None
    further = ctypes.create_string_buffer(option, len(option)) if option else None
    header = abi.pack_header(reqtype, name, ctypes.addressof(buffer) if body else 0,
                             ctypes.addressof(further) if option else 0)
    try:
        result = node.ioctl(abi.NIOCCTRL, header)
    except OSError as error:
        meaning = _MEANING.get((reqtype, error.errno))
        raise PtnetError("netmap refused to %s %s" % (_VERB[reqtype], name or "ports"),
                         found="%s%s" % (meaning + ", " if meaning else "", error.strerror or error.errno),
                         errno=error.errno) from error
    if result != 0:
        # Seen: +1 from a request that failed, its body all zeros. Only 0 is success.
        raise PtnetError("netmap refused to %s %s" % (_VERB[reqtype], name or "ports"),
                         found="%d instead of 0" % result, errno=None)
    return abi.header_name(header), abi.unpack_body(reqtype, buffer.raw if body else b"")
