# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image and build root are kept by all that shapes them, and an interrupted making leaves nothing behind."""

from __future__ import annotations

import os
import subprocess

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.lab import image
from ansible_collections.netmap.ptnet.plugins.modules.lab_image import ARGUMENT_SPEC

RELEASE = "6.1.0-56-cloud-amd64"
SUITE = ARGUMENT_SPEC["suite"]["default"]
GIVEN = {"suite": "other", "mirror": "http://mirror.example", "packages": ["gcc"], "kernel_release": "6.12.0",
         "mask": ["getty.target"], "initrd_modules": ["virtio_pci"], "authorized_key": "ssh-ed25519 AAAA other",
         "size": "4G"}


@pytest.fixture
def recipe(tmp_path):
    folder = tmp_path / "image"
    (folder / "overlay/etc").mkdir(parents=True)
    for name in ("customize", "init", "overlay/etc/hostname"):
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def params(tmp_path, recipe):
    defaults = {name: option.get("default") for name, option in ARGUMENT_SPEC.items()}
    return dict(defaults, kind="disk", cache=str(tmp_path / "cache"), packages=["python3"], recipe=str(recipe),
                authorized_key="ssh-ed25519 AAAA lab")


@pytest.fixture
def programs(monkeypatch):
    """Doubles of mmdebstrap, tar and mke2fs; the step in ``fail`` raises instead."""
    def run(argv, _timeout, **options):
        run.started.append(argv)
        if run.fail is not None and len(run.started) == run.fail:
            raise run.error
        if "mmdebstrap" in argv:
            run.scratch = options["env"]["TMPDIR"]
            tar = argv[argv.index(run.suite) + 1]
            with open(tar, "w") as stream:
                stream.write("root")
        elif "sh" in argv:
            root, _tar, _size, disk = argv[-4:]
            os.makedirs(os.path.join(root, "usr/lib/modules", RELEASE))
            os.makedirs(os.path.join(root, "boot"))
            for path in run.files:
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w") as stream:
                    stream.write(path)
            for path in (disk, os.path.join(root, "boot/vmlinuz-" + RELEASE), os.path.join(root, "boot/initrd.img")):
                with open(path, "w") as stream:
                    stream.write(os.path.basename(path))
        return 0, ""
    run.started, run.fail, run.error, run.suite, run.files = [], None, KeyboardInterrupt(), SUITE, []
    monkeypatch.setattr(image, "run", run)
    return run


def test_as_root_mounts_and_temporary_files_end_with_the_making(params, programs, monkeypatch):
    monkeypatch.setattr(image.os, "geteuid", lambda: 0)
    image.act(params, False)
    assert programs.started[0][:3] == ["unshare", "--mount", "mmdebstrap"]
    assert os.path.basename(programs.scratch).startswith(".making-")
    assert not os.path.exists(programs.scratch)


def identity(params, **changes):
    return image.act(dict(params, **changes), True)["identity"]


def test_every_option_shapes_the_identity(params):
    assert {*GIVEN, "kind", "cache", "recipe"} == set(ARGUMENT_SPEC)
    found = [identity(params), identity(params, kind="build_root")]
    found += [identity(params, **{name: value}) for name, value in GIVEN.items()]
    assert len(set(found)) == len(found)
    assert identity(params) == found[0]


def test_where_it_is_kept_and_where_the_recipe_lies_do_not(params, recipe, tmp_path):
    before = identity(params)
    (tmp_path / "moved").mkdir()
    recipe.rename(tmp_path / "moved/image")
    assert identity(params, recipe=str(tmp_path / "moved/image"), cache="/elsewhere") == before


@pytest.mark.parametrize("change", [
    lambda folder: (folder / "init").write_text("other"),
    lambda folder: (folder / "init").chmod(0o755),
    lambda folder: (folder / "overlay/etc/hostname").rename(folder / "overlay/etc/hosts"),
    lambda folder: (folder / "overlay/etc/hostname").unlink(),
    lambda folder: (folder / "overlay/more").write_text(""),
])
def test_every_file_of_the_recipe_shapes_the_identity(params, recipe, change):
    (recipe / "init").chmod(0o644)
    before = identity(params)
    change(recipe)
    assert identity(params) != before


def test_check_mode_predicts_and_makes_nothing(params, programs):
    predicted = image.act(params, True)
    assert predicted["changed"]
    assert predicted["kernel_release"] is None
    assert not os.path.exists(params["cache"])
    made = image.act(params, False)
    assert (made["kernel_release"], made["diff"], made["path"]) == (
        RELEASE, predicted["diff"], predicted["path"])


