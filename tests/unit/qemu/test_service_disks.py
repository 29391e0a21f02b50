# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole of ptnet_vm on doubles: its folder, its disks, its removal."""

from __future__ import annotations

import os
import shutil

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils import command
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import (
    choice,
    definition,
    disks,
    service,
    supervisor,
)
from fake_host import VM
from vm_params import disk


def test_absent_removes_what_was_made_and_nothing_else(host, params):
    service.act(params, False)
    home = definition.directory("fw")
    foreign = os.path.join(home, "notes")
    with open(foreign, "w"):
        pass
    params.update(state="absent", allow_removal=True)
    host.done()
    assert service.act(params, True)["changed"]
    assert host.done() == []
    assert service.act(params, False)["changed"]
    assert host.done()[0] == "stop"
    assert os.listdir(home) == ["notes"]
    assert os.listdir(host.units) == []
    assert (host.users, os.listdir(host.folder).count("program")) == (set(), 0)
    assert os.path.exists(params["disks"][0]["backing"])
    assert not service.act(params, False)["changed"]


@pytest.mark.parametrize("check_mode", [True, False])
def test_disks_are_not_lost_without_consent(host, params, check_mode):
    service.act(params, False)
    host.done()
    path = os.path.join(definition.directory("fw"), "root.qcow2")
    with pytest.raises(PtnetError, match="its disks would go with it; found: %s.*allow_removal" % path):
        service.act(dict(params, state="absent"), check_mode)
    assert host.done() == []
    assert os.path.exists(path)
    # Where they are gone already, or were never made, nothing is lost.
    os.unlink(path)
    assert service.act(dict(params, state="absent"), check_mode)["changed"]


def test_what_other_vms_need_stays_when_one_goes(host, params):
    service.act(params, False)
    other = os.path.join(host.units, "ptnet-port-other.service")
    with open(other, "w"):
        pass
    service.act(dict(params, state="absent", allow_removal=True), False)
    assert os.listdir(host.units) == ["ptnet-port-other.service"]
    assert os.path.exists(os.path.join(host.folder, "program"))


def test_the_folder_of_a_vm_is_closed_to_others(host, params):
    service.act(params, False)
    home = definition.directory("fw")
    assert os.stat(home).st_mode & 0o777 == 0o750
    os.chmod(home, 0o777)
    service.act(dict(params, memory=1024), False)
    assert os.stat(home).st_mode & 0o777 == 0o750


def test_a_file_of_others_that_the_user_cannot_open_is_refused_before_the_interruption(host, params):
    service.act(params, False)
    params["memory"] = 1024
    host.closed.add(params["disks"][0]["backing"])
    host.done()
    with pytest.raises(PtnetError, match="user ptnet-vm-fw, which runs the VM, cannot read .*image.*To do: chmod o"):
        service.act(dict(params, allow_restart=True), False)
    assert host.done() == []
    assert host.known[VM].state == "active"
    folder = os.path.dirname(params["disks"][0]["backing"])
    host.closed.add(folder)
    with pytest.raises(PtnetError, match="folder .* is closed to it. To do: chmod o.x " + folder):
        service.act(dict(params, allow_restart=True), False)


def test_the_disks_that_we_made_become_the_users_and_no_others(host, params):
    foreign = os.path.join(host.folder, "foreign.raw")
    with open(foreign, "w"):
        pass
    params["disks"].append(disk(foreign, format="raw", size="1G"))
    service.act(params, False)
    own = next(line for line in host.file(VM).splitlines() if line.startswith("ExecStartPre=+"))
    assert own.endswith(" ptnet-vm-fw %s %s" % tuple(
        os.path.join(definition.directory("fw"), name) for name in ("console.log", "root.qcow2")))


def test_interrupted_disk_creation_heals(host, params, monkeypatch):
    path = os.path.join(definition.directory("fw"), "root.qcow2")

    def killed(words, *args, **options):
        if words[0] == "qemu-img":
            with open(path + ".new", "w") as stream:
                stream.write("half")
            raise KeyboardInterrupt
        return host.run(words, *args, **options)
    with monkeypatch.context() as patch:
        patch.setattr(command, "run", killed)
        with pytest.raises(KeyboardInterrupt):
            service.act(params, False)
    assert os.path.exists(path + ".new")
    service.act(params, False)
    assert disks.backing(path) == params["disks"][0]["backing"]
    params.update(state="absent", allow_removal=True)
    service.act(params, False)
    assert not os.path.exists(definition.directory("fw"))


