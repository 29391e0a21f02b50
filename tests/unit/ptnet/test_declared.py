# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a port process is before it runs: words of its command line, where its sockets are, its unit, its archive."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import zipfile

import bundled
import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import opening
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import (
    archive,
    entry,
    layout,
    port_options,
    protocol,
    unit,
)
from hypothesis import given
from hypothesis import strategies as st

MAC = "02:00:00:00:00:01"
PORT = {"id": "d0", "ifname": "vale1:10", "mac": MAC}


# Options of a port

def test_defaults():
    assert port_options.check(PORT) == dict(PORT, mode="automatic", pause=20, registers="memory", pci_ids="qemu")


@pytest.mark.parametrize("options", [
    {}, {"mode": "polling", "pause": 0}, {"mode": "notified", "registers": "io"},
    {"pci_ids": "freebsd", "pause": 1000000},
    {"ifname": "p0{1"}, {"ifname": "netmap:vale1:10"}, {"mac": MAC.replace("00", "AA")}])
def test_a_port_is_read_as_it_was_written(options):
    word = port_options.write(dict(PORT, **options))
    assert port_options.read(word) == port_options.check(dict(PORT, **options))
    assert shlex.quote(word).strip("'") == word
    assert not set(word) & set(" \t\n\"'\\$%;#")


@pytest.mark.parametrize("options", [
    {"mode": "direct"}, {"mode": ""}, {"mode": None}, {"pause": -1}, {"pause": 1000001}, {"pause": "20"},
    {"pause": 1.5}, {"pause": None}, {"registers": "mmio"}, {"pci_ids": "0x1b36"}, {"id": ""}, {"id": "a-b"},
    {"id": "d" * 16}, {"id": "d0,mode=polling"}, {"ifname": "eth1^"}, {"ifname": "vale1:10/r"},
    {"ifname": "vale1:" + "a" * 12},
    {"ifname": ""}, {"mac": "01:00:00:00:00:00"}, {"mac": "00:00:00:00:00:00"}, {"mac": "2:0:0:0:0:1"}, {"other": 1}])
def test_options_that_are_refused(options):
    with pytest.raises(PtnetError):
        port_options.write(dict(PORT, **options))


@pytest.mark.parametrize("word", [
    "", "d0", "id=d0", "id=d0,ifname=vale1:10", "id=d0,ifname=vale1:10,mac=%s,pause=" % MAC,
    "id=d0,ifname=vale1:10,mac=%s,pause=1e3" % MAC, "id=d0,ifname=vale1:10,mac=%s,pause=-1" % MAC,
    "id=d0,ifname=vale1:10,mac=%s,pause=\u0661" % MAC,
    "id=d0,ifname=vale1:10,mac=%s,pause=%s" % (MAC, "9" * 5000), "id=d0,ifname=vale1:10,mac=%s,," % MAC,
    "id=d0,ifname=vale1:10,mac=%s,mode=polling=x" % MAC])
def test_words_that_are_refused(word):
    with pytest.raises(PtnetError):
        port_options.read(word)


@given(st.text(max_size=60))
def test_any_word(word):
    with pytest.raises(PtnetError) as caught:
        port_options.read(word)
    assert caught.value.message.isprintable()


# Where everything is

@pytest.mark.parametrize("name", ["web", "0", "a" * 32, "vm-1"])
def test_names(name):
    assert layout.unit(name) == "ptnet-port-%s.service" % name
    assert layout.directory(name) == "/run/ptnet-port-" + name
    # The path of a socket has 108 bytes at most.
    assert len(layout.devices(name, ["vale1:1"] * 16)[-1]["socket"]) < 108


@pytest.mark.parametrize("name", ["", "-a", "A", "a/b", "..", "a.b", "a b", "a" * 33, "a\n", None, 1, "\u00e4"])
def test_names_that_are_refused(name):
    for make in (layout.unit, layout.directory, layout.check_name):
        with pytest.raises(PtnetError):
            make(name)


