# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of an argument vector that every QEMU takes, and two vectors compared. Pure. Private to netmap.ptnet."""

from __future__ import annotations

# Slots of machine pc: 0 and 1 are the chipset's. The guest numbers its interfaces by slot, so ports get theirs in the
# declared order; slots 0xb to 0xf are left to memory devices, one for each memory region of netmap.
MANAGEMENT_SLOT = 0x02
DISK_SLOT = 0x03
MEMORY_SLOT = 0x0b
PORT_SLOT = 0x10
# Like QEMU's own: no obsolete system calls, no way to other users, programs or priorities.
SANDBOX = ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]


def machine(vm, memory, **more):
    """The machine without its devices, with console and control socket (list of str).

    :param memory: the options that say where its memory is (list of str)
    :param more: further options of ``-machine``
    """
    return [
        "-name", options(guest=vm["name"], debug_threads="on"),
        # The guest reads there who it is, so that who answers can be compared with who was meant.
        "-smbios", options(type="1", uuid=vm["identity"].uuid(), serial=vm["identity"].serial()),
        "-machine", options(vm["machine"], accel=vm["accelerator"], **more),
        "-cpu", vm["cpu"],
        *memory,
        "-smp", str(vm["cpus"]),
        "-rtc", "base=utc",
        "-nodefaults", "-no-user-config",
        "-display", "none",
        "-vga", "none",
        # One console for two uses: a file that is always written, a socket that an operator may connect to. It is
        # appended to, so that whoever bounds the file may cut it while QEMU writes.
        "-chardev", options("socket", id="console", path=vm["console_socket"], server="on", wait="off",
                            logfile=vm["console"], logappend="on"),
        "-serial", "chardev:console",
        "-qmp", options("unix:" + vm["qmp"], server="on", wait="off"),
    ]


def management(vm, passt):
    """The management interface (list of str), empty without one.

    :param passt: the value of ``-netdev`` that leads to the network process, in this QEMU's words (str)
    """
    if not vm["management"]:
        return []
    netdev = passt
    if vm["management"]["backend"] == "slirp":
        # Restricted, a guest reaches nothing but who came in by a forward.
        netdev = ",".join(["user,id=management,restrict=on", *(
            "hostfwd=tcp:%(host_address)s:%(host_port)s-:%(guest_port)s" % forward
            for forward in vm["management"]["forwards"])])
    # The empty romfile saves a network boot, and the file that the fork would look for.
    return ["-netdev", netdev,
            "-device", options("virtio-net-pci", netdev="management", mac=vm["management"]["mac"], romfile="",
                               addr=hex(MANAGEMENT_SLOT))]


def disks(vm):
    """The disks in the order of the guest (list of str)."""
    words = []
    for index, disk in enumerate(vm["disks"]):
        words += ["-drive", options(file=disk["path"], format=disk["format"], id="disk%d" % index,
                                    readonly=on(disk["read_only"]), **{"if": "none"}),
                  "-device", options("virtio-blk-pci", drive="disk%d" % index, addr=hex(DISK_SLOT + index),
                                     serial=disk["serial"])]
    return words


def boot(vm):
    """A kernel that is booted directly (list of str)."""
    return [word for option in ("kernel", "initrd", "append") if vm[option] for word in ("-" + option, vm[option])]


def differences(running, wanted):
    """How the command line of a process differs from the wanted one.

    :returns: ``{}``, or ``running`` and ``wanted`` with the options that only the one or the other has (dict of lists)
    """
    if running == wanted:
        return {}
    now, then = _grouped(running), _grouped(wanted)
    only = {"running": [option for option in now if option not in then],
            "wanted": [option for option in then if option not in now]}
    # Equal options in another order still are another machine: devices are made in order.
    return only if any(only.values()) else {"running": now, "wanted": then}


def _grouped(argv):
    groups = []
    for word in argv:
        if groups and groups[-1].startswith("-") and " " not in groups[-1] and not word.startswith("-"):
            groups[-1] += " " + word
        else:
            groups.append(word)
    return groups


def options(first=None, **pairs):
    """The value of an option: ``first,key=value,…``; no value can add options of its own (str)."""
    words = [first] if first else []
    words += ["%s=%s" % (key.replace("_", "-"), value.replace(",", ",,")) for key, value in pairs.items()
              if value is not None]
    return ",".join(words)


def on(flag):
    """A flag in QEMU's words (str)."""
    return "on" if flag else "off"
