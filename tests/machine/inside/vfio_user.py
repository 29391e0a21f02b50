# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of vfio-user that plays QEMU, honest or not. Standard library only; nothing of ours is imported, so what we
encode is read here by somebody else (docs/interop/vfio-user.rst of QEMU, linux/vfio.h).
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
import struct
import time
from collections import namedtuple

(VERSION, DMA_MAP, DMA_UNMAP, GET_INFO, REGION_INFO, REGION_IO_FDS, IRQ_INFO, SET_IRQS, READ, WRITE, DMA_READ,
 DMA_WRITE, RESET) = COMMANDS = range(1, 14)
REPLY, NO_REPLY, ERROR = 1, 0x10, 0x20
HEADER = struct.Struct("<HHIII")
MSIX = 2
EVENTFD_TRIGGER, NONE_TRIGGER = 0x24, 0x21
_VERSION = struct.pack("<HH", 0, 1) + b'{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":1048576}}\0'

Answer = namedtuple("Answer", "number command flags error body descriptors")
Region = namedtuple("Region", "size flags mapped descriptor")


class Closed(Exception):
    """The server has closed the connection."""


class Client:
    """One connection.

    :param path: of the server's socket, or a connected socket
    :param patience: seconds that an answer may take (float)
    """

    def __init__(self, path, patience=20):
        self.socket = path
        if isinstance(path, (str, os.PathLike)):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(os.fspath(path))
        self.socket.settimeout(patience)
        self._number = 0

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()

    # Messages

    def raw(self, data, descriptors=()):
        """Send bytes as they are, with descriptors."""
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        try:
            sent = self.socket.sendmsg([data], passed)
            if sent < len(data):
                self.socket.sendall(data[sent:])
        except (BrokenPipeError, ConnectionResetError):
            raise Closed from None

    def message(self, command, body=b"", flags=0, size=None):
        """The bytes of a request, with a size that may be a lie."""
        self._number = (self._number + 1) & 0xFFFF
        return HEADER.pack(self._number, command, HEADER.size + len(body) if size is None else size, flags, 0) + body

    def send(self, command, body=b"", descriptors=(), flags=0):
        self.raw(self.message(command, body, flags), descriptors)

    def receive(self):
        """The next answer (Answer).

        :raises Closed: there is none
        """
        head, descriptors = self._exactly(HEADER.size)
        number, command, size, flags, error = HEADER.unpack(head)
        body, more = self._exactly(size - HEADER.size)
        return Answer(number, command, flags, error, body, descriptors + more)

    def _exactly(self, count):
        data, descriptors = b"", array.array("i")
        while len(data) < count:
            try:
                part, ancillary, _flags, _address = self.socket.recvmsg(
                    count - len(data), socket.CMSG_SPACE(32), socket.MSG_CMSG_CLOEXEC)
            except ConnectionResetError:
                raise Closed from None
            if not part:
                raise Closed
            data += part
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    descriptors.frombytes(content)
        return data, list(descriptors)

    def ask(self, command, body=b"", descriptors=()):
        """Send a request and return its answer (Answer)."""
        self.send(command, body, descriptors)
        answer = self.receive()
        assert (answer.number, answer.command) == (self._number, command), answer
        assert answer.flags in (REPLY, REPLY | ERROR)
        assert bool(answer.error) == bool(answer.flags & ERROR)
        return answer

    def closed(self):
        """Whether the server has closed the connection, or does so in time; answers on the way are skipped (bool)."""
        try:
            while True:
                close(self.receive().descriptors)
        except Closed:
            return True
        except socket.timeout:
            return False

    # Requests

    def greet(self):
        answer = self.ask(VERSION, _VERSION)
        assert not answer.error
        return answer

    def map(self, address, size, descriptor=None, offset=0, flags=3):
        """Returns the errno (int)."""
        body = struct.pack("<IIQQQ", 32, flags, offset, address, size)
        return self.ask(DMA_MAP, body, () if descriptor is None else (descriptor,)).error

    def unmap(self, address, size, flags=0):
        """Returns the errno (int)."""
        return self.ask(DMA_UNMAP, struct.pack("<IIQQ", 24, flags, address, size)).error

    def region(self, index, argsz=64):
        """What a region is (Region)."""
        answer = self.ask(REGION_INFO, struct.pack("<IIIIQQ", argsz, 0, index, 0, 0, 0))
        assert not answer.error
        _argsz, flags, there, capability, size, _offset = struct.unpack_from("<IIIIQQ", answer.body)
        assert there == index
        mapped = None
        if capability:
            kind, _version, following, areas, _unused, begin, mapped = struct.unpack_from("<HHIIIQQ", answer.body,
                                                                                          capability)
            assert (kind, following, areas, begin) == (1, 0, 1, 0)
        return Region(size, flags, mapped, answer.descriptors[0] if answer.descriptors else None)

    def read(self, region, offset, count=4):
        """Bytes of a region."""
        answer = self.ask(READ, struct.pack("<QII", offset, region, count))
        assert not answer.error, answer
        assert struct.unpack_from("<QII", answer.body) == (offset, region, count)
        assert len(answer.body) == 16 + count
        return answer.body[16:]

    def register(self, offset):
        """A register of 32 bits (int)."""
        return int.from_bytes(self.read(0, offset), "little")

    def write(self, offset, value, region=0, posted=False):
        """Write 32 bits (int), or bytes; posted as QEMU writes to memory, which nobody answers."""
        data = value if isinstance(value, bytes) else value.to_bytes(4, "little")
        body = struct.pack("<QII", offset, region, len(data)) + data
        if posted:
            self.send(WRITE, body, flags=NO_REPLY)
            return
        answer = self.ask(WRITE, body)
        assert not answer.error, answer

    def irqs(self, descriptors, start=0, count=None, flags=EVENTFD_TRIGGER, index=MSIX):
        """Say what signals the vectors. Returns the errno (int)."""
        count = len(descriptors) if count is None else count
        return self.ask(SET_IRQS, struct.pack("<IIIII", 20, flags, index, start, count), descriptors).error


def close(descriptors):
    for descriptor in descriptors:
        if descriptor is not None:
            os.close(descriptor)


def connect(path, patience=20):
    """A client that was greeted, as soon as the one before has gone (Client)."""
    begin = time.monotonic()
    while True:
        client = None
        try:
            client = Client(path, patience)
            client.greet()
            return client
        except (Closed, ConnectionRefusedError, FileNotFoundError):
            if time.monotonic() - begin > patience:
                raise
            if client:
                client.close()
            time.sleep(0.02)


@contextlib.contextmanager
def memory(size, name="ram"):
    """Memory that can be shared, as a guest's (descriptor)."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
        yield descriptor
    finally:
        os.close(descriptor)
