# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ptnet_vm takes, for it and for whoever plans. Pure data. Private to netmap.ptnet."""

from __future__ import annotations

from .. import limits
from ..ptnet.options import PORT, SERVED, STATES

PTNET_VM = {
    "name": {"type": "str", "required": True},
    "host": {"type": "str"},
    "fleet": {"type": "str", "default": ""},
    "state": {"type": "str", "choices": STATES, "default": "started"},
    "hypervisor": {"type": "str", "choices": ["auto", "distribution", "fork"], "default": "auto"},
    "binary": {"type": "path"},
    "memory": {"type": "int", "default": limits.MEMORY},
    "cpus": {"type": "int", "default": 1},
    "machine": {"type": "str", "default": "pc"},
    "firmware": {"type": "str", "choices": ["bios", "uefi"], "default": "bios"},
    "cpu": {"type": "str", "default": "host"},
    "cpu_quota": {"type": "int"},
    "allowed_cpus": {"type": "str"},
    "io_weight": {"type": "int"},
    "accelerator": {"type": "str", "choices": ["kvm"], "default": "kvm"},
    "disks": {"type": "list", "elements": "dict", "default": [], "options": {
        "path": {"type": "path", "required": True},
        "format": {"type": "str", "choices": ["qcow2", "raw"], "default": "qcow2"},
        "backing": {"type": "path"},
        "backing_format": {"type": "str", "choices": ["qcow2", "raw"]},
        "size": {"type": "str"},
        "read_only": {"type": "bool", "default": False},
        "serial": {"type": "str"},
    }},
    "kernel": {"type": "path"},
    "initrd": {"type": "path"},
    "append": {"type": "str"},
    "ports": {"type": "list", "elements": "dict", "default": [], "options": {
        **PORT,
        "kloop_tx": {"type": "bool", "default": True},
        "kloop_rx": {"type": "bool", "default": True},
        **SERVED,
    }},
    "management": {"type": "dict", "options": {
        "backend": {"type": "str", "choices": ["passt", "slirp"], "default": "passt"},
        "forwards": {"type": "list", "elements": "dict", "default": [], "options": {
            "host_address": {"type": "str", "default": "127.0.0.1"},
            "host_port": {"type": "int", "required": True},
            "guest_port": {"type": "int", "default": 22},
        }},
        "mac": {"type": "str"},
    }},
    "enabled": {"type": "bool", "default": True},
    "allow_restart": {"type": "bool", "default": False},
    "allow_management": {"type": "bool", "default": False},
    "allow_removal": {"type": "bool", "default": False},
    "timeout": {"type": "int", "default": 60},
    "stop_timeout": {"type": "int", "default": 30},
}