def test_after_a_failed_creation_nothing_of_others_is_ours(host, params):
    host.images_fail = True
    with pytest.raises(PtnetError, match="qemu-img"):
        service.act(params, False)
    path = os.path.join(definition.directory("fw"), "root.qcow2")
    assert not os.path.exists(path + ".new")
    for foreign in (path, path + ".new"):
        with open(foreign, "w") as stream:
            stream.write("somebody's")
    assert service.act(dict(params, state="absent"), False)["changed"]
    assert sorted(os.listdir(definition.directory("fw"))) == ["root.qcow2", "root.qcow2.new"]
    # Nor is it written over.
    os.unlink(path)
    host.images_fail = False
    with pytest.raises(PtnetError, match=r"root.qcow2 cannot be made; found: .*\.new, which is none of ours"):
        service.act(params, False)
    with open(path + ".new") as stream:
        assert stream.read() == "somebody's"


def test_what_others_put_in_the_place_of_a_disk_stays(host, params):
    service.act(params, False)
    path = os.path.join(definition.directory("fw"), "root.qcow2")
    os.rename(path, path + ".old")
    shutil.copy(path + ".old", path)
    assert path not in service.Service(definition.define(params), choice.choose()[0])._ours
    assert service.act(dict(params, state="absent"), False)["changed"]
    assert sorted(os.listdir(definition.directory("fw"))) == ["root.qcow2", "root.qcow2.old"]


def test_disks_of_version_0_1_0_are_known_by_their_paths(host, params):
    service.act(params, False)
    home = definition.directory("fw")
    with open(os.path.join(home, "disks.json"), "w") as stream:
        stream.write('["%s/root.qcow2"]' % home)
    assert not service.act(params, False)["changed"]
    with pytest.raises(PtnetError, match="its disks would go with it"):
        service.act(dict(params, state="absent"), False)
    service.act(dict(params, state="absent", allow_removal=True), False)
    assert not os.path.exists(home)


@pytest.mark.parametrize("systemd_knows", [True, False])
def test_nothing_is_removed_under_a_qemu_that_does_not_end(host, params, monkeypatch, systemd_knows):
    service.act(params, False)
    if systemd_knows:
        host.stubborn, said = True, "%s is running" % VM
    else:
        # Its unit is stopped, its process is not.
        monkeypatch.setattr(supervisor, "lives", lambda pid, _since: pid == 4711)
        said = "process 4711 of %s is still there" % VM
    before = sorted(os.listdir(host.units)), sorted(os.listdir(definition.directory("fw")))
    with pytest.raises(PtnetError, match="VM fw does not end, so nothing of it was removed; found: %s" % said):
        service.act(dict(params, state="absent", allow_removal=True), False)
    assert (sorted(os.listdir(host.units)), sorted(os.listdir(definition.directory("fw")))) == before
    assert "ptnet-vm-fw" in host.users


def test_a_disk_on_another_image_is_refused(host, params):
    service.act(params, False)
    host.done()
    params["disks"][0]["backing"] = "/srv/other"
    with pytest.raises(PtnetError, match="stands on another image"):
        service.act(params, False)
    assert host.done() == []


def test_absent_images_are_refused_before_anything_changes(host, params):
    os.unlink(params["disks"][0]["backing"])
    assert service.act(params, True)["changed"]
    with pytest.raises(PtnetError, match="image below disk .* is not there"):
        service.act(params, False)
    assert host.done() == []
    assert os.listdir(host.units) == []


def test_the_real_qcow2_header_is_read(tmp_path):
    if not shutil.which("qemu-img"):
        pytest.skip("no qemu-img here")
    image, overlay = str(tmp_path / "image"), str(tmp_path / "overlay")
    command.run(["qemu-img", "create", "-q", "-f", "raw", image, "1M"], 30)
    command.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "raw", overlay], 30)
    assert disks.backing(overlay) == image
    assert disks.backing(image) is None
