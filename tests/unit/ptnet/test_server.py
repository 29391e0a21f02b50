# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sockets: one client each, whatever it sends, and nothing of it stays when it has gone."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import resource
import socket
import stat
import struct
import threading
import time
from types import SimpleNamespace

import pytest
import vfio_user
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import server as server_module
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet.protocol import Refused
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet.server import Server
from guest import eventfd
from vfio_user import GET_INFO, HEADER, NO_REPLY, READ, RESET, SET_IRQS, VERSION, WRITE, Client, Closed

MAX = 8192


class FakeDevice:
    """Answers with what it was asked; RESET is refused, and READ shows a descriptor of its own."""

    def __init__(self):
        self.asked, self.got, self.gone = [], [], 0
        self.pause = 0
        self.kicks = []

    def kicked(self, offset):
        self.kicks.append(offset)
        return offset == 128

    def answer(self, message, descriptors):
        self.asked.append((message.command, message.body))
        self.got.append(len(descriptors))
        vfio_user.close(descriptors)
        time.sleep(self.pause)
        if message.command == RESET:
            raise Refused(errno.EPERM, "not now")
        return message.body, 0 if message.command == READ else None

    def disconnected(self):
        self.gone += 1


class Serving:
    """A server with one device, in a thread of its own."""

    def __init__(self, folder, said):
        self.device, self.path = FakeDevice(), str(folder / "d0")
        self.server = Server(said.append)
        # As if another device had a client: after the last one nobody may connect.
        self.server._clients["m0"] = SimpleNamespace(close=lambda: None, join=lambda _seconds: None)
        self.server.offer(self.path, "d0", self.device)
        self._ending = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._ending:
            self.server.wait(None)

    def close(self):
        self._ending = True
        self.server.wake()
        self._thread.join()
        self.server._clients.pop("m0", None)
        self.server.close()
        for key in list(self.server._selector.get_map().values()):
            key.fileobj.close()
        self.server.waker.close()
        self.server._selector.close()

    def free(self):
        return not self.server._clients.keys() - {"m0"}


@pytest.fixture
def serving(tmp_path, said):
    with contextlib.closing(Serving(tmp_path, said)) as one:
        yield one


@pytest.fixture
def client(serving):
    with vfio_user.connect(serving.path) as one:
        yield one


def count():
    return len(os.listdir("/proc/self/fd"))


# The greeting

def test_a_greeting(serving):
    with Client(serving.path) as client:
        answer = client.greet()
        assert answer.body.startswith(b"\0\0\0\0{")
        assert client.ask(GET_INFO, b"abcd").body == b"abcd"


@pytest.mark.parametrize("command", [0, 2, 4, 9, 13, 0xFFFF])
def test_another_message_first(serving, wait, command):
    with Client(serving.path) as client:
        client.send(command, bytes(32))
        assert client.closed()
    wait(serving.free)
    assert serving.device.asked == []


def test_two_greetings(serving, client):
    client.send(VERSION, bytes(4))
    assert client.closed()


def test_a_greeting_that_is_refused_may_be_corrected(serving):
    with Client(serving.path) as client:
        assert client.ask(VERSION, b"\1\0\0\0{}\0").error == errno.EINVAL
        assert client.ask(VERSION, b"\0").error == errno.EINVAL
        client.greet()


# Messages

def test_a_message_in_pieces(serving, client):
    text = client.message(GET_INFO, b"in pieces")
    for place in range(len(text)):
        client.raw(text[place:place + 1])
    assert client.receive().body == b"in pieces"


def test_many_messages_at_once(serving, client):
    bodies = [os.urandom(size) for size in (0, 1, 100, 4000, 8176, 8176, 8176, 3)]
    text = b"".join(client.message(GET_INFO, body) for body in bodies)
    thread = threading.Thread(target=client.raw, args=(text,))
    thread.start()
    assert [client.receive().body for _body in bodies] == bodies
    thread.join()


def test_random_cuts(serving, client):
    chance, bodies = random.Random(3), []
    for _round in range(20):
        part = [bytes(chance.randrange(3000)) for _message in range(chance.randrange(1, 8))]
        text = b"".join(client.message(GET_INFO, body) for body in part)
        while text:
            size = chance.randrange(1, 5000)
            client.raw(text[:size])
            text = text[size:]
        bodies += part
        assert [client.receive().body for _body in part] == part
    assert serving.device.asked == [(GET_INFO, body) for body in bodies]


