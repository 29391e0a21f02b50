# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Linux tells of its interfaces, addresses, routes and connections: as rtnetlink(7) writes it, and from the kernel
that runs these tests, in a network namespace."""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import shutil
import struct
import subprocess
import sys

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux import management, netlink
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.management import session

CAME_IN = "the SSH connection from %s, which came in on its address %s"
ANSWERS = "the answers to the SSH connection from %s"
LINK, ADDRESS, ROUTE = 18, 22, 26


def attribute(kind, data):
    data = struct.pack("=I", data) if isinstance(data, int) else data
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def route_message(index, length=0, table=254, kind=1, family=2, hops=()):
    ways = b"".join(struct.pack("=HBBi", 16, 0, 0, hop) + attribute(5, b"\xc0\0\2\1") for hop in hops)
    fixed = struct.pack("=8BI", family, length, 0, 0, table if table < 256 else 0, 0, 0, kind, 0)
    return fixed + attribute(15, table) + (attribute(9, ways) if hops else attribute(4, index))


class Kernel:
    """Answers as the kernel gives them.

    :ivar ways: where packets to an address leave, by its source and what it is bound to; what is not in it is not
        reached: destination, source or None, index or None, to indices
    """

    def __init__(self):
        self.messages = {LINK: [], ADDRESS: [], ROUTE: []}
        self.ways, self.refuses = {}, None
        self.link(1, "lo", flags=8)

    def __call__(self, kind, body, dump=False):
        if self.refuses:
            raise OSError(self.refuses, os.strerror(self.refuses))
        if kind == ROUTE and not dump:
            return [self.way(body)]
        return [one for one in self.messages[kind] if kind != ROUTE or one[0] == body[0]]

    def link(self, index, name, kind=None, flags=1, altnames=(), **others):
        said = attribute(3, name.encode() + b"\0")
        for key, number in (("lower", 5), ("master", 10), ("elsewhere", 37)):
            said += attribute(number, others[key]) if key in others else b""
        said += attribute(18, attribute(1, kind.encode() + b"\0")) if kind else b""
        # The list of properties is nested, and the kernel says so in the number.
        others = b"".join(attribute(53, other.encode() + b"\0") for other in altnames)
        said += attribute(52 | 0x8000, others) if others else b""
        self.messages[LINK].append(struct.pack("=BxHiII", 0, 1, index, flags, 0) + said)

    def address(self, index, address, peer=None):
        said = attribute(2, ipaddress.ip_address(address).packed) if ":" not in address else b""
        said = attribute(1, ipaddress.ip_address(peer or address).packed) + said
        family = 10 if ":" in address else 2
        self.messages[ADDRESS].append(struct.pack("=BBBBi", family, 24, 0, 0, index) + said)

    def route(self, index, **more):
        self.messages[ROUTE].append(route_message(index, **more))

    def way(self, body):
        said = netlink._attributes(body[12:])
        source, bound = said.get(2), said.get(4)
        key = (str(ipaddress.ip_address(said[1])), source and str(ipaddress.ip_address(source)),
               bound and struct.unpack("=I", bound)[0])
        if key not in self.ways:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        first, *others = self.ways[key]
        return route_message(first, hops=[first, *others] if others else ())


@pytest.fixture
def kernel():
    """Two NICs in one subnet."""
    kernel = Kernel()
    for index, name, address in ((2, "eth0", "192.0.2.4"), (3, "eth1", "192.0.2.5")):
        kernel.link(index, name)
        kernel.address(index, address)
    return kernel


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    return tmp_path


def put(root, path, content):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def carried(kernel, root, monkeypatch=None, connection=None):
    if connection:
        monkeypatch.setenv("SSH_CONNECTION", connection)
    return management.carried(str(root), kernel)


def test_of_two_nics_in_one_subnet_the_one_with_the_local_address(kernel, root, monkeypatch):
    kernel.ways["192.0.2.1", "192.0.2.5", None] = [3]
    assert carried(kernel, root, monkeypatch, "192.0.2.1 5 192.0.2.5 22") == {
        "eth1": CAME_IN % ("192.0.2.1", "192.0.2.5")}


def test_policy_routes_are_the_kernels_to_follow(kernel, root, monkeypatch):
    kernel.ways["203.0.113.9", "192.0.2.5", None] = [2]
    assert carried(kernel, root, monkeypatch, "203.0.113.9 5 192.0.2.5 2222") == {
        "eth1": CAME_IN % ("203.0.113.9", "192.0.2.5"), "eth0": ANSWERS % "203.0.113.9"}


def test_the_kernel_is_asked_with_all_that_rules_look_at():
    asked = []
    netlink.leaving(session("203.0.113.9 50000 192.0.2.5 2222"), 7, lambda _kind, body: asked.append(body) or [])
    said = netlink._attributes(asked[0][12:])
    assert struct.unpack("=8BI", asked[0][:12]) == (2, 32, 32, 0, 0, 0, 0, 0, 0x2000)
    assert said == {1: b"\xcb\0\x71\x09", 2: b"\xc0\0\2\5", 27: b"\6", 28: struct.pack("!H", 2222),
                    29: struct.pack("!H", 50000), 4: struct.pack("=i", 7)}


def test_all_ways_of_a_route_with_several(kernel, root, monkeypatch):
    kernel.ways["203.0.113.9", "192.0.2.5", None] = [2, 3]
    kernel.link(4, "eth2")
    kernel.link(5, "eth3")
    kernel.route(0, hops=[4, 5])
    assert carried(kernel, root, monkeypatch, "203.0.113.9 5 192.0.2.5 22") == {
        "eth1": CAME_IN % ("203.0.113.9", "192.0.2.5"), "eth0": ANSWERS % "203.0.113.9",
        "eth2": "the default route", "eth3": "the default route"}


def test_a_connection_through_a_vrf(kernel, root, monkeypatch):
    kernel.link(4, "mgmt", "vrf")
    kernel.link(5, "eth2", master=4)
    kernel.address(5, "198.51.100.5")
    # In the tables of all others the peer is behind eth0.
    kernel.ways = {("203.0.113.9", "198.51.100.5", 4): [5], ("203.0.113.9", "198.51.100.5", None): [2]}
    assert carried(kernel, root, monkeypatch, "203.0.113.9 5 198.51.100.5 22") == {
        "eth2": CAME_IN % ("203.0.113.9", "198.51.100.5")}


def test_a_link_local_address_is_reached_by_its_own_interface(kernel, root, monkeypatch):
    kernel.address(2, "fe80::5")
    kernel.address(3, "fe80::5")
    kernel.ways["fe80::1", "fe80::5", 3] = [3]
    assert carried(kernel, root, monkeypatch, "fe80::1%eth1 5 fe80::5%eth1 22") == {
        "eth1": CAME_IN % ("fe80::1", "fe80::5")}


def test_an_ipv4_address_that_ipv6_wraps(kernel, root, monkeypatch):
    assert carried(kernel, root, monkeypatch, "::ffff:192.0.2.1 5 ::ffff:192.0.2.5 22") == {
        "eth1": CAME_IN % ("192.0.2.1", "192.0.2.5")}


def test_an_address_that_no_interface_has(kernel, root, monkeypatch):
    # As a source the kernel refuses it, so it is asked for the way to the peer alone.
    kernel.ways["203.0.113.9", None, None] = [3]
    assert carried(kernel, root, monkeypatch, "203.0.113.9 5 198.51.100.77 22") == {"eth1": ANSWERS % "203.0.113.9"}


def test_the_address_of_a_point_to_point_interface_is_its_own(kernel, root, monkeypatch):
    kernel.link(4, "tun0", "tun")
    kernel.address(4, "10.8.0.1", peer="10.8.0.2")
    assert carried(kernel, root, monkeypatch, "10.8.0.2 5 10.8.0.1 22") == {"tun0": CAME_IN % ("10.8.0.2", "10.8.0.1")}


def test_what_the_default_route_stands_on(kernel, root):
    for index, name, kind, more in ((4, "bond0", "bond", {}), (5, "eth2", None, {"master": 4}),
                                    (6, "bond0.7", "vlan", {"lower": 4})):
        kernel.link(index, name, kind, **more)
    kernel.route(6, family=10)
    default = "bond0.7 and with it the default route"
    assert carried(kernel, root) == {"bond0.7": "the default route", "bond0": default, "eth2": default}


def test_an_interface_is_guarded_by_each_name_that_it_has(kernel, root):
    kernel.link(4, "eth2", altnames=["enp0s18", "uplink"])
    kernel.link(5, "eth2.7", "vlan", lower=4, altnames=["office"])
    kernel.link(6, "eth3", altnames=["enp0s19"])
    kernel.route(5)
    below = "eth2.7 and with it the default route"
    assert carried(kernel, root) == {
        "eth2.7": "the default route", "office": "the default route, as another name of eth2.7", "eth2": below,
        "enp0s18": below + ", as another name of eth2", "uplink": below + ", as another name of eth2"}


@pytest.mark.parametrize("more", [{"length": 8}, {"table": 100}, {"table": 1000}, {"kind": 7}])
def test_what_is_no_default_route(kernel, root, more):
    kernel.route(2, **more)
    assert carried(kernel, root) == {}


def test_an_index_of_another_namespace_says_nothing(kernel, root):
    kernel.link(4, "veth0", "veth", lower=2, elsewhere=0)
    kernel.route(4)
    assert carried(kernel, root) == {"veth0": "the default route"}


def test_sudo_hides_the_variable_but_not_the_ancestors(kernel, root):
    put(root, "proc/%d/environ" % os.getppid(), b"HOME=/root\0")
    put(root, "proc/%d/stat" % os.getppid(), b"5 (a b) c) S 77 1 1")
    put(root, "proc/77/environ", b"A=b\0SSH_CONNECTION=192.0.2.1 5 192.0.2.5 22\0")
    put(root, "proc/77/stat", b"77 (sshd) S 1 1 1")
    assert carried(kernel, root) == {"eth1": CAME_IN % ("192.0.2.1", "192.0.2.5")}


# Established on port 22 from 192.0.2.1 to 192.0.2.5 and from 192.0.2.9 to 192.0.2.4, on 2222 to 192.0.2.4; the second
# one has ended; listeners; the same in IPv6.
TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 050200C0:0016 010200C0:C350 01 00000000:00000000 00:00000000 00000000     0        0 2
   2: 040200C0:0016 090200C0:C350 06 00000000:00000000 00:00000000 00000000     0        0 3
   3: 040200C0:08AE 070200C0:C351 01 00000000:00000000 00:00000000 00000000     0        0 4
   4: 0100007F:0016 0100007F:C351 01 00000000:00000000 00:00000000 00000000     0        0 5
   5: 00000000:08AE 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 6
"""
TCP6 = """  sl  local_address                         remote_address                        st tx_queue
   0: 0000000000000000FFFF0000040200C0:0016 0000000000000000FFFF0000080200C0:C350 01 0:0 0:0 0 0 0 7
   1: 000080FE000000000000000005000000:0016 000080FE000000000000000001000000:C350 01 0:0 0:0 0 0 0 8
"""
little_endian = pytest.mark.skipif(sys.byteorder != "little", reason="the text is that of a little-endian machine")


