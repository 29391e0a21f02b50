# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""KVM is taken where a kernel boots with it, not where its device opens."""

from __future__ import annotations

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.lab import accelerator


@pytest.fixture
def kvm(tmp_path, monkeypatch):
    """A machine whose /dev/kvm opens; ``console`` is what a kernel says there, None when QEMU fails."""
    class Kvm:
        console = accelerator.FIRST_WORDS
        opens = True
        boots = 0
        params = {"accelerator": "auto", "cache": str(tmp_path), "emulator": "qemu-system-x86_64",
                  "kernel": "/k", "initrd": "/i"}

    def run(argv, _timeout):
        Kvm.boots += 1
        assert argv[argv.index("-accel") + 1] == "kvm"
        if Kvm.console is None:
            raise PtnetError("qemu-system-x86_64 failed", found="no end within 15 s")
        path = next(word for word in argv if word.startswith("file:"))[len("file:"):]
        with open(path, "wb") as stream:
            stream.write(Kvm.console)
        return 0, ""
    monkeypatch.setattr(accelerator, "run", run)
    monkeypatch.setattr(accelerator.os, "access", lambda path, _mode: Kvm.opens)
    return Kvm


@pytest.mark.parametrize("given", ["kvm", "tcg"])
def test_what_is_asked_for_is_not_tried(kvm, given):
    assert accelerator.choose(dict(kvm.params, accelerator=given)) == given
    assert kvm.boots == 0


def test_without_the_device_nothing_is_tried(kvm):
    kvm.opens = False
    assert accelerator.choose(kvm.params) == "tcg"
    assert kvm.boots == 0


@pytest.mark.parametrize(("console", "chosen"), [
    (b"Linux version\n" + accelerator.FIRST_WORDS + b"\n", "kvm"),
    (b"Linux version without nesting\n", "tcg"),
    (b"", "tcg"),
    (None, "tcg"),
])
def test_a_boot_decides_once(kvm, console, chosen):
    kvm.console = console
    assert [accelerator.choose(kvm.params) for _turn in range(3)] == [chosen] * 3
    assert kvm.boots == 1


def test_the_next_boot_of_the_controller_decides_anew(kvm, tmp_path):
    kvm.console = None
    assert accelerator.choose(kvm.params) == "tcg"
    (answer,) = tmp_path.iterdir()
    answer.rename(tmp_path / "accelerator-of-an-earlier-boot")
    kvm.console = accelerator.FIRST_WORDS
    assert accelerator.choose(kvm.params) == "kvm"


def test_an_interrupted_trial_decides_nothing(kvm, monkeypatch, tmp_path):
    def interrupted(_argv, _timeout):
        raise KeyboardInterrupt
    monkeypatch.setattr(accelerator, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        accelerator.choose(kvm.params)
    assert list(tmp_path.iterdir()) == []
