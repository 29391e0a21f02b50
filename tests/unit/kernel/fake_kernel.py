# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel that loads and unloads, for the tests of loading."""

from __future__ import annotations

import contextlib
import copy

from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel import loading
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import parameters

DEFAULTS = {name: known.default for name, known in parameters.PARAMETERS.items()}
NOTHING = {"load": False, "parameters": {}, "node": None, "drivers": []}
LOAD_TIME = {name for name, known in parameters.PARAMETERS.items() if known.when == parameters.RELOAD}


class System:
    """A kernel that loads and unloads; unloading in use is what must never be tried."""

    ptnet_driver = "ptnetmap-guest-drivers"

    def __init__(self):
        self.now = None
        self.disk = {"path": "/netmap.ko", "version": None, "srcversion": "A", "vermagic": "6.1 SMP"}
        self.running = None
        self.kept = copy.deepcopy(NOTHING)
        self.device = None
        self.groups = {"root"}
        self.refcount = 0
        self.interface_drivers = {}
        self.carries = {}
        self.users = []
        self.fitting = True
        self.conflicts = []
        self.log = []
        self.rebooting = False
        self.built_in = False
        self.unsigned_paths = []
        self.nics = Nics(self)

    def loaded(self):
        return self.now is not None

    def module(self):
        if self.now is None:
            return None
        holders = sorted(name for name, kind in self.nics.loaded.items() if kind != "stock")
        return {"refcount": self.refcount + len(holders), "version": None, "srcversion": self.running,
                "holders": holders, "built_in": self.built_in}

    def installed(self):
        return self.disk

    def fits(self, installed):
        return self.fitting

    def unsigned(self, paths):
        return [path for path in paths if path in self.unsigned_paths]

    def drivers(self):
        return self.nics

    def stale(self, module, installed):
        return module["srcversion"] != installed["srcversion"]

    def parameters(self):
        return dict(self.now, buf_curr_num=0) if self.now is not None else None

    def boot(self):
        return copy.deepcopy(self.kept)

    def node(self):
        return dict(self.device, path="/dev/netmap") if self.device else None

    def processes(self):
        return self.users

    def management(self):
        return self.carries

    def driver_of(self, name):
        return self.interface_drivers.get(name)

    def memory_total(self):
        return 1 << 31

    def boot_conflicts(self):
        return self.conflicts

    def group_exists(self, group):
        return group in self.groups

    def make_group(self, group):
        self.log.append("group")
        self.groups.add(group)

    def write_boot(self, boot):
        self.log.append("boot")
        self.kept = copy.deepcopy(boot)

    def load(self, wanted):
        assert self.now is None
        assert Device.held or self.rebooting
        self.log.append("load")
        self.now = dict(DEFAULTS, **wanted)
        self.running = self.disk["srcversion"]
        self.device = dict(self.kept["node"] or {"group": "root", "mode": "0600"})

    def unload(self):
        assert self.module()["refcount"] == 0, "unloading in use"
        assert Device.held
        assert not self.built_in
        self.log.append("unload")
        self.now = self.device = None

    def write_parameter(self, name, number):
        assert name not in LOAD_TIME
        self.log.append("write %s" % name)
        self.now[name] = number

    def write_node(self, group, mode):
        assert group in self.groups
        self.log.append("node")
        self.device = {"group": group, "mode": mode}


class Nics:
    """The drivers of a kernel: ``loaded`` is netmap or stock, ``disk`` what modprobe would load."""

    def __init__(self, system):
        self.system = system
        self.loaded = {}
        self.disk = {"ixgbe": "netmap", "veth": "netmap", "e1000": "stock", "virtio_net": "built in", "igb": "netmap"}
        self.nics = {"ixgbe": ["eth1"]}
        self.above = {}
        self.stale_images = {}
        self.broken = {}
        self.foreign = False

    def read(self, names):
        return {name: {"loaded": self.loaded.get(name), "installed": self.disk.get(name), "path": "/%s.ko" % name,
                       "fits": name != "igb", "interfaces": self.nics.get(name, []) if name in self.loaded else [],
                       "holders": self.above.get(name, [])} for name in names}

    def images(self, names):
        return {release: kept for release, there in self.stale_images.items()
                for kept in [[name for name in there if name in names]] if kept}

    def rebuild(self, release):
        self.system.log.append("initramfs %s" % release)
        del self.stale_images[release]

    def foreign_initramfs(self):
        return self.foreign

    def unload(self, name):
        self.system.log.append("rmmod %s" % name)
        del self.loaded[name]

    def load(self, name):
        if name in self.broken:
            raise PtnetError("modprobe failed", found=self.broken[name])
        assert self.system.now is not None, "a driver before netmap"
        self.system.log.append("modprobe %s" % name)
        self.loaded[name] = "netmap"

    def load_stock(self, name):
        self.system.log.append("insmod %s" % name)
        self.loaded[name] = "stock"

    def settle(self):
        pass


class Device:
    held = False

    def entries(self):
        return []

    @contextlib.contextmanager
    def locked(self, purpose):
        Device.held = True
        try:
            yield
        finally:
            Device.held = False


class Record:
    parents = {"pp0": {"pipes": 3, "tx_slots": 512, "rx_slots": 512, "tx_rings": 1, "rx_rings": 1}}


def run(system, wanted=None, check=False, **options):
    params = dict({"state": "loaded", "parameters": wanted, "persistent": True, "group": "netmap", "mode": "0660",
                   "allow_reload": False, "allow_management": False, "drivers": []}, **options)
    return loading.act(params, check, system, Device(), Record)
