# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""netmap on FreeBSD, with the surface of ``linux.Linux``. Not tried on a real FreeBSD. Private to netmap.ptnet.

GENERIC has netmap built in: then it is always loaded, never unloaded, and takes its load-time tunables at boot.
"""

from __future__ import annotations

import os
import re

from ..errors import PtnetError
from .unix import NODE, Unix

LOADER_FILE = "/boot/loader.conf.d/netmap-ptnet.conf"
SYSCTL_FILE = "/etc/sysctl.conf"
DEVFS_FILE = "/etc/devfs.conf"
PTNET_DRIVER = "ptnet"
_MARK = "# netmap.ptnet"
_TIMEOUT = 120


class FreeBSD(Unix):
    """Reads and changes one machine; see ``linux.Linux`` for what each method returns."""

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
        return {"refcount": None, "version": None, "srcversion": None, "holders": []}

    def installed(self):
        for folder in ("/boot/modules", "/boot/kernel"):
            path = "%s/netmap.ko" % folder
            if os.path.exists(self._root + path):
                return {"path": path, "version": None, "srcversion": None, "vermagic": None}
        if self.loaded():
            return {"path": "/boot/kernel/kernel", "version": None, "srcversion": None, "vermagic": None}
        return None

    def stale(self, module, installed):
        return None

    def kernel_release(self):
        return os.uname().release

    def fits(self, installed):
        return True

    def headers_present(self):
        return os.path.exists(self._root + "/usr/src/sys/dev/netmap/netmap.c")

    def load(self, parameters):
        for name, number in sorted(parameters.items()):
            self._run(["kenv", "dev.netmap.%s=%d" % (name, number)], timeout=_TIMEOUT)
        self._run(["kldload", "-n", "netmap"], timeout=_TIMEOUT, remedy="install netmap.ko for this kernel")

    def unload(self):
        if self._output("kldstat", "-q", "-n", "netmap") is None:
            raise PtnetError("netmap is built into this kernel and cannot be unloaded")
        self._run(["kldunload", "netmap"], timeout=_TIMEOUT, remedy="see who holds it with netmap.ptnet.netmap_info")

    def parameters(self):
        output = self._output("sysctl", "dev.netmap")
        if output is None:
            return None
        return {name: int(text) for name, text in re.findall(r"^dev\.netmap\.(\w+): (-?\d+)$", output, re.MULTILINE)}

    def write_parameter(self, name, number):
        self._run(["sysctl", "dev.netmap.%s=%d" % (name, number)], timeout=_TIMEOUT,
                  remedy="a read-only parameter needs a reboot")

    def boot(self):
        loader, sysctls = self._text(LOADER_FILE) or "", self._ours(SYSCTL_FILE)
        texts = re.findall(r"^dev\.netmap\.(\w+)=(-?\d+)", sysctls, re.MULTILINE)
        devfs = self._ours(DEVFS_FILE)
        group = re.search(r"^own\s+netmap\s+root:(\S+)", devfs, re.MULTILINE)
        mode = re.search(r"^perm\s+netmap\s+(\S+)", devfs, re.MULTILINE)
        return {"load": 'netmap_load="YES"' in loader,
                "parameters": {name: int(text) for name, text in texts},
                "node": {"group": group.group(1), "mode": mode.group(1)} if group and mode else None}

    def write_boot(self, boot):
        # The loader's tunables alone did not set ptnet_vnet_hdr, so every parameter is a sysctl as well.
        items = sorted(boot["parameters"].items())
        tunables = "".join('dev.netmap.%s="%d"\n' % item for item in items)
        self._write(LOADER_FILE, _MARK + "\n" + 'netmap_load="YES"\n' + tunables if boot["load"] else "")
        self._replace_ours(SYSCTL_FILE, ["dev.netmap.%s=%d" % item for item in items if item[0] != "max_bridges"])
        node = boot["node"]
        self._replace_ours(DEVFS_FILE, [
            "own netmap root:%s" % node["group"], "perm netmap %s" % node["mode"]] if node else [])

    def boot_conflicts(self):
        return []

    def port_service(self):
        raise PtnetError("ports and parents of pipes do not come back after a reboot",
                         found="FreeBSD, for which there is no rc.d script yet",
                         remedy="after a reboot run the same task again")

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
        return base if base in (self._output("ifconfig", "-C") or "").split() else ""

    def address_of(self, name):
        found = re.search(r"\bether (\S+)", self._output("ifconfig", name) or "")
        return found.group(1) if found else None

    def bus_address_of(self, name):
        base = re.sub(r"\d+$", "", name)
        location = self._output("sysctl", "-n", "dev.%s.%s.%%location" % (base, name[len(base):] or "0")) or ""
        found = re.search(r"dbsf=pci(\d+):(\d+):(\d+):(\d+)", location)
        return "%04x:%02x:%02x.%x" % tuple(int(text) for text in found.groups()) if found else None

    def management(self):
        found = {}
        peer = (os.environ.get("SSH_CONNECTION") or "").split()[:1]
        for target, what in [("default", "the default route")] + [(one, "the SSH connection") for one in peer]:
            interface = re.search(r"interface: (\S+)", self._output("route", "-n", "get", target) or "")
            if interface:
                found[interface.group(1)] = what
        return found

    def processes(self):
        found = {}
        for line in (self._output("fstat", NODE) or "").splitlines()[1:]:
            _user, command, pid, descriptor = line.split()[:4]
            entry = found.setdefault(int(pid), {"pid": int(pid), "command": command, "holds": []})
            entry["holds"].append("descriptor %s" % descriptor)
        return [found[pid] for pid in sorted(found)]

    def memory_available(self):
        output = self._output("sysctl", "-n", "hw.pagesize", "vm.stats.vm.v_free_count", "vm.stats.vm.v_inactive_count")
        size, free, inactive = (int(text) for text in (output or "0 0 0").split())
        return size * (free + inactive)

    def memory_total(self):
        return int(self._output("sysctl", "-n", "hw.physmem") or 0)

    def kvm_usable(self):
        return False

    def _ours(self, path):
        return "\n".join(line for line in (self._text(path) or "").splitlines() if line.endswith(_MARK))

    def _replace_ours(self, path, lines):
        kept = [line for line in (self._text(path) or "").splitlines() if not line.endswith(_MARK)]
        self._write(path, "".join(line + "\n" for line in kept + ["%s %s" % (line, _MARK) for line in lines]))
