# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain that libvirt starts, with ports of a process of ours: defined by hand, its guest proven by ``check``.

NIGHTLY=yes only: it needs an image with libvirt, and boots the guest of an emulated machine.
"""

from __future__ import annotations

import json
import pathlib

import emulated
import lab
import pytest
import yaml
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu.network import ADDRESS, PREFIX
from ansible_collections.netmap.ptnet.plugins.module_utils.vm_identity import Identity

pytestmark = pytest.mark.skipif(not emulated.nightly(), reason="takes a quarter of an hour: NIGHTLY=yes")

NAME, MEMORY, FORWARD = "web", 384, 10022
# The role guest knows a machine of libvirt's by the uuid that it is given.
WHO = Identity("libvirt", "hv1", NAME)
PORTS = [{"port": "vale1:10"}, {"port": "netmap:pp0{1", "trust": "shared"},
         {"port": "netmap:pp0{2", "trust": "shared"}]
DECLARED = yaml.safe_load(pathlib.Path(lab.ROOT, "playbooks/vars/lab.yml").read_text(encoding="utf-8"))
HOST = dict(DECLARED["__lab_host"], vms_machines=[],
            ports_processes=[{"name": NAME, "memory": MEMORY, "ports": PORTS}])
# What somebody who has libvirt on Debian has: it and AppArmor, which confines its machines.
PACKAGES = ["apparmor", "libvirt-clients", "libvirt-daemon-driver-qemu", "libvirt-daemon-system"]
DISK = "/var/lib/libvirt/images/%s.qcow2" % NAME
DOMAIN = """\
<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>%(name)s</name>
  <uuid>%(uuid)s</uuid>
  <memory unit='MiB'>%(memory)d</memory>
  <vcpu>1</vcpu>
  %(backing)s
  <os>
    <type arch='x86_64' machine='%(chipset)s'>hvm</type>
    <kernel>/boot/vmlinuz</kernel><initrd>/boot/initrd.img</initrd><cmdline>%(append)s</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='host-passthrough'/>
  <clock offset='utc'><timer name='hpet' present='no'/></clock>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='%(disk)s'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='user'>
      <backend type='passt'/><model type='virtio'/>
      <ip family='ipv4' address='%(address)s' prefix='%(prefix)s'/>
      <portForward proto='tcp' address='%(listens)s'><range start='%(forward)d' to='22'/></portForward>
    </interface>
    <serial type='pty'/>
    <memballoon model='none'/>
  </devices>
  %(commandline)s
</domain>
"""


@pytest.fixture(scope="module")
def host():
    """A host with libvirt and a port process, and no VM of ours."""
    one = emulated.Emulated("libvirt", tags="lab,host", guests=True, lab_suite="trixie", lab_image_packages=PACKAGES,
                            lab_guests=[{"name": NAME, "host": "hv1", "management_port": FORWARD}],
                            lab_host_variables=HOST, lab_fleet=WHO.fleet)
    with emulated.kept(one):
        yield one


def domain(use, chipset):
    """The definition of the domain (str), with what the module said for libvirt."""
    backing, commandline = use.split("<!-- as its last elements -->")
    return DOMAIN % {
        "name": NAME, "memory": MEMORY, "forward": FORWARD, "address": ADDRESS, "prefix": PREFIX, "chipset": chipset,
        "uuid": WHO.uuid(), "listens": WHO.address(), "disk": DISK, "backing": backing, "commandline": commandline,
        "append": DECLARED["__lab_host"]["vms_machines"][0]["append"]}


@pytest.mark.parametrize("chipset", ["pc", "q35"])
def test_packets_pass_a_domain_of_libvirts(host, tmp_path, chipset):
    offered = host.module("ptnet_port", name=NAME, memory=MEMORY, ports=PORTS)
    assert not offered["changed"]
    # A copy: libvirt gives the machine no read-only block device as the backing of its disk.
    host.check("[ -e %s ] || qemu-img convert -O qcow2 /dev/vdb %s" % (DISK, DISK))
    host.put("/root/domain.xml", domain(offered["use"]["libvirt"], chipset))
    host.check("virsh define /root/domain.xml && virsh start %s" % NAME)
    # AppArmor confines it, and needs no exception for the ports.
    assert "(enforcing)" in host.check("virsh dominfo %s | grep '^Security label'" % NAME)
    answer = host.playbook("playbooks/guest.yml")
    assert answer, answer
    answer = host.playbook("playbooks/check.yml", check_report_folder=str(tmp_path))
    assert answer, answer
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert results["verdict"] == "passed"
    assert len(results["cases"]) == 6
    # For the next machine the process begins anew.
    host.check("virsh destroy %s && virsh undefine %s" % (NAME, NAME))
    host.check("for n in $(seq 100); do [ \"$(systemctl show -P MainPID ptnet-port-%s)\" != %d ] && "
               "[ -S /run/ptnet-port-%s/d2 ] && exit; sleep 0.2; done; exit 1" % (NAME, offered["pid"], NAME))
    assert host.hurt() == []
