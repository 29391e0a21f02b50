# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is decided about a machine. No QEMU is started; where one would run is a double."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.lab import machine, processes
from ansible_collections.netmap.ptnet.plugins.modules.lab_machine import ARGUMENT_SPEC

BUSY = 4711


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A lab folder and the processes of its machines, without any."""
    class Lab:
        alive, killed, started, answers = {}, [], [], True
        cache = str(tmp_path)

        @staticmethod
        def folder(name, lab="lab", cache=None):
            return os.path.join(cache or Lab.cache, "machines", lab, name)

        @staticmethod
        def add(*names, process=True, lab="lab"):
            for name in names:
                os.makedirs(Lab.folder(name, lab))
                with open(os.path.join(Lab.folder(name, lab), "machine.json"), "w") as stream:
                    json.dump({"name": name, "port": 2222, "accelerator": "tcg"}, stream)
                if process:
                    Lab.alive[Lab.folder(name, lab)] = [BUSY]

        @staticmethod
        def folders(lab="lab"):
            folder = os.path.join(Lab.cache, "machines", lab)
            return sorted(os.listdir(folder)) if os.path.isdir(folder) else []

        @staticmethod
        def act(check=False, **changes):
            params = {name: option.get("default") for name, option in ARGUMENT_SPEC.items()}
            params.update({"name": "hv1", "lab": "lab", "cache": Lab.cache, "disk": "/disk.raw", "kernel": "/vmlinuz",
                           "initrd": "/initrd.img", "ssh_key": "/key"}, **changes)
            return machine.act(params, check)

    def machines(names=None):
        return {name: pids for name, pids in Lab.alive.items() if names is None or name in names}

    def kill(found):
        for folder in found:
            if Lab.alive.pop(folder, None):
                Lab.killed.append(os.path.basename(folder))

    def boot(self, from_snapshot):
        Lab.started.append((self.name, from_snapshot))
        os.rmdir(self.folder)
        Lab.add(self.name, lab=self.params["lab"])

    monkeypatch.setattr(machine.processes, "machines", machines)
    monkeypatch.setattr(machine.processes, "kill", kill)
    monkeypatch.setattr(machine.remote, "answers", lambda port, key, timeout: Lab.answers)
    monkeypatch.setattr(machine.Machine, "_boot", boot)
    return Lab


def test_a_machine_that_answers_is_left_alone(lab):
    lab.add("hv1")
    result = lab.act()
    assert (result["changed"], result["port"], result["failed_attempts"]) == (False, 2222, [])
    assert (lab.started, lab.killed) == ([], [])


def test_check_mode_predicts_a_start(lab):
    predicted = lab.act(check=True)
    assert predicted["changed"]
    assert lab.started == []
    started = lab.act()
    assert started["diff"] == predicted["diff"]
    assert lab.started == [("hv1", True)]
    assert not lab.act()["changed"]


@pytest.mark.parametrize("harm", ["no answer", "no process", "no definition"])
def test_a_machine_that_is_there_by_half_is_made_anew(lab, harm):
    lab.add("hv1", process=harm != "no process")
    lab.answers = harm != "no answer"
    folder = os.path.join(lab.cache, "machines/lab/hv1")
    if harm == "no definition":
        os.unlink(os.path.join(folder, "machine.json"))
    with open(os.path.join(folder, "overlay.qcow2"), "w") as stream:
        stream.write("half written")
    assert lab.act()["changed"]
    assert lab.started == [("hv1", True)]
    assert lab.killed == ([] if harm == "no process" else ["hv1"])
    assert os.listdir(folder) == ["machine.json"]


def test_a_hang_is_started_over_once_and_from_cold(lab, monkeypatch):
    boot = machine.Machine._boot

    def hang_once(self, from_snapshot):
        if not lab.started:
            lab.started.append((self.name, from_snapshot))
            lab.alive[self.folder] = [BUSY]
            with open(self._file("console.log"), "w") as stream:
                stream.write("Booting\nand then nothing\n")
            raise PtnetError("no SSH answer within 120 s")
        boot(self, from_snapshot)
    monkeypatch.setattr(machine.Machine, "_boot", hang_once)
    result = lab.act()
    assert lab.started == [("hv1", True), ("hv1", False)]
    assert lab.killed == ["hv1"]
    assert "no SSH answer" in result["failed_attempts"][0]
    assert "and then nothing" in result["failed_attempts"][0]


def test_a_second_hang_is_a_failure_with_the_console(lab, monkeypatch):
    def hang(self, from_snapshot):
        lab.alive[self.folder] = [BUSY]
        with open(self._file("console.log"), "w") as stream:
            stream.write("Kernel panic\n")
        raise PtnetError("no SSH answer within 120 s")
    monkeypatch.setattr(machine.Machine, "_boot", hang)
    with pytest.raises(PtnetError, match="hv1 did not start, twice") as caught:
        lab.act()
    assert caught.value.facts["log_tail"] == ["Kernel panic"]
    assert len(caught.value.facts["failed_attempts"]) == 1
    assert lab.alive == {}


@pytest.mark.parametrize(("name", "left"), [("hv1", ["hv2", "hv3"]), (None, [])])
def test_absent_takes_the_named_one_or_all(lab, name, left):
    lab.add("hv1", "hv2")
    lab.add("hv3", process=False)
    predicted = lab.act(state="absent", name=name, check=True)
    assert (lab.killed, lab.folders()) == ([], ["hv1", "hv2", "hv3"])
    assert lab.act(state="absent", name=name) == predicted
    assert sorted(predicted["diff"]["before"]) == sorted("lab/" + name for name in {"hv1", "hv2", "hv3"} - set(left))
    assert lab.folders() == left
    assert not lab.act(state="absent", name=name)["changed"]


def test_absent_finds_a_machine_whose_folder_is_lost(lab):
    lab.alive[lab.folder("hv9")] = [BUSY]
    assert lab.act(state="absent", name=None)["changed"]
    assert lab.killed == ["hv9"]


def test_no_lab_touches_another_one_of_its_cache_or_of_another_cache(lab):
    lab.add("hv1", "hv2")
    lab.add("hv1", lab="lab-2")
    lab.add("hv1", lab="la")
    elsewhere = lab.folder("hv1", cache="/elsewhere")
    lab.alive[elsewhere] = [BUSY]
    assert sorted(lab.act(state="absent", name=None, lab="lab")["diff"]["before"]) == ["lab/hv1", "lab/hv2"]
    assert (lab.folders(), lab.folders("lab-2"), lab.folders("la")) == ([], ["hv1"], ["hv1"])
    assert lab.act(lab="third")["changed"]
    assert set(lab.alive) == {elsewhere, *(lab.folder("hv1", name) for name in ("lab-2", "la", "third"))}
    # All of a cache, and no more.
    lab.act(state="absent", name=None, lab=None)
    assert set(lab.alive) == {elsewhere}
    assert os.listdir(os.path.join(lab.cache, "machines")) == []


def test_a_machine_of_the_first_version_goes_with_its_cache(lab):
    folder = os.path.join(lab.cache, "machines/lab-hv1")
    os.makedirs(folder)
    with open(os.path.join(folder, "overlay.qcow2"), "w"):
        lab.alive[folder] = [BUSY]
    assert not lab.act(state="absent", name=None)["changed"]
    assert list(lab.act(state="absent", name=None, lab=None)["diff"]["before"]) == ["lab-hv1"]
    assert (lab.alive, os.path.exists(folder)) == ({}, False)


@pytest.mark.parametrize("name", ["hv1.example.org", "a.b", "1"])
def test_a_machine_may_have_a_name_with_dots(lab, name):
    assert lab.act(name=name)["changed"]
    assert lab.folders() == [name]
    assert not lab.act(name=name)["changed"]
    machine.check_names("lab", "h" * 64)


@pytest.mark.parametrize("text", ["", "HV1", "../hv1", "hv 1", "-hv1", "h" * 65, "hv1\n", "hv1.", ".hv1", "hv1..org",
                                  "hv1.-a", "a/b", "a;b", "a,b"])
def test_a_name_that_could_not_be_a_folder_is_refused(lab, text):
    for given in ({"name": text}, {"lab": text or "A"}):
        with pytest.raises(PtnetError, match="lower-case letters"):
            lab.act(**given)
    assert lab.started == []


def test_a_folder_in_which_no_socket_could_be_is_refused_before_anything_starts(lab):
    with pytest.raises(PtnetError, match="too deep for its sockets.*LAB_CACHE"):
        lab.act(cache=lab.cache + "/" + "c" * 90)
    assert lab.started == []


PARAMS = {"name": "hv1", "lab": "lab", "cpus": 2, "memory": 2048, "kernel": "/k", "initrd": "/i", "guest_disk": None,
          "disk": "/d", "links": [], "emulator": "qemu-system-x86_64"}


def vector(**changes):
    return machine.vector(dict(PARAMS, **changes), "tcg", "/m/hv1", 40123, "/m/hv1/memory", True)


def value(argv, option):
    return argv[argv.index(option) + 1]


def test_the_command_line_marks_the_machine_and_nests():
    argv = vector()
    assert value(argv, "-name") == processes.MARK + "lab/hv1"
    assert value(argv, "-qmp") == "unix:/m/hv1/qmp,server=on,wait=off"
    assert value(argv, "-cpu") == "EPYC,+svm,+npt"
    assert "accel=tcg" in value(argv, "-machine")
    assert (value(argv, "-smp"), value(argv, "-m")) == ("2", "2048")
    assert "-no-reboot" not in argv


def test_the_machine_is_reached_from_this_machine_alone_and_reaches_nothing():
    network = value(vector(), "-netdev").split(",")
    assert "restrict=on" in network
    assert "hostfwd=tcp:127.0.0.1:40123-:22" in network


def test_memory_is_shared_for_a_snapshot_and_private_for_a_clone():
    shared = machine.vector(PARAMS, "tcg", "/m", 1, "/x/memory", share=True)
    private = machine.vector(PARAMS, "tcg", "/m", 1, "/x/memory", share=False)
    assert value(shared, "-object") == "memory-backend-file,id=ram,size=2048M,mem-path=/x/memory,share=on"
    assert [word for word in private if word not in shared] == [
        "memory-backend-file,id=ram,size=2048M,mem-path=/x/memory,share=off"]


def test_kvm_passes_the_real_cpu_on():
    assert value(machine.vector(PARAMS, "kvm", "/m", 1, "/x", True), "-cpu") == "host"


LINKS = [["lab-hv1", "lab-hv2"], ["lab-hv2", "lab-hv3"], ["lab-hv1", "lab-hv2"]]


def test_a_cable_is_the_same_number_at_both_ends():
    assert machine.cables("lab-hv1", LINKS) == [(0, "lab-hv2"), (2, "lab-hv2")]
    assert machine.cables("lab-hv2", LINKS) == [(0, "lab-hv1"), (1, "lab-hv3"), (2, "lab-hv1")]
    assert machine.cables("lab-hv4", LINKS) == []


@pytest.mark.parametrize("link", [[], ["a"], ["a", "a"], ["a", "b", "c"]])
def test_a_link_that_has_not_two_ends_is_refused(lab, link):
    with pytest.raises(PtnetError, match="two machines"):
        lab.act(links=[link])


def test_each_cable_is_a_card_behind_that_of_the_management():
    argv = machine.vector(PARAMS, "tcg", "/m", 1, "/x", True, [("/m/link0", "/n/link0"), ("/m/link2", "/n/link2")])
    networks = [argv[number + 1] for number, word in enumerate(argv) if word == "-netdev"]
    assert networks[0].startswith("user,id=management,")
    assert networks[1:] == [
        "dgram,id=link0,local.type=unix,local.path=/m/link0,remote.type=unix,remote.path=/n/link0",
        "dgram,id=link1,local.type=unix,local.path=/m/link2,remote.type=unix,remote.path=/n/link2"]
    assert [argv[number + 1].split(",")[1] for number, word in enumerate(argv) if word == "-device"] == [
        "netdev=management", "netdev=link0", "netdev=link1"]


def test_the_disk_of_guests_is_never_written():
    assert len([word for word in vector() if word.startswith("file=")]) == 1
    assert "file=/g,if=virtio,format=raw,read-only=on" in vector(guest_disk="/g")


@pytest.fixture
def snapshot(tmp_path, monkeypatch):
    """One machine that is about to be kept; ``fail`` is the program that is interrupted."""
    class Snapshot:
        fail, status, commands, version = None, "completed", [], "QEMU emulator version 7.2"
        kept = tmp_path / "snapshots/abc"

        @staticmethod
        def save():
            machine.Machine(dict(PARAMS, cache=str(tmp_path)))._save(str(Snapshot.kept))

        @staticmethod
        def identity(accel="tcg", **changes):
            return machine.Machine(dict(PARAMS, cache=str(tmp_path), **changes))._snapshot_identity(accel)

    class Qmp:
        def __init__(self, *_arguments):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_error):
            return None

        def execute(self, command, **_arguments):
            Snapshot.commands.append(command)
            return {"status": Snapshot.status}

    def run(argv, _timeout, **_options):
        if argv[-1] == "--version":
            return 0, Snapshot.version
        if Snapshot.fail and argv[-1].endswith(Snapshot.fail):
            raise KeyboardInterrupt
        with open(argv[-1], "w") as stream:
            stream.write("kept")
        return 0, ""
    monkeypatch.setattr(machine, "Qmp", Qmp)
    monkeypatch.setattr(machine, "run", run)
    return Snapshot


def test_a_snapshot_is_kept_and_the_machine_goes_on(snapshot):
    snapshot.save()
    assert sorted(path.name for path in snapshot.kept.iterdir()) == ["memory", "overlay.qcow2"]
    assert (snapshot.commands[0], snapshot.commands[-1]) == ("stop", "cont")


@pytest.mark.parametrize("step", ["memory", "overlay.qcow2"])
def test_an_interrupted_snapshot_does_not_look_finished(snapshot, step):
    snapshot.fail = step
    with pytest.raises(KeyboardInterrupt):
        snapshot.save()
    assert not snapshot.kept.exists()
    snapshot.fail = None
    snapshot.save()
    assert [path.name for path in snapshot.kept.parent.iterdir()] == ["abc"]


def test_a_snapshot_that_failed_is_none(snapshot):
    snapshot.status = "failed"
    with pytest.raises(PtnetError, match="snapshot of hv1 failed"):
        snapshot.save()
    assert not snapshot.kept.exists()


def test_another_run_may_have_kept_it_first(snapshot):
    snapshot.kept.mkdir(parents=True)
    (snapshot.kept / "memory").write_text("theirs")
    snapshot.save()
    assert (snapshot.kept / "memory").read_text() == "theirs"
    assert [path.name for path in snapshot.kept.parent.iterdir()] == ["abc"]


def test_everything_but_the_name_shapes_the_snapshot(snapshot):
    before = snapshot.identity()
    assert snapshot.identity(name="hv2") == before
    found = [before, snapshot.identity(accel="kvm")]
    found += [snapshot.identity(**{option: other}) for option, other in (
        ("disk", "/other"), ("memory", 1024), ("cpus", 1), ("guest_disk", "/g"), ("kernel", "/other"),
        ("initrd", "/other"))]
    snapshot.version = "QEMU emulator version 8.0"
    found.append(snapshot.identity())
    assert len(set(found)) == len(found)
