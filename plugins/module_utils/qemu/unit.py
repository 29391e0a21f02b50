# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd unit that supervises a VM, with its fence. Pure text. Private to netmap.ptnet."""

from __future__ import annotations

import re

from .. import sandbox

# A client of QEMU's control socket, run by systemd: presses the power button and waits until QEMU has gone.
POWERDOWN = (
    "import socket,sys;s=socket.socket(socket.AF_UNIX);s.settimeout(float(sys.argv[2]));s.connect(sys.argv[1]);"
    "s.sendall(b'{\"execute\":\"qmp_capabilities\"}{\"execute\":\"system_powerdown\"}')\n"
    "while s.recv(4096):pass")
# Gives files that we made to a user; the first one, the console, is made when it is not there. They lie in folders in
# which only root makes names. It runs at each start, so that machines of version 0.1.0, which ran as root, come back
# as that user whenever they do.
OWN = (
    "import os,pwd,sys\n"
    "u=pwd.getpwnam(sys.argv[1])\n"
    "for n,p in enumerate(sys.argv[2:]):\n"
    " f=os.open(p,os.O_NOFOLLOW|os.O_NONBLOCK|(0 if n else os.O_CREAT))\n"
    " os.fchmod(f,0o600);os.fchown(f,u.pw_uid,u.pw_gid);os.close(f)")

KVM = "/dev/kvm"

TEMPLATE = """\
# Written by netmap.ptnet.ptnet_vm; changes made here are undone.
[Unit]
Description=ptnet virtual machine %(name)s
After=systemd-modules-load.service network.target netmap-ptnet-ports.service%(helpers)s
%(requires)s\
# The KVM module of the CPU is loaded by udev, with no unit to wait for: a start that came too early is tried again.
StartLimitIntervalSec=120
StartLimitBurst=10

[Service]
Type=exec
User=%(user)s
Group=%(group)s
%(groups)s\
WorkingDirectory=%(directory)s
RuntimeDirectory=%(runtime)s
RuntimeDirectoryMode=0700
ExecStartPre=+%(own)s
%(ask)sExecStart=%(start)s
# SIGTERM alone would be a power cut for the guest; it follows when the guest does not shut down in time.
ExecStop=-%(stop)s
# Where the machines of version 0.1.0 have their control socket, as root; in a folder that is root's.
ExecStop=-+%(old_stop)s
StandardOutput=append:%(log)s
StandardError=append:%(log)s
Restart=on-failure
RestartSec=3
KillMode=mixed
TimeoutStopSec=%(stop_timeout)d
%(fence)s
[Install]
WantedBy=multi-user.target
"""


def text(vm, argv, python, launcher, helpers, fence, ours, kvm_group, ask=()):
    """The whole unit file (str).

    :param vm: as :func:`definition.define` returns it (dict)
    :param argv: the argument vector of QEMU (list of str)
    :param python: absolute path of the interpreter for the stop command (str)
    :param launcher: what stands before ``argv`` (list of str)
    :param helpers: the units beside this one, each with ``name``, ``need`` (Requires or Wants) and ``directory`` of its
        sockets (list of dict)
    :param fence: as :meth:`Hypervisor.fence` returns it, and ``blocks``: block devices that are disks (dict)
    :param ours: files of the VM that we made, to be the user's (list of paths)
    :param kvm_group: the group that may open /dev/kvm, None when it needs none (str)
    :param ask: a program that says whether QEMU may open its ports (list of str)
    """
    names = [helper["name"] for helper in helpers]
    groups = [group for group in [kvm_group, *fence["groups"]] if group]
    button = [python, "-I", "-c", POWERDOWN]
    seconds = str(vm["stop_timeout"])
    return TEMPLATE % dict(
        vm, helpers="".join(" " + name for name in names),
        requires="".join("%s=%s\n" % (helper["need"], helper["name"]) for helper in helpers),
        groups="SupplementaryGroups=%s\n" % " ".join(groups) if groups else "",
        runtime=vm["run"].rpartition("/")[2],
        own=_command([python, "-I", "-c", OWN, vm["user"], vm["console"], *ours]),
        ask="ExecStartPre=%s\n" % _command(ask) if ask else "",
        start=_lines([*launcher, *argv]), stop=_command([*button, vm["qmp"], seconds]),
        old_stop=_command([*button, vm["directory"] + "/qmp.sock", seconds]),
        fence=_fence(vm, helpers, fence))


def memory_limit(vm):
    """MiB that QEMU may take (int): the guest's memory; a 64th of it for page tables and the like; 16 for each
    processor; and 256 for QEMU itself. Cached pages of disk images count too, and are given back when it gets tight."""
    return vm["memory"] + vm["memory"] // 64 + 16 * vm["cpus"] + 256


def task_limit(vm):
    """Threads that QEMU may have (int): one for each processor, up to 64 that read and write disks, two for each ring
    loop of a port, and 32 for QEMU itself."""
    return 96 + vm["cpus"] + 4 * len(vm["ports"])


def _fence(vm, helpers, fence):
    reads = [path for disk in vm["disks"] for path in (disk["backing"], disk["path"] if disk["read_only"] else None)]
    reads += [vm["kernel"], vm["initrd"]]
    writes = [disk["path"] for disk in vm["disks"] if not disk["read_only"]]
    devices = [KVM, *fence["devices"]]
    blocks = [path for path in dict.fromkeys(path for path in [*reads, *writes] if path) if path in fence["blocks"]]
    # /run is empty but for what this VM talks to; what lies in a home or in /tmp is seen where it is named.
    binds = [*devices, vm["run"], *(path for path in writes if not path.startswith(vm["directory"] + "/"))]
    read_binds = [helper["directory"] for helper in helpers] + [path for path in reads if path]
    exceptions = {
        "ProtectHome": "tmpfs",
        "TemporaryFileSystem": ["/run:ro", *fence["tmpfs"]],
        "ReadWritePaths": vm["directory"],
        "BindPaths": [_bound(path) for path in dict.fromkeys(binds)],
        "BindReadOnlyPaths": [_bound(path) for path in dict.fromkeys(read_binds) if path not in binds],
        "DeviceAllow": ["%s rw" % path for path in devices]
        + ["%s %s" % (_named(path), "rw" if path in writes else "r") for path in blocks],
        "MemoryMax": "%dM" % memory_limit(vm),
        "TasksMax": str(task_limit(vm)),
        **vm["limits"],
    }
    if vm["management"] and vm["management"]["backend"] == "slirp":
        exceptions.update(PrivateNetwork=None, IPAddressDeny=None, RestrictAddressFamilies="AF_UNIX AF_INET AF_INET6")
    return sandbox.directives(**{**exceptions, **fence["directives"]})


def _bound(path):
    """A path as BindPaths reads it: no specifier, and no colon that would end it (str)."""
    return _named(path).replace(":", "\\:")


def _named(path):
    return path.replace("%", "%%")


def escape(word):
    """One argument as systemd.service(5) reads it in a command line: quoted, no specifier, no variable (str)."""
    word = word.replace("%", "%%").replace("$", "$$")
    if re.match(r"[A-Za-z0-9_@%+=:,./$-]+\Z", word):
        return word
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t")):
        word = word.replace(plain, escaped)
    return '"%s"' % word


def _command(argv):
    return " ".join(escape(word) for word in argv)


def _lines(argv):
    """One option a line, so that a diff shows what changed."""
    parts = [escape(argv[0])]
    for word in argv[1:]:
        parts.append((" \\\n  " if word.startswith("-") else " ") + escape(word))
    return "".join(parts)
