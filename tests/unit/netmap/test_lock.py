# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One change at a time, and nobody but root says when."""

from __future__ import annotations

import errno
import os
import stat
import threading

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import lock
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.changes import ChangeableDevice
from ansible_collections.netmap.ptnet.plugins.module_utils.places import RUN
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import archive
from fake_device import FakeNetmap

NOBODY = 65534


@pytest.fixture
def fake(tmp_path):
    return FakeNetmap(nics=["eth1", "eth2"], lock=str(tmp_path / "lock"))


@pytest.fixture
def device(fake):
    return ChangeableDevice(fake.driver_of, frame_limits=fake.frame_limits, open_node=fake.open_node, lock=fake.lock,
                            lock_timeout=0.1)


def taken(path):
    """Take a lock and let it go."""
    with ChangeableDevice(None, lock=str(path), lock_timeout=0.1).locked("test"):
        pass


def test_the_lock_names_its_holder(fake, device):
    with device.changing("vale_port vale7"), pytest.raises(PtnetError, match="vale_port vale7"), \
            device.changing("second"):
        pytest.fail("the lock was held twice")
    with device.changing("third") as changes:
        changes.attach("vale1", "eth1")
    assert fake.forbidden == []


def test_nobody_else_opens_the_lock(fake, device):
    """Whoever opens it can hold it, and with it all changes and the boot."""
    before = os.umask(0)
    try:
        with device.changing("test"):
            assert os.stat(fake.lock).st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def test_the_lock_is_freed_after_an_error(fake, device):
    with pytest.raises(ZeroDivisionError), device.changing("test"):
        raise ZeroDivisionError
    with device.changing("again"):
        pass


def test_a_waiting_change_goes_on_when_the_lock_is_free(fake):
    patient = ChangeableDevice(fake.driver_of, frame_limits=fake.frame_limits, open_node=fake.open_node,
                               lock=fake.lock, lock_timeout=5)
    inside, order = threading.Event(), []

    def first():
        with patient.changing("first") as changes:
            inside.set()
            changes.attach("vale1", "eth1")
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(5)
    with patient.changing("second") as changes:
        order.append("second")
        changes.detach("vale1", "eth1")
    thread.join()
    assert order == ["first", "second"]
    assert fake.forbidden == []


def test_it_lies_in_a_folder_of_its_own_for_all_who_take_it():
    assert lock.path() in (RUN + "/lock", "/var" + RUN + "/lock")
    folder, file = [line.split() for line in archive.LOCK_TEXT.splitlines() if not line.startswith("#")]
    assert folder == ["d", RUN, "0750", "root", archive.GROUP, "-"]
    assert file == ["f", RUN + "/lock", "0640", "root", archive.GROUP, "-"]


def test_the_folder_is_made_for_root_alone(tmp_path):
    old = os.umask(0)
    try:
        taken(tmp_path / "run" / "lock")
    finally:
        os.umask(old)
    assert [stat.S_IMODE(os.stat(path).st_mode) for path in (tmp_path / "run", tmp_path / "run" / "lock")] == [
        0o700, 0o600]


@pytest.mark.parametrize("mode", [0o1777, 0o777, 0o770, 0o702])
def test_a_folder_that_others_write_is_refused(tmp_path, mode):
    """In /run/lock any user can make the file before us, or take the lock and keep it."""
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(PtnetError, match="%04o; expected: a folder that only root may write" % mode):
        taken(folder / "lock")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755])
def test_a_folder_that_others_read_will_do(tmp_path, mode):
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(mode)
    taken(tmp_path / "run" / "lock")
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == mode


def test_a_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(PtnetError, match="owner"):
        taken(folder / "lock")


@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_link_in_its_place_is_refused(tmp_path, what):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "victim").write_text("precious")
    run = tmp_path / "run"
    if what == "folder":
        run.symlink_to(tmp_path / "elsewhere")
    else:
        run.mkdir()
        (run / "victim").symlink_to(tmp_path / "elsewhere" / "victim")
    with pytest.raises(PtnetError, match="cannot be opened"):
        taken(run / "victim")
    assert (tmp_path / "elsewhere" / "victim").read_text() == "precious"


def test_a_folder_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "run").write_text("no folder")
    for path in (tmp_path / "run" / "lock", tmp_path / "none" / "run" / "lock"):
        with pytest.raises(PtnetError, match="run as root"):
            taken(path)


def test_who_may_only_read_it_takes_it_as_well(device, fake, monkeypatch):
    """The port process, whose group may read it, on a file system that is read-only to it."""
    with device.locked("first"):
        pass
    really, opened = os.open, []

    def reading(path, flags, *rest, **options):
        if "dir_fd" in options:
            opened.append(flags & (os.O_RDWR | os.O_CREAT))
            if opened[-1]:
                raise OSError(errno.EROFS, "Read-only file system")
        return really(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", reading)
    with device.locked("second"), pytest.raises(PtnetError, match="first"), device.locked("third"):
        pytest.fail("the lock was held twice")
    assert opened == [os.O_RDWR | os.O_CREAT, 0] * 2
