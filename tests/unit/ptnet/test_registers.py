# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Registers and their life, and the configuration space before them: tables of what a guest does and what it sees."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import pci, registers
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet.registers import Effect
from hypothesis import given
from hypothesis import strategies as st

SHAPE = {"offset": 0x123456, "memsize": 42369024, "tx_rings": 2, "rx_rings": 3, "tx_slots": 1024, "rx_slots": 512,
         "mem_id": 7}
POOLS = {"memsize": (5 << 32) + 6, "mem_id": 7, "if_offset": 1, "if_total": 2, "if_size": 3, "ring_offset": 4,
         "ring_total": 5, "ring_size": 6, "buf_offset": 7, "buf_total": 8, "buf_size": 9}
CREATE, DELETE = Effect("create", None), Effect("delete", None)


@pytest.fixture
def values():
    return registers.PortRegisters(bytes.fromhex("020304050607"), SHAPE, header=True)


# A guest's life: what is written where, what has to be done for it, what that came to, what is then read there.
PROBE = [(0, 0xFFFFFFFF, None, None, 1), (0, 1, None, None, 1)]
UP = [(52, 1, None, None, 1), (56, 0x8000, Effect("atok", 0x100008000), 0, 0x8000), (60, 1, None, None, 1),
      (64, 0x9000, Effect("ktoa", 0x100009000), 0, 0x9000), (44, 12, Effect("header", 12), 0, 12), (4, 1, CREATE, 0, 0)]
REMOVE = [(4, 2, DELETE, 0, 0), (52, 0, None, None, 0), (56, 0, Effect("atok", 0), 0, 0), (60, 0, None, None, 0),
          (64, 0, Effect("ktoa", 0), 0, 0), (4, 2, DELETE, 0, 0)]
FAILED = [(4, 1, CREATE, 6, 6), (4, 2, DELETE, 0, 0), (44, 10, Effect("header", 10), 6, 12),
          (44, 10, Effect("header", 10), 0, 10)]
NONSENSE = [(4, 0, None, None, 22), (4, 3, None, None, 22), (4, 0xFFFFFFFF, None, None, 22), (44, 11, None, None, 0),
            (44, 0xFFFFFFFF, None, None, 0), (8, 0, None, None, 0x04050607), (12, 1, None, None, 0x0203),
            (24, 1, None, None, 0x123456), (28, 9, None, None, 2), (48, 1, None, None, 7), (16, 5, None, None, 0),
            (20, 5, None, None, 0), (68, 5, None, None, 0), (124, 5, None, None, 0)]


def live(values, life):
    for offset, value, effect, outcome, then in life:
        assert values.write(offset, value) == effect, (offset, value)
        if outcome is not None:
            values.done(effect, outcome)
        assert values.read(offset) == then, (offset, value)


def test_what_a_guest_finds(values):
    found = {offset: values.read(offset) for offset in range(0, 256, 4) if values.read(offset)}
    assert found == {8: 0x04050607, 12: 0x0203, 24: 0x123456, 28: 2, 32: 3, 36: 1024, 40: 512, 48: 7}


@pytest.mark.parametrize("lives", [
    [PROBE], [PROBE, UP, REMOVE], [PROBE, UP, REMOVE, PROBE, UP], [UP, FAILED, REMOVE], [NONSENSE, PROBE, UP]])
def test_lives(values, lives):
    for life in lives:
        live(values, life)


def test_a_reboot_keeps_what_is_the_ports(values):
    before = {offset: values.read(offset) for offset in range(0, 256, 4)}
    live(values, PROBE + UP)
    values.reset()
    after = {offset: values.read(offset) for offset in range(0, 256, 4)}
    assert after == {**before, 44: 12}
    live(values, PROBE + UP + REMOVE)


def test_features_that_are_not_offered():
    bare = registers.PortRegisters(bytes(6), SHAPE, header=False)
    assert bare.write(0, 0xFFFFFFFF) is None
    assert bare.read(0) == 0


