# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake device answers as netmap does: it is asked what the real one and the double were asked on machines.

tests/doubles/conformance.py holds those questions and answers. What is left out has a reason: the fake opens ports only
as the port process does, counts no references, and does not stand for what the kernel does with memory of ours.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pathlib
import struct

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import abi
from fake_device import SIZES, FakeNetmap

PATH = pathlib.Path(__file__).parents[2] / "doubles/conformance.py"
# The end of a question, and why the fake is not asked it, or answers something else.
BEYOND = {
    "references": "it counts none",
    "references after NICs": "likewise",
    "ip link del": "no request of netmap",
    "cf%d": "the collection makes no such name, and the fake no number of it",
    "cf%d made": "likewise",
    "delif cf1": "likewise",
    "info 'valecf:lo'": "forbidden: of a name on a switch",
    "info 'valecf:a'": "likewise",
    "info 'vale-f:a'": "likewise",
    "attach after": "it takes the lowest free index, netmap the one that was freed last; only the order counts",
    "info while open": "forbidden: it would flap the adapter of a NIC",
}


class NeverAsked(Exception):
    """The collection never asks this, so the fake has no answer."""


class Machine:
    """Stands in for the system calls of the questions."""

    O_RDWR, O_CLOEXEC = os.O_RDWR, os.O_CLOEXEC
    path = os.path

    def __init__(self):
        self.netmap = FakeNetmap(nics=["lo"])
        self.held = {}

    def open(self, _path, _flags):
        self.held[len(self.held) + 1] = None
        return len(self.held)

    def close(self, descriptor):
        if self.held[descriptor]:
            self.netmap.busy.discard(self.held[descriptor])
            self.netmap.close_port(self.held.pop(descriptor))

    def ioctl(self, descriptor, number, header, _mutate):
        (reqtype,) = struct.unpack_from("<H", header, 2)
        name = bytes(header[8:72]).split(b"\0", 1)[0].decode()
        if reqtype == abi.REGISTER and name in self.netmap.drivers and not self.netmap._find(name):
            # Whoever else opens it.
            self.held[descriptor] = name
            (self.netmap.opened if name in self.netmap.persistent else self.netmap.busy).add(name)
        if reqtype not in SIZES or (reqtype == abi.VALE_LIST and name):
            raise NeverAsked
        return self.netmap.ioctl(number, header)

    def ip(self, *words):
        if words[:2] == ("link", "add"):
            self.netmap.drivers.update({words[2]: "veth", words[-1]: "veth"})
        return 0


@pytest.fixture
def conformance(monkeypatch):
    spec = importlib.util.spec_from_file_location("conformance", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    machine = Machine()
    module.asked = []
    ask, check = module.Node.ask, module.check

    def asking(node, *words, **fields):
        with contextlib.suppress(NeverAsked):
            return ask(node, *words, **fields)
        return None, dict.fromkeys(" ".join(names for _layout, names in module.BODY.values()).split(), 0), ""

    def checking(label, got, expected, **fields):
        # A list with the number of references behind it: the list is compared.
        if got is not None and label.endswith("nothing left"):
            got, expected = got.rpartition(",")[0], expected.rpartition(",")[0]
        if not (isinstance(got, tuple) and got[0] is None) and not any(label.endswith(one) for one in BEYOND):
            module.asked.append(label)
            check(label, got, expected, **fields)

    monkeypatch.setattr(module.Node, "ask", asking)
    for name, value in (("os", machine), ("fcntl", machine), ("ip", machine.ip), ("references", lambda: 0),
                        ("check", checking)):
        setattr(module, name, value)
    return module


@pytest.mark.parametrize(("part", "questions"), [("memory", 3), ("names", 27), ("persistent", 23), ("nics", 20)])
def test_the_fake_answers_as_netmap(conformance, part, questions):
    with conformance.Node() as node:
        getattr(conformance, part)(node)
    assert conformance.differences == []
    assert len(conformance.asked) == questions, conformance.asked
