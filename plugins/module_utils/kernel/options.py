# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What netmap_module takes, for it and for whoever plans. Pure data. Private to netmap.ptnet."""

from __future__ import annotations

NETMAP_MODULE = {
    "state": {"type": "str", "choices": ["loaded", "unloaded"], "default": "loaded"},
    "parameters": {"type": "dict"},
    "drivers": {"type": "list", "elements": "str", "default": []},
    "persistent": {"type": "bool", "default": True},
    "group": {"type": "str", "default": "netmap"},
    "mode": {"type": "str", "default": "0660"},
    "allow_reload": {"type": "bool", "default": False},
    "allow_management": {"type": "bool", "default": False},
}
