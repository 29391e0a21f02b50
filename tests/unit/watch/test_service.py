# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import zipfile

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.change import Change
from ansible_collections.netmap.ptnet.plugins.module_utils.watch import main, processes, service
from bundled import imports

ARCHIVE = "/var/lib/netmap-ptnet/watch.pyz"
UNIT_FILE = "/etc/systemd/system/netmap-ptnet-watch.service"
LINK = "/etc/systemd/system/multi-user.target.wants/netmap-ptnet-watch.service"


class Host:
    """A host with systemd below a folder of its own."""

    def __init__(self, folder):
        self.root = str(folder)
        self.told, self.locked = [], []
        self.read_by_systemd = False

    def run(self, argv, _timeout, **_options):
        if argv[1] == "list-units":
            return 0, "%s loaded active running\n" % argv[-1] if self.read_by_systemd else ""
        self.told.append(argv[1])
        self.runs(argv[1] == "restart" or (argv[1] != "stop" and self.is_running()))
        self.read_by_systemd |= argv[1] == "restart"
        return 0, ""

    def runs(self, whether):
        path = self.root + processes.SLICE + "/" + service.UNIT
        os.makedirs(path, exist_ok=True)
        with open(path + "/cgroup.procs", "w") as stream:
            stream.write("7\n" if whether else "")

    def is_running(self):
        return service.WatchFiles(self.root).running()

    @contextlib.contextmanager
    def lock(self, purpose):
        self.locked.append(purpose)
        yield

    def keep(self, wanted=True, check=False):
        change = Change()
        service.keep(change, wanted, check, self.root, self.run, self.lock)
        return change.result()

    def files(self):
        return {path: os.lstat(self.root + path).st_mtime_ns for path in (ARCHIVE, UNIT_FILE, LINK)
                if os.path.lexists(self.root + path)}


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_four_runs_make_it_once(host):
    predicted = host.keep(check=True)
    assert host.files() == {}
    assert host.told == host.locked == []
    assert host.keep() == predicted
    assert predicted["diff"]["after"]["watch_running"]
    files = host.files()
    assert set(files) == {ARCHIVE, UNIT_FILE, LINK}
    assert os.readlink(host.root + LINK) == UNIT_FILE
    with open(host.root + UNIT_FILE) as stream:
        text = stream.read()
    assert 'ExecStart="%s" -I %s run\n' % (sys.executable, ARCHIVE) in text
    assert "PrivateUsers" not in text
    assert "\nUser=" not in text
    assert not host.keep(check=True)["changed"]
    assert not host.keep()["changed"]
    assert host.files() == files
    assert host.told == ["restart"]
    assert len(host.locked) == 1


@pytest.mark.parametrize(("path", "told"), [
    (ARCHIVE, ["restart"]), (UNIT_FILE, ["daemon-reload", "restart"]), (LINK, ["daemon-reload", "restart"])])
def test_a_lost_or_other_file_is_written_again(host, path, told):
    host.keep()
    for harm in (os.unlink, lambda full: (os.unlink(full), open(full, "w").close())):
        harm(host.root + path)
        host.told.clear()
        predicted = host.keep(check=True)
        assert predicted["changed"]
        assert host.keep() == predicted
        assert not host.keep()["changed"]
        assert host.told == told


def test_one_that_was_stopped_is_started(host):
    host.keep()
    host.runs(False)
    host.told.clear()
    predicted = host.keep(check=True)
    assert predicted["diff"] == {"before": {"watch_running": False}, "after": {"watch_running": True}}
    assert host.keep() == predicted
    assert host.told == ["restart"]


def test_it_goes_with_the_last_unit(host):
    host.keep()
    host.told.clear()
    predicted = host.keep(wanted=False, check=True)
    assert len(host.files()) == 3
    assert host.keep(wanted=False) == predicted
    assert host.files() == {}
    assert host.told == ["stop", "daemon-reload", "reset-failed"]
    assert not host.keep(wanted=False)["changed"]


def test_as_long_as_it_is_needed(host):
    assert not service.needed(root=host.root)
    host.keep()
    folder = host.root + "/etc/systemd/system/"
    assert not service.needed(root=host.root)
    for name in ("ptnet-vm-a.service", "ptnet-net-a.service", "ssh.service"):
        with open(folder + name, "w"):
            pass
    assert service.needed(root=host.root)
    assert not service.needed(["ptnet-vm-a.service"], host.root)
    with open(folder + "ptnet-port-a.service", "w"):
        pass
    assert service.needed(["ptnet-vm-a.service"], host.root)


def test_the_copy_holds_exactly_what_it_imports():
    assert imports("watch.main", set()) == set(main.SOURCES)


def test_the_copy_runs_alone(tmp_path):
    path = tmp_path / "watch.pyz"
    path.write_bytes(service.archive())
    assert service.archive() == service.archive()
    with zipfile.ZipFile(path) as packed:
        assert packed.testzip() is None
    for words, status, text in ((["--help"], 0, "bound the logs"), (["free", "ptnet-vm-nosuch"], 0, "nothing is stuck"),
                                ([], 2, "")):
        # -S: without site-packages there is no ansible to import.
        ended = subprocess.run([sys.executable, "-I", "-S", str(path), *words], capture_output=True, text=True,
                               timeout=60, check=False)
        assert ended.returncode == status, ended.stderr
        assert text in ended.stdout
