# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the fake device importable, and says how many random sequences are tried."""

from __future__ import annotations

import importlib.util
import os
import sys

from hypothesis import HealthCheck, settings

_SPEC = importlib.util.spec_from_file_location(
    "fake_device", os.path.join(os.path.dirname(__file__), "fake_device.py"))
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules["fake_device"] = _MODULE
_SPEC.loader.exec_module(_MODULE)

# NIGHTLY=yes tries far more of the sequences in test_sequences.py.
SEQUENCES = settings(
    max_examples=10000 if os.environ.get("NIGHTLY") == "yes" else 500, deadline=None,
    suppress_health_check=list(HealthCheck), print_blob=True)
settings.register_profile("sequences", SEQUENCES)
