# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""netmap on FreeBSD. Not tried on a real FreeBSD. Private to netmap.ptnet.

GENERIC has netmap built in: then it is always loaded, never unloaded, and takes its load-time tunables at boot.
The node's group is set by devfs.conf(5) and not by devfs.rules(5): rules count only as the one system ruleset of
rc.conf, which may be in use; and netmap is there, from the kernel or the loader, before devfs.conf is read.
"""

from __future__ import annotations

import os
import re

from ...errors import PtnetError
from ...places import DEVICE
from ..unix import Unix, ports_in

LOADER_FILE = "/boot/loader.conf.d/netmap-ptnet.conf"
SYSCTL_FILE = "/etc/sysctl.conf"
DEVFS_FILE = "/etc/devfs.conf"
PTNET_DRIVER = "ptnet"
_LOADER_ONLY = ("max_bridges",)
_BANNER = "# Written by the Ansible collection netmap.ptnet; changes made here are lost.\n"
# rc.d/devfs takes all that follows on a line for the owner, so marks stand on lines of their own.
_BEGIN, _END = "# BEGIN netmap.ptnet", "# END netmap.ptnet"
_TIMEOUT = 120


class FreeBSD(Unix):
    """The doors to a FreeBSD machine."""

    ptnet_driver = PTNET_DRIVER

    def _output(self, *argv):
        status, output = self._run(list(argv), timeout=_TIMEOUT, allowed=None)
        return output.strip() if status == 0 else None

    def loaded(self):
        return self._output("sysctl", "-n", "dev.netmap.buf_num") is not None

    def module(self):
        if not self.loaded():
            return None
        # References are not shown; persistent ports take none here at all, so users are asked for instead.
        return {"refcount": None, "version": None, "srcversion": None, "holders": [],
                "built_in": self._output("kldstat", "-q", "-n", "netmap.ko") is None}

    def installed(self, release=None):
        for folder in ("/boot/modules", "/boot/kernel"):
            path = "%s/netmap.ko" % folder
            if os.path.exists(self._root + path):
                return {"path": path, "version": None, "srcversion": None, "vermagic": None}
        if self.loaded():
            return {"path": "/boot/kernel/kernel", "version": None, "srcversion": None, "vermagic": None}
        return None

    def stale(self, module, installed, name="netmap"):
        return None

    def kernel_release(self):
        return os.uname().release

    def fits(self, installed, release=None):
        return True

    def headers_present(self, release=None):
        return os.path.exists(self._root + "/usr/src/sys/dev/netmap/netmap.c")

    def kernels(self):
        # The base system carries netmap for every kernel of its own; another kernel does not tell its release.
        netmap = self.installed()
        return [{"release": self.kernel_release(), "running": True, "headers": self.headers_present(),
                 "netmap": netmap and {"path": netmap["path"], "vermagic": None, "fits": True}}]

    def load(self, parameters):
        for name, number in sorted(parameters.items()):
            self._run(["kenv", "dev.netmap.%s=%d" % (name, number)], timeout=_TIMEOUT)
        self._run(["kldload", "-n", "netmap"], timeout=_TIMEOUT, remedy="install netmap.ko for this kernel")

    def unload(self):
        self._run(["kldunload", "netmap"], timeout=_TIMEOUT, remedy="see who holds it with netmap.ptnet.netmap_info")

    def unsigned(self, paths):
        return []

    def drivers(self):
        raise PtnetError("drivers are not loaded on FreeBSD", found="drivers that were declared", expected="none: the "
                         "kernel's own drivers have netmap support", remedy="leave them out for this machine")

    def parameters(self):
        output = self._output("sysctl", "dev.netmap")
        if output is None:
            return None
        return {name: int(text) for name, text in re.findall(r"^dev\.netmap\.(\w+): (-?\d+)$", output, re.MULTILINE)}

    def write_parameter(self, name, number):
        self._run(["sysctl", "dev.netmap.%s=%d" % (name, number)], timeout=_TIMEOUT,
                  remedy="a read-only parameter needs a reboot")

    def boot(self):
        # A parameter counts when both files have it; max_bridges is the loader's alone.
        pattern = r'^dev\.netmap\.(\w+)="?(-?\d+)"?$'
        loader = dict(re.findall(pattern, self._text(LOADER_FILE) or "", re.MULTILINE))
        sysctls = dict(re.findall(pattern, self._ours(SYSCTL_FILE), re.MULTILINE))
        texts = {name: text for name, text in loader.items()
                 if name in _LOADER_ONLY or sysctls.get(name) == text}
        texts.update((name, text) for name, text in sysctls.items() if name not in loader)
        devfs = self._ours(DEVFS_FILE)
        group = re.search(r"^own\s+netmap\s+root:(\S+)", devfs, re.MULTILINE)
        mode = re.search(r"^perm\s+netmap\s+(\S+)", devfs, re.MULTILINE)
        return {"load": bool(self._text(LOADER_FILE)),
                "parameters": {name: int(text) for name, text in texts.items()}, "drivers": [],
                "node": {"group": group.group(1), "mode": mode.group(1)} if group and mode else None}

    def write_boot(self, boot):
        # The loader's tunables alone did not set ptnet_vnet_hdr, so every parameter is a sysctl as well.
        items = sorted(boot["parameters"].items())
        lines = [] if self.loaded() and self.module()["built_in"] else ['netmap_load="YES"\n']
        lines += ['dev.netmap.%s="%d"\n' % item for item in items]
        self._write(LOADER_FILE, _BANNER + "".join(lines) if boot["load"] else "")
        self._replace_ours(SYSCTL_FILE, ["dev.netmap.%s=%d" % item for item in items if item[0] not in _LOADER_ONLY])
        node = boot["node"]
        self._replace_ours(DEVFS_FILE, [
            "own netmap root:%s" % node["group"], "perm netmap %s" % node["mode"]] if node else [])

    def boot_conflicts(self):
        return []

    def port_service(self):
        from .service import PortService

        return PortService(self._root)

    def links(self):
        from .links import Links

        return Links(self._run)

    def make_group(self, group):
        self._run(["pw", "groupadd", group], timeout=_TIMEOUT)

    def interfaces(self):
        return sorted((self._output("ifconfig", "-l") or "").split())

    def driver_of(self, name):
        if name not in self.interfaces():
            return None
        # A persistent port is an interface without a bus device and without a cloner.
        base = re.sub(r"\d+$", "", name)
        if self._output("sysctl", "-n", "dev.%s.%s.%%driver" % (base, name[len(base):] or "0")) is not None:
            return base
        if base in (self._output("ifconfig", "-C") or "").split():
            return base
        # One end of a pair that vale_port made has a name of its own.
        groups = re.search(r"^\s*groups: (.*)$", self._output("ifconfig", name) or "", re.MULTILINE)
        return "epair" if groups and "epair" in groups.group(1).split() else ""

    def address_of(self, name):
        found = re.search(r"\bether (\S+)", self._output("ifconfig", name) or "")
        return found.group(1) if found else None

    def mtu_of(self, name):
        found = re.search(r"\bmtu (\d+)", self._output("ifconfig", name) or "")
        return int(found.group(1)) if found else 0

    def bus_address_of(self, name):
        base = re.sub(r"\d+$", "", name)
        location = self._output("sysctl", "-n", "dev.%s.%s.%%location" % (base, name[len(base):] or "0")) or ""
        found = re.search(r"dbsf=pci(\d+):(\d+):(\d+):(\d+)", location)
        return "%04x:%02x:%02x.%x" % tuple(int(text) for text in found.groups()) if found else None

    def management(self):
        from .management import carried

        return carried(self._output)

    def processes(self):
        found = {}
        # -m: mappings too, whose descriptor is the word mmap.
        for line in (self._output("fstat", "-m", DEVICE) or "").splitlines()[1:]:
            _user, command, pid, descriptor = line.split()[:4]
            entry = found.setdefault(int(pid), {"pid": int(pid), "command": command, "holds": [], "ports": []})
            entry["holds"].append("mapping" if descriptor == "mmap" else "descriptor %s" % descriptor.rstrip("*"))
        for entry in found.values():
            words = (self._output("ps", "-ww", "-o", "args=", "-p", "%d" % entry["pid"]) or entry["command"]).split()
            entry.update(command=" ".join(words)[:200], ports=ports_in(words))
        return [found[pid] for pid in sorted(found)]

    def memory_available(self):
        output = self._output("sysctl", "-n", "hw.pagesize", "vm.stats.vm.v_free_count", "vm.stats.vm.v_inactive_count")
        size, free, inactive = (int(text) for text in (output or "0 0 0").split())
        return size * (free + inactive)

    def memory_total(self):
        return int(self._output("sysctl", "-n", "hw.physmem") or 0)

    def kvm_usable(self):
        return False

    def reading(self):
        from .reading import Reading

        return Reading(self, self._output)

    def _ours(self, path):
        found = re.search("^%s$(.*?)^%s$" % (_BEGIN, _END), self._text(path) or "", re.MULTILINE | re.DOTALL)
        return found.group(1) if found else ""

    def _replace_ours(self, path, lines):
        kept = re.sub("^%s$.*?^%s$\n?" % (_BEGIN, _END), "", self._text(path) or "", flags=re.MULTILINE | re.DOTALL)
        kept = kept.rstrip("\n") + "\n" if kept.strip() else ""
        self._write(path, kept + ("\n".join([_BEGIN] + lines + [_END]) + "\n" if lines else ""))