@little_endian
@pytest.mark.parametrize(("connection", "tcp6", "found"), [
    # A task that left its session.
    (None, "", {"eth1": "192.0.2.1"}), (None, TCP6, {"eth1": "192.0.2.1", "eth0": "192.0.2.8"}),
    # A forward of this machine brought it: to the loopback, or to another address of its own.
    ("127.0.0.1 5 127.0.0.1 22", "", {"eth1": "192.0.2.1"}),
    ("192.0.2.5 5 192.0.2.4 2222", "", {"eth0": "192.0.2.7", "eth1": "192.0.2.1"}),
    # The variable outlived its connection: another one to another address now, the old one in TIME_WAIT or long gone.
    ("192.0.2.9 50000 192.0.2.4 22", "", {"eth1": "192.0.2.1"}),
    ("192.0.2.3 5 192.0.2.4 22", TCP6, {"eth1": "192.0.2.1", "eth0": "192.0.2.8"}),
    ("192.0.2.3 5 192.0.2.5 2222", "", {"eth1": "192.0.2.1", "eth0": "192.0.2.7"}),
    # Ours is known, so those of others may be cut.
    ("192.0.2.7 50001 192.0.2.4 2222", TCP6, {"eth0": "192.0.2.7"}),
    ("192.0.2.8 50000 192.0.2.4 22", TCP6, {"eth0": "192.0.2.8"}),
    ("::ffff:192.0.2.1 50000 ::ffff:192.0.2.5 22", TCP6, {"eth1": "192.0.2.1"})])
