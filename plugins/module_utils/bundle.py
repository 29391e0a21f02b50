# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Code of this collection as one file that Python runs on a machine without Ansible. Private to netmap.ptnet."""

from __future__ import annotations

import importlib.util
import io
import zipfile

PACKAGE = "netmap_ptnet"


def bundle(entry, sources, texts=()):
    """A zip that ``python -I`` runs; the same code gives the same bytes (bytes).

    :param entry: the module with ``main()``, below module_utils (str)
    :param sources: all modules below module_utils that it needs, itself too (list of str)
    :param texts: further files beside them: name to content (dict of str)
    """
    root = __name__.rpartition(".")[0]
    files = {"__main__.py": "from %s.%s import main\nraise SystemExit(main())\n" % (PACKAGE, entry)}
    files.update(("%s/%s" % (PACKAGE, name), text) for name, text in dict(texts).items())
    for source in sources:
        parts = source.split(".")
        for depth in range(len(parts)):
            files["/".join([PACKAGE] + parts[:depth] + ["__init__.py"])] = ""
        # A module runs from an archive itself, so its sources are asked of whoever loaded them.
        name = "%s.%s" % (root, source)
        files["%s/%s.py" % (PACKAGE, "/".join(parts))] = importlib.util.find_spec(name).loader.get_source(name)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for name in sorted(files):
            packed.writestr(zipfile.ZipInfo(name), files[name])
    return stream.getvalue()
