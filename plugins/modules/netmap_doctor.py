#!/usr/bin/python
# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: known failures of netmap and ptnet on a machine."""

from __future__ import annotations

DOCUMENTATION = r"""
module: netmap_doctor
short_description: Look for known failures of netmap and ptnet
version_added: 0.1.0
description:
  - Judges what M(netmap.ptnet.netmap_info) reads, the services of VMs and of the processes that serve their ports, and
    the kernel log, by a table of failures that people really had.
  - Each finding says what one notices, why, what was seen, and what to do with this collection.
  - Works on hosts and in guests, with netmap installed or not, and changes nothing.
options:
  store:
    description: The folder of this collection on the machine.
    type: path
    default: /var/lib/netmap-ptnet
  gather_log:
    description:
      - Whether to read the kernel log. Only what the kernel itself wrote since netmap was loaded counts.
    type: bool
    default: true
  kernel_log_lines:
    description: How many of the newest lines of the kernel log to read, 1 to 100000.
    type: int
    default: 5000
  ignore:
    description: The C(id) of findings that are known and accepted.
    type: list
    elements: str
    default: []
notes:
  - The part for FreeBSD was not tried on a real FreeBSD.
seealso:
  - module: netmap.ptnet.netmap_info
extends_documentation_fragment: [netmap.ptnet.attributes.info]
author: netmap.ptnet contributors (@netmap-ptnet)
"""

EXAMPLES = r"""
- name: Look for what is wrong
  netmap.ptnet.netmap_doctor:
  register: doctor

- name: Stop when something does not work
  ansible.builtin.assert:
    that: doctor.counts.error == 0
    fail_msg: "{{ doctor.findings | netmap.ptnet.findings_table }}"

- name: Look at a host whose NICs are known to have no native driver, without its kernel log
  netmap.ptnet.netmap_doctor:
    ignore: [emulated_adapter]
    gather_log: false

- name: Look far back into the kernel log of a host with a store of its own
  netmap.ptnet.netmap_doctor:
    store: /srv/netmap
    kernel_log_lines: 50000
"""

RETURN = r"""
findings:
  description:
    - What was found, errors first. C(severity) is C(error) (does not work), C(warning) (works badly, or not after the
      next boot) or C(note). C(evidence) is a list of at most six lines.
  returned: always
  type: list
  elements: dict
  sample:
    - id: not_at_boot
      severity: warning
      symptom: netmap is gone after a reboot
      cause: it was loaded by hand
      evidence: ["loaded now, not named in the boot files of this collection"]
      fix: "declare it: netmap_module with persistent=true (role netmap.ptnet.netmap)"
counts:
  description: How many findings there are of each severity.
  returned: always
  type: dict
  sample: {"error": 0, "warning": 1, "note": 0}
healthy:
  description: Whether there is neither an error nor a warning.
  returned: always
  type: bool
  sample: false
hostname:
  description: The name of the machine.
  returned: always
  type: str
  sample: hv1
kernel_release:
  description: The release of the running kernel.
  returned: always
  type: str
  sample: 6.1.0-56-amd64
msg:
  description:
    - An unknown C(id) in O(ignore), or O(kernel_log_lines) out of range.
    - The operating system is neither Linux nor FreeBSD.
  returned: failure
  type: str
  sample: "kernel_log_lines is refused; found: 0; expected: 1 to 100000."
"""

from ansible_collections.netmap.ptnet.plugins.module_utils.diagnosis.doctor import act
from ansible_collections.netmap.ptnet.plugins.module_utils.face import serve
from ansible_collections.netmap.ptnet.plugins.module_utils.places import STORE

ARGUMENT_SPEC = {
    "store": {"type": "path", "default": STORE},
    "gather_log": {"type": "bool", "default": True},
    "kernel_log_lines": {"type": "int", "default": 5000},
    "ignore": {"type": "list", "elements": "str", "default": []},
}


def main():
    serve(act, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
