# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual machine as declared: checked and completed, without touching the machine. Private to netmap.ptnet."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re

from .. import limits, mac, vm_identity
from ..doubles import doubles
from ..errors import PtnetError
from ..netmap import names
from ..places import MACHINES as STATE_DIRECTORY

RUN_DIRECTORY = "/run"
UNIT_PREFIX = "ptnet-vm-"
NETWORK_PREFIX = "ptnet-net-"
# Longer names of users are refused by useradd.
USER_MAX = 32
# PCI slots 2 to 15 are left to disks, management and memory devices (see argv).
MAX_PORTS = 16
# What lies in the folder of a VM beside its disks. console.sock and qmp.sock were there in version 0.1.0.
RECORD = "disks.json"
FILES = ("console.log", "console.sock", "qmp.sock", "qemu.log", "uefi-vars.fd", RECORD)
DRAFT = ".new"
MAX_DISKS = 8
_RANGES = {"memory": (limits.MEMORY_MAX, "MiB"), "cpus": (limits.CPUS_MAX, "CPUs"), "timeout": (86400, "seconds"),
           "stop_timeout": (86400, "seconds")}


def directory(name):
    """Where the files of the VM called ``name`` are kept (str).

    :raises PtnetError: not a name for a VM
    """
    vm_identity.check_name(name)
    return "%s/%s" % (STATE_DIRECTORY, name)


def user(name):
    """The user and group that run the VM called ``name`` and nothing else (str)."""
    full = UNIT_PREFIX + name
    return full if len(full) <= USER_MAX else "ptnet-vmh-" + hashlib.sha256(name.encode()).hexdigest()[:16]


def define(params):
    """The complete VM (dict) that the options of ``ptnet_vm`` ask for.

    :param params: the module's parameters, with what the fleet calls its host (dict)
    :raises PtnetError: something that QEMU would refuse, cut silently, or accept and then misbehave
    """
    vm = complete(params)
    name = vm["name"]
    _once([disk["path"] for disk in vm["disks"]], "disk", name)
    _once([port["ifname"] for port in vm["ports"]], "port", name)
    _once([nic["mac"] for nic in vm["ports"] + [vm["management"]] if nic], "MAC address", name)
    for _first, again in clashing(vm["management"]["forwards"] if vm["management"] else []):
        raise PtnetError("forward %s stands twice in VM %s" % (listening(vm["management"]["forwards"][again]), name),
                         expected="each address and port once, and 0.0.0.0 is every address")
    return vm


def listening(forward):
    """Where on the host a forward listens (str)."""
    return "%(host_address)s:%(host_port)s" % forward


def clashing(forwards):
    """Forwards that cannot listen both: pairs of indices (iterator of pairs of int).

    :param forwards: host_address and host_port of each (list of dict)
    """
    for again, later in enumerate(forwards):
        for first, earlier in enumerate(forwards[:again]):
            addresses = {earlier["host_address"], later["host_address"]}
            if earlier["host_port"] == later["host_port"] and (len(addresses) == 1 or "0.0.0.0" in addresses):
                yield first, again
                break


