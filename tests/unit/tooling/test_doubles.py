# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doubles' programs as far as no netmap is needed: built as the recipes do, and what they say."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.build import qemu as recipe
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import fork, messages
from ansible_collections.netmap.ptnet.plugins.module_utils.traffic import output, pktgen

DOUBLES = pathlib.Path(__file__).parents[2] / "doubles"
HEADERS = DOUBLES / "netmap/sys"
NAME = "qemu-system-x86_64"
DISTRIBUTION = "/usr/bin/" + NAME

pytestmark = pytest.mark.skipif(not (shutil.which("gcc") and shutil.which("make")), reason="no compiler")


def run(*argv, **options):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)


@pytest.fixture(scope="module")
def launcher(tmp_path_factory):
    """The double of QEMU, configured with what the recipe passes, and installed."""
    folder = tmp_path_factory.mktemp("qemu")
    done = run(str(DOUBLES / "qemu/configure"), "--prefix=/opt/q", "--target-list=x86_64-softmmu",
               "--extra-cflags=-I%s" % HEADERS, *recipe.FIXED, cwd=folder)
    assert done.returncode == 0, done.stdout
    done = run("make", "install", "DESTDIR=%s" % (folder / "stage"), cwd=folder)
    assert done.returncode == 0, done.stdout
    assert "warning" not in done.stdout
    return str(folder / "stage/opt/q/bin" / NAME)


@pytest.fixture(scope="module")
def pkt_gen(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("apps") / "pkt-gen")
    done = run("gcc", "-O2", "-Wall", "-Wextra", "-I%s" % HEADERS, "-o", path,
               str(DOUBLES / "netmap/apps/pkt-gen/pkt-gen.c"))
    assert (done.returncode, done.stdout) == (0, "")
    return path


def test_the_launcher_has_the_features_that_the_recipe_asks_for_and_says_what_it_is(launcher):
    assert re.search(r"^netmap\b", run(launcher, "-netdev", "help").stdout, re.M)
    assert '"ptnet-pci"' in run(launcher, "-device", "help").stdout
    assert recipe.read_version(run(launcher, "-version").stdout) == "3.0.94-double"


def test_its_configure_refuses_what_the_forks_refuses(tmp_path):
    configure = str(DOUBLES / "qemu/configure")
    for option in (*recipe.OBSOLETE, "--nonsense"):
        done = run(configure, "--extra-cflags=-I%s" % HEADERS, option, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "ERROR: unknown option %s\n" % option)
    done = run(configure, "--extra-cflags=-I%s" % tmp_path, cwd=tmp_path)
    assert (done.returncode, "feature netmap" in done.stdout) == (1, True)
    assert recipe.unknown_options(["--enable-vhost-net", "--x"], run(configure, "--help").stdout) == ["--x"]


@pytest.mark.skipif(not os.access(DISTRIBUTION, os.X_OK), reason="no QEMU of the distribution")
@pytest.mark.skipif(os.path.exists("/dev/netmap"), reason="netmap is here")
def test_its_failures_are_understood_as_the_forks(launcher):
    done = run(launcher, "-netdev", "netmap,id=d0,ifname=vale1:10,passthrough=on")
    what, _remedy, _busy = messages.explain(done.stdout.splitlines(), (fork.Fork.MESSAGES,))
    assert (done.returncode, what) == (1, "netmap is not loaded on this host")
    done = run(launcher, "-netdev", "netmap,id=d0")
    assert (done.returncode, "Parameter 'ifname' is missing" in done.stdout) == (1, True)


@pytest.mark.skipif(not os.access(DISTRIBUTION, os.X_OK), reason="no QEMU of the distribution")
def test_it_passes_the_rest_on_and_ends_as_its_qemu_ends(launcher):
    done = run(launcher, "-machine", "nonsense")
    assert done.returncode == 1
    assert "unsupported machine type" in done.stdout


@pytest.mark.skipif(os.path.exists("/dev/netmap"), reason="netmap is here")
def test_pkt_gen_takes_our_options_and_fails_in_words_that_we_understand(pkt_gen):
    given = {"name": "vale1:x", "function": "tx", "wait_link": 0, "length": 60, "packets": 5, "threads": 1,
             "processors": 1, "burst": 8, "rate": 100, "src_mac": "02:00:00:00:00:01", "dst_mac": pktgen.BROADCAST}
    done = run(*pktgen.vector(given, pkt_gen))
    assert done.returncode == 1
    assert output.complaint(done.stdout)[1] == "netmap is not loaded here"
    assert "-i" in run(pkt_gen, "-f", "rx").stdout
