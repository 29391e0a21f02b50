# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The declaration of a host against itself and against what is known of the host. Pure. Private to netmap.ptnet.

A new rule is a function of the :class:`Host` in one of the files ``rules_*``; a planner checks what it made in the same
way.
"""

from __future__ import annotations

from . import rules_names, rules_ports, rules_room, rules_trust
from .contradiction import find
from .host import Host

# Where a rule is added.
RULES = rules_names.RULES + rules_ports.RULES + rules_trust.RULES + rules_room.RULES


def check(declared, name="", facts=None, complete=True):
    """What a host declares, and all that contradicts itself in it (Host, list of Contradiction).

    The arguments are those of Host.
    """
    host = Host(declared, name, facts, complete)
    return host, host.unreadable + find(RULES, host)
