# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""netmap on Linux: module, parameters, boot files, device node, interfaces, users. Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import mmap
import os
import re

from ...errors import PtnetError
from ...places import DEVICE, WATCH
from ..unix import Unix, ports_in
from .ethtool import ask

MODPROBE_FILE = "/etc/modprobe.d/netmap-ptnet.conf"
LOAD_FILE = "/etc/modules-load.d/netmap-ptnet.conf"
RULE_FILE = "/etc/udev/rules.d/60-netmap-ptnet.rules"
PTNET_DRIVER = "ptnetmap-guest-drivers"
_MODULE = "/sys/module/netmap"
_BANNER = "# Written by the Ansible collection netmap.ptnet; changes made here are lost.\n"
_RULE = 'KERNEL=="netmap", SUBSYSTEM=="misc", GROUP="%s", MODE="%s"\n'
_PROGRAM_TIMEOUT = 600  # A new initramfs takes minutes on a slow machine.
_SIGNATURE_END = b"~Module signature appended~\n"
_ETHTOOL_GDRVINFO = 3

_LOAD_HINTS = (
    ("Key was rejected|Required key|Key has been revoked",
     "this kernel takes signed modules only (Secure Boot, lockdown): build with sign_key and sign_certificate of "
     "netmap.ptnet.netmap_build, enrol that certificate with mokutil --import and reboot; or switch Secure Boot off"),
    ("Invalid module format", "build netmap for the running kernel with netmap.ptnet.netmap_build"),
    ("Unknown symbol", "a module that netmap needs is missing or of another build: run depmod, or build netmap again"),
    ("not found", "install netmap for this kernel first, for example with netmap.ptnet.netmap_build"),
    ("Operation not permitted", "load it as root on the host itself, not in a container"),
)


