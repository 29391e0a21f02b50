# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fork of QEMU that opens netmap ports itself (version 3.0.94, of 2019). Private to netmap.ptnet."""

from __future__ import annotations

from ..errors import PtnetError
from ..places import DEVICE
from ..ptnet import archive, entry, layout, port_options
from . import argv
from .hypervisor import Hypervisor

PCI_DEVICE = "ptnet-pci"
# Connects to the network process and hands QEMU the connection; newer ones connect themselves (-netdev stream).
FILE = 3
CONNECT = ("import os,socket,sys;s=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1]);f=int(sys.argv[2]);"
           "s.fileno()==f or os.dup2(s.fileno(),f);os.set_inheritable(f,True);os.execv(sys.argv[3],sys.argv[3:])")


class Fork(Hypervisor):
    """The ptnet QEMU. Nothing in it has been mended since 2019, and it holds ``/dev/netmap`` itself."""

    NAME = "fork"
    BINARIES = ("/opt/ptnet-qemu/bin/qemu-system-x86_64",)
    REMEDY = "build the ptnet QEMU (role netmap.ptnet.qemu with qemu_hypervisor=fork)"
    # The texts of net/netmap.c, accel/kvm/kvm-all.c and block/ of QEMU 3.0.94. {0} is the matched name.
    MESSAGES = (
        (r"Failed to open\(/dev/netmap\): No such file", "netmap is not loaded on this host",
         "load the netmap module (role netmap.ptnet.netmap), then run again"),
        (r"Failed to open\(/dev/netmap\): Permission denied", "QEMU may not open /dev/netmap",
         "let a group open it (role netmap.ptnet.netmap does: netmap_group), then run again"),
        (r"Failed to register (\S+): Device or resource busy", "port {0} is in use",
         "stop its user or give this VM another port; a port, and each end of a pipe, has one user"),
        (r"Failed to register (\S+): No such device or address", "there is no port {0} on this host",
         "create it first (role netmap.ptnet.ports) or correct the name"),
        (r"Failed to register (\S+): Cannot allocate memory", "netmap has no room for port {0}",
         "check that the name has a switch and a port (vale1:10), that max_bridges allows one more switch, "
         "and that netmap's memory parameters allow for all declared ports"),
        (r"Failed to register (\S+): Invalid argument", "netmap refuses the port name {0}",
         "use a name that is no existing interface, such as vale1:10 or netmap:pipe0{{1"),
        (r"failed to set MSR|kvm_put_msrs", "KVM refuses a register that this CPU model sets",
         "set cpu to a named model, such as Haswell-noTSX or qemu64; this QEMU is older than some processors"),
        (r"kvm_irqchip_add_\w+\(\) failed", "KVM cannot pass interrupts to ptnet ports",
         "use a host with in-kernel KVM; emulated processors need a virtualization extension (svm, npt)"),
        (r"ConnectionRefusedError|FileNotFoundError", "the management network does not answer",
         "see journalctl -u ptnet-net-NAME.service, then start the VM again"),
        (r"[Cc]ould not load (?:PC BIOS|option rom) '([^']*)'", "QEMU lacks its firmware file {0}",
         "install the ptnet QEMU again (role netmap.ptnet.qemu)"),
        (r"PCI: (?:no slot/function available|slot \d+).*", "the PCI bus of the VM is full",
         "declare fewer disks or ports; each memory region of netmap takes a slot as well"),
    )

    @classmethod
    def objection(cls, program):
        return None if program.has_device(PCI_DEVICE) else "%s has no %s" % (program.path, PCI_DEVICE)

    def refuse(self, vm):
        if "q35" in vm["machine"]:
            raise PtnetError(
                "machine type %s cannot carry ptnet ports" % vm["machine"], expected="pc or a version of it",
                remedy="use machine: pc, or hypervisor: distribution; with this QEMU PCI Express machines want "
                       "pcie-root-port and qemu-xhci, whose PCI ids (1b36:000c, 1b36:000d) are those of ptnet's memory "
                       "and port devices")
        if vm["firmware"]:
            raise PtnetError("firmware of VM %s cannot be uefi with the ptnet QEMU" % vm["name"], found="uefi",
                             expected="bios", remedy="leave firmware out, or set hypervisor: distribution")
        for port in vm["ports"]:
            for option, default in port_options.DEFAULTS.items():
                if port[option] != default:
                    raise PtnetError(
                        "%s of port %s is an option of the port process, which the ptnet QEMU does not have" % (
                            option, port["port"]), found=port[option], expected="%s, or nothing" % default,
                        remedy="leave %s out, or set hypervisor: distribution" % option)
        _refuse_full_bus(vm)

    def vector(self, vm):
        words = [self.program.path]
        if self.program.has_seccomp:
            words += argv.SANDBOX
        words += argv.machine(vm, ["-m", str(vm["memory"])])
        words += argv.management(vm, argv.options("socket", id="management", fd=str(FILE)))
        words += argv.disks(vm)
        for index, port in enumerate(vm["ports"]):
            words += ["-netdev", argv.options("netmap", id=port["id"], ifname=port["ifname"], passthrough="on",
                                              klooptx=argv.on(port["kloop_tx"]), klooprx=argv.on(port["kloop_rx"])),
                      "-device", argv.options(PCI_DEVICE, netdev=port["id"], mac=port["mac"],
                                              addr=hex(argv.PORT_SLOT + index))]
        return words + argv.boot(vm)

    def launcher(self, vm, python):
        if not vm["management"] or vm["management"]["backend"] != "passt":
            return []
        return [python, "-I", "-c", CONNECT, vm["management"]["socket"], str(FILE)]

    def ports(self, vm, python):
        return None

    def files(self):
        return archive.wanted()

    def ask(self, vm, python):
        ports = [port["ifname"] for port in vm["ports"]]
        return [python, "-I", archive.PATH, entry.MAY_OPEN, *ports] if ports else []

    def fence(self, vm, group_of):
        # A VALE switch belongs to the network namespace of who opens its port.
        return {"devices": [DEVICE] if vm["ports"] else [],
                "groups": [group_of(DEVICE)] if vm["ports"] else [], "tmpfs": [],
                "directives": {"PrivateNetwork": None}}


def _refuse_full_bus(vm):
    """Each memory region is a device that takes the lowest free slot; beyond the ports' first it takes a port's."""
    regions = {layout.region(port["ifname"]) for port in vm["ports"]}
    taken = {"the chipset": argv.MANAGEMENT_SLOT, "%d disks" % len(vm["disks"]): len(vm["disks"]),
             "the management interface": 1 if vm["management"] else 0}
    free = argv.PORT_SLOT - sum(taken.values())
    if len(regions) > free:
        raise PtnetError(
            "the ports of VM %s take too many PCI slots" % vm["name"],
            found="%d memory regions, with a device each" % len(regions),
            expected="at most %d with this QEMU beside %s" % (free, " and ".join(
                what for what, count in taken.items() if count)),
            remedy="declare fewer disks or ports, use pipes of one parent, which share a region, or set hypervisor: "
                   "distribution")
