# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What FreeBSD tells of the connection, as the manual pages show it; nobody recorded it on a machine."""

from __future__ import annotations

import os

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.freebsd import management

IFCONFIG = """\
em0: flags=8863<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
\tether 52:54:00:00:00:01
\tinet 192.0.2.4 netmask 0xffffff00 broadcast 192.0.2.255
em1: flags=8863<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
\tinet 192.0.2.5 netmask 0xffffff00 broadcast 192.0.2.255
\tinet6 fe80::5%em1 prefixlen 64 scopeid 0x2
lo0: flags=8049<UP,LOOPBACK,RUNNING,MULTICAST> metric 0 mtu 16384
\tinet 127.0.0.1 netmask 0xff000000
em2: flags=8863<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
lagg0: flags=8863<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
\tlaggproto lacp lagghash l2,l3,l4
\tlaggport: em2 flags=1c<ACTIVE,COLLECTING,DISTRIBUTING>
vlan7: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
\tinet 198.51.100.7 netmask 0xffffff00 broadcast 198.51.100.255
\tvlan: 7 vlanproto: 802.1q vlanpcp: 0 parent interface: lagg0
em3: flags=8863<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
epair0a: flags=8863<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
epair0b: flags=8863<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
\tinet 10.0.0.2 netmask 0xffffff00 broadcast 10.0.0.255
bridge0: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
\tmember: epair0a flags=143<LEARNING,DISCOVER,AUTOEDGE,AUTOPTP>
\tmember: em3 flags=143<LEARNING,DISCOVER,AUTOEDGE,AUTOPTP>
"""


def carried(monkeypatch, connection=None, **answers):
    """``answers``: the interface that ``route -n get`` names for a target."""
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    if connection:
        monkeypatch.setenv("SSH_CONNECTION", connection)
    said = {"ifconfig -a": IFCONFIG}
    said.update(("route -n get " + target, "   route to: x\n  interface: %s\n" % name)
                for target, name in answers.items())

    def output(*argv):
        return said.get(" ".join(argv).replace("-inet6 default", "default6"))
    return management.carried(output)


@pytest.mark.parametrize(("connection", "answers", "found"), [
    ("192.0.2.1 5 192.0.2.5 22", {"192.0.2.1": "em0"},
     {"em1": "which came in on its address 192.0.2.5", "em0": "answers"}),
    ("198.51.100.1 5 198.51.100.7 22", {"198.51.100.1": "vlan7"},
     {"vlan7": "came in", "lagg0": "vlan7 and with it", "em2": "lagg0 and|vlan7 and"}),
    ("10.0.0.1 5 10.0.0.2 22", {},
     {"epair0b": "came in", "epair0a": "epair0b and", "bridge0": "epair0b and", "em3": "epair0b and"}),
    ("fe80::1%em1 5 fe80::5%em1 22", {"-inet6 fe80::1%em1": "em1"}, {"em1": "came in"}),
    ("127.0.0.1 5 127.0.0.1 22", {"default": "em0", "default6": "em2"}, {"em0": "the default", "em2": "the default"}),
    (None, {"default": "em0"}, {"em0": "the default route"})])
def test_what_carries_the_connection(monkeypatch, connection, answers, found):
    seen = carried(monkeypatch, connection, **answers)
    assert sorted(seen) == sorted(found)
    for name, text in found.items():
        assert any(one in seen[name] for one in text.split("|")), seen[name]


def test_sudo_hides_the_variable_but_not_the_ancestors(monkeypatch):
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    said = {"ifconfig -a": IFCONFIG, "procstat -e %d" % os.getppid(): "  PID COMM ENVIRONMENT\n 9 sudo HOME=/root\n",
            "ps -o ppid= -p %d" % os.getppid(): "  77\n", "ps -o ppid= -p 77": "1\n",
            "procstat -e 77": "  PID COMM ENVIRONMENT\n 77 sh A=b SSH_CONNECTION=192.0.2.1 5 192.0.2.5 22 TERM=x\n"}
    assert sorted(management.carried(lambda *argv: said.get(" ".join(argv)))) == ["em1"]