def test_kicks(values):
    kicks = {offset: values.write(offset, 1) for offset in range(128, 300)}
    assert {offset: effect for offset, effect in kicks.items() if effect} == {
        128 + 4 * ring: Effect("kick", ring) for ring in range(5)}
    assert not any(values.read(offset) for offset in kicks)
    assert registers.MAX_RINGS == 32


@given(st.integers(0, (1 << 64) - 1), st.integers(0, 0xFFFFFFFF))
def test_any_register(offset, value):
    one = registers.PortRegisters(bytes(6), SHAPE, header=True)
    effect = one.write(offset, value)
    assert effect is None or effect.what in ("kick", "create", "delete", "atok", "ktoa", "header")
    assert 0 <= one.read(offset) <= 0xFFFFFFFF


def test_memory():
    memory = registers.MemoryRegisters(POOLS)
    for offset in range(0, 128, 4):
        memory.write(offset, 99)
    memory.reset()
    assert {offset: memory.read(offset) for offset in range(0, 256, 4) if memory.read(offset)} == {
        0: 6, 4: 5, 8: 7, **{64 + 4 * place: place + 1 for place in range(9)}}


# Configuration space

def port_config(where="memory", ids="qemu"):
    return pci.Config("port", pci.IDS[ids]["port"], {0: where, 2: "memory"}, 5)


@pytest.mark.parametrize(("ids", "port", "memory"), [("qemu", 0x000D, 0x000C), ("freebsd", 0xCCCD, 0xCCCC)])
def test_what_qemu_and_drivers_look_at(ids, port, memory):
    one = port_config(ids=ids)
    assert struct.unpack("<HHHH", one.read(0, 8)) == (0x1B36, port, 0, 0x10)
    assert one.read(8, 4) == bytes([0, 0, 0, 2])  # an Ethernet controller
    assert struct.unpack("<HH", one.read(0x2C, 4)) == (0x1AF4, 0x1100)
    assert one.read(0x0E, 1) == b"\0"  # one function, an ordinary header
    assert one.read(0x3D, 1) == b"\0"  # no interrupt pin: no INTx
    other = pci.Config("memory", pci.IDS[ids]["memory"], {0: "io", 1: "memory64"}, 0)
    assert struct.unpack("<HHHH", other.read(0, 8)) == (0x1B36, memory, 0, 0)
    assert other.read(9, 3) == b"\0\0\xff"
    assert other.read(0x34, 1) == b"\0"
    assert struct.unpack("<III", other.read(0x10, 12)) == (1, 0xC, 0)


@pytest.mark.parametrize(("where", "bits"), [("memory", 0), ("io", 1)])
def test_base_addresses(where, bits):
    assert struct.unpack("<IIIIII", port_config(where).read(0x10, 24)) == (bits, 0, 0, 0, 0, 0)


def test_msix():
    one = port_config()
    place = one.read(0x34, 1)[0]
    kind, following, control, table, pending = struct.unpack("<BBHII", one.read(place, 12))
    assert (kind, following, control) == (0x11, 0, 4)
    assert (table & 7, pending & 7) == (2, 2)
    # Table and pending bits of as many vectors as there can be do not meet, and end inside.
    assert (table & ~7) + 16 * registers.MAX_RINGS <= pending & ~7
    assert (pending & ~7) + 8 <= pci.MSIX_SIZE


def test_only_the_command_can_be_written():
    one = port_config()
    before = one.read(0, 256)
    one.write(0, b"\xff" * 256)
    after = one.read(0, 256)
    assert struct.unpack_from("<H", after, 4) == (0x0407,)
    assert after[:4] + after[6:] == before[:4] + before[6:]
    one.reset()
    assert one.read(0, 256) == before


@given(st.integers(0, (1 << 64) - 4096), st.integers(1, 4096))
def test_any_place_in_it(offset, count):
    one = port_config()
    assert len(one.read(offset, count)) == count
    one.write(offset, b"\xff" * count)
    assert len(one.read(0, 4096)) == 4096
    assert one.read(256, 16) == bytes(16)
