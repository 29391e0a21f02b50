# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole of ptnet_vm on doubles of systemd, QEMU and qemu-img."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import struct
import tempfile

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils import command
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import decision, definition, disks, qmp, vm


class Host:
    """A double of a host: systemd with one unit, the QEMU in it, and qemu-img."""

    def __init__(self, folder):
        self.folder = folder
        self.units = os.path.join(folder, "units")
        self.calls = []
        self.state, self.enabled, self.loaded, self.pid = "inactive", False, None, 0
        self.status = "running"
        self.complaint = None
        self.images_fail = False

    def run(self, words, *_args, **_kwargs):
        self.calls.append(words[:2])
        if words[0] == "qemu-img":
            return self.create_image(words)
        verb, name = words[1], words[-1]
        path = os.path.join(self.units, name)
        if verb == "show":
            there = os.path.exists(path) and self.text(path) or None
            return 0, "ActiveState=%s\nMainPID=%d\nUnitFileState=%s\nNeedDaemonReload=%s\nResult=exit-code\n" % (
                self.state, self.pid, "enabled" if self.enabled else "disabled" if there else "",
                "yes" if self.loaded and there and self.loaded != there else "no")
        if verb == "daemon-reload":
            found = [entry for entry in os.listdir(self.units) if entry.endswith(".service")]
            self.loaded = self.text(os.path.join(self.units, found[0])) if found else None
        elif verb == "start":
            self.loaded = self.loaded or self.text(path)
            if self.complaint:
                with open(re.search("^StandardError=append:(.*)", self.loaded, re.M)[1], "a") as stream:
                    stream.write(self.complaint)
                self.state = "activating"
            else:
                self.state, self.pid, self.executed = "active", 4711, self.loaded
        elif verb == "stop":
            self.state, self.pid = "inactive", 0
        elif verb in ("enable", "disable"):
            self.enabled = verb == "enable"
        return 0, ""

    def create_image(self, words):
        target = next(word for word in words if word.endswith(".new"))
        if self.images_fail:
            raise PtnetError("qemu-img failed")
        below = words[words.index("-b") + 1].encode() if "-b" in words else b""
        with open(target, "wb") as stream:
            header = struct.pack(">4sIQI", b"QFI\xfb", 3, 512 if below else 0, len(below))
            stream.write(header.ljust(512, b"\0") + below)
        return 0, ""

    def running(self, _pid):
        start = re.search(r"^ExecStart=((?:.*\\\n)*.*)$", self.executed, re.M)[1]
        return shlex.split(start.replace("\\\n", " "))

    def query(self, _path, _timeout):
        if self.state != "active":
            raise PtnetError("nobody listens")
        return self.status

    @staticmethod
    def text(path):
        with open(path) as stream:
            return stream.read()

    def done(self):
        """What was called that changes something, since the last time."""
        calls, self.calls = [words for words in self.calls if words[1] != "show"], []
        return [words[1] for words in calls]


@pytest.fixture
def host(monkeypatch):
    folder = tempfile.mkdtemp()
    double = Host(folder)
    os.mkdir(double.units)
    monkeypatch.setattr(definition, "STATE_DIRECTORY", os.path.join(folder, "vms"))
    monkeypatch.setattr(vm, "UNITS", double.units)
    monkeypatch.setattr(vm, "_running", double.running)
    monkeypatch.setattr(vm, "STEP", 0)
    monkeypatch.setattr(vm, "preflight", lambda _vm: None)
    monkeypatch.setattr(command, "run", double.run)
    monkeypatch.setattr(qmp, "status", double.query)
    yield double
    shutil.rmtree(folder)


