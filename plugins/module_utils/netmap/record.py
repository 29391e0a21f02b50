# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this collection created on the host, kept for purge, teardown and the next boot. Private to netmap.ptnet.

It is written before something is created and after it is deleted, so an interrupted run leaves nothing unknown.
What it says counts only together with what the kernel says: after a reboot the ports are gone until they are
restored from it.
"""

from __future__ import annotations

import json
import os

from .. import files
from ..errors import PtnetError
from ..places import STORE

FILE = "ports.json"
_FORMAT = 1

# A port on a switch. ``ours`` is False when it was attached by others before it was declared: then it comes back after
# a reboot, but purge leaves it alone. ``allow_management`` is the consent that was given. Further keys are what was
# declared (``port_options.SETTINGS``), and:
# ``made``       the veth pair is ours as well
# ``unfinished`` a change of it was begun and its end is not known; what the list does not show is done again
# ``held``       a program had the persistent port open when it was attached, so it must not be detached
_SHOWN = ("peer", "mac", "tx_slots", "rx_slots", "tx_rings", "rx_rings", "memory", "vnet_header_length")
NIC = {"host_stack": False, "allow_management": False, "ours": True, "kind": "nic"}
# The parent of pipes has its shape, capacity and memory as well; ``pipes`` is how many were asked for.
PARENT = {"pipes": 1}


def described(name, port):
    """A port on a switch in words, with all that was declared of it (str). Pure."""
    kind = port.get("kind", "nic")
    words = [name] + ["with host stack"] * bool(port.get("host_stack")) + [kind] * (kind != "nic")
    words += ["%s=%s" % (key, port[key]) for key in _SHOWN if port.get(key)]
    if port.get("polling"):
        words.append("polling=%(mode)s:%(first_cpu)d+%(cpus)d" % port["polling"])
    return " ".join(words)


class Record:
    """The record as data: ``attached`` is switch -> port -> properties, ``parents`` is name -> properties.

    :param store: the folder of the collection on the host (path)
    """

    def __init__(self, store=STORE):
        self.path = os.path.join(store, FILE)
        self.attached = {}
        self.parents = {}
        self._read()

    def _read(self):
        try:
            with open(self.path, encoding="utf-8") as stream:
                data = json.load(stream)
            if data["format"] != _FORMAT:
                raise ValueError("format %r" % (data["format"],))
            self.attached = {switch: {name: dict(NIC, **nic) for name, nic in nics.items()}
                             for switch, nics in data["attached"].items()}
            self.parents = {name: dict(PARENT, **parent) for name, parent in data["parents"].items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise PtnetError("the record of created ports cannot be read: %s" % self.path, found=error,
                             remedy="restore it, or delete it and remove ports that are not wanted by hand") from error

    def put(self, switch, nics):
        """Set what is on one switch (dict); a port is on one switch at a time. Returns whether it differs (bool)."""
        attached = {other: {name: nic for name, nic in there.items() if name not in nics}
                    for other, there in self.attached.items() if other != switch}
        attached = {other: there for other, there in dict(attached, **{switch: nics}).items() if there}
        changed = attached != {other: there for other, there in self.attached.items() if there}
        self.attached = attached
        return changed

    def lines(self):
        """What comes back after a reboot, for a diff (list of str)."""
        nics = ["%s:%s" % (switch, described(name, nic))
                for switch, there in sorted(self.attached.items()) for name, nic in sorted(there.items())]
        return nics + ["%s pipes=%d" % (name, parent["pipes"]) for name, parent in sorted(self.parents.items())]

    def save(self):
        """Write the record at once or not at all."""
        attached = {switch: nics for switch, nics in self.attached.items() if nics}
        data = {"format": _FORMAT, "attached": attached, "parents": self.parents}
        os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
        files.replace(self.path, json.dumps(data, sort_keys=True) + "\n")
