# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A port process on its own as a service: check mode, run, check mode again, run again."""

from __future__ import annotations

import grp
import json
import os
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import archive, client, service, unit
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import supervisor

NAME = "ptnet-port-web.service"


class FakeHost:
    """systemd as far as one unit needs it; what is done is kept in ``done``."""

    def __init__(self):
        self.text, self.power, self.enabled, self.argv, self.done, self.says = "", "stopped", False, None, [], []
        self.since = None

    def read(self, names):
        return {name: {"text": self.text, "power": self.power, "enabled": self.enabled, "argv": self.argv,
                       "since": self.since if self.power == "running" else None,
                       "pid": 7 if self.power == "running" else None, "result": "exit-code"} for name in names}

    def write(self, wanted):
        self.done.append("write")
        self.text = wanted[NAME]
        with open(os.path.join(self.UNITS, NAME), "w", encoding="utf-8") as stream:
            stream.write(self.text)

    def enable(self, _name, wanted):
        self.done.append("enable" if wanted else "disable")
        self.enabled = wanted

    def start(self, _name, _timeout):
        self.done.append("start")
        if not self.says:
            self.power, self.argv = "running", unit.command("web", PORTS, service.sys.executable)
            self.since = time.time()

    def stop(self, _names):
        self.done.append("stop")
        self.power, self.argv = "stopped", None

    def remove(self, _names):
        self.done.append("remove")
        self.text, self.enabled = "", False

    changed = staticmethod(supervisor.changed)

    def said(self, _unit):
        return self.says


PORTS = [{"id": "d0", "ifname": "vale1:web", "mac": "02:00:00:00:00:07", "mode": "automatic", "pause": 20,
          "registers": "memory", "pci_ids": "qemu"}]
PARAMS = {"name": "web", "host": None, "state": "started", "group": "root", "memory": 512, "enabled": True,
          "allow_restart": False, "allow_management": False,
          "ports": [{"port": "vale1:web", "trust": "private", "mac": "02:00:00:00:00:07", "mode": "automatic",
                     "pause": 20, "registers": "memory", "pci_ids": "qemu"}]}


@pytest.fixture
def host(monkeypatch, tmp_path):
    host = FakeHost()
    host.UNITS = str(tmp_path)
    monkeypatch.setattr(service, "supervisor", host)
    monkeypatch.setattr(archive, "PATH", str(tmp_path / "ptnet.pyz"))
    monkeypatch.setattr(archive, "LOCK_FILE", str(tmp_path / "lock.conf"))
    monkeypatch.setattr(archive.command, "run", lambda *_unused, **_options: (0, ""))
    monkeypatch.setattr(service.watch, "keep", lambda change, wanted, check_mode: host.done.append("watch %s" % wanted))
    monkeypatch.setattr(service.watch, "needed", lambda but: False)
    monkeypatch.setattr(service.opening, "refuse_wedging", lambda *_unused: None)
    monkeypatch.setattr(client.layout, "control", lambda name: str(tmp_path / ("ptnet-port-" + name) / "control"))
    monkeypatch.setattr(service, "Device", lambda _driver_of: type("Door", (), {"entries": list})())
    return host


def test_four_times(host):
    assert service.act(PARAMS, True)["changed"]
    assert host.done == ["watch True"]
    host.done.clear()
    result = service.act(PARAMS, False)
    assert host.done == ["watch True", "write", "enable", "start"]
    assert (result["changed"], result["state"], result["pid"]) == (True, "running", 7)
    assert [device["id"] for device in result["devices"]] == ["m0", "d0"]
    assert "/run/ptnet-port-web/d0" in result["use"]["libvirt"]
    for check_mode in (True, False):
        host.done.clear()
        again = service.act(PARAMS, check_mode)
        assert (again["changed"], again["restart_wanted"]) == (False, False)
        assert host.done == ["watch True"]


def test_a_running_one_is_restarted_only_with_consent(host):
    service.act(PARAMS, False)
    host.argv = [*host.argv, "--port", "another"]
    host.done.clear()
    result = service.act(PARAMS, False)
    assert result["restart_wanted"]
    assert "stop" not in host.done
    result = service.act(dict(PARAMS, allow_restart=True), False)
    assert (result["restart_wanted"], result["changed"]) == (False, True)
    assert host.done[-2:] == ["stop", "start"]