@pytest.fixture
def params(host):
    image = os.path.join(host.folder, "image")
    with open(image, "w"):
        pass
    disk = {"path": "root.qcow2", "format": "qcow2", "backing": image, "backing_format": "raw", "size": None,
            "read_only": False, "serial": None}
    port = {"port": "vale1:10", "mac": None, "kloop_tx": True, "kloop_rx": True}
    return {"name": "fw", "state": "started", "binary": "/opt/q", "memory": 512, "cpus": 1, "machine": "pc",
            "cpu": "host", "accelerator": "kvm", "disks": [disk], "kernel": None, "initrd": None, "append": None,
            "ports": [port], "management": None, "enabled": True, "allow_restart": False, "timeout": 1,
            "stop_timeout": 1}


def test_started_twice_and_checked_before(host, params):
    predicted = vm.act(params, True)
    assert host.done() == []
    assert os.listdir(host.units) == []
    result = vm.act(params, False)
    assert result["diff"] == predicted["diff"]
    assert (predicted["changed"], predicted["state"], predicted["pid"]) == (True, "running", None)
    assert (result["changed"], result["state"], result["pid"]) == (True, "running", 4711)
    assert result["seconds"] is not None
    assert host.done() == ["create", "daemon-reload", "enable", "stop", "reset-failed", "start"]
    again = vm.act(params, False)
    assert (again["changed"], again["diff"], host.done()) == (False, {"before": {}, "after": {}}, [])
    assert again["running"]


def test_absent_removes_what_was_made_and_nothing_else(host, params):
    vm.act(params, False)
    home = definition.directory("fw")
    foreign = os.path.join(home, "notes")
    with open(foreign, "w"):
        pass
    params["state"] = "absent"
    host.done()
    assert vm.act(params, True)["changed"]
    assert host.done() == []
    assert vm.act(params, False)["changed"]
    assert host.done()[0] == "stop"
    assert os.listdir(home) == ["notes"]
    assert os.listdir(host.units) == []
    assert os.path.exists(params["disks"][0]["backing"])
    assert not vm.act(params, False)["changed"]


def test_drift_of_a_running_vm_is_reported_then_healed_with_consent(host, params):
    vm.act(params, False)
    host.done()
    params["memory"] = 1024
    result = vm.act(params, False)
    assert host.done() == ["daemon-reload"]
    assert result["restart_wanted"]
    assert result["drift"] == {"running": ["-m 512"], "wanted": ["-m 1024"]}
    again = vm.act(params, False)
    assert (again["changed"], again["restart_wanted"], host.done()) == (False, True, [])
    params["allow_restart"] = True
    healed = vm.act(params, False)
    assert (healed["changed"], healed["restart_wanted"], healed["drift"]) == (True, False, {})
    assert host.done() == ["stop", "stop", "reset-failed", "start"]
    assert not vm.act(params, False)["changed"]


def test_stopped_and_present(host, params):
    params["state"] = "present"
    assert vm.act(params, False)["state"] == "stopped"
    assert "start" not in host.done()
    params["state"] = "started"
    vm.act(params, False)
    params["state"] = "present"
    assert vm.act(params, False)["state"] == "running"
    host.done()
    params["state"] = "stopped"
    assert vm.act(params, False)["changed"]
    assert host.done() == ["stop"]
    assert not vm.act(params, False)["changed"]


def test_a_failed_start_says_why_and_ends_the_attempts(host, params):
    host.complaint = "qemu-system-x86_64: Failed to register vale1:10: Device or resource busy\n"
    with pytest.raises(PtnetError, match="port vale1:10 is in use.*To do: stop its user") as caught:
        vm.act(params, False)
    assert host.state == "inactive"
    assert caught.value.facts["log_tail"] == [host.complaint.strip()]
    host.complaint = None
    assert vm.act(params, False)["running"]


def test_a_vm_that_systemd_tries_again_and_again_is_stopped(host, params):
    vm.act(params, False)
    host.state, host.pid = "activating", 0
    params["state"] = "stopped"
    assert vm.act(params, False)["changed"]
    assert host.state == "inactive"


