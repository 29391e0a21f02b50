#!/usr/bin/python
# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: netmap loaded, with its parameters, now and at boot."""

from __future__ import annotations

DOCUMENTATION = r"""
module: netmap_module
short_description: Load netmap with its parameters, now and at boot
version_added: 0.1.0
description:
  - Loads the netmap kernel module, sets its parameters, and gives C(/dev/netmap) a group and a mode.
  - What runs now and what comes back after a reboot are read, compared and reported separately.
  - A change that needs a reload is done only with O(allow_reload=true), and never while netmap is in use.
    Without consent it is returned as RV(reload_wanted) and left alone.
  - Everything is checked before it is written, because the kernel checks nothing and a wrong count makes every
    later open fail until the module is reloaded.
options:
  state:
    description:
      - Whether netmap is in the kernel.
      - V(unloaded) refuses while netmap is in use and names the users. It never unloads by force.
    type: str
    choices: [loaded, unloaded]
    default: loaded
  parameters:
    description:
      - Parameters of the module by name, such as C(buf_num), C(priv_ring_num), C(max_bridges) or C(ptnet_vnet_hdr).
      - Whole numbers. V(true), V(false), V(Y) and V(N) count as 1 and 0.
      - C(max_bridges), C(sink_num) and C(ptnet_vnet_hdr) are read while netmap loads, so changing them needs a
        reload.
      - Parameters that are not named keep their value in the kernel. The boot file holds exactly those named.
        When this option is left out, the boot file keeps its parameters.
    type: dict
  drivers:
    description:
      - NIC drivers that were built with netmap (O(netmap.ptnet.netmap_build#module:drivers)), by the names of their
        modules, such as C(ixgbe), and loaded after netmap, now and at boot.
      - A driver whose installed build has no netmap support is refused.
      - A driver that is loaded without netmap support, or from another build, is unloaded and loaded again, with
        O(allow_reload=true). If that fails, the kernel's own driver is loaded again.
      - Where the initramfs made by C(update-initramfs) carries another build of the driver, which would win at boot,
        it is made anew, for every installed kernel that has the driver with netmap. Only with O(persistent=true).
      - With O(state=unloaded) and O(allow_reload=true) the named drivers are unloaded first, and the kernel's own ones
        are loaded afterwards.
      - On Linux. FreeBSD's drivers have netmap support in them.
    type: list
    elements: str
    default: []
  persistent:
    description:
      - With V(true) the same is done for the next boot, in C(/etc/modules-load.d/netmap-ptnet.conf),
        C(/etc/modprobe.d/netmap-ptnet.conf) and C(/etc/udev/rules.d/60-netmap-ptnet.rules). With O(state=unloaded)
        these files are removed.
      - With V(false) the boot files are left as they are.
    type: bool
    default: true
  group:
    description:
      - The group that may use C(/dev/netmap). It is made as a system group if it does not exist, and never removed.
    type: str
    default: netmap
  mode:
    description:
      - The mode of C(/dev/netmap), in octal. A mode that gives anything to others is refused.
    type: str
    default: "0660"
  allow_reload:
    description:
      - Whether netmap may be unloaded and loaded again when a parameter or a newly installed build needs it.
      - Inside a guest a reload removes the ptnet interfaces and makes them again, unconfigured.
      - Also whether the drivers of O(drivers) may be unloaded and loaded again. Their NICs vanish for a moment, and
        what configured them does so again only if it acts on new interfaces.
    type: bool
    default: false
  allow_management:
    description:
      - Whether a driver of O(drivers), or netmap in a guest, may be loaded again although one of its interfaces carries
        the default route or this SSH connection, or lies below one that does.
      - The task goes on without the connection. Set it only where the interface configures itself again.
    type: bool
    default: false
notes:
  - On Linux the order of unloading is drivers, then netmap; of loading netmap, then drivers. Whoever uses netmap is
    to be stopped first, and is named.
  - On FreeBSD the boot files are C(/boot/loader.conf.d/netmap-ptnet.conf) and marked blocks in C(/etc/sysctl.conf) and
    C(/etc/devfs.conf). Where netmap is built into the kernel, as in GENERIC, it is never unloaded, and what is decided
    at load time is returned in RV(reload_reasons) until a reboot.
  - The part for FreeBSD was not tried on a real FreeBSD.
extends_documentation_fragment: [netmap.ptnet.attributes]
seealso:
  - module: netmap.ptnet.netmap_info
author: netmap.ptnet contributors (@netmap-ptnet)
"""

