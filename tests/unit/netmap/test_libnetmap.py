# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The language of libnetmap: what is read, printed, and refused with its reason."""

from __future__ import annotations

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import libnetmap, names
from hypothesis import given
from hypothesis import strategies as st

PORTS = st.sampled_from(["eth0", "vale1:10", "p0{1", "p0}1", "vale1:10{a", "v0"]).map(names.parse)
SUFFIXES = st.one_of(
    st.just(("", None)), st.tuples(st.just("-"), st.integers(0, libnetmap.RING_MAX)), st.just(("*", None)),
    st.tuples(st.just("^"), st.none() | st.integers(0, libnetmap.RING_MAX)))
FLAGS = st.sets(st.sampled_from(sorted(libnetmap.FLAGS))).map(
    lambda given: "".join(flag for flag in libnetmap.FLAGS if flag in given))
CONF = st.dictionaries(st.sampled_from(sorted(libnetmap._CONF)), st.integers(1, 1024), max_size=3).map(
    lambda given: tuple((name, given[name]) for name in libnetmap._CONF if name in given))
SHARED = PORTS.map(lambda port: libnetmap.Request(port, "", None, "", None, None, ()))


@st.composite
def requests(draw):
    rings, ring = draw(SUFFIXES)
    share = draw(st.none() | SHARED)
    mem_id = None if share else draw(st.none() | st.integers(1, 65535))
    return libnetmap.Request(draw(PORTS), rings, ring, draw(FLAGS), mem_id, share, draw(CONF))


def refusal(read, given):
    try:
        read(given)
    except PtnetError as error:
        return error.message
    return None


@given(requests())
def test_what_is_printed_is_read_again(request):
    reason = refusal(libnetmap.refuse_impossible, request)
    if reason:
        assert refusal(libnetmap.parse, request.text()) == reason
        return
    assert libnetmap.parse(request.text()) == request
    assert libnetmap.parse(request.text()).text() == request.text()


@given(st.text() | st.builds("{}{}".format, st.sampled_from(["eth0", "vale1:10", "p0{1"]),
                             st.text("-^*/@xztrRT019:=,sharecon_fmid\n\u0663 ", max_size=20)))
def test_whatever_is_accepted_is_printable_and_stable(text):
    reason = refusal(libnetmap.parse, text)
    if reason:
        assert reason.isprintable()
        assert len(reason) < 600
        return
    request = libnetmap.parse(text)
    said = request.text()
    assert said.isascii()
    assert said.isprintable()
    assert " " not in said
    assert libnetmap.parse(said) == request


@pytest.mark.parametrize(("text", "rings", "ring", "flags"), [
    ("eth0", "", None, ""), ("netmap:eth0^", "^", None, ""), ("eth0*", "*", None, ""), ("eth0-3", "-", 3, ""),
    ("eth0^1/x", "^", 1, "x"), ("vale1:10/r", "", None, "r"), ("vale1:10-0/tr", "-", 0, "tr"),
    ("p0{1/z", "", None, "z"), ("eth0/rt", "", None, "tr")])
def test_what_pkt_gen_takes(text, rings, ring, flags):
    request = libnetmap.parse(text)
    assert (request.rings, request.ring, request.flags) == (rings, ring, flags)
    assert request.monitor == bool(set(flags) & set("ztr"))


def test_regions_and_shapes():
    request = libnetmap.parse("p0{1/x@share=netmap:p1@conf:rings=2,tx-slots=512")
    assert request.share.port == names.Interface("p1")
    assert request.conf == (("rings", 2), ("tx_slots", 512))
    assert request.text() == "netmap:p0{1/x@share=netmap:p1@conf:rings=2,tx_slots=512"
    assert libnetmap.parse("eth0@share:port=vale0:1").share.port == names.VALEPort("vale0", "1")
    assert libnetmap.parse("eth0@7").mem_id == 7


@pytest.mark.parametrize(("text", "reason"), [
    ("vale1:10^", "no host rings"), ("vale1:10*", "no host rings"), ("vale1:10^0", "no host rings"),
    ("p0{1^", "no host rings"), ("p0}1*", "no host rings"), ("eth0/RT", "no ring at all"),
    ("eth0/zr", "both directions"), ("eth0/tT", "receive rings only"), ("eth0/z@1", "region of the port"),
    ("eth0/z@share=netmap:p0", "region of"),
    ("eth0@extmem=/dev/hugepages/a", "EOPNOTSUPP"), ("eth0@offset=64", "disabled"),
    ("eth0-", "no ranges"), ("eth0-1-2", "no ranges"), ("eth0-1,2", "no ranges"), ("eth0-\u0663", "no ranges"),
    ("eth0-4095", "0 to 4094"), ("eth0*1", "suffix"), ("eth0/", "suffix"), ("eth0/q", "suffix"),
    ("eth0-1/x\n", "suffix"), ("eth0@", "option"), ("eth0@0", "1 to 65535"), ("eth0@65536", "1 to 65535"),
    ("eth0@1@2", "option"),
    ("eth0@1\n", "option"), ("eth0@share=p0", "netmap: in front"), ("eth0@share=netmap:p0-1", "suffixes"),
    ("eth0@share", "option"), ("eth0@conf:speed=1", "shape"), ("eth0@conf:rings=0", "1 to 1024"),
    ("eth0@conf:rings=1,rings=2", "shape"), ("eth0@conf=2", "option"), ("e" * 300, "255"), ("eth%d", "refused"),
    (b"eth0", "refused"), (None, "refused")])
def test_refused_with_the_reason(text, reason):
    with pytest.raises(PtnetError, match=reason):
        libnetmap.parse(text)