def test_interrupted_disk_creation_heals(host, params):
    host.images_fail = True
    with pytest.raises(PtnetError, match="qemu-img"):
        vm.act(params, False)
    disk = os.path.join(definition.directory("fw"), "root.qcow2")
    with open(disk + ".new", "w") as stream:
        stream.write("half")
    host.images_fail = False
    vm.act(params, False)
    assert disks.backing(disk) == params["disks"][0]["backing"]
    params["state"] = "absent"
    vm.act(params, False)
    assert not os.path.exists(definition.directory("fw"))


def test_a_disk_on_another_image_is_refused(host, params):
    vm.act(params, False)
    host.done()
    params["disks"][0]["backing"] = "/srv/other"
    with pytest.raises(PtnetError, match="stands on another image"):
        vm.act(params, False)
    assert host.done() == []


def test_absent_images_are_refused_before_anything_changes(host, params):
    os.unlink(params["disks"][0]["backing"])
    assert vm.act(params, True)["changed"]
    with pytest.raises(PtnetError, match="image below disk .* is not there"):
        vm.act(params, False)
    assert host.done() == []
    assert os.listdir(host.units) == []


@pytest.mark.parametrize(("have", "want", "steps", "running"), [
    ({}, {}, ["write_unit", "enable", "start"], True),
    ({"power": "running", "unit": "U", "enabled": True, "argv": ["q"]}, {}, [], True),
    ({"power": "running", "unit": "U", "enabled": True, "argv": ["p"]}, {}, [], True),
    ({"power": "running", "unit": "U", "enabled": True, "argv": ["p"]}, {"allow_restart": True}, ["stop", "start"],
     True),
    ({"power": "running", "unit": "U", "enabled": True, "argv": ["p"]}, {"allow_restart": True, "state": "present"},
     [], True),
    ({"power": "running", "unit": "U", "enabled": True, "argv": ["q"], "status": "paused"}, {}, ["resume"], True),
    ({"power": "running", "unit": "U", "enabled": True, "argv": ["q"], "status": "paused"}, {"state": "present"}, [],
     True),
    ({"unit": "U", "enabled": True, "reload_needed": True}, {}, ["reload", "start"], True),
    ({"unit": "U", "enabled": True}, {"enabled": False, "state": "stopped"}, ["disable"], False),
    ({"power": "running", "unit": "old", "enabled": True, "argv": ["p"]}, {"allow_restart": True, "enabled": False},
     ["write_unit", "disable", "stop", "start"], True),
    ({"power": "restarting", "unit": "U", "enabled": True}, {}, ["start"], True),
    ({"power": "restarting", "unit": "U", "enabled": True}, {"state": "stopped"}, ["stop"], False),
    ({"unit": "U", "enabled": True}, {"missing_disks": ["/d"], "state": "present"}, ["create_disks"], False),
])
def test_decision(have, want, steps, running):
    have = dict({"unit": "", "power": "stopped", "reload_needed": False, "enabled": False, "argv": None,
                 "status": "running", "files": []}, **have)
    want = dict({"state": "started", "unit": "U", "argv": ["q"], "enabled": True, "allow_restart": False,
                 "missing_disks": []}, **want)
    decided = decision.decide(have, want)
    assert decided.steps == steps
    assert decided.running is running
    assert decided.change.changed == bool(steps)
    drifts = bool(have["argv"]) and have["argv"] != want["argv"]
    assert decided.restart_wanted == (drifts and "stop" not in steps)


def test_the_real_qcow2_header_is_read(tmp_path):
    if not shutil.which("qemu-img"):
        pytest.skip("no qemu-img here")
    image, overlay = str(tmp_path / "image"), str(tmp_path / "overlay")
    command.run(["qemu-img", "create", "-q", "-f", "raw", image, "1M"], 30)
    command.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "raw", overlay], 30)
    assert disks.backing(overlay) == image
    assert disks.backing(image) is None
