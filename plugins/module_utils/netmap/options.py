# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What vale_port and netmap_pipe take, for them and for whoever plans. Pure data. Private to netmap.ptnet."""

from __future__ import annotations

from .port_options import HEADER_LENGTHS, KINDS, NIC
from .sizing import PORT

# One port of a switch.
INTERFACE = {
    "name": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": list(KINDS), "default": NIC},
    "host_stack": {"type": "bool", "default": False},
    "peer": {"type": "str"},
    "mac": {"type": "str"},
    # Without a default: only a persistent port takes them.
    **{key: {"type": "int"} for key in PORT},
    "memory": {"type": "str"},
    "polling": {"type": "dict", "options": {
        "mode": {"type": "str", "choices": ["single", "multi"], "default": "single"},
        "first_cpu": {"type": "int", "default": 0},
        "cpus": {"type": "int", "default": 1},
    }},
    "vnet_header_length": {"type": "int", "choices": list(HEADER_LENGTHS), "default": HEADER_LENGTHS[0]},
}
VALE_PORT = {
    "switch": {"type": "str"},
    "ports": {"type": "list", "elements": "dict", "default": [], "options": INTERFACE},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "purge": {"type": "bool", "default": False},
    "only_switches": {"type": "list", "elements": "str"},
    "allow_management": {"type": "bool", "default": False},
}

# One parent of pipes.
PARENT = {
    "name": {"type": "str", "required": True},
    "pipes": {"type": "int", "default": 1},
    "extra_buffers": {"type": "int", "default": 0},
    **{key: {"type": "int", "default": value} for key, value in PORT.items()},
}
NETMAP_PIPE = {
    "parents": {"type": "list", "elements": "dict", "default": [], "options": PARENT},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "purge": {"type": "bool", "default": False},
}
