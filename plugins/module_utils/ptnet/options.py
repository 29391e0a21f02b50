# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ptnet_port takes, for it and for whoever plans. Pure data. Private to netmap.ptnet."""

from __future__ import annotations

from .. import limits
from ..netmap import trust
from . import pci
from .loop import MODES
from .port_options import DEFAULTS, REGISTERS

# How a port process serves a port.
SERVED = {
    "mode": {"type": "str", "choices": list(MODES), "default": DEFAULTS["mode"]},
    "pause": {"type": "int", "default": DEFAULTS["pause"]},
    "registers": {"type": "str", "choices": list(REGISTERS), "default": DEFAULTS["registers"]},
    "pci_ids": {"type": "str", "choices": list(pci.IDS), "default": DEFAULTS["pci_ids"]},
}
# One port that a machine opens, whoever serves it.
PORT = {
    "port": {"type": "str", "required": True},
    "mac": {"type": "str"},
    "trust": {"type": "str", "choices": list(trust.CHOICES), "default": trust.PRIVATE},
}
STATES = ["present", "started", "stopped", "absent"]
PTNET_PORT = {
    "name": {"type": "str", "required": True},
    "host": {"type": "str"},
    "state": {"type": "str", "choices": STATES, "default": "started"},
    "ports": {"type": "list", "elements": "dict", "options": {**PORT, **SERVED}},
    "group": {"type": "str", "default": "libvirt-qemu"},
    "memory": {"type": "int", "default": limits.MEMORY},
    "enabled": {"type": "bool", "default": True},
    "allow_restart": {"type": "bool", "default": False},
    "allow_management": {"type": "bool", "default": False},
}
