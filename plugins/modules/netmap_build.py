#!/usr/bin/python
# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds netmap and installs it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: netmap_build
short_description: Build netmap for a kernel and install it
version_added: 0.1.0
description:
  - Builds netmap's kernel modules, applications, library and headers into a build archive, and
    installs such an archive.
  - A build has an identity made from the source, the options, the kernel release, the architecture and the compiler.
    A build whose identity is already there is not made again.
  - Installed files are symbolic links into the store, each replaced by rename. The earlier build is kept for going
    back.
  - Nothing is loaded or unloaded.
  - Works on Linux. FreeBSD has netmap in its base system.
author:
  - netmap.ptnet contributors (@netmap-ptnet)
extends_documentation_fragment:
  - netmap.ptnet.attributes
  - netmap.ptnet.build
options:
  source:
    description:
      - A git address, a directory, or a C(.tar) archive, compressed or not.
      - A user or token in a web address (C(https://TOKEN@example.org/netmap.git)) is told to git alone. It stands in no
        argument vector, result or log, and in no file but that of O(kernel_hook=build), which only root reads.
      - A directory counts with its local changes; of a git work tree, ignored files are left out.
    type: str
    default: https://github.com/luigirizzo/netmap.git
  commit:
    description:
      - The commit to build, when O(source) is a git address.
      - A full commit id needs no network once it is in the store; a tag or a branch is looked up on every run.
    type: str
    default: 89607e1406c1fa5ac2106bd2ff33417f090c0d60
  kernel_release:
    description:
      - The kernel to build for, as C(uname -r) prints it. Default is the running kernel.
    type: str
  kernel_dir:
    description:
      - The configured headers of that kernel. Default is C(/lib/modules/<kernel_release>/build),
        else C(/usr/src/linux-headers-<kernel_release>).
    type: path
  kernel_sources:
    description:
      - The full sources of that kernel, which some O(drivers) need.
    type: path
  drivers:
    description:
      - NIC drivers to build with native netmap support, named as in netmap's C(configure --show-drivers).
      - A driver that cannot be built fails the task.
    type: list
    elements: str
    default: []
  driver_archives:
    description:
      - The vendors' archives of those O(drivers) that netmap takes from vendors (C(configure --show-ext-drivers)).
      - netmap's build would download them by itself, without a checksum. Here it downloads nothing. A driver without an
        archive is built from O(kernel_sources), and refused without these.
    type: list
    elements: dict
    default: []
    version_added: 0.2.0
    suboptions:
      driver:
        description: The driver, one of O(drivers).
        type: str
        required: true
      archive:
        description: The file on the machine that builds, with the name that its vendor gave it, such as C(v5.15.2.zip).
        type: path
        required: true
      checksum:
        description: What it must be, C(sha256:) and 64 hexadecimal digits.
        type: str
        required: true
  subsystems:
    description:
      - The parts of netmap to enable. All others are disabled.
    type: list
    elements: str
    choices: [vale, pipe, monitor, generic, ptnetmap, sink, extmem, 'null']
    default: [vale, pipe, monitor, generic, ptnetmap, 'null']
  apps:
    description:
      - Applications to build, named as in netmap's C(configure --show-apps).
      - The application C(bridge) is left out by default. It has the name of a command of iproute2 and may come before
        it in the search path.
    type: list
    elements: str
    default: [lb, pkt-gen, vale-ctl]
  prefix:
    description:
      - Where applications and headers are installed.
    type: path
    default: /usr/local
  sign_key:
    description:
      - The private key to sign the modules with, for kernels that take signed modules only (Secure Boot, lockdown).
        A file in PEM format on the machine that builds; it is not copied anywhere.
      - The headers' C(scripts/sign-file) signs. Needs O(sign_certificate).
    type: path
  sign_certificate:
    description:
      - The certificate of O(sign_key). Enrol it on each host with C(mokutil --import), and reboot.
    type: path
  kernel_hook:
    description:
      - What this machine does when its package manager installs another kernel, by scripts in
        C(/etc/kernel/postinst.d), as Debian and its relatives run them. Such a script never fails the installation.
      - V(warn) says on the terminal and in the system log that the new kernel has no netmap, and what to run.
      - V(build) builds and installs netmap for it with the options of this task, by the same code, from the source in
        O(store); and warns if that fails, for example without the headers of that kernel. It needs the programs of a
        build on this machine.
      - V(none) removes the scripts. So does O(state=absent) when no build is left.
      - When left out, the scripts stay as they are.
    type: str
    choices: [warn, build, 'none']
"""

EXAMPLES = r"""
- name: Install netmap for the running kernel
  netmap.ptnet.netmap_build:

- name: Build for the kernel that the next boot will run
  netmap.ptnet.netmap_build:
    state: built
    kernel_release: 6.1.0-56-cloud-amd64
  register: build

- name: Install a build that was made elsewhere
  netmap.ptnet.netmap_build:
    identity: "{{ build.identity }}"
    archive: /var/tmp/netmap.tar.gz

- name: Build with a native driver and modules that Secure Boot accepts
  netmap.ptnet.netmap_build:
    state: built
    drivers: [ixgbe]
    driver_archives:
      - driver: ixgbe
        archive: /srv/vendors/v5.15.2.zip
        checksum: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    kernel_sources: /usr/src/linux-6.1
    sign_key: /root/mok/MOK.priv
    sign_certificate: /root/mok/MOK.der

- name: Install netmap, and build it again by itself for every kernel that this host gets
  netmap.ptnet.netmap_build:
    kernel_hook: build

- name: Build a fork of netmap, with everything chosen
  netmap.ptnet.netmap_build:
    state: built
    source: https://git.example.org/netmap.git
    commit: v1.2
    kernel_release: 6.1.0-56-amd64
    kernel_dir: /usr/src/linux-headers-6.1.0-56-amd64
    subsystems: [vale, pipe, monitor, generic, ptnetmap, sink, 'null']
    apps: [pkt-gen]
    prefix: /opt/netmap
    store: /srv/builds
    jobs: 4

- name: Remove it
  netmap.ptnet.netmap_build:
    state: absent
"""

RETURN = r"""
identity:
  description: The identity of the build; with O(state=absent) that of the build that was installed, if any.
  returned: success
  type: str
  sample: 0f3a5b6c7d8e9f001122
archive:
  description: The build archive, if there is one on this machine; in check mode where it would be.
  returned: success
  type: str
  sample: /var/lib/netmap-ptnet/archive/netmap-0f3a5b6c7d8e9f001122.tar.gz
commit:
  description: The commit that was built; none for a directory or an archive.
  returned: success
  type: str
  sample: 89607e1406c1fa5ac2106bd2ff33417f090c0d60
kernel_release:
  description: The kernel that the build is for.
  returned: success
  type: str
  sample: 6.1.0-56-cloud-amd64
native_drivers:
  description: Drivers in the build that support netmap natively.
  returned: success
  type: list
  elements: str
  sample: [ixgbe]
files:
  description: Places of the build's files; empty in check mode when they are not known yet.
  returned: success
  type: list
  elements: str
  sample: [/lib/modules/6.1.0-56-cloud-amd64/updates/netmap-ptnet/netmap.ko, /usr/local/bin/pkt-gen]
seconds:
  description: How long the build took; 0 when none ran.
  returned: success
  type: int
  sample: 37
log:
  description: The log of the build, if it was made on this machine.
  returned: success and failure of a build
  type: str
  sample: /var/lib/netmap-ptnet/log/netmap-0f3a5b6c7d8e9f001122.log
log_tail:
  description: The last lines of the log.
  returned: failure of a build
  type: list
  elements: str
  sample: ["make: *** [netmap.ko] Error 2"]
config_log_tail:
  description: The last lines of netmap's C(config.log).
  returned: failure of a build
  type: list
  elements: str
  sample: ["make: *** [test__1] Error 2"]
kernel_hook:
  description: What happens when another kernel is installed, V(warn), V(build) or nothing.
  returned: success, unless O(state=built)
  type: str
  sample: warn
msg:
  description:
    - Before anything changes. A source that cannot be reached or lacks the commit, headers or programs that are
      missing, headers of another kernel, an unknown driver or application, half a pair of key and certificate, another
      user of the store.
    - A build that failed, with the last lines of its logs (C(log_tail), C(config_log_tail)), or that lacks a driver.
    - A file in the way that others installed, an archive that is damaged or for another kernel.
  returned: failure
  type: str
  sample: >-
    the headers of kernel 6.1.0-56-amd64 are not here; found: no /lib/modules/6.1.0-56-amd64/build, no
    /usr/src/linux-headers-6.1.0-56-amd64. To do: install the package linux-headers-6.1.0-56-amd64 (Debian, Ubuntu) or
    kernel-devel (Fedora), or give kernel_dir.
installed:
  description: Whether this build is installed now.
  returned: success
  type: bool
  sample: true
previous:
  description: The identity of the build installed before, which is kept for going back.
  returned: success
  type: str
  sample: 99aabbccddeeff001122
"""

from ansible_collections.netmap.ptnet.plugins.module_utils.build import engine
from ansible_collections.netmap.ptnet.plugins.module_utils.build.hook import act
from ansible_collections.netmap.ptnet.plugins.module_utils.build.netmap import SUBSYSTEMS
from ansible_collections.netmap.ptnet.plugins.module_utils.face import serve

ARGUMENT_SPEC = {
    **engine.OPTIONS,
    "source": {"type": "str", "default": "https://github.com/luigirizzo/netmap.git"},
    "commit": {"type": "str", "default": "89607e1406c1fa5ac2106bd2ff33417f090c0d60"},
    "kernel_release": {"type": "str"},
    "kernel_dir": {"type": "path"},
    "kernel_sources": {"type": "path"},
    "drivers": {"type": "list", "elements": "str", "default": []},
    "driver_archives": {"type": "list", "elements": "dict", "default": [], "options": {
        "driver": {"type": "str", "required": True},
        "archive": {"type": "path", "required": True},
        "checksum": {"type": "str", "required": True},
    }},
    "subsystems": {"type": "list", "elements": "str", "choices": list(SUBSYSTEMS),
                   "default": ["vale", "pipe", "monitor", "generic", "ptnetmap", "null"]},
    "apps": {"type": "list", "elements": "str", "default": ["lb", "pkt-gen", "vale-ctl"]},
    "prefix": {"type": "path", "default": "/usr/local"},
    "sign_key": {"type": "path", "no_log": False},
    "sign_certificate": {"type": "path"},
    "kernel_hook": {"type": "str", "choices": ["warn", "build", "none"]},
}


def main():
    serve(act, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