def test_all_connections_count_where_ours_is_not_known(kernel, root, monkeypatch, connection, tcp6, found):
    put(root, "proc/net/tcp", TCP.encode())
    put(root, "proc/net/tcp6", tcp6.encode())
    local = {"eth0": "192.0.2.4", "eth1": "192.0.2.5"}
    assert carried(kernel, root, monkeypatch, connection) == {
        name: CAME_IN % (peer, local[name]) for name, peer in found.items()}


@little_endian
def test_the_zone_of_ours_is_not_in_the_kernels_list(kernel, root, monkeypatch):
    put(root, "proc/net/tcp6", TCP6.encode())
    kernel.address(2, "fe80::5")
    kernel.address(3, "fe80::5")
    assert carried(kernel, root, monkeypatch, "fe80::1%eth1 50000 fe80::5%eth1 22") == {
        "eth1": CAME_IN % ("fe80::1", "fe80::5")}


@little_endian
@pytest.mark.parametrize(("name", "inode", "found"), [
    ("sshd", 6, ["eth0", "eth1"]),  # it listens
    ("sshd-session", 4, ["eth0", "eth1"]),  # systemd listens
    ("nginx", 6, ["eth1"]),
    ("sshd", 99, ["eth1"])])
def test_the_ports_that_sshd_serves(kernel, root, name, inode, found):
    put(root, "proc/net/tcp", TCP.encode())
    put(root, "proc/55/comm", name.encode() + b"\n")
    put(root, "proc/56/comm", b"sshd\n")  # ends while it is looked at
    (root / "proc/55/fd").mkdir()
    (root / "proc/55/fd/3").symlink_to("socket:[%d]" % inode)
    assert sorted(carried(kernel, root)) == found


