# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the fake device importable and gives each test a machine of its own."""

from __future__ import annotations

import importlib.util
import os
import sys

_SPEC = importlib.util.spec_from_file_location(
    "fake_device", os.path.join(os.path.dirname(__file__), "fake_device.py"))
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules["fake_device"] = _MODULE
_SPEC.loader.exec_module(_MODULE)
