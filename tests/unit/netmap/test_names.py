# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import string

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import names
from hypothesis import given
from hypothesis import strategies as st

LEGAL = string.ascii_letters + string.digits + "_"
PARTS = st.text(LEGAL, min_size=1, max_size=15)
INTERFACES = PARTS.filter(lambda text: not text.startswith("val"))
SWITCHES = st.text(LEGAL, min_size=1, max_size=11).map("vale{}".format)
PARENTS = st.one_of(INTERFACES, st.builds("{}:{}".format, SWITCHES, PARTS))
LEGAL_NAMES = st.one_of(
    PARENTS, st.builds("{}{{{}".format, PARENTS, PARTS), st.builds("{}}}{}".format, PARENTS, PARTS))


@given(LEGAL_NAMES, st.sampled_from(["", "netmap:"]))
def test_legal_names_come_back_as_the_kernel_wants_them(name, prefix):
    assert names.parse(prefix + name).kernel_name() == name


@given(st.text())
def test_whatever_is_accepted_is_harmless(text):
    name, said = None, ""
    try:
        name = names.parse(text).kernel_name()
    except PtnetError as error:
        said = error.message
    assert "\n" not in said
    assert len(said) < 500
    if name is None:
        return
    assert set(name) <= set(LEGAL + ":{}")
    assert len(name) <= 47
    assert text in (name, "netmap:" + name)


@given(LEGAL_NAMES, st.sampled_from("-%,/\\^*@ \n\t\0.é%\u0661"), st.integers(0, 40))
def test_one_bad_character_anywhere_is_refused(name, bad, where):
    with pytest.raises(PtnetError):
        names.parse(name[:where] + bad + name[where:])


@pytest.mark.parametrize("text", [
    "", "vale0", "vale0:", "vale:1", "val:p", "val0", "x{", "{1", "x{1}2", "x{{1", "vale0:a:b", "vale1:eth0^", "eth0^",
    "netmap:", "netmap:netmap:eth0", "v%d", "a" * 16, "a" * 64, "vale" + "a" * 12 + ":1", "eth0-1", "eth0@3",
    "eth0\n", "p0{1\n", "vale1:1,id=x", "valex{1", "vale1:{1", "vale1{1:2", "p0{1{2", "vale1:10{1}2", None, 7, b"eth0"])
def test_refused(text):
    with pytest.raises(PtnetError):
        names.parse(text)


def test_suffixes_of_libnetmap_are_explained():
    with pytest.raises(PtnetError, match="libnetmap"):
        names.parse("eth0-2")


def test_the_other_end_of_a_pipe():
    end = names.parse("netmap:p0{1")
    assert end.peer().kernel_name() == "p0}1"
    assert end.peer().peer() == end


def test_a_vale_port_may_be_the_parent_of_pipes():
    end = names.parse("vale1:10{1")
    assert (end.parent, end.end, end.pipe) == ("vale1:10", "{", "1")
    assert names.qemu_ifname("vale1:10{1") == "vale1:10{1"


@pytest.mark.parametrize("port", ["vale1:10/r", "netmap:eth0/z", "p0{1/xt"])
def test_qemu_cannot_name_a_monitor(port):
    with pytest.raises(PtnetError, match="cannot pass a monitor"):
        names.qemu_ifname(port)


def test_qemu_cuts_at_15_characters():
    assert names.qemu_ifname("netmap:vale1:123456789") == "vale1:123456789"
    with pytest.raises(PtnetError, match="16 characters"):
        names.qemu_ifname("vale1:1234567890")


def test_a_bare_name_in_the_list_is_stuck():
    entries = names.listed([(0, "vale0:a"), (0, "v0"), (0, "vale0:eth1"), (0, "vale0:eth1^"), (3, "v1")])
    assert [(entry.switch, entry.port, entry.host_stack, entry.stuck) for entry in entries] == [
        ("vale0", "a", False, False), ("vale0", "v0", False, True), ("vale0", "eth1", False, False),
        ("vale0", "eth1", True, False), (None, "v1", False, True)]


@pytest.mark.parametrize(("length", "shown"), [(78, 80), (79, 80), (1000, 80)])
def test_a_name_of_any_length_is_shown_in_one_line(length, shown):
    text = names.shown("x" * length)
    assert len(text) == shown
    assert text.endswith("...'") == (length > 78)


def test_a_name_with_two_colons_is_that_of_one_port():
    """The kernel is lenient; whoever opened it is not lost from the list."""
    (entry,) = names.listed([(3, "vale1:a:b^")])
    assert entry == (3, "vale1:a:b^", "vale1", "a:b", True, False)
