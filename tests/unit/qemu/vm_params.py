# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module ptnet_vm is given, complete, for tests to change; and QEMUs that only say what they are."""

from __future__ import annotations

from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import definition, firmware, fork
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu.program import Program

CURRENT = "/usr/bin/qemu-system-x86_64"
PTNET = "/opt/ptnet-qemu/bin/qemu-system-x86_64"


def port(name, **more):
    return dict({"port": name, "mac": None, "trust": "private", "kloop_tx": True, "kloop_rx": True, "mode": "automatic",
                 "pause": 20, "registers": "memory", "pci_ids": "qemu"}, **more)


def disk(path, **more):
    return dict({"path": path, "format": "qcow2", "backing": None, "backing_format": None, "size": None,
                 "read_only": False, "serial": None}, **more)


def forward(host_port, guest_port=22, host_address="127.0.0.1"):
    return {"host_address": host_address, "host_port": host_port, "guest_port": guest_port}


def management(*forwards, **more):
    return dict({"backend": "passt", "mac": None, "forwards": list(forwards)}, **more)


def params(**more):
    return dict({
        "name": "fw", "host": "hv1", "fleet": "", "state": "started", "hypervisor": "auto", "binary": None,
        "memory": 512, "cpus": 1,
        "cpu_quota": None, "allowed_cpus": None, "io_weight": None,
        "machine": "pc", "firmware": "bios", "cpu": "host", "accelerator": "kvm",
        "disks": [disk("root.qcow2", size="1G")], "kernel": None, "initrd": None, "append": None, "ports": [],
        "management": None, "enabled": True, "allow_restart": False, "allow_management": False, "allow_removal": False,
        "timeout": 5, "stop_timeout": 7}, **more)


class Spoken(Program):
    """A program that is there and says what the test wants."""

    def __init__(self, path, version="", devices=(), seccomp=False, there=True):
        super().__init__(path, self._answer)
        self._facts = {"-version": version and "QEMU emulator version %s (Debian)\n" % version,
                       "-device": "".join('name "%s", bus PCI\n' % name for name in devices)}
        self._seccomp, self._there = seccomp, there

    @property
    def there(self):
        return self._there

    def _answer(self, words, _seconds, **_options):
        if words[1] == "-sandbox":
            return (0 if self._seccomp else 1), ""
        return 0, self._facts[words[1]]


def vector(kind=fork.Fork, seccomp=False, **more):
    """The argument vector of a VM on one kind of QEMU (list of str)."""
    return hypervisor(kind, seccomp).vector(defined(kind, **more))


def hypervisor(kind=fork.Fork, seccomp=False):
    return kind(Spoken(PTNET if kind is fork.Fork else CURRENT, seccomp=seccomp))


def defined(kind=fork.Fork, **more):
    """A VM that this kind of QEMU takes (dict)."""
    vm = definition.define(params(**more))
    hypervisor(kind).refuse(vm)
    firmware.locate(vm)
    return vm


def values(words, option):
    return [words[index + 1] for index, word in enumerate(words) if word == option]
