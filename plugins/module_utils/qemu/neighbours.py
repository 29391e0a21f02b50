# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else of this host shares memory with a machine's ports. Private to netmap.ptnet.

For the modules that define what opens ports; the decision is in ``netmap/trust.py``.
"""

from __future__ import annotations

import contextlib
import glob
import os

from ..errors import PtnetError
from ..netmap import names, trust
from ..netmap.device import Device
from ..netmap.record import Record
from ..ptnet import layout
from ..ptnet import unit as process_unit
from . import definition, supervisor


def refuse(who, ports, own, system, check_mode):
    """Refuse ports that share memory without consent, and pipes whose parent nobody made.

    :param who: whose ports they are, such as ``VM fw`` (str)
    :param ports: the kernel's name and ``trust`` of each (list of pairs of str)
    :param own: the units that these ports are for (list of str)
    :param system: the platform (Linux or FreeBSD)
    :param check_mode: whether a task before this one could make a parent that is not there yet (bool)
    :raises PtnetError: the first such port; nothing was changed
    """
    trust.refuse(who, ports, system.driver_of, lambda: others(system, own))
    opened = [name for name, _trust in ports]
    if not check_mode and any(isinstance(names.parse(name), names.PipeEnd) for name in opened):
        trust.refuse_orphans(who, opened, Record().parents, system.driver_of)


def others(system, own=()):
    """Who has which port on this host: in words, and the kernel's name (list of pairs of str).

    Definitions on the host, whether they run or not; NICs on switches; and whatever else runs with a port.

    :param system: the platform (Linux or FreeBSD)
    :param own: units that do not count (list of str)
    """
    found, hidden = [], set()
    for path in sorted(glob.glob(os.path.join(supervisor.UNITS, "ptnet-*.service"))):
        name = os.path.basename(path)[:-len(".service")]
        for prefix, who in ((definition.UNIT_PREFIX, "VM"), (layout.UNIT_PREFIX, "port process")):
            if name.startswith(prefix):
                with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as stream:
                    text = stream.read()
                    opened = trust.ports_in(text)
                    hidden.update(opened)
                    if os.path.basename(path) not in own:
                        who = "VM" if process_unit.of_vm(text) else who
                        found += [("%s %s" % (who, name[len(prefix):]), port) for port in opened]
    return found + _attached(system) + [
        ("process %d, %s" % (process["pid"], os.path.basename(process["command"].split(" ")[0])), port)
        for process in system.processes() for port in process.get("ports", ()) if port not in hidden]


def _attached(system):
    """The NICs on switches, those that are there and those that come back at boot."""
    found = {}
    with contextlib.suppress(PtnetError):
        for switch, there in Record().attached.items():
            found.update({name: switch for name, port in there.items()
                          if port["kind"] == "nic" or port.get("memory") == "global"})
    with contextlib.suppress(PtnetError):
        found.update({entry.port: entry.switch for entry in Device(system.driver_of).entries()
                      if system.driver_of(entry.port)})
    return [("switch %s" % found[name], name) for name in sorted(found)]
