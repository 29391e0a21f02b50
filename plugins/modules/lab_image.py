#!/usr/bin/python
# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_image
version_added: 0.1.0
short_description: Make the golden disk image or the build root of the emulated lab
description:
  - Makes a disk image that emulated machines boot from, or a build root with compiler and headers that fits it,
    with C(mmdebstrap), and keeps it by the identity of everything that shapes it.
  - Runs on the controller. Root's rights are used where there are any, otherwise user namespaces.
author: netmap.ptnet contributors (@netmap-ptnet)
extends_documentation_fragment: [netmap.ptnet.attributes]
requirements: [mmdebstrap, e2fsprogs, fakeroot (without root's rights), bubblewrap (to use the build root)]
options:
  kind:
    description: A V(disk) with its kernel and RAM disk, or a V(build_root) folder.
    type: str
    choices: [disk, build_root]
    required: true
  cache:
    description: Folder that keeps everything expensive; the result is below C(images).
    type: path
    required: true
  suite:
    description: Name of the Debian release.
    type: str
    default: trixie
  mirror:
    description: Address of the Debian mirror; without it C(mmdebstrap) takes its own default.
    type: str
  packages:
    description:
      - Distribution packages to install.
      - V(NAME/SUITE) takes one from another suite of the same mirror, such as C(passt/trixie-backports). What it needs
        from there has to be named too, where the version in O(suite) is not enough.
    type: list
    elements: str
    required: true
  kernel_release:
    description: For a V(build_root), the kernel that the modules built in it are for; its headers are installed.
    type: str
  recipe:
    description: For a V(disk), folder with C(customize), C(init) and C(overlay).
    type: path
  mask:
    description: For a V(disk), systemd units that are masked.
    type: list
    elements: str
    default: []
  initrd_modules:
    description: For a V(disk), kernel modules that the RAM disk loads, with what they depend on.
    type: list
    elements: str
    default: []
  authorized_key:
    description: For a V(disk), the public SSH key (one line) that root is reached with.
    type: str
  size:
    description: For a V(disk), its size as C(truncate) takes it; the file is sparse.
    type: str
    default: 2G
"""

EXAMPLES = r"""
- name: Make the golden image
  netmap.ptnet.lab_image:
    kind: disk
    cache: "{{ lab_cache }}"
    packages: [linux-image-cloud-amd64, openssh-server, python3, systemd-sysv, udev]
    recipe: "{{ role_path }}/files/image"
    authorized_key: "{{ lookup('ansible.builtin.file', lab_cache ~ '/ssh/id_ed25519.pub') }}"
  register: image

- name: Make the build root for its kernel
  netmap.ptnet.lab_image:
    kind: build_root
    cache: "{{ lab_cache }}"
    packages: [gcc, make]
    kernel_release: "{{ image.kernel_release }}"

- name: Make a larger image of another suite from a mirror nearby
  netmap.ptnet.lab_image:
    kind: disk
    cache: "{{ lab_cache }}"
    suite: bookworm
    mirror: http://deb.example.org/debian
    packages: [linux-image-cloud-amd64, openssh-server, passt/bookworm-backports, python3, systemd-sysv, udev]
    recipe: "{{ role_path }}/files/image"
    mask: [apt-daily.timer, "getty@tty1.service"]
    initrd_modules: [virtio_pci, virtio_blk, virtio_net]
    authorized_key: "{{ lookup('ansible.builtin.file', lab_cache ~ '/ssh/id_ed25519.pub') }}"
    size: 4G
"""

RETURN = r"""
identity:
  description: Kind and digest of everything that shapes it.
  returned: always
  type: str
  sample: disk-bc506d77f2d77846
path:
  description: Folder of the result.
  returned: always
  type: str
  sample: /home/me/.cache/netmap-ptnet/images/disk-bc506d77f2d77846
disk:
  description: The raw disk, an ext4 file system without a partition table.
  returned: for a disk
  type: str
  sample: /home/me/.cache/netmap-ptnet/images/disk-bc506d77f2d77846/disk.raw
kernel:
  description: The kernel to boot it with.
  returned: for a disk
  type: str
  sample: /home/me/.cache/netmap-ptnet/images/disk-bc506d77f2d77846/vmlinuz
initrd:
  description: The RAM disk to boot it with.
  returned: for a disk
  type: str
  sample: /home/me/.cache/netmap-ptnet/images/disk-bc506d77f2d77846/initrd.img
kernel_release:
  description: The kernel's release, empty while the image is only predicted.
  returned: for a disk
  type: str
  sample: 6.12.118+deb13-cloud-amd64
emulator:
  description:
    - A program that is the image's own QEMU, run with its own libraries on the controller.
    - Empty where the image has no C(qemu-system-x86_64), and while the image is only predicted.
  returned: for a disk
  type: str
  sample: /home/me/.cache/netmap-ptnet/images/disk-bc506d77f2d77846/emulator
interpreter:
  description: For C(ansible_python_interpreter) of a host with C(connection=local) that runs modules in the build root.
  returned: for a build root
  type: str
  sample: /home/me/.cache/netmap-ptnet/images/build_root-0f5c8de9aa1e8d74/python3
msg:
  description:
    - A program that is missing on the controller, with the package that has it.
    - A program that failed, with the last lines of its output (C(log_tail)).
  returned: failure
  type: str
  sample: >-
    mmdebstrap cannot be started; found: No such file or directory. To do: install the package that has mmdebstrap.
"""

from ansible_collections.netmap.ptnet.plugins.module_utils.face import serve
from ansible_collections.netmap.ptnet.plugins.module_utils.lab.image import act

ARGUMENT_SPEC = {
    "kind": {"type": "str", "choices": ["disk", "build_root"], "required": True},
    "cache": {"type": "path", "required": True},
    "suite": {"type": "str", "default": "trixie"},
    "mirror": {"type": "str"},
    "packages": {"type": "list", "elements": "str", "required": True},
    "kernel_release": {"type": "str"},
    "recipe": {"type": "path"},
    "mask": {"type": "list", "elements": "str", "default": []},
    "initrd_modules": {"type": "list", "elements": "str", "default": []},
    "authorized_key": {"type": "str", "no_log": False},
    "size": {"type": "str", "default": "2G"},
}


def main():
    serve(act, ARGUMENT_SPEC, required_if=[
        ("kind", "disk", ("recipe", "authorized_key")), ("kind", "build_root", ("kernel_release",))])


if __name__ == "__main__":
    main()