def test_posted_messages_are_not_answered(serving, client, wait):
    client.send(GET_INFO, b"posted", flags=NO_REPLY)
    client.send(RESET, b"refused", flags=NO_REPLY)
    client.send(READ, b"descriptor", flags=NO_REPLY)
    assert client.ask(GET_INFO, b"asked").body == b"asked"
    assert len(serving.device.asked) == 4


def test_kicks_go_the_short_way(serving, client):
    """And nothing else does: what is answered, is no kick, or comes before the greeting."""
    def write(offset, region=0, data=b"kick", flags=NO_REPLY):
        client.send(WRITE, struct.pack("<QII", offset, region, len(data)) + data, flags=flags)
    for given in ((128,), (128, 1), (132,), (128, 0, b"kicked!!"), (128, 0, b"kick", 0x30), (128,)):
        write(*given)
    assert client.ask(GET_INFO, b"asked").body == b"asked"
    assert [offset for offset in serving.device.kicks if offset is not None] == [128, 132, 128]
    assert [command for command, _body in serving.device.asked] == [WRITE] * 4 + [GET_INFO]


def test_a_kick_before_the_greeting(serving, wait):
    with contextlib.closing(vfio_user.Client(serving.path, 5)) as early:
        early.raw(early.message(WRITE, struct.pack("<QII", 128, 0, 4) + b"kick", NO_REPLY))
        wait(lambda: serving.device.gone)
    assert serving.device.kicks == []


def test_a_refusal_is_an_answer(client):
    answer = client.ask(RESET)
    assert (answer.error, answer.body) == (errno.EPERM, b"")
    assert not client.ask(GET_INFO).error


@pytest.mark.parametrize("size", [0, 1, 15, MAX + 1, 1 << 30, (1 << 32) - 1])
def test_a_size_that_no_message_has(serving, client, wait, size):
    client.raw(client.message(GET_INFO, size=size))
    assert client.closed()
    wait(serving.free)
    assert serving.device.asked == []


def test_an_answer_where_a_request_is_due(client):
    client.raw(HEADER.pack(1, GET_INFO, 16, 1, 0))
    assert client.closed()


# Descriptors

def test_descriptors_come_with_their_message(serving, client):
    descriptor = eventfd()
    client.raw(client.message(GET_INFO) + client.message(SET_IRQS, b"x"), [descriptor] * 3)
    assert client.receive().body == b""
    assert client.receive().body == b"x"
    assert serving.device.got == [0, 3]
    os.close(descriptor)


@pytest.mark.parametrize("given", [1, 8])
def test_descriptors_are_closed(serving, client, given):
    descriptor = eventfd()
    client.ask(GET_INFO)
    before = count()
    for _message in range(50):
        client.ask(SET_IRQS, b"", [descriptor] * given)
    assert count() == before
    os.close(descriptor)


@pytest.mark.parametrize("given", [9, 100])
def test_too_many_descriptors(serving, client, wait, given):
    descriptor = eventfd()
    client.ask(GET_INFO)
    client.raw(client.message(SET_IRQS), [descriptor] * given)
    assert client.closed()
    wait(serving.free)
    os.close(descriptor)


def test_descriptors_with_half_messages_add_up(serving, client, wait):
    descriptor, text = eventfd(), client.message(SET_IRQS, bytes(20))
    for place in range(3):
        client.raw(text[place:place + 1], [descriptor] * 4)
    assert client.closed()
    wait(serving.free)
    assert serving.device.asked == []
    os.close(descriptor)


def test_descriptors_with_a_message_that_never_ends(serving, client, wait):
    descriptor = eventfd()
    client.raw(client.message(SET_IRQS, bytes(20))[:30], [descriptor] * 8)
    client.close()
    wait(serving.free)
    assert serving.device.gone == 1
    os.close(descriptor)


def test_a_descriptor_goes_with_an_answer(client):
    (descriptor,) = client.ask(READ).descriptors
    assert os.path.samestat(os.fstat(descriptor), os.fstat(0))
    os.close(descriptor)
    assert client.ask(GET_INFO).descriptors == []


# Connections

def test_a_second_connection(serving, client, said):
    for _attempt in range(3):
        with Client(serving.path) as second:
            assert second.closed()
    assert client.ask(GET_INFO, b"still").body == b"still"
    assert serving.device.gone == 0
    assert said.count("d0: a connection is refused: it is the second one") == 3


def test_nobody_connects_after_the_last_one_has_gone(serving, said, wait):
    """A machine that comes so soon would find the ports of one that has gone, given back."""
    del serving.server._clients["m0"]
    with vfio_user.connect(serving.path):
        assert not serving.server.abandoned
    wait(lambda: serving.server.abandoned)
    with Client(serving.path) as late:
        assert late.closed()
    assert "a machine that has gone" in said[-1]
    assert serving.server.abandoned


