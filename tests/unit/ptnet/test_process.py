# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole process on the fake netmap: guests come and go, it is asked what it does, and it is told to end."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import threading
import time

import pytest
import vfio_user
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import opened
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import client, layout, loop, port_options, program
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet.devices import PortDevice
from guest import DELETE, REGION, Guest
from vfio_user import Client

PORTS = ("vale1:10", "vale1:11")


class System:
    """What the process asks of the machine."""

    def __init__(self, netmap):
        self.driver_of = netmap.driver_of

    @staticmethod
    def interfaces():
        return ["eth1"]


@pytest.fixture
def make(netmap, door, tmp_path, said, monkeypatch):
    """Make a process with some ports; all that it leaves open is closed at the end, as when a process ends."""
    monkeypatch.setattr(program, "platform", lambda: System(netmap))
    monkeypatch.setattr(program, "ChangeableDevice", lambda _driver_of: door)
    made = []

    def one(ports=PORTS, **options):
        declared = [port_options.check(dict({"id": "d%d" % number, "ifname": name, "mac": "02:00:00:00:00:01",
                                             "mode": "notified"}, **options)) for number, name in enumerate(ports)]
        made.append(program.Process("web", declared, str(tmp_path), said.append))
        return made[-1]

    def kept(*arguments):
        devices.append(PortDevice(*arguments))
        return devices[-1]

    devices = []
    monkeypatch.setattr(program, "PortDevice", kept)

    yield one
    for process in made:
        process._server.close()
        for key in list(process._server._selector.get_map().values()):
            key.fileobj.close()
        process._server.waker.close()
        process._server._selector.close()
    for device in devices:
        device.release()
        vfio_user.close(device.loop.kicks)
    for node in list(netmap.nodes):
        node.close()


