# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores the recorded ports after a reboot: NICs on VALE switches and parents of pipes. Private to netmap.ptnet.

A copy of this file and of what it imports lies on the host and runs there without Ansible, see ``boot_service.py``.
"""

from __future__ import annotations

import argparse
import sys
import time

from ..errors import PtnetError
from ..kernel.modules import platform
from . import pipes, ports
from .changes import ChangeableDevice
from .record import STORE, Record

# This file and all that it imports on Linux, below module_utils.
SOURCES = ("change", "command", "errors", "kernel.linux", "kernel.linux_routes", "kernel.modules", "kernel.unix",
           "netmap.abi", "netmap.boot", "netmap.changes", "netmap.device", "netmap.names", "netmap.parameters",
           "netmap.pipes", "netmap.ports", "netmap.record")
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
    device = device or ChangeableDevice(system.driver_of)
    record = open_record()
    # Copies: each item reads and writes the record by itself.
    waiting = [(name, None, dict(parent)) for name, parent in sorted(record.parents.items())]
    waiting += [(nic, switch, dict(nics[nic])) for switch, nics in sorted(record.attached.items())
                for nic in sorted(nics)]
    if not waiting:
        say("nothing is recorded, so there is nothing to restore")
    deadline, failed = time.monotonic() + wait, 0
    while waiting:
        late = time.monotonic() >= deadline
        usable = late or _usable(device)
        for item in list(waiting):
            name, switch, properties = item
            # Too late, it is tried all the same: the refusal says what is missing.
            if late or (usable and (switch is None or system.driver_of(name) is not None)):
                waiting.remove(item)
                failed += not _restored(name, switch, properties, system, device, open_record, say)
        if waiting:
            time.sleep(_STEP)
    return failed


def _usable(device):
    try:
        with device.node():
            return True
    except PtnetError:
        return False


def _restored(name, switch, properties, system, device, open_record, say):
    label = name if switch is None else "%s:%s" % (switch, name)
    try:
        if switch is None:
            parent = {key: properties[key] for key in ("pipes",) + pipes.SHAPE}
            params = {"parents": [dict(parent, name=name)], "state": "present", "purge": False}
            result = pipes.act(params, False, system, device, open_record)
        else:
            params = {"switch": switch, "ports": [{"name": name, "host_stack": properties["host_stack"]}],
                      "state": "present", "purge": False, "allow_management": properties["allow_management"]}
            result = ports.act(params, False, system, device, open_record)
    except (PtnetError, OSError) as error:
        say("%s: not restored: %s" % (label, error))
        return False
    say("%s: %s" % (label, "restored" if result["changed"] else "already there"))
    return True


def main(argv=None):
    """The command line; returns the exit status (int): 0, or 1 when anything was not restored."""
    parser = argparse.ArgumentParser(
        prog="netmap-ptnet-restore", description="Restore the recorded NICs on VALE switches and parents of pipes.")
    parser.add_argument("--store", default=STORE, help="the folder with the record (default: %(default)s)")
    store = parser.parse_args(argv).store
    try:
        return 1 if restore(open_record=lambda: Record(store)) else 0
    except PtnetError as error:
        _say("nothing is restored: %s" % error)
        return 1
