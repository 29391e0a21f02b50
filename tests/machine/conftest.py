# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One emulated host for all tests of this folder; `tests/run.py machine` runs them."""

from __future__ import annotations

import os
import pathlib
import random
import sys

import pytest

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import emulated  # noqa: E402 (after the path to it)


def pytest_report_header():
    return "SEED=%d" % emulated.seed()


@pytest.fixture
def chance(request):
    """A source of random choices, the same for the same seed and test (random.Random)."""
    return random.Random("%d %s" % (emulated.seed(), request.node.name))


@pytest.fixture(scope="session")
def machine():
    """The host with netmap of our role. With KEEP=yes it stays, and the next run takes it as it is."""
    keep = os.environ.get("KEEP") == "yes"
    one = emulated.Emulated(os.environ.get("MACHINE_LAB", "machine"))
    try:
        if not (keep and one.running()):
            one.create()
        one.wait()
        one.equip()
        yield one
    finally:
        if not keep:
            one.remove()


@pytest.fixture(autouse=True)
def _unhurt(request):
    """After each test the kernel is as well as before."""
    yield
    if "machine" in request.fixturenames:
        one = request.getfixturevalue("machine")
        if one.running():
            assert one.hurt() == []
