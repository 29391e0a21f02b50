# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NIC drivers with netmap support, on Linux: which are loaded, which would be, and what boots. Private to netmap.ptnet.

A driver that netmap has patched uses netmap's symbols: ``depends`` of its file names netmap, and when loaded it is in
``/sys/module/netmap/holders``. depmod prefers it to the kernel's own file of the same name.
"""

from __future__ import annotations

import contextlib
import os
import re

from ...errors import PtnetError
from .. import platform

_MODULES = "/lib/modules"
_IMAGE = "/boot/initrd.img-%s"
_SUFFIXES = ("", ".xz", ".zst", ".gz")


class Drivers(platform.Drivers):
    """Reads and changes the drivers of one machine.

    :param system: the machine (Platform)
    :param root: prefix of all paths, for tests (path)
    :param program: runs a program (``Linux._program``)
    """

    def __init__(self, system, root, program):
        self._system = system
        self._root = root
        self._program = program

    def read(self, names):
        module = self._system.module()
        with_netmap = {_plain(name) for name in (module or {"holders": []})["holders"]}
        interfaces = {}
        for interface in self._system.interfaces():
            interfaces.setdefault(self._module_of(interface), []).append(interface)
        found = {}
        for name in names:
            folder = "%s/sys/module/%s" % (self._root, name)
            file = self._modinfo(name)
            path = file.get("filename")
            loaded = None
            # A driver that is built in has a folder as well, but no reference count.
            if os.path.exists(folder + "/refcnt"):
                loaded = "netmap" if name in with_netmap else "stock"
                if loaded == "netmap" and self._system.stale({"srcversion": _text(folder + "/srcversion")}, {
                        "srcversion": file.get("srcversion"), "path": path}, name):
                    loaded = "other build"
            found[name] = {
                "loaded": loaded, "path": path, "installed": _kind(file),
                "fits": self._system.fits({"vermagic": file.get("vermagic")}),
                "interfaces": interfaces.get(name, []),
                "holders": sorted(os.listdir(folder + "/holders")) if os.path.isdir(folder + "/holders") else []}
        return found

    def _module_of(self, interface):
        with contextlib.suppress(OSError):
            return _plain(os.path.basename(os.readlink("%s/sys/class/net/%s/device/driver/module" % (
                self._root, interface))))
        return _plain(self._system.driver_of(interface) or "")

    def _modinfo(self, name, release=None):
        try:
            output = self._program(["modinfo"] + (["-k", release] if release else []) + [name])[1]
        except PtnetError:  # modprobe would find nothing either.
            return {}
        return dict(re.findall(r"^(\w+):[ \t]+(.*?)[ \t]*$", output, re.MULTILINE))

    # Loading

    def unload(self, name):
        self._program(["rmmod", name], remedy="see what uses it: lsmod, and the configuration of its interfaces")

    def load(self, name):
        self._program(["modprobe", name], remedy="read the kernel log (dmesg)")

    def load_stock(self, name):
        order = _text("%s%s/%s/modules.order" % (self._root, _MODULES, self._system.kernel_release())) or ""
        pattern = r"^(kernel/(?:\S*/)?%s)\.k?o$" % name.replace("_", "[-_]")
        for place in re.findall(pattern, order, re.MULTILINE):
            for suffix in _SUFFIXES:
                path = "%s/%s/%s.ko%s" % (_MODULES, self._system.kernel_release(), place, suffix)
                if os.path.isfile(self._root + path):
                    self._program(["insmod", path], remedy="read the kernel log (dmesg)")
                    return
        raise PtnetError("the kernel's own driver %s is not found" % name, remedy="modprobe it by hand, or reboot")

    def settle(self):
        with contextlib.suppress(PtnetError):
            self._program(["udevadm", "settle", "--timeout=20"])

    # What boots

    def images(self, names):
        # What is loaded in an initramfs wins over what lies on the disk. Only images that update-initramfs makes are
        # looked at.
        found = {}
        if not self._has("update-initramfs"):
            return found
        for kernel in self._system.kernels():
            image = self._root + _IMAGE % kernel["release"]
            if not os.path.isfile(image):
                continue
            # An image that is younger than the driver was made with it; listing one takes a second or more.
            older = [name for name in names if self._older(image, self._modinfo(name, kernel["release"]))]
            listed = self._program(["lsinitramfs", _IMAGE % kernel["release"]])[1] if older else ""
            wrong = [name for name in older if re.search(
                r"/%s\.ko(\.\w+)?$" % name.replace("_", "[-_]"), listed, re.MULTILINE)]
            if wrong:
                found[kernel["release"]] = wrong
        return found

    def _older(self, image, file):
        if _kind(file) != "netmap":
            return False
        with contextlib.suppress(OSError):
            return os.stat(image).st_mtime < os.stat(self._root + file["filename"]).st_mtime
        return True

    def rebuild(self, release):
        self._program(["update-initramfs", "-u", "-k", release], remedy="free space on /boot, and run it by hand")

    def foreign_initramfs(self):
        return not self._has("update-initramfs") and any(self._has(tool) for tool in ("dracut", "mkinitcpio"))

    def _has(self, tool):
        return any(os.access("%s%s/%s" % (self._root, folder, tool), os.X_OK)
                   for folder in ("/usr/sbin", "/sbin", "/usr/bin"))


def _kind(file):
    if not file.get("filename"):
        return None
    if not file["filename"].startswith("/"):
        return "built in"
    return "netmap" if "netmap" in file.get("depends", "").split(",") else "stock"


def _plain(name):
    return name.replace("-", "_")


def _text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return None
