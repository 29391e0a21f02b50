# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import bundled
import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux.platform import Linux
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import boot, boot_service, pipes, ports
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.changes import ChangeableDevice
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.record import Record
from fake_device import FakeNetmap
from fake_system import FakeSystem

NICS = ("eth1", "eth2", "veth1a")
ARCHIVE = "/var/lib/netmap-ptnet/restore.pyz"
UNIT = "/etc/systemd/system/netmap-ptnet-ports.service"
LINK = "/etc/systemd/system/multi-user.target.wants/netmap-ptnet-ports.service"


class Machine:
    """A host with systemd below a folder of its own."""

    def __init__(self, folder):
        self.root = str(folder)
        self.store = self.root + "/var/lib/netmap-ptnet"
        self.netmap = FakeNetmap(nics=NICS, lock=self.root + "/lock")
        self.system = FakeSystem(self.netmap)
        self.device = ChangeableDevice(
            self.netmap.driver_of, frame_limits=self.netmap.frame_limits, open_node=self.netmap.open_node,
            lock=self.netmap.lock)
        self.started = []
        self.read_by_systemd = False
        self.said = []
        os.makedirs(self.root + "/run/systemd/system")
        self.system.port_service = Linux(root=self.root, run_program=self._program).port_service

    def _program(self, argv, **_options):
        if argv[1] == "list-units":
            return 0, "%s loaded active exited\n" % argv[-1] if self.read_by_systemd else ""
        self.started.append(argv)
        return 0, ""

    def record(self):
        return Record(self.store)

    def attach(self, *names, check=False, **options):
        params = dict({"switch": "vale1", "state": "present", "purge": False, "allow_management": False,
                       "ports": [{"name": name.rstrip("^"), "host_stack": name.endswith("^")} for name in names]},
                      **options)
        return ports.act(params, check, self.system, self.device, self.record, boot_service.keep)

    def provide(self, *names, check=False, state="present", purge=False, count=1):
        parents = [{"name": name, "pipes": count, "tx_slots": 64, "rx_slots": 64, "tx_rings": 1, "rx_rings": 1}
                   for name in names]
        return pipes.act({"parents": parents, "state": state, "purge": purge}, check, self.system, self.device,
                         self.record, boot_service.keep)

    def reboot(self, nics=NICS, loaded=True):
        self.netmap.__init__(nics=nics, lock=self.netmap.lock)
        self.netmap.loaded = loaded

    def restore(self, wait=0):
        self.said = []
        return boot.restore(self.system, self.device, self.record, wait=wait, say=self.said.append)

    def files(self):
        return {path: os.lstat(self.root + path).st_mtime_ns for path in (ARCHIVE, UNIT, LINK)
                if os.path.lexists(self.root + path)}


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path)
    yield machine
    assert machine.netmap.forbidden == []


def test_what_was_recorded_comes_back(machine):
    machine.attach("eth1", "eth2^")
    machine.attach("veth1a", switch="vale2")
    machine.provide("p0", count=5)
    before, shapes = machine.record().lines(), dict(machine.netmap.persistent)
    machine.reboot()
    assert machine.restore() == 0
    assert machine.netmap.names() == ["vale1:eth1", "vale1:eth2", "vale1:eth2^", "vale2:veth1a"]
    assert machine.netmap.persistent == shapes
    assert machine.said == ["p0: restored", "vale1:eth1: restored", "vale1:eth2: restored", "vale2:veth1a: restored"]
    assert machine.record().lines() == before
    assert not machine.attach("eth1", "eth2^", purge=True)["changed"]
    assert not machine.provide("p0", count=5, purge=True)["changed"]
    calls = len(machine.netmap.changes)
    assert machine.restore() == 0
    assert machine.said[0] == "p0: already there"
    assert len(machine.netmap.changes) == calls


def test_a_failure_does_not_stop_the_others_and_is_tried_again(machine):
    machine.attach("eth1", "eth2", "veth1a")
    machine.provide("p0", "p1")
    before = machine.record().lines()
    machine.reboot(nics=["eth2", "veth1a"])
    machine.netmap.busy = {"eth2"}
    machine.netmap.fail["NEWIF", "p0"] = 12
    assert machine.restore() == 3
    assert machine.netmap.names() == ["vale1:veth1a"]
    assert set(machine.netmap.persistent) == {"p1"}
    failures = [line for line in machine.said if "not restored" in line]
    assert "memory ran out" in failures[0]
    assert "eth1: not restored: eth1 cannot be attached" in "".join(failures)
    assert machine.record().lines() == before
    machine.netmap.drivers["eth1"] = "veth"
    machine.netmap.busy = set()
    assert machine.restore() == 0
    assert len(machine.netmap.names()) == 3


def test_netmap_that_was_not_loaded(machine):
    machine.attach("eth1")
    machine.reboot(loaded=False)
    assert machine.restore() == 1
    assert "load netmap first" in machine.said[0]


