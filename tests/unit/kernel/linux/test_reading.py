# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import struct

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux import (
    kernels,
    log,
    namespaces,
    nics,
)
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux.reading import Reading
from hypothesis import given
from hypothesis import strategies as st

# Processes


def test_a_process(tmp_path):
    reading = Reading(None, str(tmp_path), None)
    folder = tmp_path / "proc/7"
    folder.mkdir(parents=True)
    (folder / "stat").write_text("7 (a) b) c) S 1 7 7 0 -1 4194560 %s 4711 0\n" % " ".join(["0"] * 12))
    os.symlink("/usr/bin/x", folder / "exe")
    assert (reading.started(7), reading.program(7)) == (4711, "/usr/bin/x")
    assert (reading.started(8), reading.program(8), reading.argv(8)) == (None, None, [])


# The kernel log


@pytest.mark.parametrize(("record", "expected"), [
    (b"3,812,59631306,-;681.55 [4652] netmap_init   netmap: loaded module\n SUBSYSTEM=misc\n",
     {"at": 59.631306, "text": "681.55 [4652] netmap_init   netmap: loaded module"}),
    (b"6,1,5,c,caller=T1;x;y\n", {"at": 5e-6, "text": "x;y"}),
    (b"3,1,5,-;a\x1b[31m\xff\xe2\x80\xaeb\x00\n", {"at": 5e-6, "text": "a?[31m\ufffd?b?"}),
    (b"12,1,5,-;netmap: loaded module\n", None),  # written by a program
    (b"nonsense", None), (b"", None)])
def test_a_record_of_the_kernel_log(record, expected):
    assert log.parse(record) == expected


@given(st.binary(max_size=400))
def test_no_record_breaks_the_reader_or_a_terminal(body):
    line = log.parse(b"3,1,5,-;" + body)
    assert line is None or (line["text"].isprintable() and len(line["text"]) <= 300)


def test_the_newest_lines_are_kept(tmp_path, monkeypatch):
    path = tmp_path / "kmsg"
    path.write_bytes(b"")
    records = [b"3,%d,%d,-;line %d\n" % (number, number, number) for number in range(10)]
    monkeypatch.setattr(log, "_records", lambda descriptor: iter(records))
    assert [line["text"] for line in log.kernel_log(2, str(path))] == ["line 8", "line 9"]


def test_a_log_that_cannot_be_read(tmp_path):
    with pytest.raises(PtnetError, match="the kernel log cannot be read"):
        log.kernel_log(5, str(tmp_path / "none"))


# Network namespaces


def test_names_that_are_no_namespaces_are_left_out(tmp_path):
    for path, text in (("run/netns/stale", "x"), ("proc/self/ns/net", ""), ("proc/12/status", "")):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    os.mkfifo(tmp_path / "run/netns/pipe")
    os.mkdir(tmp_path / "proc/13")
    (tmp_path / "proc/13/ns").mkdir()
    os.link(tmp_path / "proc/self/ns/net", tmp_path / "proc/13/ns/net")
    found = namespaces.namespaces(str(tmp_path))
    # Here ordinary files stand in for namespaces, and all of them are on one device.
    assert {one["name"] for one in found} == {"stale", "pipe"}
    assert all(one["pid"] is None for one in found)


def test_a_namespace_of_a_process_and_its_name_are_one(tmp_path):
    for path in ("run/netns/red", "proc/self/ns/net", "proc/20/status"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    (tmp_path / "proc/20/ns").mkdir()
    os.link(tmp_path / "run/netns/red", tmp_path / "proc/20/ns/net")
    found = namespaces.namespaces(str(tmp_path))
    assert [(one["name"], one["pid"]) for one in found] == [("red", 20)]


def looked_into(act, monkeypatch, **options):
    class Libc:
        def setns(self, _descriptor, _kind):
            return 0

    monkeypatch.setattr(namespaces.ctypes, "CDLL", lambda *_args, **_options: Libc())
    return namespaces.look_into("/dev/null", act, **options)


def test_the_answer_comes_from_a_child(monkeypatch):
    answer = looked_into(lambda: {"pid": os.getpid(), "long": "x" * 200000}, monkeypatch)
    assert answer["pid"] != os.getpid()
    assert len(answer["long"]) == 200000


def test_an_error_inside_is_an_error_here(monkeypatch):
    with pytest.raises(PtnetError, match="cannot be read; found: .*boom"):
        looked_into(lambda: int("boom"), monkeypatch)


def test_a_child_that_does_not_answer_is_ended(monkeypatch):
    reader, _writer = os.pipe()
    with pytest.raises(PtnetError, match="does not answer"):
        looked_into(lambda: os.read(reader, 1), monkeypatch, timeout=0.05)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_what_is_no_namespace_is_an_error(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PtnetError, match="cannot be read"):
        namespaces.look_into(str(tmp_path / "pipe"), lambda: None)


# Interfaces


def test_offloads():
    answers = {0x16: 1, 0x1E: 0, 0x23: None, 0x2B: 1, 0x25: 1 << 15 | 1 << 7}
    assert nics.offloads(lambda command: None if answers[command] is None else struct.pack(
        "=II", command, answers[command])) == ["gro", "lro", "tx-checksum", "tx-vlan"]
    assert nics.offloads(lambda command: None) == []


def test_an_interface(tmp_path):
    folder = tmp_path / "sys/class/net/eth9"
    for path, text in (("mtu", "9000\n"), ("flags", "0x1003\n"), ("carrier", "1\n")):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (tmp_path / "module/ixgbe").mkdir(parents=True)
    (folder / "device/driver").mkdir(parents=True)
    os.symlink(tmp_path / "module/ixgbe", folder / "device/driver/module")
    (tmp_path / "sys/class/net/lo").mkdir()
    (tmp_path / "sys/class/net/bonding_masters").write_text("")
    assert nics.nics(str(tmp_path)) == [{
        "name": "eth9", "mtu": 9000, "up": True, "carrier": True, "module": "ixgbe", "iommu_group": None,
        "offloads": [], "flow_control": []}]


# Modules


def test_copies_of_the_module(tmp_path):
    for path in ("updates/netmap-ptnet/netmap.ko", "extra/netmap.ko.xz", "extra/netmap.ko.bak", "updates/dkms/veth.ko",
                 "kernel/drivers/net/ethernet/a/b/netmap.ko"):
        (tmp_path / "lib/modules/6.1" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "lib/modules/6.1" / path).write_text("")
    assert kernels.copies("6.1", str(tmp_path)) == [
        "/lib/modules/6.1/extra/netmap.ko.xz", "/lib/modules/6.1/updates/netmap-ptnet/netmap.ko"]


def test_guards_of_module_loading(tmp_path):
    assert kernels.security(str(tmp_path)) == {"lockdown": "none", "signed_only": False, "secure_boot": False}
    for path, content in (
            ("sys/kernel/security/lockdown", b"none [integrity] confidentiality\n"),
            ("sys/module/module/parameters/sig_enforce", b"Y\n"),
            ("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", b"\x06\0\0\0\x01")):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    assert kernels.security(str(tmp_path)) == {
        "lockdown": "integrity", "signed_only": True, "secure_boot": True}
