# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds netmap for a kernel that was just installed, without Ansible. Private to netmap.ptnet.

A copy of this file and of what it imports lies on the host, see ``hook.py``; the kernel's package starts it.
"""

from __future__ import annotations

import json
import os
import pkgutil
import sys

from ..command import run
from ..errors import PtnetError
from . import engine
from .netmap import Netmap

OPTIONS = "build.json"
# This file and all that it imports, below module_utils.
SOURCES = ("build.address", "build.archive", "build.engine", "build.identity", "build.install", "build.netmap",
           "build.source", "build.store", "build.unattended", "change", "command", "errors", "files", "places")


def main(argv=None):
    """The command line: the kernel's release. Returns the exit status (int): 0 when netmap is installed for it."""
    words = sys.argv[1:] if argv is None else argv
    if len(words) != 1:
        return _say("usage: build.pyz KERNEL_RELEASE", 2)
    options = json.loads(pkgutil.get_data(__package__.rpartition(".")[0], OPTIONS).decode())
    return build(options, words[0])


def build(options, release):
    """Build and install netmap for one kernel with the options of ``netmap_build`` (dict); the exit status (int)."""
    params = dict(options, kernel_release=release)
    try:
        result = engine.act(Netmap(params), params, False)
        image = "/boot/initrd.img-" + release
        if result["changed"] and params["drivers"] and os.path.exists(image):
            # Made before the driver was there: it would load the kernel's own one.
            run(["update-initramfs", "-u", "-k", release], 1800)
    except PtnetError as error:
        return _say("netmap was not built for kernel %s: %s" % (release, error), 1)
    return _say("netmap %s for kernel %s" % ("built and installed" if result["changed"] else "is there", release), 0)


def _say(line, status):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
    return status
