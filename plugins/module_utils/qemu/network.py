# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The management network of a VM: passt, as a service of its own. Pure. Private to netmap.ptnet."""

from __future__ import annotations

from .. import sandbox

PASST = "/usr/bin/passt"
# What guests know from QEMU's own user network.
ADDRESS, PREFIX, GATEWAY, RESOLVER = "10.0.2.15", "24", "10.0.2.2", "10.0.2.3"
# AppArmor (Debian, Ubuntu) lets passt make files below /tmp alone, so the socket's folder is seen there.
INSIDE = "/tmp/socket"
# Where /etc/resolv.conf may lead to, which is read at the start.
RESOLV_CONF = ("/run/systemd/resolve/stub-resolv.conf", "/run/systemd/resolve/resolv.conf",
               "/run/NetworkManager/resolv.conf", "/run/resolvconf/resolv.conf")
# Below it, a port needs a capability.
UNPRIVILEGED = 1024
MESSAGES = (
    (r"Failed to bind.*?([0-9.]*[/:]?\d+).*", "a management forward cannot be opened ({0})",
     "choose a host_address of this host and a host_port that nothing else listens on"),
)


def needed(vm):
    """What has to be there before a start, as path and what to do (list of pairs)."""
    return [(PASST, "install the package passt (role netmap.ptnet.qemu does), or set management.backend: slirp, the "
             "user network of QEMU itself")] if _wanted(vm) else []


def service(vm, reconnects):
    """The network as a unit, in the form of :meth:`Hypervisor.ports` (dict), or None without one.

    :param vm: as :func:`definition.define` returns it (dict)
    :param reconnects: whether QEMU connects again to a process that was started again (bool)
    """
    if not _wanted(vm):
        return None
    management = vm["management"]
    argv = vector(management["forwards"], reconnects)
    # Not Requires: that has a VM restarted whenever its network is started again.
    return {"name": management["unit"], "need": "Wants", "directory": management["directory"], "argv": argv,
            "text": _text(vm, argv, reconnects)}


def vector(forwards, reconnects):
    """How passt is started (list of str); from inside, nothing on the host's loopback is reached.

    :param forwards: host_address, host_port, guest_port of each (list of dict)
    :param reconnects: see :func:`service` (bool)
    """
    argv = [PASST, "--socket", INSIDE + "/passt.sock", "--ipv4-only",
            "--address", ADDRESS, "--netmask", PREFIX, "--gateway", GATEWAY, "--no-map-gw", "--mtu", "1500",
            "--dns-forward", RESOLVER, "--udp-ports", "none"]
    if not reconnects:
        argv.append("--one-off")
    for forward in forwards:
        argv += ["--tcp-ports", "%(host_address)s/%(host_port)d:%(guest_port)d" % forward]
    return argv if forwards else [*argv, "--tcp-ports", "none"]


_TEXT = """\
# Written by netmap.ptnet.ptnet_vm; changes made here are undone.
[Unit]
Description=management network of ptnet virtual machine %(name)s
After=network.target
Before=%(unit)s
PartOf=%(unit)s
# A guest that shuts down ends QEMU; then nobody needs it.
StopWhenUnneeded=yes

[Service]
# It goes to the background when it listens.
Type=forking
# A user that exists while it runs; the group is the VM's, which may connect.
DynamicUser=yes
Group=%(group)s
RuntimeDirectory=%(runtime)s
RuntimeDirectoryMode=0750
ExecStart=%(start)s
TimeoutStartSec=60
TimeoutStopSec=5
Restart=%(restart)s
%(fence)s"""


def _text(vm, argv, reconnects):
    management = vm["management"]
    low = any(forward["host_port"] < UNPRIVILEGED for forward in management["forwards"])
    capabilities = "CAP_NET_BIND_SERVICE" if low else ""
    return _TEXT % dict(
        vm, runtime=management["directory"].rpartition("/")[2], start=_lines(argv),
        restart="on-failure" if reconnects else "no",
        fence=sandbox.directives(
            CapabilityBoundingSet=capabilities, AmbientCapabilities=capabilities,
            PrivateUsers=None if low else "yes",
            TemporaryFileSystem="/run:ro", BindPaths="%s:%s" % (management["directory"], INSIDE),
            BindReadOnlyPaths=["-" + path for path in RESOLV_CONF],
            PrivateNetwork=None, IPAddressDeny=None,
            RestrictAddressFamilies="AF_UNIX AF_INET AF_INET6 AF_NETLINK",
            # Its group may connect.
            UMask="0007",
            # It locks itself up: namespaces of its own, an empty root, no capabilities, its own filter.
            RestrictNamespaces="user pid ipc mnt uts",
            SystemCallFilter=(*sandbox.BASE["SystemCallFilter"], "@mount @setuid capset"), ProcSubset=None,
            MemoryMax="128M", TasksMax="8"))


def _wanted(vm):
    return bool(vm["management"]) and vm["management"]["backend"] == "passt"


def _lines(argv):
    return argv[0] + "".join((" \\\n  " if word.startswith("--") else " ") + word for word in argv[1:])
