# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes recorded ports come back after a reboot: a copy of the code, and a service. Private to netmap.ptnet."""

from __future__ import annotations

from ..bundle import bundle
from ..errors import PtnetError
from ..kernel.service import lines
from . import boot, pipes, ports


def act_on_ports(params, check_mode):
    """What ``vale_port`` does: the ports on a switch, now and after a reboot. Returns its result (dict)."""
    return ports.act(params, check_mode, keep=keep)


def act_on_parents(params, check_mode):
    """What ``netmap_pipe`` does: the parents of pipes, now and after a reboot. Returns its result (dict)."""
    return pipes.act(params, check_mode, keep=keep)


def keep(change, before, record, system, check_mode):
    """Make the service for what is recorded, or remove it when nothing is. Returns warnings (list of str).

    :param change: takes the property ``boot``: what comes back after a reboot, and the files that see to it (Change)
    :param before: the lines of the record before this run (list of str)
    :param record: what is recorded now, or would be (Record)
    """
    after = record.lines()
    try:
        service = system.port_service()
    except PtnetError as error:
        change.note("boot", before, after)
        return [error.message] if after else []
    wanted = service.wanted(archive()) if after else {}
    present = service.read()
    if change.note("boot", before + lines(present), after + lines(wanted)) and not check_mode:
        service.write(wanted)
    return []


def archive():
    """The code that restores ports, as a file that Python runs (bytes)."""
    return bundle("netmap.boot", boot.SOURCES)