def test_a_late_interface_is_waited_for(machine, monkeypatch):
    machine.attach("eth1", "eth2")
    machine.reboot(nics=["eth2"])
    attached = []

    def sleep(_seconds):
        attached.append(machine.netmap.names())
        machine.netmap.drivers["eth1"] = "veth"

    monkeypatch.setattr(boot.time, "sleep", sleep)
    assert machine.restore(wait=60) == 0
    assert attached == [["vale1:eth2"]]


def test_the_management_interface_needs_the_recorded_consent(machine):
    machine.attach("eth1")
    machine.attach("eth2", allow_management=True)
    machine.reboot()
    machine.system.kept = {"eth1": "the default route", "eth2": "the default route"}
    assert machine.restore() == 1
    assert machine.netmap.names() == ["vale1:eth2"]


def test_four_runs_install_the_service_once(machine):
    predicted = machine.attach("eth1", check=True)
    assert machine.files() == {}
    assert machine.attach("eth1") == predicted
    assert predicted["diff"]["after"]["boot"][0] == "vale1:eth1"
    files = machine.files()
    assert set(files) == {ARCHIVE, UNIT, LINK}
    assert os.readlink(machine.root + LINK) == UNIT
    with open(machine.root + UNIT) as stream:
        assert 'ExecStart="%s" -I %s\n' % (sys.executable, ARCHIVE) in stream.read()
    assert not machine.attach("eth1", check=True)["changed"]
    assert not machine.attach("eth1")["changed"]
    assert machine.provide("p0", check=True)["diff"] == machine.provide("p0")["diff"]
    assert machine.files() == files
    assert machine.started == []


@pytest.mark.parametrize(("path", "reloads"), [(ARCHIVE, 0), (UNIT, 1), (LINK, 1)])
def test_a_lost_or_other_file_is_written_again(machine, path, reloads):
    machine.attach("eth1")
    machine.read_by_systemd = True
    for harm in (os.unlink, lambda full: (os.unlink(full), open(full, "w").close())):
        harm(machine.root + path)
        machine.started.clear()
        predicted = machine.attach("eth1", check=True)
        assert predicted["changed"]
        assert machine.attach("eth1") == predicted
        assert not machine.attach("eth1")["changed"]
        assert len(machine.started) == reloads


@pytest.mark.parametrize(("read", "told"), [(True, ["stop", "daemon-reload", "reset-failed"]), (False, [])])
def test_the_service_goes_with_the_last_item(machine, read, told):
    machine.read_by_systemd = read
    machine.attach("eth1")
    machine.provide("p0")
    machine.attach(state="absent", purge=True)
    assert len(machine.files()) == 3
    machine.started.clear()
    predicted = machine.provide("p0", state="absent", check=True)
    assert len(machine.files()) == 3
    assert machine.provide("p0", state="absent") == predicted
    assert machine.files() == {}
    assert [argv[1] for argv in machine.started] == told
    assert not machine.provide(state="absent", purge=True)["changed"]
    assert machine.restore() == 0


def test_after_a_failure_what_is_there_comes_back_and_nothing_else(machine):
    machine.netmap.busy = {"eth1"}
    with pytest.raises(PtnetError):
        machine.attach("eth1")
    assert (machine.record().lines(), machine.files()) == ([], {})
    machine.netmap.busy = set()
    machine.attach("eth1")
    machine.netmap.fail["DETACH", "vale1:eth1"] = 16
    with pytest.raises(PtnetError):
        machine.attach("eth1", state="absent")
    assert machine.record().lines() == ["vale1:eth1"]
    assert set(machine.files()) == {ARCHIVE, UNIT, LINK}
    machine.reboot()
    assert machine.restore() == 0
    assert machine.netmap.names() == ["vale1:eth1"]


def test_without_systemd_there_is_a_warning(machine):
    os.rmdir(machine.root + "/run/systemd/system")
    for check in (True, False):
        result = machine.attach("eth1", check=check)
        assert "do not come back" in result["warnings"][0]
    assert machine.files() == {}
    assert "warnings" not in machine.attach(state="absent", purge=True)


def test_the_copy_holds_exactly_what_it_imports():
    # Made for one system, or for the modules alone.
    elsewhere = {"kernel.freebsd.reading", "kernel.freebsd.service", "kernel.linux.drivers", "kernel.linux.reading",
                 "kernel.linux.service"}
    assert bundled.imports("netmap.boot", elsewhere) == set(boot.SOURCES)


def test_the_copy_runs_alone(machine, tmp_path):
    machine.attach("eth1")
    copy = machine.root + ARCHIVE
    with zipfile.ZipFile(copy) as packed:
        assert packed.testzip() is None
    os.makedirs(tmp_path / "empty")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "ports.json").write_text("{")
    for words, status, text in ((["--help"], 0, "--store"), (["--store", str(tmp_path / "empty")], 0, "nothing to"),
                                (["--store", str(tmp_path / "broken")], 1, "cannot be read")):
        # -S: without site-packages there is no ansible to import.
        ended = subprocess.run([sys.executable, "-I", "-S", copy] + words, capture_output=True, text=True, timeout=30,
                               check=False)
        assert (ended.returncode, ended.stderr) == (status, "")
        assert text in ended.stdout
