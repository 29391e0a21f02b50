#!/usr/bin/python
# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: qemu_package
short_description: The distribution's QEMU for ptnet ports, and what goes with it
version_added: 0.2.0
author: netmap.ptnet contributors (@netmap-ptnet)
description:
  - Says which QEMU the virtual machines of a host run on, as M(netmap.ptnet.ptnet_vm) would choose, and installs the
    distribution's where it serves and is not there.
  - Installs C(qemu-img) and C(passt) as well where they are missing.
  - What is installed is left alone; no list of packages is fetched for it.
  - Installing is done with apt. Elsewhere, what is missing is named.
extends_documentation_fragment: [netmap.ptnet.attributes]
options:
  state:
    description: V(absent) removes the source of packages that this module added. Packages stay, others may use them.
    type: str
    choices: [present, absent]
    default: present
  hypervisor:
    description:
      - V(distribution) wants QEMU 10.1 or newer with C(vfio-user-pci) from the distribution's packages. Debian 13 has
        it in its backports, which are added to the sources of packages when they are needed.
      - V(fork) wants what machines on the ptnet QEMU need besides it.
      - V(auto) says that the ptnet QEMU has to be built, as long as the distribution's carries less than 0.8 of its
        rate from a switch to a guest.
    type: str
    choices: [auto, distribution, fork]
    default: auto
  passt:
    description: Whether C(passt), the management network of machines, is installed.
    type: bool
    default: true
  uefi:
    description: Whether the UEFI firmware for machines is installed.
    type: bool
    default: false
  mirror:
    description: Where Debian's backports come from, when they are added.
    type: str
    default: http://deb.debian.org/debian
seealso:
  - module: netmap.ptnet.qemu_build
  - module: netmap.ptnet.ptnet_vm
"""

EXAMPLES = r"""
- name: Have the QEMU that serves here, and UEFI for its machines
  netmap.ptnet.qemu_package:
    hypervisor: auto
    passt: true
    uefi: true
    mirror: http://deb.debian.org/debian
  register: qemu_packages

- name: Remove the source of packages again
  netmap.ptnet.qemu_package:
    state: absent
"""

RETURN = r"""
hypervisor:
  description: The QEMU that machines run on, V(distribution) or V(fork). Null with O(state=absent).
  returned: success
  type: str
  sample: distribution
hypervisor_reason:
  description: Why that one. Null with O(state=absent).
  returned: success
  type: str
  sample: trixie-backports has a current QEMU
packages:
  description: The packages that were installed, or would be.
  returned: success
  type: list
  elements: str
  sample: [qemu-system-x86, qemu-utils, passt]
msg:
  description:
    - The distribution's QEMU was asked for and is neither installed nor to be had, with what was found.
    - Programs are missing where there is no apt, or apt failed (C(log_tail)).
  returned: failure
  type: str
  sample: >-
    the distribution's QEMU cannot serve ptnet ports here; found: /usr/bin/qemu-system-x86_64 is QEMU 7.2.22, and ports
    over vfio-user came with 10.1; no /usr/libexec/qemu-kvm. To do: set hypervisor: fork.
"""

from ansible_collections.netmap.ptnet.plugins.module_utils.face import serve
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu.packages import act

ARGUMENT_SPEC = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "hypervisor": {"type": "str", "choices": ["auto", "distribution", "fork"], "default": "auto"},
    "passt": {"type": "bool", "default": True},
    "uefi": {"type": "bool", "default": False},
    "mirror": {"type": "str", "default": "http://deb.debian.org/debian"},
}


def main():
    serve(act, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
