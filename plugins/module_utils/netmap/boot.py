# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores the recorded ports after a reboot: parents of pipes, then ports on VALE switches. Private to netmap.ptnet.

A copy of this file and of what it imports lies on the host and runs there without Ansible, see ``boot_service.py``.
"""

from __future__ import annotations

import argparse
import sys
import time

from ..errors import PtnetError
from ..kernel.platform import platform
from ..places import STORE
from . import pipes, ports
from .port_options import PERSISTENT, SETTINGS
from .record import Record, described

# This file and all that it imports on Linux, below module_utils.
SOURCES = ("change", "command", "errors", "files", "kernel.freebsd.links", "kernel.freebsd.management",
           "kernel.freebsd.platform", "kernel.linux.ethtool", "kernel.linux.links", "kernel.linux.management",
           "kernel.linux.netlink", "kernel.linux.platform", "kernel.management", "kernel.platform", "kernel.unix",
           "mac", "netmap.abi", "netmap.boot", "netmap.changes", "netmap.device", "netmap.forbidden", "netmap.guard",
           "netmap.libnetmap", "netmap.lock", "netmap.names", "netmap.parameters", "netmap.pipes",
           "netmap.port_options", "netmap.port_plan", "netmap.ports", "netmap.record", "places")
# Seconds for netmap and all interfaces together; VMs wait as long.
WAIT = 60
_STEP = 0.5


def _say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def restore(system=None, device=None, open_record=Record, wait=WAIT, say=_say):
    """Make what is recorded, one by one, through the code of the modules; a failure stops only its own item.

    :param wait: seconds in which netmap and the interfaces may still appear (number)
    :param say: takes one line for each item
    :returns: how many items failed (int)
    :raises PtnetError: the record cannot be read, or this operating system is not supported
    """
    system = system or platform()
    device = device or ports.open_device(system)
    record = open_record()
    # Copies: each item reads and writes the record by itself. Parents come first, ports may share their memory.
    waiting = [(name, None, dict(parent)) for name, parent in sorted(record.parents.items())]
    waiting += [(name, switch, dict(there[name])) for switch, there in sorted(record.attached.items())
                for name in sorted(there)]
    if not waiting:
        say("nothing is recorded, so there is nothing to restore")
    deadline, failed = time.monotonic() + wait, 0
    while waiting:
        # Too late, all are tried all the same: the refusal says what is missing.
        late = time.monotonic() >= deadline
        ready = [item for item in waiting if late or _ready(item, system)] if late or _usable(device) else []
        waiting = [item for item in waiting if item not in ready]
        for batch in _batches(ready):
            if len(batch) > 1 and _act(batch, system, device, open_record, say):
                continue
            failed += sum(not _act([item], system, device, open_record, say) for item in batch)
        if waiting:
            time.sleep(_STEP)
    return failed


def _usable(device):
    try:
        with device.node():
            return True
    except PtnetError:
        return False


def _ready(item, system):
    """Whether what the item needs is there (bool); what we make ourselves needs nothing."""
    name, switch, port = item
    return switch is None or port["kind"] == PERSISTENT or bool(port.get("made")) or system.driver_of(name) is not None


def _batches(items):
    """Parents one by one, then the ports of a switch that had the same consent, at once (list of lists)."""
    batches = {}
    for name, switch, port in items:
        key = (0, name) if switch is None else (1, switch, port["allow_management"])
        batches.setdefault(key, []).append((name, switch, port))
    return [batches[key] for key in sorted(batches)]


def _act(batch, system, device, open_record, say):
    """Restore items of one batch together; a failure is said of one item only. Returns whether it worked (bool)."""
    name, switch, first = batch[0]
    common = {"state": "present", "purge": False}
    try:
        if switch is None:
            parent = dict({key: first[key] for key in pipes.ROOM + pipes.SHAPE if key in first}, name=name)
            result = pipes.act(dict(common, parents=[parent]), False, system, device, open_record)
        else:
            declared = [dict({key: port[key] for key in ("kind", "host_stack") + SETTINGS if key in port}, name=one)
                        for one, _switch, port in batch]
            result = ports.act(dict(common, switch=switch, ports=declared, restoring=True,
                                    allow_management=first["allow_management"]), False, system, device, open_record)
    except (PtnetError, OSError) as error:
        if len(batch) == 1:
            say("%s: not restored: %s" % (_label(batch[0]), error))
        return False
    before = result["diff"]["before"].get("ports", ())
    for one, _switch, port in batch:
        there = not result["changed"] or (switch is not None and described(one, port) in before)
        say("%s: %s" % (_label((one, switch, port)), "already there" if there else "restored"))
    return True


def _label(item):
    name, switch, port = item
    if switch is None:
        return name
    words = [port["kind"]] * (port["kind"] != "nic") + ["polling"] * bool(port.get("polling"))
    return "%s:%s%s" % (switch, name, " (%s)" % ", ".join(words) if words else "")


def main(argv=None):
    """The command line; returns the exit status (int): 0, or 1 when anything was not restored."""
    parser = argparse.ArgumentParser(
        prog="netmap-ptnet-restore", description="Restore the recorded parents of pipes and ports on VALE switches.")
    parser.add_argument("--store", default=STORE, help="the folder with the record (default: %(default)s)")
    store = parser.parse_args(argv).store
    try:
        return 1 if restore(open_record=lambda: Record(store)) else 0
    except PtnetError as error:
        _say("nothing is restored: %s" % error)
        return 1
