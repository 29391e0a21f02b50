#!/usr/bin/python
# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_machine
version_added: 0.1.0
short_description: Start or remove an emulated machine of the lab
description:
  - Starts a machine with the distribution's QEMU, emulating an AMD CPU that nests (SVM, nested paging), and waits until
    it answers by SSH on the controller's loopback and offers C(/dev/kvm).
  - The first machine of an image is booted and kept as a snapshot; later ones wake from it in about two seconds.
  - A machine that hangs is found by O(timeout), started once more from cold, and RV(failed_attempts) says so.
author: netmap.ptnet contributors (@netmap-ptnet)
extends_documentation_fragment: [netmap.ptnet.attributes]
requirements: [qemu-system-x86, qemu-utils, an SSH client]
options:
  state:
    description:
      - V(running) starts it where it does not answer; V(absent) ends it and removes its overlay.
      - With V(absent) and no O(name) that is every machine of O(lab), and without O(lab) too, every one of O(cache).
    type: str
    choices: [running, absent]
    default: running
  name:
    description: Host name of the machine in its lab, of lower-case letters, digits, C(-) and dots.
    type: str
  lab:
    description:
      - Name of the lab that it belongs to, of lower-case letters, digits and C(-).
      - Machines are told apart by O(cache), lab and O(name); those of another cache or lab are never touched.
    type: str
    version_added: 0.2.0
  cache:
    description: Folder that keeps everything expensive; the machines are below C(machines).
    type: path
    required: true
  disk:
    description: The golden image, never written to.
    type: path
  kernel:
    description: Kernel of the image.
    type: path
  initrd:
    description: RAM disk of the image.
    type: path
  guest_disk:
    description: A further read-only disk (C(/dev/vdb)) that the machine's own guests can have as backing file.
    type: path
  emulator:
    description:
      - The QEMU that the machine runs on.
      - On QEMU 7.2 two guests that run at once reset the machine within minutes; on 11.1.3 they do not.
    type: str
    default: qemu-system-x86_64
    version_added: 0.2.0
  links:
    description:
      - Pairs of O(name)s of machines that a cable joins. Each pair with this machine in it is a further NIC of it,
        C(eth1) and so on in the order of the list.
      - A machine may be started, ended and started again before the other one.
    type: list
    elements: list
    default: []
    version_added: 0.2.0
  memory:
    description: Memory in MiB.
    type: int
    default: 2048
  cpus:
    description: Number of CPUs.
    type: int
    default: 2
  accelerator:
    description: V(auto) takes KVM only when the image's kernel really boots with it and sees a CPU that can nest.
    type: str
    choices: [auto, kvm, tcg]
    default: auto
  ssh_key:
    description: Private key that the image accepts for root.
    type: path
  snapshot:
    description: Whether to wake from a snapshot, and to make it where there is none.
    type: bool
    default: true
  timeout:
    description: Seconds that one start may take.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Start a machine
  netmap.ptnet.lab_machine:
    name: hv1
    lab: lab
    cache: "{{ lab_cache }}"
    disk: "{{ image.disk }}"
    kernel: "{{ image.kernel }}"
    initrd: "{{ image.initrd }}"
    ssh_key: "{{ lab_cache }}/ssh/id_ed25519"

- name: Remove every machine that the lab made
  netmap.ptnet.lab_machine:
    state: absent
    lab: lab
    cache: "{{ lab_cache }}"

- name: Start a larger machine, booted from cold, with a disk for the guests in it
  netmap.ptnet.lab_machine:
    name: hv1.example.org
    lab: test
    cache: "{{ lab_cache }}"
    disk: "{{ image.disk }}"
    guest_disk: "{{ image.disk }}"
    kernel: "{{ image.kernel }}"
    initrd: "{{ image.initrd }}"
    ssh_key: "{{ lab_cache }}/ssh/id_ed25519"
    memory: 4096
    cpus: 4
    accelerator: tcg
    snapshot: false
    timeout: 300

- name: Start two machines whose second NICs a cable joins
  netmap.ptnet.lab_machine:
    name: "{{ item }}"
    lab: lab
    cache: "{{ lab_cache }}"
    disk: "{{ image.disk }}"
    kernel: "{{ image.kernel }}"
    initrd: "{{ image.initrd }}"
    ssh_key: "{{ lab_cache }}/ssh/id_ed25519"
    emulator: "{{ image.emulator }}"
    links: [[hv1, hv2]]
  loop: [hv1, hv2]
"""

RETURN = r"""
name:
  description: The machine's name.
  returned: when running
  type: str
  sample: hv1
port:
  description: TCP port on the controller's loopback that leads to its SSH.
  returned: when running
  type: int
  sample: 40123
accelerator:
  description: What runs it, V(kvm) or V(tcg).
  returned: when running
  type: str
  sample: tcg
from_snapshot:
  description: Whether it woke from a snapshot instead of booting.
  returned: when running
  type: bool
  sample: true
seconds:
  description: How long its start took.
  returned: when running
  type: float
  sample: 2.1
folder:
  description: Where its overlay and control socket are.
  returned: when running
  type: str
  sample: /home/me/.cache/netmap-ptnet/machines/lab/hv1
console:
  description: File with its serial console.
  returned: when running
  type: str
  sample: /home/me/.cache/netmap-ptnet/machines/lab/hv1/console.log
failed_attempts:
  description: Why earlier starts in this run failed; empty normally.
  returned: when running
  type: list
  elements: str
  sample: []
msg:
  description:
    - A name that cannot be one, a cache whose path is too long for sockets in it.
    - QEMU that is missing or ended, or a machine that did not answer in time, with the last lines of its console
      (C(log_tail)) and why earlier starts failed (C(failed_attempts)).
  returned: failure
  type: str
  sample: >-
    the name of a lab machine is not usable; found: 'HV 1'; expected: a host name of lower-case letters, digits, - and
    dots, at most 64 characters.
"""

from ansible_collections.netmap.ptnet.plugins.module_utils.face import serve
from ansible_collections.netmap.ptnet.plugins.module_utils.lab.machine import act

ARGUMENT_SPEC = {
    "state": {"type": "str", "choices": ["running", "absent"], "default": "running"},
    "name": {"type": "str"},
    "lab": {"type": "str"},
    "cache": {"type": "path", "required": True},
    "disk": {"type": "path"},
    "kernel": {"type": "path"},
    "initrd": {"type": "path"},
    "guest_disk": {"type": "path"},
    "emulator": {"type": "str", "default": "qemu-system-x86_64"},
    "links": {"type": "list", "elements": "list", "default": []},
    "memory": {"type": "int", "default": 2048},
    "cpus": {"type": "int", "default": 2},
    "accelerator": {"type": "str", "choices": ["auto", "kvm", "tcg"], "default": "auto"},
    "ssh_key": {"type": "path", "no_log": False},
    "snapshot": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 120},
}


def main():
    serve(act, ARGUMENT_SPEC, required_by={"name": "lab"},
          required_if=[("state", "running", ("name", "lab", "disk", "kernel", "initrd", "ssh_key"))])


if __name__ == "__main__":
    main()
