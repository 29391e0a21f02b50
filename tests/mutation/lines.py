# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plugin of pytest: which test runs which lines of the pure core, and how long it takes.

``MUTATION_CORE`` names the folder of the core, ``MUTATION_LINES`` the file that takes the answer: test to ``seconds``
and ``lines``, each as file and number (JSON).
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

import pytest

_CORE = os.path.join(os.environ["MUTATION_CORE"], "")
_found = {}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    lines, begin = set(), time.monotonic()

    def trace(frame, _event, _argument):
        name = frame.f_code.co_filename
        if not name.startswith(_CORE):
            return None
        lines.add((name, frame.f_lineno))
        return trace

    threading.settrace(trace)
    sys.settrace(trace)
    yield
    sys.settrace(None)
    threading.settrace(None)
    _found[item.nodeid] = {"seconds": time.monotonic() - begin,
                           "lines": sorted(["%s:%d" % (name[len(_CORE):], line) for name, line in lines])}


def pytest_sessionfinish():
    with open(os.environ["MUTATION_LINES"], "w", encoding="utf-8") as stream:
        json.dump(_found, stream)
