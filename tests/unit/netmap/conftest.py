# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says how many random sequences are tried."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# NIGHTLY=yes tries far more of the sequences in test_sequences.py.
SEQUENCES = settings(
    max_examples=10000 if os.environ.get("NIGHTLY") == "yes" else 500, deadline=None,
    suppress_health_check=list(HealthCheck), print_blob=True)
settings.register_profile("sequences", SEQUENCES)
