# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The port process: opens netmap ports and offers them as ptnet's PCI devices over vfio-user. Private to netmap.ptnet.

A copy of this file and of what it imports lies on the host and runs there without Ansible, see ``archive.py``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import sys
import time

from ..errors import PtnetError
from ..kernel.platform import platform
from ..netmap import opened, opening
from ..netmap.changes import ChangeableDevice
from ..netmap.forbidden import ForbiddenRequest
from . import layout, port_options
from .devices import MemoryDevice, PortDevice
from .server import Server

_TICK = 0.25  # seconds; how often it is looked whether a port that polls has become quiet
_CONTROL_MAX = 4096


class Process:
    """The ports, the devices, and their sockets.

    :param name: of the process (str)
    :param ports: as :func:`port_options.read` returns them (list of dict)
    :param directory: where the sockets go (path)
    """

    def __init__(self, name, ports, directory, say=None):
        self._say = say or _say
        self._device = ChangeableDevice(platform().driver_of)
        self._interfaces = platform().interfaces()
        self._ended = False
        found = [(self._open(declared["ifname"]), declared) for declared in ports]
        self._server = Server(self._say)
        self.ports = [PortDevice(port, declared, self._say, self._server.wake) for port, declared in found]
        regions = {}
        for port, declared in found:
            regions.setdefault(layout.region(declared["ifname"]), (port, declared))
        memories = [MemoryDevice(port.pools, opened.open_region(self._device, port.shape["mem_id"]),
                                 declared["registers"], declared["pci_ids"])
                    for port, declared in regions.values()]
        for offered, device in zip(layout.devices(name, [port["ifname"] for port in ports]), memories + self.ports):
            self._server.offer(os.path.join(directory, offered["id"]), offered["id"], device)
        self._server.listen(os.path.join(directory, layout.CONTROL), self._control, 0o600)

    def _open(self, ifname):
        port = opened.open_port(self._device, ifname, self._interfaces)
        self._say("%s: open, %d transmit and %d receive rings, memory region %d of %d bytes" % (
            ifname, port.shape["tx_rings"], port.shape["rx_rings"], port.shape["mem_id"], port.shape["memsize"]))
        return port

    def serve(self):
        """Serve until a signal comes, or the last client has gone; returns the exit status (int).

        Rings and memory had the packets of that client: the next one is served by a process that begins anew.
        """
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        signal.set_wakeup_fd(self._server.waker.fileno())
        _tell_systemd("READY=1")
        while not self._ended and not self._server.abandoned:
            polls = any(port.loop.polls and port.loop.running for port in self.ports)
            self._server.wait(_TICK if polls else None)
            for port in self.ports:
                port.quiet(time.monotonic())
        _tell_systemd("STOPPING=1")
        self._server.close()
        for port in self.ports:
            port.release()
        return 0

    def _end(self, _number, _frame):
        self._ended = True

    def _control(self, connection):
        """One line of JSON in, one out: ``{"release": "d1"}`` gives a port back, ``{"mode": "polling", "pause":
        50}`` changes the mode of all ports until the process ends, anything else is a look.

        The answer has a dict for each port, in it the pid of its ``client`` (None without one).
        """
        with contextlib.closing(connection), contextlib.suppress(OSError, ValueError, RecursionError):
            connection.settimeout(1)
            asked = json.loads(connection.recv(_CONTROL_MAX) or b"{}")
            asked = asked if isinstance(asked, dict) else {}
            for port in self.ports:
                if asked.get("release") == port.declared["id"]:
                    port.release()
                if "mode" in asked:
                    pace = {option: asked[option] for option in ("mode", "pause") if option in asked}
                    with contextlib.suppress(PtnetError):
                        port.change(port_options.check(dict(port.declared, **pace)))
            clients = self._server.clients()
            told = [dict(port.status(), client=clients.get(port.declared["id"])) for port in self.ports]
            connection.sendall(json.dumps(told).encode() + b"\n")


def _tell_systemd(text):
    """Tell systemd something, where it waits for it (sd_notify(3))."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as talk, contextlib.suppress(OSError):
            talk.connect("\0" + path[1:] if path.startswith("@") else path)
            talk.send(text.encode())


def _say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(argv=None):
    """The command line; returns the exit status (int): 0, 1 when a port could not be opened, or :data:`opening.REFUSED`
    when one must not be."""
    parser = argparse.ArgumentParser(prog="netmap-ptnet-port", description="Offer netmap ports to virtual machines.")
    parser.add_argument("--name", required=True, help="name of this process")
    parser.add_argument("--port", action="append", default=[], help="a port with its options: id=d0,ifname=vale1:10,…")
    given = parser.parse_args(argv)
    try:
        ports = [port_options.read(text) for text in given.port]
        return Process(given.name, ports, layout.directory(given.name)).serve()
    except PtnetError as error:
        _say(error.message)
        return opening.REFUSED if isinstance(error, (opening.MustNotOpen, ForbiddenRequest)) else 1