def complete(params):
    """As :func:`define`, for somebody who looks for what stands twice in more than one VM."""
    name = params["name"]
    home = directory(name)
    identity = vm_identity.identity(params["fleet"], params["host"] or "", name)
    if not re.match(r"(pc|q35)(-[A-Za-z0-9.-]+)?\Z", params["machine"]):
        raise PtnetError("machine type %s is not known here" % params["machine"],
                         expected="pc, q35, or a version of one, such as pc-i440fx-10.1")
    if params["binary"] and not re.match(r"/[A-Za-z0-9._/+-]+\Z", params["binary"]):
        raise PtnetError("the path of QEMU cannot stand in a service unit", found=params["binary"],
                         expected="an absolute path of A-Z a-z 0-9 . _ / + -")
    for option, (most, of_what) in _RANGES.items():
        if not 1 <= params[option] <= most:
            raise PtnetError("%s of VM %s is too %s" % (option, name, "large" if params[option] > most else "small"),
                             found=params[option], expected="1 to %d %s" % (most, of_what))
    for option in ("kernel", "initrd"):
        _absolute(params[option], option)
    if not params["kernel"] and (params["initrd"] or params["append"]):
        raise PtnetError("initrd and append of VM %s need a kernel" % name, remedy="set kernel")
    for option in ("append", "cpu"):
        _one_line(params[option], option)
    if not params["kernel"] and not params["disks"]:
        raise PtnetError("VM %s has nothing to boot" % name, expected="disks or a kernel")
    vm = {key: params[key] for key in ("name", "memory", "cpus", "machine", "cpu", "accelerator", "kernel", "initrd",
                                       "append", "stop_timeout", "allow_management")}
    run = "%s/%s%s" % (RUN_DIRECTORY, UNIT_PREFIX, name)
    vm.update(
        identity=identity, unit="%s%s.service" % (UNIT_PREFIX, name), user=user(name), group=user(name),
        directory=home, run=run,
        console=home + "/console.log", console_socket=run + "/console.sock", qmp=run + "/qmp.sock",
        log=home + "/qemu.log",
        limits=_limits(params, name),
        firmware={"variables": home + "/uefi-vars.fd"} if params["firmware"] == "uefi" else None,
        disks=[_disk(disk, home) for disk in _at_most(params["disks"], MAX_DISKS, "disks")],
        ports=[_port(port, index, identity)
               for index, port in enumerate(_at_most(params["ports"], MAX_PORTS, "ports"))],
        management=_management(params["management"], identity))
    return vm


def _limits(params, name):
    """The limits that are declared, as systemd.resource-control(5) has them (dict of str).

    :raises PtnetError: a number out of range, or no list of processors
    """
    for option, most in (("cpu_quota", limits.CPUS_MAX * 100), ("io_weight", 10000)):
        if params[option] is not None and not 1 <= params[option] <= most:
            raise PtnetError("%s of VM %s is out of range" % (option, name), found=params[option],
                             expected="1 to %d" % most)
    cpus = params["allowed_cpus"]
    if cpus is not None and not all(_is_range(part) for part in cpus.split(",")):
        raise PtnetError("allowed_cpus of VM %s is no list of processors" % name, found=cpus,
                         expected="numbers and ranges with commas between, such as 0,4-7")
    found = {"CPUQuota": params["cpu_quota"] and "%d%%" % params["cpu_quota"], "AllowedCPUs": cpus,
             "IOWeight": params["io_weight"] and str(params["io_weight"])}
    return {directive: value for directive, value in found.items() if value}


def _is_range(text):
    match = re.match(r"([0-9]{1,4})(?:-([0-9]{1,4}))?\Z", text)
    return match is not None and int(match[1]) <= int(match[2] or match[1])


def _port(port, index, identity):
    ifname = names.qemu_ifname(port["port"])
    owner = "port %s of VM %s" % (port["port"], identity.name)
    return dict(port, ifname=ifname, id="d%d" % index,
                mac=mac.check(port["mac"] or mac.derive(*identity, ifname), owner))


def _disk(disk, home):
    path = disk["path"] if disk["path"].startswith("/") else "%s/%s" % (home, disk["path"])
    if "/" in disk["path"] and not disk["path"].startswith("/"):
        raise PtnetError("the path of a disk is neither absolute nor a plain file name", found=disk["path"],
                         expected="/an/absolute/path, or a name that is kept in %s" % home)
    _absolute(path, "path")
    _refuse_place(path, home)
    _absolute(disk["backing"], "backing")
    if disk["serial"] and not re.match(r"[A-Za-z0-9_.-]{1,20}\Z", disk["serial"]):
        raise PtnetError("the serial of disk %s does not fit virtio-blk" % path, found=disk["serial"],
                         expected="at most 20 of A-Z a-z 0-9 _ . -")
    if disk["size"] and not re.match(r"[1-9][0-9]*[KMGT]?\Z", disk["size"]):
        raise PtnetError("the size of disk %s is no size" % path, found=disk["size"],
                         expected="a number of bytes, or one with K, M, G or T, such as 4G")
    if disk["backing"]:
        if disk["format"] != "qcow2":
            raise PtnetError("disk %s cannot have a backing file" % path, found="format: %s" % disk["format"],
                             expected="format: qcow2")
        if not disk["backing_format"]:
            raise PtnetError("the format of %s is not declared" % disk["backing"],
                             remedy="set backing_format to qcow2 or raw; guessing it lets a guest that wrote to the "
                                    "image choose which file of the host is read")
        if disk["backing"] == path:
            raise PtnetError("disk %s is its own backing file" % path)
    return dict(disk, path=path)


