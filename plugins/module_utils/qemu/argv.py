# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The argument vector of the ptnet QEMU (version 3.0.94), and two of them compared. Pure. Private to netmap.ptnet."""

from __future__ import annotations

# Slots of machine pc: 0 and 1 are the chipset's. The guest numbers its interfaces by slot, so ports get theirs in the
# declared order; what QEMU adds without being asked (one memory device per allocator) takes the lowest free slot.
MANAGEMENT_SLOT = 0x02
DISK_SLOT = 0x03
PORT_SLOT = 0x10


def vector(vm):
    """What to execute for a VM (list of str).

    :param vm: as :func:`definition.define` returns it (dict)
    """
    argv = [
        vm["binary"],
        "-name", _options(guest=vm["name"], debug_threads="on"),
        "-machine", _options(vm["machine"], accel=vm["accelerator"]),
        "-cpu", vm["cpu"],
        "-m", str(vm["memory"]),
        "-smp", str(vm["cpus"]),
        "-rtc", "base=utc",
        "-nodefaults", "-no-user-config",
        "-display", "none",
        "-vga", "none",
        # One console for two uses: a file that is always written, a socket that an operator may connect to.
        "-chardev", _options("socket", id="console", path=vm["console_socket"], server="on", wait="off",
                             logfile=vm["console"], logappend="on"),
        "-serial", "chardev:console",
        "-chardev", _options("socket", id="qmp", path=vm["qmp"], server="on", wait="off"),
        "-mon", _options(chardev="qmp", mode="control"),
    ]
    if vm["management"]:
        forwards = ["hostfwd=tcp:%(host_address)s:%(host_port)s-:%(guest_port)s" % forward
                    for forward in vm["management"]["forwards"]]
        # The empty romfile saves a network boot, and the file that the fork would look for.
        argv += ["-netdev", ",".join(["user,id=management", *forwards]),
                 "-device", _options("virtio-net-pci", netdev="management", mac=vm["management"]["mac"],
                                     romfile="", addr=hex(MANAGEMENT_SLOT))]
    for index, disk in enumerate(vm["disks"]):
        argv += ["-drive", _options(file=disk["path"], format=disk["format"], id="disk%d" % index,
                                    readonly="on" if disk["read_only"] else "off", **{"if": "none"}),
                 "-device", _options("virtio-blk-pci", drive="disk%d" % index, addr=hex(DISK_SLOT + index),
                                     serial=disk["serial"])]
    for index, port in enumerate(vm["ports"]):
        argv += ["-netdev", _options("netmap", id=port["id"], ifname=port["ifname"], passthrough="on",
                                     klooptx=_on(port["kloop_tx"]), klooprx=_on(port["kloop_rx"])),
                 "-device", _options("ptnet-pci", netdev=port["id"], mac=port["mac"], addr=hex(PORT_SLOT + index))]
    for option in ("kernel", "initrd", "append"):
        if vm[option]:
            argv += ["-" + option, vm[option]]
    return argv


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


def _options(first=None, **pairs):
    words = [first] if first else []
    words += ["%s=%s" % (key.replace("_", "-"), value.replace(",", ",,")) for key, value in pairs.items()
              if value is not None]
    return ",".join(words)


def _on(flag):
    return "on" if flag else "off"
