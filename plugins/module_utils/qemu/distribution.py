# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The distribution's QEMU, which takes ptnet's devices from our port process. Private to netmap.ptnet."""

from __future__ import annotations

import os

from ..errors import PtnetError
from ..ptnet import archive, layout, managers, port_options, unit
from . import argv
from .hypervisor import Hypervisor

OLDEST = (10, 1)
MEMORY = "/run/ptnet-memory"  # where the guest's memory is a file
HUGE_PAGE = 2  # MiB
_HUGE_PAGES = "/sys/kernel/mm/transparent_hugepage"  # not there: the kernel was built without (tmpfs(5))
# The chipset of q35 has its LPC bridge at 0x1f, where the sixteenth port would be.
Q35_PORTS = 15


class Distribution(Hypervisor):
    """QEMU 10.1 or newer. Its ports come over vfio-user from a process that it cannot touch."""

    NAME = "distribution"
    BINARIES = ("/usr/bin/qemu-system-x86_64", "/usr/libexec/qemu-kvm")
    REMEDY = "install QEMU 10.1 or newer (Debian 13: qemu-system-x86 of trixie-backports)"
    # With QEMU's words: hw/vfio-user/, net/stream.c, system/memory.c, block/, hw/i386/pc_sysfw.c of QEMU 11.1.
    MESSAGES = (
        (r"vfio-user-pci.*(?:Connection refused|No such file or directory|[Ff]ailed to connect)",
         "the port process does not answer", "see journalctl -u ptnet-port-NAME.service, then start the VM again"),
        (r"vfio-user-pci.*[Tt]imed? ?out", "the port process was too slow",
         "see journalctl -u ptnet-port-NAME.service; the host may be overloaded"),
        (r"id=management.*(?:Connection refused|No such file or directory|[Ff]ailed to connect)",
         "the management network does not answer", "see journalctl -u ptnet-net-NAME.service, then start the VM again"),
    )
    RECONNECTS = True

    @classmethod
    def objection(cls, program):
        if not program.version:
            return "%s does not say its version" % program.path
        if program.number < OLDEST:
            return "%s is QEMU %s, and ports over vfio-user came with %d.%d" % (
                program.path, program.version, *OLDEST)
        if not program.has_device(managers.DRIVER):
            return "%s is QEMU %s, built without the device %s" % (program.path, program.version, managers.DRIVER)
        return None

    def refuse(self, vm):
        for port in vm["ports"]:
            for option in ("kloop_tx", "kloop_rx"):
                if not port[option]:
                    raise PtnetError(
                        "%s of port %s cannot be off with the distribution's QEMU" % (option, port["port"]),
                        found="false", expected="true; the port process leaves all rings to a kernel thread",
                        remedy="leave %s out, or set hypervisor: fork" % option)
            port_options.check(_offered(port))
        if "q35" in vm["machine"] and len(vm["ports"]) > Q35_PORTS:
            raise PtnetError("too many ports", found=len(vm["ports"]),
                             expected="at most %d on machine q35, whose chipset has the slot of the last" % Q35_PORTS,
                             remedy="use machine: pc, which takes one more, or another VM")

    def vector(self, vm):
        # The port process reads and writes the guest's memory, so it is a file that both map. Without share=on the
        # ports come up and no packet ever arrives. A memfd would have small pages (shmem_enabled is "never" as Linux
        # comes), and where it is not aligned the file has them too.
        words = [self.program.path, *argv.SANDBOX, *argv.machine(
            vm, ["-m", str(vm["memory"]), "-object",
                 argv.options("memory-backend-file", id="ram", size="%dM" % vm["memory"], share="on",
                              mem_path=MEMORY, align="%dM" % HUGE_PAGE)],
            # Each look at the HPET ends in QEMU's main loop, and guests have better clocks.
            memory_backend="ram", hpet="off")]
        if vm["firmware"]:
            for unit, (path, kept) in enumerate(((vm["firmware"]["code"], True), (vm["firmware"]["variables"], False))):
                words += ["-drive", argv.options(file=path, format="raw", unit=str(unit), readonly=argv.on(kept),
                                                 **{"if": "pflash"})]
        words += argv.management(vm, argv.options(
            "stream", id="management", server="off", reconnect_ms="1000",
            **{"addr.type": "unix", "addr.path": vm["management"]["socket"]}) if vm["management"] else None)
        words += argv.disks(vm)
        for device, address in _addresses(self._devices(vm)):
            words += ["-device", managers.device(device, **address)]
        return words + argv.boot(vm)

    def launcher(self, vm, python):
        return []

    def ports(self, vm, python):
        if not vm["ports"]:
            return None
        offered = [_offered(port) for port in vm["ports"]]
        return {"name": layout.unit(vm["name"]), "need": "Requires", "directory": layout.directory(vm["name"]),
                "text": unit.text(vm["name"], offered, vm["group"], python, vm=vm["unit"]),
                "argv": unit.command(vm["name"], offered, python)}

    def files(self):
        return archive.wanted()

    def fence(self, vm, group_of):
        options = ["mode=1777", "size=%dM" % (vm["memory"] + HUGE_PAGE), "nosuid", "nodev", "noexec"]
        if os.path.exists(_HUGE_PAGES):
            options.append("huge=always")
        # Nobody else sees it: it is mounted for the processes of this unit alone.
        return {"devices": [], "groups": [], "tmpfs": ["%s:%s" % (MEMORY, ",".join(options))], "directives": {}}

    @staticmethod
    def _devices(vm):
        return layout.devices(vm["name"], [port["ifname"] for port in vm["ports"]])


def _offered(port):
    """A port as the port process takes it (dict)."""
    return {key: port[key] for key in ("id", "ifname", "mac", *port_options.DEFAULTS)}


def _addresses(devices):
    """Each device with where it is on the PCI bus: memory devices share slots, eight functions each.

    So the slots before the ports' have room for a region for each of the 16 ports.
    """
    memories = [device for device in devices if device["kind"] == "memory"]
    for index, device in enumerate(memories):
        address = {"addr": "%#x.%d" % (argv.MEMORY_SLOT + index // 8, index % 8)}
        # Function 0 tells the guest that there are others.
        if index % 8 == 0 and index + 1 < len(memories):
            address["multifunction"] = True
        yield device, address
    for index, device in enumerate(device for device in devices if device["kind"] == "port"):
        yield device, {"addr": hex(argv.PORT_SLOT + index)}