@pytest.fixture
def serve(make, wait):
    """Serve in this thread while a function acts in another; then SIGTERM. Returns the exit status."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def one(act, end=True, **options):
        process, wrong = make(**options), []

        def acting():
            try:
                wait(lambda: signal.getsignal(signal.SIGINT) == process._end)
                act(process)
            except BaseException as error:
                wrong.append(error)
            if end or wrong:
                os.kill(os.getpid(), signal.SIGTERM)

        thread = threading.Thread(target=acting)
        thread.start()
        status = process.serve()
        thread.join()
        if wrong:
            raise wrong[0]
        return status

    yield one
    signal.set_wakeup_fd(-1)
    for number, handler in kept.items():
        signal.signal(number, handler)


def ask(folder, text):
    """What the control socket answers (list of dict, or text)."""
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(5)
        one.connect(str(folder / "control"))
        one.sendall(text if isinstance(text, bytes) else json.dumps(text).encode())
        answer = one.recv(65536)
    return json.loads(answer) if answer else ""


def guest(folder, port="d0"):
    return Guest(str(folder), port, memory=None, patience=5)


# Life

def test_two_guests(serve, netmap, tmp_path):
    def act(process):
        assert sorted(os.listdir(tmp_path)) == ["control", "d0", "d1", "lock", "m0", "m1"]
        with guest(tmp_path) as first, guest(tmp_path, "d1") as second:
            for one in (first, second):
                one.boot()
                assert one.up() == 0
            first.move(0, 7)
            assert first.sent(5)
            assert second.ring(0)[:2] == (0, 0)
            assert [one["running"] for one in ask(tmp_path, {})] == [True, True]
            assert first.control(DELETE) == 0
            assert [one["running"] for one in ask(tmp_path, {})] == [False, True]

    assert serve(act) == 0
    # Ended in the midst of it: all was stopped before it was closed, which the fake watches.
    assert not [node for node in netmap.nodes if node.port]


def test_a_signal_while_loops_run(serve, netmap, tmp_path, said):
    kept = contextlib.ExitStack()

    def act(process):
        for port in ("d0", "d1"):
            one = kept.enter_context(guest(tmp_path, port))
            one.boot()
            assert one.up() == 0

    assert serve(act) == 0
    assert not [node for node in netmap.nodes if node.port]
    assert "d0: disconnected" in said
    kept.close()


def test_the_memory_device_shows_the_memory_of_its_port(serve, tmp_path, netmap):
    def act(process):
        with guest(tmp_path) as first, guest(tmp_path, "d1") as second:
            for number, one in enumerate((first, second)):
                (node,) = [node for node in netmap.nodes if node.port == PORTS[number]]
                with vfio_user.connect(tmp_path / ("m%d" % number)) as memory:
                    assert one.port.register(REGION) == memory.register(8) == node.region
                assert [other for other in netmap.nodes if other.null and other.region == node.region]

    assert serve(act, end=False) == 0


def test_it_ends_with_its_last_client(serve, netmap, tmp_path, said, wait):
    """What its rings and its memory held is nothing for the next one: that is served by a process that begins anew."""
    def act(process):
        with guest(tmp_path) as first, guest(tmp_path, "d1") as second:
            for one in (first, second):
                one.boot()
                assert one.up() == 0
            first.close()
            wait(lambda: said[-1] == "d0: disconnected")
            # Its port is free at once; the other one goes on.
            assert [node.port for node in netmap.nodes if node.port] == [PORTS[1]]
            with guest(tmp_path) as again:
                again.boot()
                assert again.up() == errno.ENXIO
            second.move(0, 3)
            assert second.sent(5)

    assert serve(act, end=False) == 0
    assert not [node for node in netmap.nodes if node.port]


def test_polling_ends_without_anybody_asking(serve, tmp_path, monkeypatch, wait):
    monkeypatch.setattr(program, "_TICK", 0.02)
    monkeypatch.setattr(loop.Pace, "QUIET", 0.1)

    def act(process):
        with guest(tmp_path) as one:
            one.boot()
            assert one.up() == 0
            time.sleep(0.1)
            for _kick in range(40):
                one.kick()
            wait(lambda: process.ports[0].loop.polls)
            wait(lambda: not process.ports[0].loop.polls)

    assert serve(act, mode="automatic") == 0


# What it is asked

def test_a_look_and_a_release(serve, tmp_path, netmap):
    def act(process):
        with guest(tmp_path) as one:
            one.boot()
            assert one.up() == 0
            assert ask(tmp_path, {"release": "d9"}) == ask(tmp_path, {}) == [
                {"id": "d0", "port": PORTS[0], "open": True, "mode": "notified", "running": True, "polls": False,
                 "kicks": 0, "client": os.getpid()},
                {"id": "d1", "port": PORTS[1], "open": True, "mode": "notified", "running": False, "polls": False,
                 "kicks": 0, "client": None}]
            assert [one["open"] for one in ask(tmp_path, {"release": "d0"})] == [False, True]
            assert [node.port for node in netmap.nodes if node.port] == [PORTS[1]]
            # The guest goes on, without its port.
            one.kick()
            assert one.up() == errno.ENXIO
            assert one.control(DELETE) == 0

    assert serve(act) == 0


def test_it_is_not_ended_under_a_machine(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "directory", lambda _name: str(tmp_path))

    def act(process):
        client.refuse_ending("web")
        with guest(tmp_path), pytest.raises(PtnetError, match=r"web is not ended .*found: process %d \(" % os.getpid()):
            client.refuse_ending("web")

    assert serve(act, end=False) == 0


def test_the_mode_is_changed_under_way(serve, tmp_path):
    def visit(_process):
        for mode, polls in (("polling", True), ("automatic", False), ("polling", True), ("notified", False)):
            assert {(one["mode"], one["polls"]) for one in ask(tmp_path, {"mode": mode})} == {(mode, polls)}
            assert ask(tmp_path, {"mode": "fast"}) == ask(tmp_path, {})
    assert serve(visit) == 0


@pytest.mark.parametrize("text", [b"{", b"\xff", b"[" * 4096, b"null", b"[1]", b'{"release": ["d0"]}',
                                  b'{"mode": [{}]}', b'{"mode": "polling", "pause": "long"}', b"{}" * 3000])
def test_nonsense_on_the_control_socket(serve, tmp_path, text):
    def act(process):
        with contextlib.suppress(OSError):
            ask(tmp_path, text)
        assert [one["open"] for one in ask(tmp_path, {})] == [True, True]

    assert serve(act) == 0


def test_a_silent_look_holds_up_nobody_for_long(serve, tmp_path):
    def act(process):
        with Client(str(tmp_path / "control")):
            begin = time.monotonic()
            assert ask(tmp_path, {})
            assert time.monotonic() - begin < 3

    assert serve(act) == 0


# Its begin

def test_a_port_that_is_busy(make, door, netmap):
    with contextlib.closing(opened.open_port(door, PORTS[1], [])), pytest.raises(PtnetError, match="in use"):
        make()


def test_systemd_is_told(serve, tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert serve(lambda process: None) == 0
        assert [manager.recv(100), manager.recv(100)] == [b"READY=1", b"STOPPING=1"]


@pytest.mark.parametrize("words", [["--port", "nonsense"], ["--port", "id=d0,ifname=vale1:10^,mac=02:00:00:00:00:01"]])
def test_words_that_are_refused(words, capsys):
    assert program.main(["--name", "web", *words]) == 1
    assert "refused" in capsys.readouterr().out