def test_the_qemu_of_an_image_is_kept_as_a_program_with_all_that_it_needs(params, programs):
    loader = image.LIBRARIES + "/ld-linux-x86-64.so.2"
    programs.files = [image.QEMU, loader, "usr/share/qemu/linuxboot_dma.bin", "usr/share/seabios/bios-256k.bin",
                      "usr/bin/python3"]
    made = image.act(params, False)
    assert made["emulator"] == made["path"] + "/emulator"
    kept = made["path"] + "/qemu"
    found = [os.path.relpath(os.path.join(top, name), kept) for top, _folders, names in os.walk(kept) for name in names]
    assert sorted(found) == sorted(programs.files[:-1])
    with open(os.path.join(kept, loader), "w") as stream:
        stream.write("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    os.chmod(os.path.join(kept, loader), 0o755)
    said = subprocess.run([made["emulator"], "-name", "a b"], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert said.splitlines() == [
        "--library-path", os.path.join(kept, image.LIBRARIES), os.path.join(kept, image.QEMU),
        "-L", kept + "/usr/share/seabios", "-L", kept + "/usr/share/qemu", "-name", "a b"]


def test_an_image_without_qemu_leaves_the_machine_to_that_of_the_controller(params, programs):
    assert image.act(params, True)["emulator"] is None
    assert image.act(params, False)["emulator"] is None


def test_it_is_made_once(params, programs):
    first = image.act(params, False)
    assert sorted(os.listdir(first["path"])) == ["disk.raw", "initrd.img", "kernel_release", "vmlinuz"]
    assert all(os.path.isfile(first[name]) for name in ("disk", "kernel", "initrd"))
    count = len(programs.started)
    again = image.act(params, False)
    assert (again["changed"], again["disk"], len(programs.started)) == (False, first["disk"], count)


def test_a_build_root_has_the_headers_of_the_image_and_its_own_interpreter(params, programs):
    made = image.act(dict(params, kind="build_root", recipe=None, kernel_release=RELEASE), False)
    include = next(word for word in programs.started[0] if word.startswith("--include="))
    assert include == "--include=python3,linux-headers-" + RELEASE
    assert os.access(made["interpreter"], os.X_OK)
    subprocess.run(["sh", "-n", made["interpreter"]], check=True, timeout=10)
    assert sorted(os.listdir(made["path"])) == ["python3", "root"]


@pytest.mark.parametrize("kind", ["disk", "build_root"])
@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), PtnetError("mmdebstrap failed")])
def test_an_interrupted_making_leaves_nothing_that_looks_finished(params, programs, kind, step, error):
    params.update(kind=kind, kernel_release=RELEASE)
    programs.fail, programs.error = step, error
    with pytest.raises(type(error)):
        image.act(params, False)
    assert image.act(params, True)["changed"]
    programs.fail = None
    made = image.act(params, False)
    assert made["changed"]
    images = os.path.join(params["cache"], "images")
    assert sorted(name for name in os.listdir(images) if name != ".lock") == [made["identity"]]


def test_a_mirror_is_passed_on_and_a_failure_says_what_to_do(params, programs, monkeypatch):
    remedies = []
    monkeypatch.setattr(image, "run", lambda argv, timeout, **options: (
        remedies.append(options.get("remedy")), programs(argv, timeout, **options)))
    image.act(dict(params, mirror="http://mirror.example"), False)
    argv = programs.started[0]
    assert (argv[-3], argv[-1]) == (SUITE, "http://mirror.example")
    assert "mirror" in remedies[0]


def test_packages_of_another_suite_bring_its_source_from_the_same_mirror(params, programs, tmp_path):
    packages = ["python3", "passt/%s-backports" % SUITE, "seabios/%s-backports" % SUITE]
    image.act(dict(params, packages=packages), False)
    argv = programs.started[0]
    assert "--include=" + ",".join(packages) in argv
    (hook,) = [word.split("=", 1)[1] for word in argv if word.startswith("--setup-hook=")]
    lists = tmp_path / "etc/apt/sources.list.d"
    lists.mkdir(parents=True)
    (tmp_path / "etc/apt/sources.list").write_text(
        "deb http://mirror.example/debian %s main\ndeb http://mirror.example/debian %s-updates main\n" % (SUITE, SUITE))
    subprocess.run(["sh", "-c", hook, "hook", str(tmp_path)], check=True, timeout=10)
    assert {path.name: path.read_text() for path in lists.iterdir()} == {
        SUITE + "-backports.list": "deb http://mirror.example/debian %s-backports main\n" % SUITE}


def test_packages_of_the_suite_bring_no_further_source(params, programs):
    image.act(params, False)
    assert not [word for word in programs.started[0] if word.startswith("--setup-hook=")]