def test_a_kernel_that_does_not_tell_guards_nothing_silently(kernel, root):
    kernel.refuses = errno.EPERM
    with pytest.raises(PtnetError, match="not known which interfaces.*not permitted.*allow_management"):
        carried(kernel, root)


# The kernel that runs these tests

SETUP = """
ip link set lo up
ip link add br0 type bridge && ip link add leg type veth peer name plug && ip link add nic0 type veth peer name far0
ip link set plug master br0 && ip link set nic0 master br0
ip link add nic1 type veth peer name far1
ip address add 192.0.2.4/24 dev leg && ip address add 192.0.2.5/24 dev nic1
ip address add 2001:db8::5/64 dev nic1 nodad
for name in br0 leg plug nic0 nic1 far0 far1; do ip link set $name up; done
ip route add default via 192.0.2.254 dev leg
ip rule add from 192.0.2.5 lookup 100 && ip route add default via 192.0.2.253 dev nic1 table 100
exec "$@"
"""
PROGRAM = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux.management import carried
found = []
for os.environ["SSH_CONNECTION"] in sys.argv[2:]:
    found.append(carried())
print(json.dumps(found))
"""


def in_a_namespace(setup, *connections):
    """What this kernel carries for each connection, in a network namespace (list of dict)."""
    if not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("no unshare or no ip here")
    top = management.__file__.partition("/ansible_collections/")[0]
    program = [sys.executable, "-c", PROGRAM, top, *connections]
    ended = subprocess.run(["unshare", "-rn", "sh", "-ec", setup, "sh", *program], capture_output=True, text=True,
                           timeout=60, check=False)
    if ended.returncode and "Traceback" not in ended.stderr:
        pytest.skip("no network namespace with bridges, pairs and rules here: %s" % ended.stderr.strip()[-200:])
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_the_alternative_names_that_this_kernel_knows():
    names = "ip link property add dev leg altname enp0s18 altname a-rather-long-name\nexec "
    found, = in_a_namespace(SETUP.replace("exec ", names), "203.0.113.9 5 192.0.2.4 22")
    for name in ("enp0s18", "a-rather-long-name"):
        assert found[name] == "%s, as another name of leg" % found["leg"]


def test_what_this_kernel_answers():
    by_rule, by_bridge, version6 = in_a_namespace(
        SETUP, "203.0.113.9 5 192.0.2.5 22", "203.0.113.9 5 192.0.2.4 22", "2001:db8::9 5 2001:db8::5 22")
    # far1 is the other end of the cable, and in this namespace too.
    assert by_rule.pop("nic1") == CAME_IN % ("203.0.113.9", "192.0.2.5")
    assert by_rule.pop("far1").startswith("nic1 and with it the SSH")
    assert by_rule["leg"] == "the default route"
    assert sorted(by_rule) == ["br0", "far0", "leg", "nic0", "plug"]
    assert sorted(by_bridge) == ["br0", "far0", "leg", "nic0", "plug"]
    assert by_bridge["nic0"].startswith("br0 and with it") or by_bridge["nic0"].startswith("leg and with it")
    assert version6["nic1"] == CAME_IN % ("2001:db8::9", "2001:db8::5")
