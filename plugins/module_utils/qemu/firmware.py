# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""UEFI for VMs: the distribution's OVMF, and a copy of its variables for each VM. Private to netmap.ptnet."""

from __future__ import annotations

import os

from .. import files
from ..errors import PtnetError

# Code and variables, by distribution.
PLACES = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),  # Debian, Ubuntu
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),  # Fedora, RHEL
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),  # Arch
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),  # openSUSE
)


def locate(vm):
    """Say where the code and the empty variables of this host are, in ``vm["firmware"]``; Debian's when there are none.

    :param vm: as :func:`definition.define` returns it (dict)
    """
    if vm["firmware"]:
        there = [place for place in PLACES if all(map(os.path.exists, place))]
        code, template = (there or PLACES)[0]
        vm["firmware"].update(code=code, template=template)


def missing(vm):
    """The copy of the variables that has to be made (list of paths, of one or none)."""
    wanted = [vm["firmware"]["variables"]] if vm["firmware"] else []
    return [path for path in wanted if not os.path.exists(path)]


def create(vm):
    """Make the missing copy."""
    for path in missing(vm):
        with open(vm["firmware"]["template"], "rb") as stream:
            files.replace(path, stream.read(), 0o600)


def refuse_absent(vm):
    """Refuse to go on without the firmware.

    :raises PtnetError: it is not installed
    """
    if vm["firmware"] and not os.path.exists(vm["firmware"]["code"]):
        raise PtnetError("the UEFI firmware of VM %s is not there" % vm["name"],
                         found="none of %s" % ", ".join(code for code, _variables in PLACES),
                         remedy="install it (Debian: ovmf; Fedora: edk2-ovmf), or set firmware: bios")
