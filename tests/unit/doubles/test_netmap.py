# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The double of netmap against the recipe that builds it and the packing that speaks to it."""

from __future__ import annotations

import importlib.util
import pathlib
import re
import subprocess

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.build.netmap import Netmap
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import abi, forbidden
from ansible_collections.netmap.ptnet.plugins.modules.netmap_build import ARGUMENT_SPEC

DOUBLES = pathlib.Path(__file__).parents[2] / "doubles"
CONFIGURE = DOUBLES / "netmap/configure"


def configure(where, *arguments):
    return subprocess.run([CONFIGURE, *arguments], cwd=where, capture_output=True, text=True, check=False)


@pytest.fixture
def recipe(tmp_path):
    headers = tmp_path / "headers"
    headers.mkdir()
    (headers / "Makefile").touch()
    params = {name: option.get("default") for name, option in ARGUMENT_SPEC.items()}
    return Netmap(dict(params, kernel_release="6.1.0-test", kernel_dir=str(headers)))


def test_the_recipe_s_own_arguments_are_taken(recipe, tmp_path):
    done = configure(tmp_path, *recipe.arguments())
    assert done.returncode == 0, done.stderr
    makefile = (tmp_path / "Makefile").read_text()
    assert "KERNEL := %s\n" % recipe.headers in makefile
    assert all(app in makefile for app in recipe.params["apps"])


def test_every_default_program_is_there(recipe, tmp_path):
    assert set(recipe.params["apps"]) <= set(configure(tmp_path, "--show-apps").stdout.split())
    assert configure(tmp_path, "--show-drivers").stdout.split() == []


@pytest.mark.parametrize("arguments", [["--apps=tlem"], ["--drivers=ixgbe"], ["--frobnicate"], ["--kernel-dir=/none"]])
def test_what_it_cannot_do_is_refused(tmp_path, arguments):
    done = configure(tmp_path, "--kernel-dir=%s" % tmp_path, *arguments)
    assert done.returncode == 1
    assert (tmp_path / "config.log").read_text().strip() == done.stderr.strip() != ""


def test_another_vermagic_can_be_ordered(recipe, tmp_path):
    configure(tmp_path, *recipe.arguments(), "--with-vermagic=5.10.0-0-amd64 SMP")
    assert "VERMAGIC := 5.10.0-0-amd64 SMP\n" in (tmp_path / "Makefile").read_text()


def load(name):
    """A program of the doubles, as a module."""
    spec = importlib.util.spec_from_file_location(name, DOUBLES / (name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_double_s_tables_are_those_of_the_collection():
    header = load("header")
    assert header.PATH.read_text() == header.text(), "run tests/doubles/header.py"


def test_the_double_counts_by_the_keys_of_the_collection():
    """Each key that its sources use is described, and made by the program that tries them."""
    sources = "".join(path.read_text() for path in (DOUBLES / "netmap/linux").glob("*.c"))
    used = {row[3:].lower().replace("_", "-") for row in re.findall(r"nd_forbid\((\w+),", sources)}
    described = re.findall(r"^\| `([a-z-]+)` \|", (DOUBLES / "netmap/README.md").read_text(), re.MULTILINE)
    assert set(described) == used < set(forbidden.TABLE)
    tried = set(re.findall(r'forbidden\("([a-z-]+)",', (DOUBLES / "forbidden.py").read_text()))
    # Two at once are a race, and a namespace ends by other means.
    assert tried == used - {"unlocked", "namespace-end"}


def test_requests_have_the_numbers_of_the_collection():
    text = (DOUBLES / "netmap/sys/net/netmap.h").read_text()
    found = {name.replace("VALE_POLLING", "POLLING"): int(number)
             for name, number in re.findall(r"NETMAP_REQ_(\w+) = (\d+)", text)}
    assert found == {name: getattr(abi, name) for name in found}
    assert set(found.values()) == set(abi.BODY)
    for name, number in (("NETMAP_API", abi.VERSION), ("NETMAP_REQ_IFNAMSIZ", abi.NAME_SIZE)):
        assert "#define %s %d\n" % (name, number) in text


def test_the_conformance_table_packs_as_the_collection_does():
    conformance = load("conformance")
    for reqtype, (layout, fields) in abi.BODY.items():
        # The double lends no thread: it has no datapath.
        if layout is not None and reqtype != abi.SYNC_KLOOP_START:
            theirs, names = conformance.BODY[reqtype]
            values = range(1, len(fields) + 1)
            assert names.split() == list(fields)
            assert conformance.struct.pack(theirs, *values) == layout.pack(*values)