@pytest.mark.parametrize("sent", [0, 1, 15, 16, 20])
def test_a_client_that_goes(serving, wait, sent):
    for number in range(1, 4):
        with vfio_user.connect(serving.path) as client:
            client.raw(client.message(GET_INFO, bytes(20))[:sent])
        wait(serving.free)
        assert serving.device.gone == number


def test_a_client_that_says_nothing(serving, wait):
    with Client(serving.path) as silent:
        wait(lambda: not serving.free())
        with Client(serving.path) as second:
            assert second.closed()
        silent.socket.shutdown(socket.SHUT_WR)
        assert silent.closed()
    wait(serving.free)


def test_a_client_that_does_not_greet_keeps_nobody_from_the_device(serving, wait, monkeypatch):
    monkeypatch.setattr(server_module, "_GREETING", 0.1)
    with Client(serving.path) as silent:
        assert silent.closed()
    wait(serving.free)


def test_a_client_that_hears_nothing(serving, wait):
    with vfio_user.connect(serving.path, patience=0.2) as deaf:
        with contextlib.suppress(socket.timeout):
            for _message in range(1000):
                deaf.send(GET_INFO, bytes(8000))
        wait(lambda: serving.device.asked)
        begin = time.monotonic()
        serving.server.close()
        assert time.monotonic() - begin < 2
    wait(serving.free)
    assert serving.device.gone == 1


def test_the_end_waits_for_no_storm(serving, wait):
    """What has come already is not worked off."""
    serving.device.pause = 0.05
    with vfio_user.connect(serving.path) as client:
        for _message in range(100):
            client.send(GET_INFO, flags=NO_REPLY)
        wait(lambda: serving.device.asked)
        begin = time.monotonic()
        serving.server.close()
        assert time.monotonic() - begin < 2
    wait(serving.free)
    assert serving.device.gone == 1


def test_a_flood(serving, client, said):
    client.socket.settimeout(60)
    thread = threading.Thread(target=lambda: [client.send(RESET, flags=NO_REPLY) for _message in range(20000)])
    thread.start()
    thread.join()
    assert client.ask(GET_INFO, b"after").body == b"after"
    assert len(serving.device.asked) == 20001
    # The log was told, but not 20000 times.
    assert sum("refused: not now" in line for line in said) == 20
    assert "no more of this" in said[-1]


def test_a_client_that_is_closed_from_here(serving, client, wait):
    serving.server.close()
    with pytest.raises(Closed):
        client.ask(GET_INFO)
    wait(serving.free)
    assert serving.device.gone == 1


def test_the_device_is_at_rest_before_its_place_is_free(serving, wait, monkeypatch):
    seen, gate = [], threading.Event()
    monkeypatch.setattr(serving.device, "disconnected", lambda: gate.wait(5) and seen.append(serving.free()))
    with vfio_user.connect(serving.path):
        pass
    with Client(serving.path) as next_one:
        assert next_one.closed()
    gate.set()
    wait(serving.free)
    assert seen == [False]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_ours_frees_the_place(serving, wait, monkeypatch):
    with monkeypatch.context() as patch, vfio_user.connect(serving.path) as client:
        patch.setattr(serving.device, "answer", lambda *_message: {}["fault"])
        client.send(GET_INFO)
        assert client.closed()
    wait(serving.free)
    assert serving.device.gone == 1
    with vfio_user.connect(serving.path):
        pass
    wait(serving.free)


def test_without_a_free_descriptor_it_does_not_spin(serving, client, said, monkeypatch, wait):
    """Whoever waits is served as soon as there is one again."""
    monkeypatch.setattr(server_module, "_PATIENCE", 0.05)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    later = socket.socket(socket.AF_UNIX)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))), limits[1]))
        later.connect(serving.path)
        begin = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - begin < 0.2
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    # It was the second one.
    assert Client(later).closed()
    wait(lambda: "d0: a connection is refused: it is the second one" in said)
    later.close()


@pytest.mark.parametrize("mode", [0o660, 0o600])
def test_who_may_connect(serving, wait, mode):
    assert stat.S_IMODE(os.stat(serving.path).st_mode) == 0o660
    connections = []
    # A socket that an earlier process left is replaced.
    serving.server.listen(serving.path, connections.append, mode)
    assert stat.S_IMODE(os.stat(serving.path).st_mode) == mode
    with Client(serving.path):
        wait(lambda: connections)
    connections[0].close()
