# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared documentation of what both builds take."""

from __future__ import annotations


class ModuleDocFragment:
    """``netmap.ptnet.build`` for the modules on the build engine; the argument spec is ``engine.OPTIONS``."""

    DOCUMENTATION = r"""
options:
  state:
    description:
      - V(present) builds if needed and installs.
      - V(built) makes the build archive in the store and installs nothing.
      - V(absent) removes what this module installed for the same kernel or below the same prefix, and nothing else.
    type: str
    choices: [present, built, absent]
    default: present
  archive:
    description:
      - A build archive, on the managed machine, that this module made with O(state=built), perhaps on another machine.
      - It is checked against the machine and the prefix; the other options of the build are ignored.
      - An archive with a file outside the prefix, or with anything but files and links that stay there, is refused. Of
        netmap the module folder of the kernel (C(updates/netmap-ptnet)) is allowed as well.
    type: path
  identity:
    description:
      - The identity of the wanted build. If that build is in the store, O(archive) need not exist.
      - An earlier build that is still kept is gone back to in this way.
      - In check mode O(archive) need not exist either.
    type: str
  jobs:
    description:
      - How many compilers run at a time. Default is the number of CPUs.
    type: int
  store:
    description:
      - The directory that keeps sources, build archives, installed builds and logs.
      - The newest C(log/progress-*.log) in it shows each step of a build under way.
    type: path
    default: /var/lib/netmap-ptnet
"""