def _refuse_place(path, home):
    """Refuse a disk where this collection keeps something else.

    :param path: of the disk, absolute (str)
    :param home: the folder of its VM (str)
    :raises PtnetError: it has . or .. in it, is a file of the VM itself, or lies with another VM
    """
    # POSIX leaves two slashes in front alone, and so does normpath; on Linux they are one.
    if os.path.normpath(path) != path or path.startswith("//"):
        raise PtnetError("the path of a disk is not the shortest one", found=path,
                         expected="a file's name, or an absolute path without . and .. and double slashes")
    folder, name = os.path.split(path)
    if folder == home and (name in FILES or name.endswith(DRAFT)):
        raise PtnetError("disk %s has the name of another file of the VM" % path, found=name,
                         expected="none of %s, and no name that ends in %s" % (", ".join(FILES), DRAFT))
    if (path + "/").startswith(STATE_DIRECTORY + "/") and not path.startswith(home + "/"):
        raise PtnetError("disk %s lies where this collection keeps the files of VMs" % path,
                         expected="a name without a slash, which is kept in %s, or a path elsewhere" % home)


def _management(management, identity):
    if management is None:
        return None
    name = identity.name
    for forward in management["forwards"]:
        try:
            ipaddress.IPv4Address(forward["host_address"])
        except ValueError as error:
            raise PtnetError("a forward of VM %s has no IPv4 host_address" % name, found=forward["host_address"],
                             expected="an address such as 127.0.0.1") from error
        for end in ("host_port", "guest_port"):
            if not 1 <= forward[end] <= 65535:
                raise PtnetError("%s of a forward of VM %s is no TCP port" % (end, name), found=forward[end],
                                 expected="1 to 65535")
    address = management["mac"] or mac.derive(*identity, "management")
    run = "%s/%s%s" % (RUN_DIRECTORY, NETWORK_PREFIX, name)
    return {"forwards": management["forwards"], "mac": mac.check(address, "the management NIC of VM %s" % name),
            "backend": management["backend"], "unit": "%s%s.service" % (NETWORK_PREFIX, name), "directory": run,
            "socket": run + "/passt.sock"}


def _at_most(items, limit, kind):
    if len(items) > limit:
        raise PtnetError("too many %s" % kind, found=len(items),
                         expected="at most %d, the PCI slots of machine pc allow no more" % limit)
    return items


def _once(values, kind, name):
    for _first, again in doubles(values):
        raise PtnetError("%s %s stands twice in VM %s" % (kind, values[again], name), expected="each one once",
                         remedy="a port or pipe end has one user; give the other one another name"
                         if kind == "port" else None)


def _absolute(path, option):
    if path and not path.startswith("/"):
        raise PtnetError("%s is not absolute" % option, found=path, expected="a path from /, the VM has no directory")
    _one_line(path, option)
    if path and re.search(r"[\s\"'\\]", path):
        raise PtnetError("%s cannot stand in a service unit" % option, found=path,
                         expected="a path without blanks, quotes and backslashes")


def _one_line(text, option):
    if text and re.search(r"[\x00-\x1f\x7f]", text):
        raise PtnetError("%s has a control character" % option, found=repr(text), expected="one line of text")
