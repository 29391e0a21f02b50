# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared documentation of what every module supports."""

from __future__ import annotations


class ModuleDocFragment:
    """``netmap.ptnet.attributes`` for modules that change something, ``.INFO`` for those that only read."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and predict what the real run would change.
    support: full
  diff_mode:
    description: Returns what it changed, or would change, in diff mode.
    support: full
  idempotent:
    description: A second run with the same options reports C(changed=false).
    support: full
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and predict what the real run would change.
    support: full
    details:
      - This module changes nothing.
  diff_mode:
    description: Returns what it changed, or would change, in diff mode.
    support: N/A
    details:
      - This module changes nothing.
  idempotent:
    description: A second run with the same options reports C(changed=false).
    support: full
"""
