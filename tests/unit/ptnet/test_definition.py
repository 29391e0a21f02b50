# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A port process as declared: what is refused without looking at the machine."""

from __future__ import annotations

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.ptnet import definition


def params(*ports, **more):
    return dict({"name": "web", "host": None, "group": "kvm", "memory": 512,
                 "ports": [{"port": port, "mac": None, "trust": "private"} for port in ports]}, **more)


def test_sixteen_ports_with_regions_of_their_own_are_too_many_devices():
    assert len(definition.define(params(*("vale1:%d" % n for n in range(15))))["ports"]) == 15
    with pytest.raises(PtnetError, match="16 ports and 16 memory devices"):
        definition.define(params(*("vale1:%d" % n for n in range(16))))
    assert len(definition.define(params(*("p0{%d" % n for n in range(29))))["ports"]) == 29


@pytest.mark.parametrize(("given", "text"), [
    (params(), "has no ports"),
    (params(*("vale1:%d" % n for n in range(300))), "too many ports; found: 300"),
    (params("vale1:1", "netmap:vale1:1"), "vale1:1 stands twice"),
    (params("vale1:1", memory=1 << 40), "memory is refused"),
    (params("vale1:1", name="../web"), "no name for a port process"),
])
def test_refused(given, text):
    with pytest.raises(PtnetError, match=text):
        definition.define(given)