def test_a_process_that_was_started_with_another_group_stays_known(host, monkeypatch):
    """A run without consent writes the unit; a later one with consent still has to restart what runs."""
    service.act(PARAMS, False)
    monkeypatch.setattr(service.grp, "getgrnam", lambda _name: None)
    other = dict(PARAMS, group="another")
    host.since -= 5
    assert service.act(other, False)["restart_wanted"]
    assert service.act(other, False)["restart_wanted"]
    assert not service.act(other, False)["changed"]
    host.done.clear()
    result = service.act(dict(other, allow_restart=True), False)
    assert (result["changed"], result["restart_wanted"]) == (True, False)
    assert host.done[-2:] == ["stop", "start"]
    assert not service.act(dict(other, allow_restart=True), False)["changed"]


def test_a_process_of_an_older_program_stays_known(host):
    service.act(PARAMS, False)
    host.since -= 5
    archive.place({archive.PATH: b"another"})
    assert service.act(PARAMS, False)["restart_wanted"]
    assert service.act(PARAMS, False)["restart_wanted"]
    assert service.act(dict(PARAMS, allow_restart=True), False)["changed"]
    assert not service.act(PARAMS, False)["restart_wanted"]


def test_a_port_that_must_not_be_opened_is_refused_before_anything_changes(host, monkeypatch):
    service.act(PARAMS, False)
    host.done.clear()
    monkeypatch.setattr(service.opening, "refuse_wedging", refuse)
    with pytest.raises(PtnetError, match="attached"):
        service.act(dict(PARAMS, allow_restart=True, ports=[{"port": "eth1", "trust": "shared"}]), False)
    assert host.done == []


def refuse(*_unused):
    raise PtnetError("eth1 is attached")


@pytest.mark.parametrize("state", ["present", "started", "stopped"])
def test_the_interface_of_the_management_is_not_taken(host, monkeypatch, state):
    monkeypatch.setattr(service, "platform", lambda: SimpleNamespace(
        management=lambda: {"eth0": "the default route"}, driver_of={"eth0": "e1000"}.get))
    params = dict(PARAMS, state=state, ports=[{"port": "netmap:eth0", "trust": "shared"}])
    for check_mode in (True, False):
        with pytest.raises(PtnetError, match="the port process web does not get eth0; .*ports_allow_management"):
            service.act(params, check_mode)
    assert host.done == []
    assert service.act(dict(params, allow_management=True), True)["changed"]
    service.act(dict(params, state="absent"), False)


@pytest.mark.parametrize("state", ["present", "started", "stopped"])
def test_memory_is_shared_only_with_consent(host, monkeypatch, state):
    monkeypatch.setattr(service.neighbours, "others", lambda _system, own: [("VM fw", "pp0{2")])
    parents = ["pp0"]
    monkeypatch.setattr(service.neighbours, "Record", lambda: SimpleNamespace(parents=parents))
    params = dict(PARAMS, state=state, ports=[{"port": "netmap:pp0{1"}])
    for check_mode in (True, False):
        with pytest.raises(PtnetError, match=r"port pp0{1 of the port process web shares .*VM fw \(pp0{2\)"):
            service.act(params, check_mode)
    assert host.done == []
    params["ports"] = [{"port": "netmap:pp0{1", "trust": "shared"}]
    assert service.act(params, True)["changed"]
    parents.clear()
    host.done.clear()
    with pytest.raises(PtnetError, match="the pipe pp0{1 of the port process web has no parent"):
        service.act(params, False)
    assert host.done == []


def test_consent_is_no_reason_for_a_restart(host):
    service.act(PARAMS, False)
    host.done.clear()
    result = service.act(dict(PARAMS, ports=[dict(PARAMS["ports"][0], trust="shared")]), False)
    assert (result["changed"], result["restart_wanted"]) == (False, False)


def test_removal(host):
    service.act(PARAMS, False)
    host.done.clear()
    result = service.act(dict(PARAMS, state="absent"), False)
    assert (result["changed"], result["state"], result["use"]) == (True, "absent", {})
    assert host.done == ["stop", "remove", "watch False"]
    assert not service.act(dict(PARAMS, state="absent"), False)["changed"]


