# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this collection created on the host, kept for purge and teardown. Private to netmap.ptnet.

It is written before something is created and after it is deleted, so an interrupted run leaves nothing unknown.
What it says counts only together with what the kernel says: after a reboot the ports are gone.
"""

from __future__ import annotations

import json
import os

from ..errors import PtnetError

STORE = "/var/lib/netmap-ptnet"
FILE = "ports.json"
_FORMAT = 1


class Record:
    """The record as data: ``attached`` is switch -> NIC -> properties, ``parents`` is name -> properties.

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
            self.attached = {switch: dict(nics) for switch, nics in data["attached"].items()}
            self.parents = {name: dict(shape) for name, shape in data["parents"].items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise PtnetError("the record of created ports cannot be read: %s" % self.path, found=error,
                             remedy="restore it, or delete it and remove ports that are not wanted by hand") from error

    def save(self):
        """Write the record at once or not at all."""
        attached = {switch: nics for switch, nics in self.attached.items() if nics}
        data = {"format": _FORMAT, "attached": attached, "parents": self.parents}
        os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
        draft = self.path + ".new"
        with open(draft, "w", encoding="utf-8") as stream:
            json.dump(data, stream, indent=1, sort_keys=True)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, self.path)
