# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sockets of a port process: one client for each device. Private to netmap.ptnet.

Each client has a thread that waits for its messages, because a kick is a message, and a wait less is what it costs.
"""

from __future__ import annotations

import array
import contextlib
import os
import selectors
import socket
import struct
import threading
import time

from . import protocol
from .complaints import Complaints

_ROOM = socket.CMSG_SPACE(protocol.DESCRIPTORS_MAX * array.array("i").itemsize)
_PEER = struct.Struct("iII")  # pid, uid, gid
_PATIENCE = 0.5  # seconds
_GREETING = 10  # seconds until a client has to have said who it is: it keeps others from the device
_END = 10  # seconds that all clients together have to end


class Client(threading.Thread):
    """One connection, from its greeting to its end.

    :param connection: the connected socket
    :param name: of the device, for the log (str)
    :param device: what answers (devices.Device)
    :param gone: called at its end
    :param say: takes a line for the log
    """

    def __init__(self, connection, name, device, gone, say):
        super().__init__(name="ptnet-client-%s" % name, daemon=True)
        self._connection, self._device, self._gone, self._say = connection, device, gone, say
        self._label = name
        self._complaints = Complaints(say)
        self._greeted = self._ending = False
        # Who connected, as the kernel knows it (unix(7)); 0 where its pid is of another namespace.
        self.pid = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[0]

    def run(self):
        with contextlib.closing(self._connection):
            try:
                self._connection.settimeout(_GREETING)
                self._serve()
            except (protocol.ProtocolError, OSError) as error:
                self._complain("the connection is closed: %s" % error)
            finally:
                self._device.disconnected()
                self._gone()

    def close(self):
        """End it from outside; what it sent before is not worked off."""
        self._ending = True
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _serve(self):
        buffer = bytearray(protocol.MESSAGE_MAX * 2)
        view = memoryview(buffer)
        have, waiting = 0, []
        try:
            while not self._ending:
                received, ancillary, flags, _address = self._connection.recvmsg_into(
                    [view[have:]], _ROOM, socket.MSG_CMSG_CLOEXEC)
                descriptors = _descriptors(ancillary)
                waiting += descriptors
                if not received or flags & socket.MSG_CTRUNC or len(waiting) > protocol.DESCRIPTORS_MAX:
                    if received:
                        raise protocol.ProtocolError("too many descriptors")
                    return
                have += received
                begin = 0
                size = protocol.wanted(buffer, have)
                while size and begin + size <= have and not self._ending:
                    if self._greeted and not waiting and self._device.kicked(protocol.posted(buffer, begin, size)):
                        begin += size
                        size = protocol.wanted(buffer, have, begin)
                        continue
                    message = protocol.read(buffer, begin, size)
                    begin += size
                    # Descriptors end a reading (unix_stream_read_generic in Linux): they are the last message's.
                    mine = []
                    if waiting and begin == have:
                        mine, waiting = waiting, []
                    self._answer(message, mine)
                    size = protocol.wanted(buffer, have, begin)
                if begin:
                    buffer[:have - begin] = buffer[begin:have]
                    have -= begin
        finally:
            for descriptor in waiting:
                os.close(descriptor)

    def _answer(self, message, descriptors):
        attached = None
        try:
            if message.command == protocol.VERSION or not self._greeted:
                for descriptor in descriptors:
                    os.close(descriptor)
                body = self._greet(message)
            else:
                body, attached = self._device.answer(message, descriptors)
        except protocol.Refused as error:
            self._complain("refused: %s" % error)
            if not message.flags & protocol.NO_REPLY:
                self._connection.sendall(protocol.error(message, error.code))
            return
        if message.flags & protocol.NO_REPLY:
            return
        text = protocol.reply(message, body)
        if attached is None:
            self._connection.sendall(text)
        else:
            self._connection.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [attached]))])

    def _greet(self, message):
        if message.command != protocol.VERSION or self._greeted:
            raise protocol.ProtocolError("command %d where %s greeting was due" % (
                message.command, "no" if self._greeted else "a"))
        protocol.read_version(message.body)
        self._connection.settimeout(None)
        self._greeted = True
        return protocol.version()

    def _complain(self, text):
        self._complaints.say("%s: %s" % (self._label, text))


class Server:
    """The listening sockets, and who is connected.

    :param tick: called between events, at the interval of :meth:`serve`
    :param say: takes a line for the log
    """

    def __init__(self, say):
        self._say = say
        self._selector = selectors.DefaultSelector()
        self._clients = {}
        self._lock = threading.Lock()
        self._abandoned = False
        # Written to where something happened that the waiting thread should look at: a client went, a signal came.
        self._wake, self.waker = socket.socketpair()
        for end in (self._wake, self.waker):
            end.setblocking(False)
        self._selector.register(self._wake, selectors.EVENT_READ, None)

    def listen(self, path, accept, mode):
        """Listen at a path; whoever may write to the socket may connect.

        :param accept: called with each new connection
        :param mode: the permissions of the socket (int)
        """
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.setblocking(False)
        mask = os.umask(0o777 & ~mode)
        try:
            listener.bind(path)
        finally:
            os.umask(mask)
        listener.listen(4)
        self._selector.register(listener, selectors.EVENT_READ, accept)

    def offer(self, path, name, device):
        """Offer a device at a path, to one client at a time."""
        def accept(connection):
            with self._lock:
                if name in self._clients or self._abandoned:
                    self._say("%s: a connection is refused: %s" % (name, "the ports were those of a machine that has "
                              "gone" if self._abandoned else "it is the second one"))
                    connection.close()
                    return
                self._clients[name] = client = Client(connection, name, device, lambda: gone(client), self._say)
            self._say("%s: connected" % name)
            client.start()

        def gone(client):
            with self._lock:
                if self._clients.get(name) is client:
                    del self._clients[name]
                # For good: whoever comes now would find ports that were given back.
                self._abandoned = not self._clients
            self._say("%s: disconnected" % name)
            self.wake()

        self.listen(path, accept, 0o660)

    def clients(self):
        """The pids of who is connected, by the name of the device (dict of int)."""
        with self._lock:
            return {name: client.pid for name, client in self._clients.items()}

    @property
    def abandoned(self):
        """Whether there were clients and none is left; then nobody can connect any more (bool)."""
        return self._abandoned

    def wake(self):
        """Have :meth:`wait` return: something happened that its caller should look at."""
        with contextlib.suppress(OSError):
            self.waker.send(b"\0")

    def wait(self, seconds):
        """Take what comes for so long at most (float, None for ever)."""
        for key, _events in self._selector.select(seconds):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    self._wake.recv(4096)
                continue
            try:
                connection, _address = key.fileobj.accept()
            except OSError:
                # No descriptor is free, say; whoever waits goes on waiting, and we must not spin for it.
                time.sleep(_PATIENCE)
                continue
            connection.setblocking(True)
            key.data(connection)

    def close(self):
        """End all clients, and wait until their devices are at rest."""
        with self._lock:
            clients = list(self._clients.values())
        for client in clients:
            client.close()
        end = time.monotonic() + _END
        for client in clients:
            client.join(max(0, end - time.monotonic()))


def _descriptors(ancillary):
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[:len(data) - len(data) % found.itemsize])
    return list(found)
