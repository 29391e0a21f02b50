# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Property tests take as long as they take: on a busy machine a single one may well be late.

``EXAMPLES=few`` is for a second run of all tests on the same code.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.register_profile("few", deadline=None, max_examples=10)
settings.load_profile("few" if os.environ.get("EXAMPLES") == "few" else "patient")
