#!/usr/bin/python
# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of an action; it runs on the controller (plugins/action)."""

from __future__ import annotations

DOCUMENTATION = r"""
module: build_archive_fetch
short_description: Bring a build archive to the controller, once
version_added: 0.2.0
description:
  - Brings an archive that M(netmap.ptnet.netmap_build) or M(netmap.ptnet.qemu_build) made to the controller, from where
    C(ansible.builtin.copy) takes it to the machines that install it.
  - Any number of hosts and of runs may ask for one archive at the same time. It is fetched once, to another name than
    its own, and compared with the original before it gets its name.
  - Role P(netmap.ptnet.build_archive#role) does both steps.
author:
  - netmap.ptnet contributors (@netmap-ptnet)
attributes:
  action:
    description: Runs on the controller as an action plugin.
    support: full
  check_mode:
    description: Can run in C(check_mode) and predict what the real run would change.
    support: full
    details:
      - Fetches nothing then. Where the archive is not on the controller RV(path) is the empty device.
  diff_mode:
    description: Returns what it changed, or would change, in diff mode.
    support: N/A
  idempotent:
    description: A second run with the same options reports C(changed=false).
    support: full
    details:
      - The first one does so too, because the controller is not the host whose state is reported.
options:
  src:
    description:
      - The archive on the machine that built it, to which the task is delegated.
    type: path
    required: true
  cache:
    description:
      - Folder on the controller. Each archive has a folder of its own in it, named by its checksum.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Bring the build to the controller
  netmap.ptnet.build_archive_fetch:
    src: "{{ netmap_built.archive }}"
    cache: ~/.cache/netmap-ptnet/shipped
  delegate_to: build1
  register: fetched

- name: Bring the build to the machine
  ansible.builtin.copy:
    src: "{{ fetched.path }}"
    dest: /var/lib/netmap-ptnet/shipped/
    mode: "0644"
"""

RETURN = r"""
path:
  description: The archive on the controller.
  returned: success
  type: str
  sample: ~/.cache/netmap-ptnet/shipped/70352f41061eacafe5e0dd06ab86b42e2a1c3ba8/netmap-0f3a5b6c7d8e9f001122.tar.gz
msg:
  description:
    - What went wrong, what was found, and what to do. The errors are
    - The archive is not on the machine that the task is delegated to.
    - It cannot be read, or did not arrive whole.
  returned: failure
  type: str
  sample: >-
    the build archive is not there; found: no /var/lib/netmap-ptnet/archive/netmap-0f3a5b6c7d8e9f001122.tar.gz. To do:
    build it on that machine, or see that the same machine is named for the build.
"""
