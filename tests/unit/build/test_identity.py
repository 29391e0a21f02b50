# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.build.identity import identity, kinship, unordered
from hypothesis import given
from hypothesis import strategies as st

INPUTS = {"source": "git:" + "a" * 40, "architecture": "x86_64", "compiler": "12.2.0", "kernel_release": "6.1.0-56",
          "prefix": "/usr/local", "drivers": ["ixgbe"], "apps": ["bridge", "pkt-gen"]}


def test_is_stable_and_short():
    assert identity(INPUTS) == identity(copy.deepcopy(INPUTS))
    assert len(identity(INPUTS)) == 20
    assert identity(dict(reversed(INPUTS.items()))) == identity(INPUTS)


@pytest.mark.parametrize("name", sorted(INPUTS))
def test_every_input_counts(name):
    assert identity(dict(INPUTS, **{name: "another"})) != identity(INPUTS)
    assert identity({key: value for key, value in INPUTS.items() if key != name}) != identity(INPUTS)


def test_kinship_ignores_the_kernel_and_nothing_else():
    assert kinship(dict(INPUTS, kernel_release="6.12.1")) == kinship(INPUTS)
    assert kinship(dict(INPUTS, source="git:" + "b" * 40)) != kinship(INPUTS)


@given(st.lists(st.text()), st.randoms())
def test_unordered(names, random):
    shuffled = names + names[:2]
    random.shuffle(shuffled)
    assert unordered(shuffled) == unordered(names)
    assert set(unordered(names)) == set(names)
