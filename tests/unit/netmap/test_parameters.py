# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import parameters
from hypothesis import given
from hypothesis import strategies as st

DEFAULTS = {name: known.default for name, known in parameters.PARAMETERS.items()}
SHAPES = st.fixed_dictionaries({
    "tx_slots": st.integers(1, 4096), "rx_slots": st.integers(1, 4096),
    "tx_rings": st.integers(1, 4), "rx_rings": st.integers(1, 4)})


def test_defaults_pass_their_own_check():
    assert parameters.check(DEFAULTS) == DEFAULTS


@pytest.mark.parametrize("name", sorted(parameters.PARAMETERS))
def test_ranges(name):
    known = parameters.PARAMETERS[name]
    assert parameters.check({name: known.low}) == {name: known.low}
    for number in (known.low - 1, known.high + 1):
        with pytest.raises(PtnetError, match=name):
            parameters.check({name: number})


@pytest.mark.parametrize(("raw", "number"), [(True, 1), ("Y", 1), ("N", 0), ("no", 0), (" 1 ", 1), (0, 0)])
def test_words_for_switches(raw, number):
    assert parameters.check({"ptnet_gso": raw}) == {"ptnet_gso": number}


@pytest.mark.parametrize("wanted", [{"buf_num": "many"}, {"buf_num": "1e5"}, {"buf_num": None}, {"bufnum": 5},
                                    {"buf_curr_num": 5}, {"x\ny": 1}, {"buf_num": "100000 x"}])
def test_refused(wanted):
    with pytest.raises(PtnetError):
        parameters.check(wanted)


def test_a_size_that_fills_no_pages_is_refused():
    with pytest.raises(PtnetError, match="131072"):
        parameters.check({"ring_size": 64 * 2047})
    assert parameters.check({"ring_size": 65792})


def test_memory_as_measured():
    def parent(slots, **now):
        return round(parameters.private_region(dict(DEFAULTS, **now), slots, slots)["bytes"] / 1e6, 1)

    assert round(parameters.global_memory(DEFAULTS) / 1e6) == 343
    assert round(parameters.global_memory({"buf_num": 20000}) / 1e6) == 48
    assert (parent(1024), parent(64), parent(64, priv_buf_num=600)) == (42.4, 8.8, 3.0)


def test_pipes_as_measured():
    shape = {"tx_slots": 1024, "rx_slots": 1024, "tx_rings": 1, "rx_rings": 1}
    assert parameters.pipe_capacity(parameters.private_region(DEFAULTS, **shape), **shape) == 5
    assert parameters.raise_for_pipes(DEFAULTS, 5, **shape) == {}
    raised = parameters.raise_for_pipes(DEFAULTS, 50, **shape)
    assert set(raised) == {"priv_if_num", "priv_ring_num", "priv_buf_num"}
    assert parameters.pipe_capacity(parameters.private_region(dict(DEFAULTS, **raised), **shape), **shape) == 50
    with pytest.raises(PtnetError, match="at most 50"):
        parameters.raise_for_pipes(DEFAULTS, 51, **shape)


@given(SHAPES, st.integers(1, 50))
def test_what_is_advised_suffices(shape, pipes):
    try:
        raised = parameters.raise_for_pipes(DEFAULTS, pipes, **shape)
    except PtnetError:
        return
    now = dict(DEFAULTS, **parameters.check(raised))
    assert parameters.pipe_capacity(parameters.private_region(now, **shape), **shape) >= pipes
    assert bool(raised) == (parameters.pipe_capacity(parameters.private_region(DEFAULTS, **shape), **shape) < pipes)
