# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which QEMU a VM gets, and what is said about it."""

from __future__ import annotations

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import choice
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu.program import Program, running_version
from vm_params import CURRENT, PTNET, Spoken

NEW = {"version": "11.1.3", "devices": ["virtio-blk-pci", "vfio-user-pci"]}
OLD = {"version": "7.2.22", "devices": ["virtio-blk-pci"]}
FORK = {"version": "3.0.94", "devices": ["ptnet-pci"]}
BARE = {"version": "10.2.0", "devices": ["virtio-blk-pci"]}


def host(**programs):
    return lambda path: Spoken(path, **programs[path]) if path in programs else Spoken(path, there=False)


@pytest.fixture
def preferred(monkeypatch):
    def order(*names):
        kinds = {kind.NAME: kind for kind in choice.PREFERRED}
        monkeypatch.setattr(choice, "PREFERRED", tuple(kinds[name] for name in names))
    order("distribution", "fork")
    return order


@pytest.mark.parametrize(("programs", "asked", "binary", "name", "path", "reason"), [
    ({CURRENT: NEW}, "auto", None, "distribution", CURRENT, "is QEMU 11.1.3"),
    ({CURRENT: NEW, PTNET: FORK}, "auto", None, "distribution", CURRENT, "is QEMU 11.1.3"),
    ({CURRENT: NEW, PTNET: FORK}, "fork", None, "fork", PTNET, "asked for"),
    ({CURRENT: OLD, PTNET: FORK}, "auto", None, "fork", PTNET, "is QEMU 7.2.22, and ports over vfio-user came"),
    ({CURRENT: BARE, PTNET: FORK}, "auto", None, "fork", PTNET, "built without the device vfio-user-pci"),
    ({PTNET: FORK}, "auto", None, "fork", PTNET, "no /usr/bin/qemu-system-x86_64"),
    ({"/usr/libexec/qemu-kvm": NEW}, "auto", None, "distribution", "/usr/libexec/qemu-kvm", "11.1.3"),
    ({"/usr/libexec/qemu-kvm": NEW}, "distribution", None, "distribution", "/usr/libexec/qemu-kvm", "asked for"),
    ({"/srv/q": FORK, CURRENT: NEW}, "auto", "/srv/q", "fork", "/srv/q", "3.0.94"),
    ({"/srv/q": NEW, PTNET: FORK}, "auto", "/srv/q", "distribution", "/srv/q", "11.1.3"),
    ({}, "distribution", None, "distribution", CURRENT, "asked for"),
    ({}, "fork", "/srv/q", "fork", "/srv/q", "asked for"),
])
def test_the_first_that_can(preferred, programs, asked, binary, name, path, reason):
    chosen, said = choice.choose(asked, binary, False, host(**programs))
    assert (chosen.NAME, chosen.program.path) == (name, path)
    assert reason in said


def test_the_preference_is_one_constant(preferred):
    preferred("fork", "distribution")
    assert choice.choose("auto", None, False, host(**{CURRENT: NEW, PTNET: FORK}))[0].NAME == "fork"
    assert choice.choose("auto", None, False, host(**{CURRENT: NEW}))[0].NAME == "distribution"


def test_without_any_both_ways_are_told(preferred):
    with pytest.raises(PtnetError) as caught:
        choice.choose("auto", None, False, host(**{CURRENT: OLD}))
    for part in ("7.2.22", "no " + PTNET, "10.1 or newer", "trixie-backports", "qemu_hypervisor"):
        assert part in caught.value.message


def test_a_check_run_may_come_before_qemu_is_installed(preferred):
    chosen, reason = choice.choose("auto", None, True, host())
    assert (chosen.NAME, chosen.program.path) == ("distribution", CURRENT)
    assert "none is there yet" in reason


def test_a_program_is_asked_once_for_each_thing(tmp_path):
    path = tmp_path / "qemu"
    path.write_text("")
    asked = []

    def run(words, _seconds, allowed):
        asked.append(words[1:])
        return {"-version": (0, "QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1)\nCopyright"),
                "-device": (0, 'Network devices:\nname "ptnet-pci", bus PCI\n'), "-sandbox": (1, "")}[words[1]]

    program = Program(str(path), run)
    assert (program.version, program.number) == ("11.1.3", (11, 1, 3))
    assert program.package == "Debian 1:11.1.3+ds-1"
    assert (program.has_device("ptnet-pci"), program.has_device("vfio-user-pci")) == (True, False)
    assert not program.has_seccomp
    assert asked == [["-version"], ["-device", "help"], ["-sandbox", "on", "-version"]]
    gone = Program(str(tmp_path / "gone"), run)
    assert (gone.version, gone.number, gone.has_device("ptnet-pci"), gone.has_seccomp) == ("", (), False, False)
    assert gone.package == ""
    assert len(asked) == 3


def test_a_running_program_is_asked_where_it_is_still_the_file_at_a_place_of_ours(tmp_path):
    (tmp_path / "store").write_text("")
    (tmp_path / "qemu").symlink_to("store")
    places = [str(tmp_path / "none"), str(tmp_path / "qemu")]

    def said(binary):
        return running_version(binary, places, lambda path: Spoken(path, version="11.1.3"))
    assert said(str(tmp_path / "store")) == {"version": "11.1.3", "package": "Debian"}
    # Another program, one that an upgrade has replaced since, and one that cannot be seen.
    for binary in ("/bin/false", str(tmp_path / "store") + " (deleted)", None):
        assert said(binary) == {"version": None, "package": None}
    assert running_version(str(tmp_path / "store"), places, Spoken) == {
        "version": None, "package": None}
