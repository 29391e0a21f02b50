# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule of udev that names a guest's ports: its program, run on folders like those of the kernel."""

from __future__ import annotations

import pathlib
import re
import subprocess

import pytest

RULES = pathlib.Path(__file__).parents[3] / "roles/guest/files/70-netmap-ptnet.rules"
PORT, MEMORY = ("0x1b36", "0x000d", "0x020000"), ("0x1b36", "0x000c", "0xff0000")
USB, OTHER = ("0x1b36", "0x000d", "0x0c0330"), ("0x1af4", "0x1000", "0x020000")


def named(folder, address):
    """The name that the port at an address gets (str)."""
    (program,) = re.findall(r'PROGRAM="/bin/sh -c \'(.*?)\'"', RULES.read_text(encoding="utf-8"))
    program = program.replace("$$", "$").replace("%b", address).replace("/sys/bus/pci/devices", str(folder))
    return subprocess.run(["/bin/sh", "-c", program], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


# Of ptnet_vm, and of QEMU's own choice.
@pytest.mark.parametrize("slots", [
    {"03.0": OTHER, "0b.0": MEMORY, "0b.1": MEMORY, "10.0": PORT, "11.0": PORT, "1a.0": PORT},
    {"01.0": USB, "02.0": OTHER, "04.0": MEMORY, "05.0": PORT, "06.0": PORT, "08.0": OTHER, "0a.0": PORT},
])
def test_ports_are_numbered_by_their_addresses(tmp_path, slots):
    for slot, ids in slots.items():
        folder = tmp_path / ("0000:00:" + slot)
        folder.mkdir()
        for name, text in zip(("vendor", "device", "class"), ids):
            (folder / name).write_text(text + "\n")
    ports = ["0000:00:" + slot for slot, ids in slots.items() if ids == PORT]
    assert [named(tmp_path, address) for address in ports] == ["ptnet0", "ptnet1", "ptnet2"]
