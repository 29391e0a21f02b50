# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In the machine: what a hypervisor does with a port, without one.

Usage: ``python3 -m loop hold PORT`` opens the port and lends a thread to netmap's loop; ``open PORT`` says after how
many seconds nobody else has it; ``kill PORT PID`` kills a process first; ``flap PORT TIMES`` opens and closes it so
often. All but the first print a number, or ``busy``.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
import threading
import time

from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import abi, opened, ports

LIMIT = 3  # seconds; whoever holds it longer does not let go


def device():
    from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.platform import platform

    return ports.open_device(platform())


def opening(door, name):
    """The port, and the seconds until nobody else had it (OpenPort or None, float)."""
    begin = time.monotonic()
    while True:
        try:
            return opened.open_port(door, name), time.monotonic() - begin
        except PtnetError:
            if time.monotonic() - begin > LIMIT:
                return None, None
            time.sleep(0.01)


def hold(door, name):
    port, _seconds = opening(door, name)
    rings = port.shape["tx_rings"] + port.shape["rx_rings"]
    memory = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert rings * abi.CSB_ENTRY <= mmap.PAGESIZE
    # A signal that is not blocked would make the thread spin at once.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    port.take_pointers(address, address + mmap.PAGESIZE)
    threading.Thread(target=port.loop, args=([(-1, -1)] * rings, 1000), daemon=True).start()
    time.sleep(0.5)
    sys.stdout.write("looping\n")
    sys.stdout.flush()
    time.sleep(3600)


def flap(door, name, times):
    """Open and close it; yields the seconds until nobody else had it (float or None)."""
    for _number in range(times):
        port, seconds = opening(door, name)
        yield seconds
        if port:
            time.sleep(0.6)
            port.close()


def main(what, name, number=0):
    door = device()
    if what == "hold":
        hold(door, name)
    if what == "kill":
        os.kill(int(number), signal.SIGKILL)
    for seconds in flap(door, name, int(number) if what == "flap" else 1):
        sys.stdout.write("busy\n" if seconds is None else "%.3f\n" % seconds)
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
