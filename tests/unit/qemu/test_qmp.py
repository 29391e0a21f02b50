# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The QMP client against a double of QEMU's control socket."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from types import SimpleNamespace

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import qmp

GREETING = b'{"QMP": {"version": {"qemu": {"major": 3}}, "capabilities": []}}\r\n'
OK = b'{"return": {}}\r\n'


@pytest.fixture
def qemu(tmp_path):
    """Serve one client: send the first piece, then one piece for each request received."""
    path = str(tmp_path / "q")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    heard, threads = [], []

    def serve(*pieces):
        def run():
            # A client that has heard enough goes away.
            with listener.accept()[0] as client, contextlib.suppress(OSError):
                client.sendall(pieces[0])
                for piece in pieces[1:]:
                    heard.append(client.recv(4096))
                    client.sendall(piece)
                if pieces[-1] == b"":
                    client.recv(4096)
        threads.append(threading.Thread(target=run, daemon=True))
        threads[0].start()
        return path
    yield serve, heard
    listener.close()
    for thread in threads:
        thread.join(2)


def test_a_lost_connection_is_an_error(qemu):
    serve, heard = qemu
    path = serve(GREETING, b'{"event": "RESUME"}\r\n' + OK,
                 b'{"event": "X", "data": {}}\r\n{"ret')
    with pytest.raises(PtnetError, match="closed the connection"):
        qmp.status(path, 2)
    assert heard == [b'{"execute": "qmp_capabilities"}', b'{"execute": "query-status"}']


def test_status(qemu):
    serve, _heard = qemu
    assert qmp.status(serve(GREETING, OK, b'{"event": "X"}\r\n{"return": {"status": "paused"}}\r\n'), 2) == "paused"


def test_a_refusal_carries_qemus_words(qemu):
    serve, heard = qemu
    path = serve(GREETING, OK, b'{"error": {"class": "GenericError", "desc": "no such"}}\r\n')
    with qmp.Qmp(path, 2) as connection, pytest.raises(PtnetError, match="refused device_add; found: no such"):
        connection.execute("device_add", driver="x")
    assert heard[1] == b'{"execute": "device_add", "arguments": {"driver": "x"}}'


def test_silence_is_bounded(qemu):
    serve, _heard = qemu
    with pytest.raises(PtnetError, match="silent for 0.05 s; found: another client"):
        qmp.status(serve(GREETING, b""), 0.05)


def test_a_qemu_that_talks_on_is_not_listened_to_for_ever(qemu, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(qmp, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    serve, _heard = qemu
    # Far more than is read in one piece, and so than in the few seconds of this clock.
    events = b'{"event": "%s"}\r\n' % (b"X" * 1000) * 4000
    with pytest.raises(PtnetError, match="silent for 5 s"):
        qmp.status(serve(GREETING, OK, events), 5)


def test_nobody_there_and_not_qemu(qemu, tmp_path):
    serve, _heard = qemu
    with pytest.raises(PtnetError, match="cannot be reached"):
        qmp.status(str(tmp_path / "none"), 1)
    with pytest.raises(PtnetError, match="does not speak QMP"):
        qmp.status(serve(b"SSH-2.0\r\n"), 1)


def test_whoever_answers_takes_no_more_memory_than_a_message_may_have(qemu):
    serve, _heard = qemu
    with pytest.raises(PtnetError, match="says too much"):
        qmp.status(serve(b"x" * (2 << 20), b""), 5)


@pytest.mark.parametrize("answer", [b'{"return": []}', b'{"return": {"status": 7}}', b'{"return": {}}', b'{"error": 1}',
                                    b'[1]\r\n{"return": null}'])
def test_an_answer_that_is_none_is_an_error(qemu, answer):
    serve, _heard = qemu
    with pytest.raises(PtnetError, match="no run state|refused query-status"):
        qmp.status(serve(GREETING, OK, answer + b"\r\n"), 2)