@pytest.fixture
def answers(tmp_path):
    """Have the control socket of the process say something (bytes) to each look; nothing: it is there, and silent."""
    (tmp_path / "ptnet-port-web").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "ptnet-port-web/control"))
        said = []

        def serve():
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(said[-1])

        def one(*clients, text=None):
            said.append(json.dumps([{"id": "d0", "client": pid} for pid in clients]).encode() if text is None else text)
            if len(said) == 1:
                listener.listen(4)
                threading.Thread(target=serve, daemon=True).start()
        yield one
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("state", ["stopped", "absent"])
def test_it_is_ended_under_a_machine_only_with_consent(host, answers, state):
    service.act(PARAMS, False)
    host.done.clear()
    answers(None, os.getpid())
    params = dict(PARAMS, state=state)
    for check_mode in (True, False):
        with pytest.raises(PtnetError, match=r"web is not ended under a machine.*; found: process %d .*"
                           "To do: end the machine first, or set allow_restart" % os.getpid()):
            service.act(params, check_mode)
    assert host.done == []
    assert service.act(dict(params, allow_restart=True), False)["changed"]
    assert "stop" in host.done
    # Without a machine, or once it has ended, consent is not asked for.
    service.act(PARAMS, False)
    answers(None, None)
    assert service.act(params, False)["changed"]
    answers(os.getpid())
    assert not service.act(params, False)["changed"]


@pytest.mark.parametrize("text", [b"", b"{", b"7", b"\xff", b'[{"id": "d0", "open": true}]'])
def test_a_process_that_does_not_tell_is_not_ended(host, answers, text):
    service.act(PARAMS, False)
    answers(text=text)
    with pytest.raises(PtnetError, match="does not tell whether a machine has its ports"):
        service.act(dict(PARAMS, state="absent"), True)


def test_the_machine_is_told_by_its_name():
    with subprocess.Popen([sys.executable, "-c", "print(flush=True); input()", "-name", "guest=web,debug-threads=on"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as qemu:
        # Its words are there a moment after it is.
        qemu.stdout.readline()
        assert client._process(qemu.pid) == "process %d (%s), machine 'web'" % (
            qemu.pid, os.path.basename(sys.executable))
        qemu.communicate(b"\n")
    assert client._process(qemu.pid) == "process %d" % qemu.pid


def test_a_process_that_does_not_start_says_why(host):
    host.says = ["port vale1:web is in use; found: netmap does not tell by whom."]
    with pytest.raises(PtnetError, match="vale1:web is in use") as caught:
        service.act(PARAMS, False)
    assert caught.value.facts["log_tail"] == host.says
    assert host.done[-1] == "stop"


@pytest.mark.parametrize(("given", "what"), [
    ({"name": "Web"}, "no name for a port process"),
    ({"ports": None}, "no ports"),
    ({"ports": PARAMS["ports"] * 2}, "stands twice"),
    ({"group": "no-such-group"}, "no group"),
    ({"ports": [dict(PARAMS["ports"][0], port="vale1:a-b")]}, "libnetmap"),
    ({"ports": [dict(PARAMS["ports"][0], pause=-1)]}, "pause"),
    ({"ports": [dict(PARAMS["ports"][0], mac="01:00:00:00:00:01")]}, "no station's address"),
    ({"ports": [dict(PARAMS["ports"][0], mac="")]}, "no mac"),
    ({"group": "a\0b"}, "no group"), ({"group": "0"}, "number"),
    ({"memory": -5}, "memory is refused; found: -5"), ({"memory": 0}, "memory"), ({"memory": 1 << 30}, "16777216"),
])
def test_bad_input_changes_nothing(host, given, what):
    with pytest.raises(PtnetError, match=what):
        service.act(dict(PARAMS, **given), False)
    assert host.done == []


def test_the_process_of_a_vm_is_left_alone(host):
    host.text = unit.text("web", PORTS, grp.getgrgid(0).gr_name, "/usr/bin/python3", vm="ptnet-vm-web.service")
    with pytest.raises(PtnetError, match="belongs to a VM"):
        service.act(PARAMS, False)


def test_ports_of_one_name_on_two_hosts_have_two_addresses(host):
    asked = dict(PARAMS, ports=[dict(PARAMS["ports"][0], mac=None)])
    found = [service.act(dict(asked, host=name), True)["ports"][0]["mac"] for name in ("hv1", "hv2", "hv1")]
    assert found[0] == found[2] != found[1]