@pytest.mark.parametrize(("ports", "ids"), [
    (["vale1:10"], ["m0", "d0"]), (["vale1:10", "vale1:11"], ["m0", "m1", "d0", "d1"]),
    (["p0{1", "p0}2", "p1{1"], ["m0", "m1", "d0", "d1", "d2"]),
    (["eth1", "eth2", "vale1:1"], ["m0", "m1", "d0", "d1", "d2"]),
    (["vale1:10{1", "vale1:10{2"], ["m0", "d0", "d1"]), ([], [])])
def test_memory_comes_first_and_once_for_each_region(ports, ids):
    found = layout.devices("web", ports)
    assert [one["id"] for one in found] == ids
    assert [one["kind"] for one in found] == ["memory" if one[0] == "m" else "port" for one in ids]
    assert {one["socket"] for one in found} == {"/run/ptnet-port-web/" + one for one in ids}


# The unit

def lines(text):
    """The directives of a unit (dict of name: list of str), continued lines in one."""
    found = {}
    for line in text.replace("\\\n", "").splitlines():
        name, sign, value = line.partition("=")
        if sign and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_a_unit_of_its_own():
    ports = [PORT, dict(PORT, id="d1", ifname="vale1:11", mode="polling", pause=100)]
    found = lines(unit.text("web", ports, "kvm", "/usr/bin/python3"))
    assert shlex.split(found["ExecStart"][0]) == unit.command("web", ports, "/usr/bin/python3")
    assert found["WantedBy"] == ["multi-user.target"]
    # It ends with its clients, so that the next one finds everything new.
    assert found["Restart"] == ["always"]
    # A refusal would be repeated five times a second.
    assert found["RestartPreventExitStatus"] == [str(opening.REFUSED)]
    assert found["StartLimitIntervalSec"] == ["0"]
    assert found["RuntimeDirectory"] == [os.path.basename(layout.directory("web"))]
    assert found["Group"] == ["kvm"]
    assert found["DeviceAllow"] == ["/dev/netmap rw"]
    assert found["CapabilityBoundingSet"] == [""]
    # Threads: itself, and for each port a client and a loop, for each memory a client.
    assert int(found["TasksMax"][0]) > 1 + 4 + 2
    # Each of the four devices has room for all that its client may send.
    assert int(found["LimitNOFILE"][0]) > 4 * (protocol.MAPPINGS_MAX + 32) + 100
    assert "PartOf" not in found


def test_a_unit_of_a_vm():
    found = lines(unit.text("web", [PORT], "kvm", "/usr/bin/python3", vm="netmap-ptnet-vm-web.service"))
    assert found["PartOf"] == found["Before"] == ["netmap-ptnet-vm-web.service"]
    assert found["Restart"] == ["no"]
    assert "WantedBy" not in found


def test_nothing_in_a_unit_is_read_twice():
    """What systemd would replace or split stands in no option."""
    for text in unit.command("web", [PORT], "/usr/bin/python3"):
        assert not set(text) & set("%$\"'\\; \n")


@pytest.mark.parametrize("name", ["%i", "a b", "a\nExecStart=/bin/sh"])
def test_a_name_that_would_be_more_than_a_name(name):
    with pytest.raises(PtnetError):
        unit.text(name, [PORT], "kvm", "/usr/bin/python3")


# The archive

def test_the_archive_holds_exactly_what_it_imports():
    # Made for another system, or for what this process never asks.
    elsewhere = {"kernel.freebsd.platform", "kernel.linux.drivers", "kernel.linux.links", "kernel.linux.reading",
                 "kernel.linux.management", "kernel.linux.service"}
    assert bundled.imports("ptnet.entry", elsewhere) == set(entry.SOURCES)


def test_the_archive_runs_alone(tmp_path):
    copy = tmp_path / "ptnet.pyz"
    copy.write_bytes(archive.content())
    assert archive.content() == archive.content()
    with zipfile.ZipFile(copy) as packed:
        assert packed.testzip() is None
    for words, status, text in (
            (["--help"], 0, "--port"), ([], 2, "--name"), (["--name", "web", "--port", "x"], 1, "refused"),
            (["--name", "../x"], 1, "no name for a port process")):
        # -S: without site-packages there is no ansible to import.
        ended = subprocess.run([sys.executable, "-I", "-S", str(copy), *words], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        assert ended.returncode == status, ended.stdout
        assert text in ended.stdout
        assert "Traceback" not in ended.stdout
