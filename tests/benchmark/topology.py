# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What reading and planning a topology costs, at 10, 100 and 1000 VMs: seconds of the processor, the best of three.

    tests/benchmark/topology.py

Each host has some 12 VMs on a switch, and pipes from one to the next. Exit status: 0.
"""

from __future__ import annotations

import time

from ansible_collections.netmap.ptnet.plugins.plugin_utils import topology_file

ON_A_HOST = 12.5


def text(vms):
    """A topology of so many VMs (str)."""
    hosts = ["hv%d.example.org" % number for number in range(max(1, int(vms / ON_A_HOST)))]
    lines = ["plugin: netmap.ptnet.topology", "name: large", "defaults: {kernel: /boot/vmlinuz, memory: 512M}"]
    lines += ["hosts:"] + ["  %s: {ansible_host: 192.0.2.1}" % host for host in hosts]
    lines += ["switches:"] + ["  vale%d: {host: %s, nics: [eth1]}" % one for one in enumerate(hosts)]
    place = [number * len(hosts) // vms for number in range(vms)]
    lines += ["vms:"] + ["  vm%d: {host: %s}" % (number, hosts[at]) for number, at in enumerate(place)]
    lines += ["links:"] + ["  - vale%d: [vm%d]" % (at, number) for number, at in enumerate(place)]
    lines += ["  - {type: pipe, endpoints: [vm%d, vm%d], trust: shared}" % (number, number + 1)
              for number in range(vms - 1) if place[number] == place[number + 1]]
    return "\n".join(lines) + "\n"


def measured(function):
    """Seconds of the processor (float)."""
    begin = time.process_time()
    function()
    return time.process_time() - begin


def main():
    print("%6s  %6s  %s" % ("VMs", "lines", "seconds of the processor"))
    for vms in (10, 100, 1000):
        declared = text(vms)
        turns = [measured(lambda given=declared: topology_file.read("large.ptnet.yml", given)) for _turn in range(3)]
        print("%6d  %6d  %.3f" % (vms, declared.count("\n"), min(turns)))


if __name__ == "__main__":
    main()