EXAMPLES = r"""
- name: Load netmap now and at boot, with room for many pipes on one parent
  netmap.ptnet.netmap_module:
    parameters:
      priv_if_num: 20
      priv_ring_num: 40

- name: Have 16 switches, with consent to a reload
  netmap.ptnet.netmap_module:
    parameters:
      max_bridges: 16
    allow_reload: true

- name: Have ixgbe with netmap support, now and at boot
  netmap.ptnet.netmap_module:
    drivers: [ixgbe]
    allow_reload: true

- name: The same for the NIC that carries the SSH connection, where hotplug configures it again
  netmap.ptnet.netmap_module:
    drivers: [virtio_net]
    allow_reload: true
    allow_management: true

- name: For this boot only, for another group
  netmap.ptnet.netmap_module:
    persistent: false
    group: wheel
    mode: "0640"

- name: Unload netmap and forget it at boot
  netmap.ptnet.netmap_module:
    state: unloaded
"""

RETURN = r"""
loaded:
  description: Whether netmap is in the kernel afterwards.
  returned: success
  type: bool
  sample: true
version:
  description: The version of the module, where the kernel shows one.
  returned: success
  type: str
  sample: null
srcversion:
  description: The checksum of the module's sources, where the kernel shows one.
  returned: success
  type: str
  sample: 6D8C5B9C2A0F1E4D3B7A991
parameters:
  description: Parameters in the kernel (C(now)) and in the boot file (C(boot)), as numbers.
  returned: success
  type: dict
  sample: {"now": {"max_bridges": 8, "buf_num": 163840}, "boot": {"max_bridges": 8}}
memory:
  description:
    - What the memory parameters cost, in bytes. V(nics) is the region that all NICs share, taken once one is used;
      V(port) what a VALE port or a new persistent port of 1024 slots takes; V(parents) what the recorded parents of
      pipes take.
    - Empty when netmap is not loaded.
  returned: success
  type: dict
  sample: {"nics": 343310336, "port": 42434560, "parents": {"pp0": 21282816}}
drivers:
  description: The declared drivers, as they are loaded, V(netmap), V(stock), V(other build) or none.
  returned: success, and when loading a driver failed
  type: dict
  sample: {"ixgbe": "netmap"}
reload_wanted:
  description: Whether something waits for a reload that was not allowed.
  returned: success
  type: bool
  sample: false
reload_reasons:
  description: Why a reload is wanted.
  returned: success
  type: list
  elements: str
  sample: ["max_bridges is 8, declared is 16: decided while netmap loads"]
users:
  description: What kept netmap in use when it was looked at.
  returned: success, and when the users are in the way
  type: list
  elements: dict
  sample:
    - kind: process
      name: qemu-system-x86_64
      pid: 4711
      command: qemu-system-x86_64 -netdev netmap,ifname=vale1:10
      holds: ["descriptor 12", "mapping", "port vale1:10"]
msg:
  description:
    - Refused before anything changes. Parameters, a group, a mode or names of drivers that cannot be; no netmap, or no
      driver with netmap support, for this kernel; one that is for another kernel, or without the signature that this
      kernel wants; netmap or a driver in use, or under the management of this machine; netmap built into the kernel.
    - What the kernel said when loading failed, with the usual cause and the drivers that are loaded now.
    - Parameters or a device node that are not as declared afterwards.
  returned: failure
  type: str
  sample: "netmap cannot be unloaded while it is in use; found: process 4711 (pkt-gen -i vale1:1; port vale1:1);
    expected: no users. To do: stop the VMs and traffic tools, detach NICs (vale_port) and delete pipe parents
    (netmap_pipe), then run again."
"""

from ansible_collections.netmap.ptnet.plugins.module_utils.face import serve
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.loading import act
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.options import NETMAP_MODULE

ARGUMENT_SPEC = NETMAP_MODULE


def main():
    serve(act, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
