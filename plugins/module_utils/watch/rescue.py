# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends the loops of a process that was killed. Private to netmap.ptnet.

SYNC_KLOOP_STOP on any duplicate of the descriptor ends the loop, for it is the same open file. Where none was kept,
Linux 6.9 still gives one out through the thread itself; older kernels only through the leader, which has gone.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import namedtuple

from ..errors import PtnetError
from ..netmap.device import Node
from ..netmap.opened import Descriptor
from ..places import DEVICE
from . import descriptors

# Seconds in which threads end whose loop has ended.
PATIENCE = 0.5
_STEP = 0.01

Outcome = namedtuple("Outcome", "stopped left failure")
Outcome.__doc__ = """What became of a process: how many descriptors were told to stop (int), the threads that are still
stuck (list of int), and the first refusal of the kernel (str or None)."""


def device_numbers(links):
    """Those descriptors that are netmap's (list of int). Pure; no fence of systemd's gives the node another name.

    :param links: from :func:`descriptors.links` (dict)
    """
    return sorted(number for number, target in links.items() if target == DEVICE)


def rescue(processes, pid, kept=(), stop=None):
    """End the loops of a process that was killed, and wait for its threads; never for one that lives.

    To a living process STOP does harm: where no loop runs, the kernel keeps the wish for the next one.

    :param processes: :class:`processes.Processes`
    :param kept: duplicates that were kept of it; they are closed (list of int)
    :param stop: stands in for the request to netmap in tests (function of int)
    :returns: None, if it does not need it (Outcome)
    """
    kept = list(kept)
    try:
        threads = processes.stuck(pid)
        if not threads:
            return None
        for thread in threads:
            kept = kept or through(processes, pid, thread)
        stopped, failure = 0, None
        for number in kept:
            try:
                stopped += bool((stop or _stop)(number))
            except PtnetError as error:
                failure = failure or error.message
    finally:
        for number in kept:
            os.close(number)
    deadline = time.monotonic() + PATIENCE
    while stopped and threads and time.monotonic() < deadline:
        time.sleep(_STEP)
        threads = processes.stuck(pid)
    return Outcome(stopped, threads, failure)


def through(processes, pid, thread):
    """Duplicates of netmap's descriptors, had through one thread of the process (list of int)."""
    with contextlib.suppress(OSError):
        task = descriptors.open_process(thread, thread=True)
        try:
            numbers = device_numbers(descriptors.links(processes.folder(pid, thread)))
            taken = [descriptors.take_device(task, number) for number in numbers]
        finally:
            os.close(task)
        return [number for number in taken if number is not None]
    return []


def _stop(number):
    # The kernel does not look at the name.
    return Descriptor(Node(number), "port").stop()
