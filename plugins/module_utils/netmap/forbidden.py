# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that crash or wedge the kernel, as a table. ``device.call`` refuses each. Private to netmap.ptnet.

Read in netmap at commit 89607e14. A double of the kernel can count by the same keys:

``list-index``      VALE_LIST with port_idx above the table (254)
``host-entry``      anything but VALE_LIST on a name with ``^``
``register``        every request that is not in ``abi.BODY``, and those of an open port on another than one's own
``unlocked``        anything but VALE_LIST without the host-wide lock
``query-attached``  INFO, REGISTER, HDR_* of an attached persistent port; INFO of any name on a switch
``renamed``         anything on a port that the list shows without its switch
``attach-open``     ATTACH of a persistent port that was not made under the same lock
``attach-mtu``      ATTACH of a NIC whose MTU is larger than a buffer
``detach-unproven`` DETACH of a persistent port that we did not attach soundly
``two-switches``    ATTACH of a port that a switch has already
``adapter-flap``    INFO or HDR_GET by bare name on an interface with a driver
``region``          NEWIF in a shared region that does not answer
``polling-cpu``     POLLING_ENABLE with a CPU that is not online, or with all of them
``polling-rings``   POLLING_ENABLE of a NIC with more transmit than receive rings
``unlink-attached`` deletion of an interface that is on a switch (no netmap request, but the same door)
``namespace-end``   end of a network namespace with attached ports; nothing here ends one
"""

from __future__ import annotations

from collections import namedtuple

from ..errors import PtnetError
from . import abi

Row = namedtuple("Row", "key effect source remedy")

TABLE = {row.key: row for row in (
    Row("list-index", "the kernel reads beyond its table of ports and crashes", "netmap_vale_list in netmap_vale.c",
        None),
    Row("host-entry", "a host-stack entry has no operations, the kernel follows a null pointer",
        "netmap_bwrap_attach_common in netmap_bdg.c", "name the NIC without ^"),
    Row("register", "it is for whoever has the port open, and for nobody else", "netmap_ioctl in netmap.c", None),
    Row("unlocked", "netmap panics when two programs change the same port at once", "nm_vi_create and nm_vi_destroy in "
        "netmap_vale.c", "change ports through the modules, which take the lock"),
    Row("query-attached", "an attached persistent port would be renamed in its switch's list and could never be "
        "detached", "netmap_update_config in netmap.c", "detach it first"),
    Row("renamed", "the port is stuck: it was opened or queried while attached, and the kernel lost its switch",
        "netmap_update_config in netmap.c", "reboot the machine, nothing else frees it"),
    Row("attach-open", "ATTACH of a persistent port that a program has open answers EBUSY but attaches, and the DETACH "
        "that follows hangs its owner", "netmap_bdg_attach in netmap_bdg.c", "have vale_port make the port "
        "(kind=persistent), or use it as a pipe parent; for a host leg attach one end of a veth pair"),
    Row("attach-mtu", "an ATTACH that fails after it found the NIC keeps a reference, and the deletion of the NIC "
        "hangs for good", "netmap_bwrap_attach_common in netmap_bdg.c, which does not release it", "lower its MTU, or "
        "raise buf_size in netmap_parameters"),
    Row("detach-unproven", "DETACH of a persistent port that was open when it was attached underflows a reference and "
        "hangs its owner", "netmap_vp_bdg_ctl in netmap_bdg.c", "stop the VMs and reboot the machine"),
    Row("two-switches", "a port on two switches wedges the first of them", "netmap_vale_vp_bdg_attach in netmap_vale.c",
        "detach it there first"),
    Row("adapter-flap", "an emulated adapter would be made and destroyed, and the link reset", "netmap_get_hw_na in "
        "netmap.c", None),
    Row("region", "NEWIF in a region that cannot be laid out locks the kernel against itself", "err_2 of "
        "netmap_vi_create in netmap_vale.c, which takes the lock that it holds", "correct the parameters of netmap and "
        "reload it"),
    Row("polling-cpu", "the kernel binds a thread to a processor that is not there", "nm_os_kctx_worker_start in "
        "netmap_linux.c", None),
    Row("polling-rings", "polling counts the NIC's transmit rings and walks its receive rings", "get_polling_cfg and "
        "netmap_bwrap_polling in netmap_bdg.c", "give the NIC as many receive as transmit queues (ethtool -L)"),
    Row("unlink-attached", "the deletion of an attached interface waits for its DETACH, and the list keeps its name",
        "netmap_detach in netmap.c", "detach it first"),
    Row("namespace-end", "references stay behind with nothing to see", "netmap_bns_unregister in netmap_linux.c",
        "detach ports before their namespace ends"),
)}


class ForbiddenRequest(PtnetError):
    """A request that would crash or wedge the kernel; never made.

    :param key: the row of :data:`TABLE` (str); returned as ``forbidden``, its source as ``source``
    :param what: the refused request, one clause (str)
    """

    def __init__(self, key, what, found=None, remedy=None):
        row = TABLE[key]
        super().__init__(what, found=found or row.effect, expected="a request that the kernel survives: %s (%s)"
                         % (row.effect, row.source) if found else None, remedy=remedy or row.remedy,
                         forbidden=key, source=row.source)


def refuse(reqtype, name, fields, guard):
    """Refuse what the table names; :func:`device.call` asks before every request.

    :param fields: the body's fields that are not 0 (dict of int)
    :param guard: whoever holds the host-wide lock, with ``driver_of``, ``listed``, ``fresh``, ``sound``, ``regions``,
        ``polling_limits`` and ``frame_limits``; None when nobody does (Changes)
    :raises ForbiddenRequest: the row is in its facts
    """
    if reqtype == abi.VALE_LIST:
        if name or not 0 <= fields.get("port_idx", 0) <= abi.BRIDGE_PORTS:
            raise ForbiddenRequest("list-index", "a port index is refused", found="%s %s" % (name, fields))
        return
    label = "%s cannot be %s" % (name or "a region", _DONE.get(reqtype, "opened"))
    if "^" in name:
        raise ForbiddenRequest("host-entry", label)
    if reqtype not in abi.BODY:
        raise ForbiddenRequest("register", label)
    if hasattr(guard, "holds"):
        if reqtype not in _OWN or not name or name != guard.holds:
            raise ForbiddenRequest("register", label)
        # Whoever has a port open cannot meet a change of it: ATTACH and DELIF answer EBUSY, and ask for the lock.
        return
    if guard is None:
        raise ForbiddenRequest("unlocked", label)
    if not name and (reqtype == abi.PORT_INFO_GET or fields.get("mode") == abi.MODE_NULL):
        return
    on_switch, interface = ":" in name, name.rpartition(":")[2].partition("{")[0].partition("}")[0]
    driver, listed = guard.driver_of(interface), guard.listed(interface)
    if any(entry.stuck for entry in listed):
        raise ForbiddenRequest("renamed", label)
    # A VM may name its port as it likes; only an interface of that name is the same thing.
    there = [entry.name for entry in listed if driver is not None]
    _RULES[reqtype](label, name, on_switch, driver, there, fields, guard)


def _query(label, name, on_switch, driver, there, _fields, _guard):
    if on_switch or (there and driver == ""):
        raise ForbiddenRequest("query-attached", label, found="it is on a switch as %s" % (there or [name])[0])
    if driver:
        raise ForbiddenRequest("adapter-flap", label, found="an interface with the driver %s" % driver)


def _header(label, name, on_switch, driver, there, _fields, _guard):
    if not on_switch:
        _query(label, name, on_switch, driver, there, _fields, _guard)
    elif not driver or name not in there:
        # A VM's port has the length that its VM wants; of NICs the list's entry is asked, without a new adapter.
        raise ForbiddenRequest("query-attached", label, found="no attached NIC of this name")


def _attach(label, name, _on_switch, driver, there, _fields, guard):
    if there:
        raise ForbiddenRequest("two-switches", label, found="it is attached as %s" % there[0])
    if driver == "" and name.partition(":")[2] not in guard.fresh:
        raise ForbiddenRequest("attach-open", label, found="a persistent netmap port, which a program may have open")
    if driver:
        refuse_frames(label, *guard.frame_limits(name.partition(":")[2]))


def _detach(label, name, _on_switch, driver, _there, _fields, guard):
    if driver == "" and name not in guard.sound:
        raise ForbiddenRequest("detach-unproven", label, found="a persistent netmap port that others attached")


def _newif(label, _name, _on_switch, _driver, _there, fields, guard):
    region = fields.get("mem_id", 0)
    if region and region not in guard.regions:
        raise ForbiddenRequest("region", label, found="region %d, which was not asked first" % region)


def _delif(label, _name, _on_switch, driver, there, _fields, _guard):
    if driver == "" and there:
        raise ForbiddenRequest("unlink-attached", label, found="it is attached as %s" % there[0])


def _open(label, name, on_switch, driver, there, fields, _guard):
    if fields.get("mode") == abi.MODE_NULL:
        return
    if there or (on_switch and driver is not None):
        raise ForbiddenRequest("query-attached", label, found="%s is an interface on a switch" % (there or [name])[0])


def _own(label, *_unused):
    raise ForbiddenRequest("register", label)


def _poll(label, name, _on_switch, driver, there, fields, guard):
    if not driver or name not in there:
        raise ForbiddenRequest("query-attached", label, found="no attached NIC of this name")
    online, receive, transmit = guard.polling_limits(name.partition(":")[2])
    refuse_polling(label, fields["first_cpu_id"], fields["num_polling_cpus"], fields["mode"], online, receive, transmit)


def refuse_frames(label, mtu, buffer):
    """Refuse a NIC that netmap's buffers do not fit.

    :param mtu: of the NIC, bytes (int)
    :param buffer: what a buffer holds, bytes (int)
    :raises ForbiddenRequest: the MTU is larger
    """
    if mtu > buffer:
        raise ForbiddenRequest("attach-mtu", label, found="MTU %d, buffers of %d bytes" % (mtu, buffer))


def refuse_polling(label, first, count, mode, online, receive, transmit):
    """Refuse polling that the kernel does not survive, or that it refuses.

    :param online: CPUs that are online (list of int)
    :param receive: receive rings of the NIC, likewise ``transmit`` (int)
    :raises ForbiddenRequest: a CPU that is not there, all of them, or rings that do not fit
    """
    cpus = set(range(first, first + count))
    if not cpus or not cpus <= set(online) or len(cpus) >= len(online):
        raise ForbiddenRequest("polling-cpu", label, found="CPU %d to %d" % (first, first + count - 1),
                               remedy="choose CPUs from %s, and leave at least one to others" % sorted(online))
    if transmit > receive or (mode == abi.POLLING_MULTI and first + count > receive):
        raise ForbiddenRequest("polling-rings", label, found="%d receive and %d transmit rings, CPU %d to %d" % (
            receive, transmit, first, first + count - 1))


def _any(*_unused):
    """Nothing to refuse."""


_RULES = {
    abi.PORT_INFO_GET: _query, abi.PORT_HDR_GET: _header, abi.PORT_HDR_SET: _header, abi.VALE_ATTACH: _attach,
    abi.VALE_DETACH: _detach, abi.VALE_NEWIF: _newif, abi.VALE_DELIF: _delif, abi.POLLING_ENABLE: _poll,
    abi.POLLING_DISABLE: _any, abi.REGISTER: _open, abi.POOLS_INFO_GET: _own, abi.SYNC_KLOOP_START: _own,
    abi.SYNC_KLOOP_STOP: _own, abi.CSB_ENABLE: _own,
}
_OWN = (abi.POOLS_INFO_GET, abi.PORT_HDR_SET, abi.SYNC_KLOOP_START, abi.SYNC_KLOOP_STOP, abi.CSB_ENABLE)
_DONE = {abi.PORT_INFO_GET: "queried", abi.VALE_ATTACH: "attached", abi.VALE_DETACH: "detached",
         abi.PORT_HDR_GET: "probed", abi.PORT_HDR_SET: "given a header length", abi.VALE_NEWIF: "created",
         abi.VALE_DELIF: "deleted", abi.POLLING_ENABLE: "polled", abi.POLLING_DISABLE: "released from polling"}
