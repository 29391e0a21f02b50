#!/usr/bin/python
# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the QEMU that has the ptnet device and installs it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: qemu_build
short_description: Build the QEMU with netmap passthrough and install it
version_added: 0.1.0
description:
  - Builds the QEMU fork that has the C(ptnet-pci) device into a build archive, and installs such an archive.
  - A build has an identity made from the source, the options, netmap's headers, the architecture and the compiler.
    A build whose identity is already there is not made again.
  - Installed files are symbolic links into the store, each replaced by rename. The earlier build is kept for going
    back.
  - Running virtual machines keep the binary they were started with.
author:
  - netmap.ptnet contributors (@netmap-ptnet)
extends_documentation_fragment:
  - netmap.ptnet.attributes
  - netmap.ptnet.build
options:
  source:
    description:
      - A git address, a directory, or a C(.tar) archive, compressed or not.
      - A user or token in a web address is told to git alone, and stands in no argument vector, result or log.
      - A directory counts with its local changes; of a git work tree, ignored files are left out.
    type: str
    default: https://github.com/netmap-unipi/qemu
  commit:
    description:
      - The commit to build, when O(source) is a git address.
      - A full commit id needs no network once it is in the store; a tag or a branch is looked up on every run.
    type: str
    default: 292a8b6145726f8d4de0b18340fb4866ea4e49ff
  netmap:
    description:
      - Where netmap's headers are. A directory that has C(net/netmap.h), the top of netmap's source, or a build archive
        of M(netmap.ptnet.netmap_build).
      - Default is the netmap that M(netmap.ptnet.netmap_build) installed, else the include directories below O(prefix),
        C(/usr/local) and C(/usr).
    type: path
  configure_options:
    description:
      - Further options for QEMU's configure. One that this QEMU does not know is refused.
      - C(--enable-ptnetmap) of older instructions is left out with a warning.
    type: list
    elements: str
    default: []
  targets:
    description:
      - The emulators to build.
    type: list
    elements: str
    default: [x86_64-softmmu]
  prefix:
    description:
      - Where it is installed. The default keeps it apart from the distribution's QEMU, which stays the one in the
        search path.
    type: path
    default: /opt/ptnet-qemu
  submodule_rewrites:
    description:
      - Beginnings of submodule addresses, and what stands in their place. The recorded ones name a server that is gone.
    type: dict
    default:
      https://git.qemu.org/git/: https://github.com/qemu/
"""

EXAMPLES = r"""
- name: Install the ptnet QEMU
  netmap.ptnet.qemu_build:

- name: Build it with vhost-net against netmap's build archive
  netmap.ptnet.qemu_build:
    state: built
    netmap: /var/tmp/netmap.tar.gz
    configure_options: [--enable-vhost-net]
  register: build

- name: Install a build that was made elsewhere
  netmap.ptnet.qemu_build:
    identity: "{{ build.identity }}"
    archive: /var/tmp/qemu.tar.gz

- name: Remove it
  netmap.ptnet.qemu_build:
    state: absent

- name: Build the fork from an older address into another place, with submodules from a mirror
  netmap.ptnet.qemu_build:
    source: https://github.com/vmaffione/qemu
    commit: 292a8b6145726f8d4de0b18340fb4866ea4e49ff
    targets: [x86_64-softmmu]
    prefix: /opt/qemu-vmaffione
    submodule_rewrites:
      https://git.qemu.org/git/: https://gitlab.com/qemu-project/
    jobs: 4
    store: /srv/builds
"""

RETURN = r"""
identity:
  description:
    - The identity of the build; with O(state=absent) that of the build that was installed, if any.
    - The word C(unforeseen) in check mode, where netmap's headers are not there yet.
  returned: success
  type: str
  sample: 0f3a5b6c7d8e9f001122
archive:
  description: The build archive, if there is one on this machine; in check mode where it would be.
  returned: success
  type: str
  sample: /var/lib/netmap-ptnet/archive/qemu-0f3a5b6c7d8e9f001122.tar.gz
commit:
  description: The commit that was built; none for a directory or an archive.
  returned: success
  type: str
  sample: 292a8b6145726f8d4de0b18340fb4866ea4e49ff
binary:
  description: The emulator of the first of O(targets); none in check mode when it is not built yet.
  returned: success
  type: str
  sample: /opt/ptnet-qemu/bin/qemu-system-x86_64
version:
  description: The version that the emulator reports.
  returned: success
  type: str
  sample: 3.0.94
features:
  description: What the emulator was found to have when it was built.
  returned: success
  type: dict
  contains:
    netmap:
      description: Whether C(-netdev netmap) exists.
      type: bool
    ptnet:
      description: Whether C(-device ptnet-pci) exists.
      type: bool
  sample: {netmap: true, ptnet: true}
ignored_options:
  description: Those of O(configure_options) that are obsolete and were left out.
  returned: success
  type: list
  elements: str
  sample: [--enable-ptnetmap]
files:
  description: Places of the build's files; empty in check mode when they are not known yet.
  returned: success
  type: list
  elements: str
  sample: [/opt/ptnet-qemu/bin/qemu-system-x86_64]
seconds:
  description: How long the build took; 0 when none ran.
  returned: success
  type: int
  sample: 156
log:
  description: The log of the build, if it was made on this machine.
  returned: success and failure of a build
  type: str
  sample: /var/lib/netmap-ptnet/log/qemu-0f3a5b6c7d8e9f001122.log
log_tail:
  description: The last lines of the log.
  returned: failure of a build
  type: list
  elements: str
  sample: ["make: *** [all] Error 2"]
config_log_tail:
  description: The last lines of QEMU's C(config.log).
  returned: failure of a build
  type: list
  elements: str
  sample: ["config-temp/qemu-conf.c:1:10: fatal error: net/netmap.h: No such file or directory"]
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
msg:
  description:
    - Before anything changes. A source that cannot be reached or lacks the commit, an option that this QEMU does not
      know, programs, libraries or netmap's headers that are missing, another user of the store.
    - A build that failed, with the last lines of its logs (C(log_tail),
      C(config_log_tail)), or that has no netmap or ptnet.
    - A file in the way that others installed, an archive that is damaged or for another architecture.
  returned: failure
  type: str
  sample: >-
    netmap's headers are not here; found: no net/netmap.h in /usr/local/include, /usr/include. To do: install netmap
    first, or give netmap: a directory or netmap's build archive.
"""

from ansible_collections.netmap.ptnet.plugins.module_utils.build import engine
from ansible_collections.netmap.ptnet.plugins.module_utils.build.qemu import Qemu
from ansible_collections.netmap.ptnet.plugins.module_utils.face import serve

ARGUMENT_SPEC = {
    **engine.OPTIONS,
    "source": {"type": "str", "default": "https://github.com/netmap-unipi/qemu"},
    "commit": {"type": "str", "default": "292a8b6145726f8d4de0b18340fb4866ea4e49ff"},
    "netmap": {"type": "path"},
    "configure_options": {"type": "list", "elements": "str", "default": []},
    "targets": {"type": "list", "elements": "str", "default": ["x86_64-softmmu"]},
    "prefix": {"type": "path", "default": "/opt/ptnet-qemu"},
    "submodule_rewrites": {"type": "dict", "default": {"https://git.qemu.org/git/": "https://github.com/qemu/"}},
}


def main():
    serve(lambda params, check_mode: engine.act(Qemu(params), params, check_mode), ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