class Linux(Unix):
    """The doors to a Linux machine."""

    ptnet_driver = PTNET_DRIVER

    # The module

    def loaded(self):
        return os.path.isdir(self._root + _MODULE)

    def module(self):
        if not self.loaded():
            return None
        holders = self._root + _MODULE + "/holders"
        return {
            "refcount": int(self._text(_MODULE + "/refcnt") or 0),
            "version": self._text(_MODULE + "/version"),
            "srcversion": self._text(_MODULE + "/srcversion"),
            "holders": sorted(os.listdir(holders)) if os.path.isdir(holders) else [],
            # What cannot be unloaded is not counted.
            "built_in": not os.path.exists(self._root + _MODULE + "/refcnt"),
        }

    def installed(self, release=None):
        try:
            _status, output = self._program(["modinfo"] + (["-k", release] if release else []) + ["netmap"])
        except PtnetError:  # No such module, or not even modinfo: either way modprobe would load nothing.
            return None
        fields = dict(re.findall(r"^(\w+):[ \t]+(.*?)[ \t]*$", output, re.MULTILINE))
        return {"path": fields.get("filename"), "version": fields.get("version"),
                "srcversion": fields.get("srcversion"), "vermagic": fields.get("vermagic")}

    def stale(self, module, installed, name="netmap"):
        # Kernels without CONFIG_MODULE_SRCVERSION_ALL (Debian's) show no srcversion; the build id is always there.
        if module["srcversion"] and installed["srcversion"]:
            return module["srcversion"] != installed["srcversion"]
        try:
            with open("%s/sys/module/%s/notes/.note.gnu.build-id" % (self._root, name), "rb") as stream:
                note = stream.read()
            with open(self._root + installed["path"], "rb") as stream, \
                    mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as image:
                if image[:4] != b"\x7fELF" or not note:
                    return None
                return image.find(note) < 0
        except (OSError, ValueError, TypeError):
            return None

    def kernel_release(self):
        return os.uname().release

    def fits(self, installed, release=None):
        vermagic = (installed["vermagic"] or "").split()
        return not vermagic or vermagic[0] == (release or self.kernel_release())

    def headers_present(self, release=None):
        release = release or self.kernel_release()
        return any(os.path.isfile("%s%s/Makefile" % (self._root, path)) for path in (
            "/lib/modules/%s/build" % release, "/usr/src/linux-headers-%s" % release))

    def kernels(self):
        # A folder that only holds modules of a removed kernel is none.
        folder = self._root + "/lib/modules"
        names = os.listdir(folder) if os.path.isdir(folder) else []
        releases = [name for name in names if os.path.isfile("%s/%s/modules.builtin" % (folder, name))]
        found = []
        for release in sorted(releases, key=_version):
            # modinfo costs a process, so it is asked only where depmod found such a module.
            depends = self._text("/lib/modules/%s/modules.dep" % release) or ""
            known = re.search(r"^(\S*/)?netmap\.ko(\.\w+)?:", depends, re.MULTILINE)
            netmap = self.installed(release) if known else None
            found.append({
                "release": release, "running": release == self.kernel_release(),
                "headers": self.headers_present(release),
                "netmap": netmap and {"path": netmap["path"], "vermagic": netmap["vermagic"],
                                      "fits": self.fits(netmap, release)}})
        return found

    def load(self, parameters):
        words = ["%s=%d" % item for item in sorted(parameters.items())]
        status, output = self._program(["modprobe", "netmap"] + words, allowed=None)
        if status == 0 and self.loaded():
            # In a guest the ports appear now, and udev names them; who looks next should see the names that stay.
            with contextlib.suppress(PtnetError):
                self._program(["udevadm", "settle", "--timeout=20"])
            return
        said = output.strip() or "exit status %d" % status
        hints = [hint for pattern, hint in _LOAD_HINTS if re.search(pattern, said)]
        remedy = hints[0] if hints else "read the kernel log (dmesg)"
        if self._locked_down() and "Operation not permitted" in said:
            remedy = _LOAD_HINTS[0][1]
        raise PtnetError("netmap cannot be loaded", found=said, remedy=remedy)

    def unload(self):
        self._program(["modprobe", "-r", "netmap"], remedy="see who holds it with netmap.ptnet.netmap_info")
        if self.loaded():
            raise PtnetError("netmap is still loaded", found="it is built into the kernel, or loaded again at once")

    def _locked_down(self):
        return "[none]" not in (self._text("/sys/kernel/security/lockdown") or "[none]")

    def unsigned(self, paths):
        # Whether the key of a signature is enrolled shows only when the module is loaded.
        if not self._locked_down() and self._text("/sys/module/module/parameters/sig_enforce") != "Y":
            return []
        found = []
        for path in paths:
            with contextlib.suppress(OSError), open(self._root + path, "rb") as stream:
                image = stream.read()
                if image[:4] == b"\x7fELF" and not image.endswith(_SIGNATURE_END):
                    found.append(path)
        return found

    def drivers(self):
        from .drivers import Drivers

        return Drivers(self, self._root, self._program)

    # Parameters

    def parameters(self):
        folder = self._root + _MODULE + "/parameters"
        if not os.path.isdir(folder):
            return None
        return _numbers({name: self._text("%s/parameters/%s" % (_MODULE, name)) for name in sorted(os.listdir(folder))})

    def write_parameter(self, name, number):
        path = "%s%s/parameters/%s" % (self._root, _MODULE, name)
        try:
            with open(path, "w", encoding="ascii") as stream:
                stream.write("%d\n" % number)
        except OSError as error:
            raise PtnetError("the netmap parameter %s cannot be written" % name, found=error.strerror,
                             remedy="run as root; a read-only parameter needs a reload") from error

    # What comes back after a reboot

    def boot(self):
        options = re.findall(r"^options\s+netmap\s+(.*)$", self._text(MODPROBE_FILE) or "", re.MULTILINE)
        names = re.findall(r"^(\w+)\s*$", self._text(LOAD_FILE) or "", re.MULTILINE)
        rule = re.search(r'^KERNEL=="netmap".*GROUP="([^"]*)".*MODE="([^"]*)"', self._text(RULE_FILE) or "", re.M)
        return {
            "load": "netmap" in names,
            "drivers": [name for name in names if name != "netmap"],
            "parameters": _numbers(dict(re.findall(r"(\w+)=(\S+)", " ".join(options)))),
            "node": {"group": rule.group(1), "mode": rule.group(2)} if rule else None,
        }

    def write_boot(self, boot):
        words = " ".join("%s=%d" % item for item in sorted(boot["parameters"].items()))
        node = boot["node"]
        self._write(MODPROBE_FILE, words and _BANNER + "options netmap %s\n" % words)
        names = ["netmap"] + boot["drivers"] if boot["load"] else []
        self._write(LOAD_FILE, _BANNER + "".join(name + "\n" for name in names) if names else "")
        if self._write(RULE_FILE, _BANNER + _RULE % (node["group"], node["mode"]) if node else ""):
            with contextlib.suppress(PtnetError):  # udev reads new rules by itself as well, a second later.
                self._program(["udevadm", "control", "--reload"])

    def boot_conflicts(self):
        # Other files of modprobe.
        found = []
        for folder in ("/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"):
            if os.path.islink(self._root + os.path.dirname(folder)) or not os.path.isdir(self._root + folder):
                continue
            for name in sorted(os.listdir(self._root + folder)):
                path = "%s/%s" % (folder, name)
                if path != MODPROBE_FILE and name.endswith(".conf") and re.search(
                        r"^\s*(options|blacklist|install)\s+netmap\b", self._text(path) or "", re.MULTILINE):
                    found.append(path)
        return found

    def port_service(self):
        from .service import PortService

        return PortService(self._root, self._program)

    def links(self):
        from .links import Links

        return Links(self._root, self._program)

    # The device node

    def make_group(self, group):
        self._program(["groupadd", "--system", group])

    # Interfaces

    def interfaces(self):
        folder = self._root + "/sys/class/net"
        return sorted(name for name in os.listdir(folder) if os.path.isdir(os.path.join(folder, name)))

    def driver_of(self, name):
        # A persistent netmap port has no driver link, no ethtool driver and no rtnl kind (nm_os_vi_persist in
        # netmap_linux.c); every NIC, veth end or tap has one of them.
        folder = "%s/sys/class/net/%s" % (self._root, name)
        if not os.path.isdir(folder):
            return None
        with contextlib.suppress(OSError):
            return os.path.basename(os.readlink(folder + "/device/driver"))
        return self._ethtool_driver(name)

    @staticmethod
    def _ethtool_driver(name):
        answer = ask(name, _ETHTOOL_GDRVINFO, 196)
        return answer[4:36].split(b"\0", 1)[0].decode("ascii", "replace") if answer else ""

    def address_of(self, name):
        return self._text("/sys/class/net/%s/address" % name)

    def mtu_of(self, name):
        return int(self._text("/sys/class/net/%s/mtu" % name) or 0)

    def bus_address_of(self, name):
        path = os.path.realpath("%s/sys/class/net/%s/device" % (self._root, name))
        found = re.findall(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", path)
        return found[-1] if found else None

    def management(self):
        from .management import carried

        return carried(self._root)

    # Who uses netmap

    def processes(self):
        found, node = [], self._node_in_maps()
        for pid in sorted(int(name) for name in os.listdir(self._root + "/proc") if name.isdigit()):
            folder = "%s/proc/%d" % (self._root, pid)
            holds = []
            with contextlib.suppress(OSError):
                for descriptor in os.listdir(folder + "/fd"):
                    with contextlib.suppress(OSError):
                        if _is_node(os.readlink("%s/fd/%s" % (folder, descriptor))):
                            holds.append("descriptor %s" % descriptor)
            with contextlib.suppress(OSError), open(folder + "/maps", encoding="utf-8", errors="replace") as stream:
                if any(_is_node("/" + line.rstrip("\n").partition("/")[2])
                       or (line.endswith(" /\n") and line.split(None, 5)[3:5] == node) for line in stream):
                    holds.append("mapping")
            words = (self._text("/proc/%d/cmdline" % pid) or "").split("\0") if holds else []
            if holds and WATCH not in words:
                command = " ".join(words).strip() or self._text("/proc/%d/comm" % pid) or "?"
                found.append({"pid": pid, "command": command[:200], "holds": sorted(holds), "ports": ports_in(words)})
        return found

    def _node_in_maps(self):
        """Device and inode of the node as ``/proc/PID/maps`` writes them (list of str), None without a node.

        A file that was opened below a mount is called "/" when that mount has gone: so it is with what QEMU maps after
        its port process, which had a mount of its own, has died.
        """
        try:
            status = os.stat(self._root + DEVICE)
        except OSError:
            return None
        return ["%02x:%02x" % (os.major(status.st_dev), os.minor(status.st_dev)), str(status.st_ino)]

    # The machine

    def memory_available(self):
        return self._meminfo("MemAvailable")

    def memory_total(self):
        return self._meminfo("MemTotal")

    def _meminfo(self, key):
        found = re.search(r"^%s:\s+(\d+) kB" % key, self._text("/proc/meminfo") or "", re.MULTILINE)
        return int(found.group(1)) * 1024 if found else 0

    def kvm_usable(self):
        return os.path.exists(self._root + "/dev/kvm")

    def reading(self):
        from .reading import Reading

        return Reading(self, self._root, self._program)

    # Programs

    def _program(self, argv, allowed=(0,), remedy=None):
        # sudo and plain users may lack the folders where modprobe and its relatives live.
        path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
        return self._run(argv, timeout=_PROGRAM_TIMEOUT, env={"PATH": path}, allowed=allowed, remedy=remedy)


def _version(release):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", release)]


def _is_node(path):
    return path == DEVICE or path == DEVICE + " (deleted)"


def _numbers(texts):
    words = {"Y": 1, "N": 0, "y": 1, "n": 0}
    numbers = {}
    for name, text in texts.items():
        with contextlib.suppress(TypeError, ValueError):
            numbers[name] = words[text] if text in words else int(text)
    return numbers
