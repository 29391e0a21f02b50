# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""KVM or emulation, decided by booting a kernel: a /dev/kvm that opens proves nothing. Private to netmap.ptnet."""

from __future__ import annotations

import os
import tempfile

from ..command import run
from ..errors import PtnetError

BOUND = 15
"""Seconds for a kernel to say its first words; with working KVM it takes less than one."""
FIRST_WORDS = b"lab-probe: nested virtualization"


def choose(params):
    """The accelerator to use (``kvm`` or ``tcg``).

    :param params: ``accelerator`` (auto, kvm or tcg), ``cache``, ``emulator``, ``kernel`` and
        ``initrd`` to try
    """
    if params["accelerator"] != "auto":
        return params["accelerator"]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    with open("/proc/sys/kernel/random/boot_id") as stream:
        boot = stream.read().strip()
    answer = os.path.join(params["cache"], "accelerator-%s" % boot)
    if not os.path.exists(answer):
        chosen = "kvm" if _boots(params["emulator"], params["kernel"], params["initrd"]) else "tcg"
        with open(answer + ".new", "w") as stream:
            stream.write(chosen)
        os.rename(answer + ".new", answer)
    with open(answer) as stream:
        return stream.read()


def _boots(emulator, kernel, initrd):
    """Whether the image's kernel comes up with KVM and sees a CPU that can nest (bool)."""
    with tempfile.TemporaryDirectory() as folder:
        console = os.path.join(folder, "console")
        argv = [emulator, "-accel", "kvm", "-cpu", "host", "-m", "256", "-nodefaults", "-no-user-config",
                "-display", "none", "-serial", "file:" + console, "-no-reboot", "-kernel", kernel, "-initrd", initrd,
                "-append", "console=ttyS0 panic=-1 lab_probe"]
        try:
            run(argv, BOUND)
        except PtnetError:
            return False
        with open(console, "rb") as stream:
            return FIRST_WORDS in stream.read()
