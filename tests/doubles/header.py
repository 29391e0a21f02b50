# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what the double of netmap shares with the collection, as a C header, from the collection's own tables.

``python tests/doubles/header.py`` after a change of these. The header lies in the repository, since the double is built
on machines that have the double's sources only; tests/unit/doubles holds it equal to the tables.
"""

from __future__ import annotations

import pathlib

from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import abi, forbidden, parameters

PATH = pathlib.Path(__file__).parent / "netmap/linux/tables.h"
_HEAD = """\
/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Copyright (c) netmap.ptnet contributors */
/* Made by tests/doubles/header.py from the tables of the collection: change those. */
#ifndef ND_TABLES_H
#define ND_TABLES_H

"""


def text():
    """The header (str)."""
    limits = {"ND_PORTS": abi.BRIDGE_PORTS, "ND_SWITCHES_MAX": parameters.PARAMETERS["max_bridges"].high,
              "ND_RINGS_MAX": parameters.RINGS_MAX, "ND_SLOTS": parameters.SLOTS_DEFAULT,
              "ND_SLOTS_MAX": parameters.SLOTS_MAX}
    defaults = {"ND_DEFAULT_" + name: known.default for name, known in parameters.PARAMETERS.items()}
    rows = ["ND_%s" % key.upper().replace("-", "_") for key in forbidden.TABLE]
    return "".join([
        _HEAD,
        "/* netmap/abi.py and netmap/parameters.py */\n",
        *("#define %s %d\n" % item for item in limits.items()),
        "\n",
        *("#define %s %d\n" % item for item in defaults.items()),
        "\n/* netmap/forbidden.py */\nenum nd_row {\n",
        *("\t%s,\n" % row for row in rows),
        "};\n\n#define ND_ROW_KEYS { \\\n",
        *("\t[%s] = \"%s\", \\\n" % item for item in zip(rows, forbidden.TABLE)),
        "}\n\n#endif\n"])


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
