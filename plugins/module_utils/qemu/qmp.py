# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small client of QEMU's control protocol (docs/interop/qmp-spec.txt of QEMU). Private to netmap.ptnet."""

from __future__ import annotations

import json
import socket
import time

from ..errors import PtnetError

# QEMU may be a guest's: whoever answers gets no more of our memory than this.
MESSAGE_MAX = 1 << 20


class Qmp:
    """One connection; QEMU serves one at a time. Use it in a ``with`` statement.

    :param path: the unix socket (str)
    :param timeout: seconds for connecting, and again for each command (number)
    :raises PtnetError: nobody listens, no greeting in time, or what answers is no QEMU
    """

    def __init__(self, path, timeout):
        self._path = path
        self._timeout = timeout
        self._rest = b""
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._deadline = time.monotonic() + timeout
            self._socket.settimeout(timeout)
            try:
                self._socket.connect(path)
            except OSError as error:
                raise self._error("cannot be reached", error.strerror or error) from error
            if "QMP" not in self._message():
                raise self._error("did not greet", None)
            self.execute("qmp_capabilities")
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_unused):
        self._socket.close()

    def execute(self, command, **arguments):
        """Run one command and return what it returns (JSON value); events are passed over.

        :raises PtnetError: QEMU refused, went away, or was silent for too long
        """
        self._deadline = time.monotonic() + self._timeout
        request = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        try:
            self._socket.sendall(json.dumps(request).encode())
        except OSError as error:
            raise self._error("went away at %s" % command, error.strerror or error) from error
        while True:
            message = self._message()
            if "return" in message:
                return message["return"]
            if "error" in message:
                error = message["error"]
                raise self._error("refused %s" % command, error.get("desc") if isinstance(error, dict) else error)

    def _message(self):
        while b"\n" not in self._rest:
            if len(self._rest) > MESSAGE_MAX:
                raise self._error("says too much", "more than %d bytes in one line" % MESSAGE_MAX)
            left = self._deadline - time.monotonic()
            try:
                if left <= 0:
                    raise socket.timeout
                self._socket.settimeout(left)
                data = self._socket.recv(65536)
            except socket.timeout as error:  # noqa: UP041 (another type than TimeoutError on Python 3.9)
                raise self._error("was silent for %s s" % self._timeout, "another client may be connected") from error
            except OSError as error:
                raise self._error("went away", error.strerror) from error
            if not data:
                raise self._error("closed the connection", None)
            self._rest += data
        line, self._rest = self._rest.split(b"\n", 1)
        try:
            message = json.loads(line)
        except ValueError as error:
            raise self._error("does not speak QMP", line[:80]) from error
        return message if isinstance(message, dict) else {}

    def _error(self, what, found):
        return PtnetError("QEMU at %s %s" % (self._path, what), found=found)


def status(path, timeout):
    """The run state of the VM behind a control socket, such as running or paused (str).

    :raises PtnetError: as :class:`Qmp`
    """
    with Qmp(path, timeout) as qmp:
        found = qmp.execute("query-status")
    if not isinstance(found, dict) or not isinstance(found.get("status"), str):
        raise PtnetError("QEMU at %s has no run state" % path, found=repr(found)[:80])
    return found["status"]
