# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where netmap lies more than once, and what guards the loading of modules. Private to netmap.ptnet."""

from __future__ import annotations

import os
import re

_FOLDER = "/lib/modules"
_OURS = re.compile(r"netmap\.ko(\.(xz|gz|zst))?")
_SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


def copies(release, root=""):
    """Every netmap module of a kernel, in the places where modules are put that are not the kernel's (list of paths).

    :param root: prefix of all paths, for tests (path)
    """
    found, folder = [], "%s%s/%s" % (root, _FOLDER, release)
    for place in ("updates", "extra", "weak-updates", "misc", "kernel/net", "kernel/drivers/net"):
        depth = 3 if place.startswith("kernel") else 9
        for top, folders, files in os.walk(os.path.join(folder, place)):
            if top[len(folder):].count("/") > depth:
                folders[:] = []
            found += [os.path.join(top, name)[len(root):] for name in files if _OURS.fullmatch(name)]
    return sorted(found)


def security(root=""):
    """What guards the loading of modules: ``lockdown`` (str), ``signed_only`` and ``secure_boot`` (bool)."""
    lockdown = re.search(r"\[(\w+)\]", _text(root + "/sys/kernel/security/lockdown"))
    return {"lockdown": lockdown.group(1) if lockdown else "none",
            "signed_only": _text(root + "/sys/module/module/parameters/sig_enforce").strip() == "Y",
            # Four bytes of attributes, then the value.
            "secure_boot": _text(root + _SECURE_BOOT)[4:5] == "\x01"}


def _text(path):
    try:
        with open(path, encoding="latin-1") as stream:
            return stream.read()
    except OSError:
        return ""
