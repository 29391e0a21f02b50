# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible brings a module to a host with what it imports; what is bundled there for later has to be among that."""

from __future__ import annotations

import pathlib
import re

import bundled
import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.build import unattended
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import boot
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import entry
from ansible_collections.netmap.ptnet.plugins.module_utils.watch import main

# Whoever makes an archive, and what is in it.
MAKERS = {"build.hook": unattended.SOURCES, "netmap.boot_service": boot.SOURCES, "ptnet.archive": entry.SOURCES,
          "watch.service": main.SOURCES}


@pytest.mark.parametrize("maker", MAKERS)
def test_whoever_bundles_modules_imports_them(maker):
    assert set(MAKERS[maker]) - bundled.imports(maker, set()) == set()


def test_no_maker_is_forgotten():
    folder = pathlib.Path(bundled.FOLDER)
    found = {".".join(path.relative_to(folder).with_suffix("").parts) for path in folder.rglob("*.py")
             if re.search(r"= bundle\(|return bundle\(", path.read_text(encoding="utf-8"))}
    assert found == set(MAKERS)
