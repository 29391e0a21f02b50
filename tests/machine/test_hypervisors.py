# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One VM on all that ptnet_vm can put it on, proven by ``check`` each time.

q35 on the distribution's QEMU, the fork after a wanted restart, as version 0.1.0 left it, taken over, and with UEFI.

NIGHTLY=yes only: its guest boots several times on an emulated machine. The tests go on from one another.
"""

from __future__ import annotations

import copy
import json
import pathlib
import re

import emulated
import lab
import pytest
import yaml
from ansible_collections.netmap.ptnet.plugins.module_utils.vm_identity import Identity

pytestmark = pytest.mark.skipif(not emulated.nightly(), reason="takes a quarter of an hour: NIGHTLY=yes")

WHO = Identity("hypervisors", "hv1", "vm1")
DECLARED = yaml.safe_load(pathlib.Path(lab.ROOT, "playbooks/vars/lab.yml").read_text(encoding="utf-8"))
FORWARD = 10022
UNIT, FOLDER = "/etc/systemd/system/ptnet-vm-vm1.service", "/var/lib/netmap-ptnet/vms/vm1"
# What ptnet_vm of version 0.1.0 wrote of the lab's machine: QEMU as root, with its sockets in the VM's folder.
OLD = """\
# Written by netmap.ptnet.ptnet_vm; changes made here are undone.
[Unit]
Description=ptnet virtual machine vm1
After=systemd-modules-load.service network.target netmap-ptnet-ports.service

[Service]
Type=exec
User=root
UMask=0077
WorkingDirectory=%(folder)s
ExecStart=%(binary)s -name guest=vm1,debug-threads=on -machine pc,accel=kvm -cpu host -m 384 -smp 1 -rtc base=utc \\
  -nodefaults -no-user-config -display none -vga none \\
  -chardev socket,id=console,path=%(folder)s/console.sock,server=on,wait=off,logfile=%(folder)s/console.log \\
  -serial chardev:console -chardev socket,id=qmp,path=%(folder)s/qmp.sock,server=on,wait=off \\
  -mon chardev=qmp,mode=control -netdev user,id=management,hostfwd=tcp:%(address)s:%(forward)d-:22 \\
  -device virtio-net-pci,netdev=management,mac=02:ba:39:48:d0:50,romfile=,addr=0x2 \\
  -drive file=%(folder)s/disk.qcow2,format=qcow2,id=disk0,readonly=off,if=none \\
  -device virtio-blk-pci,drive=disk0,addr=0x3 \\
  -netdev netmap,id=d0,ifname=vale1:10,passthrough=on,klooptx=on,klooprx=on \\
  -device ptnet-pci,netdev=d0,mac=02:99:7c:d0:65:95,addr=0x10 \\
  -netdev "netmap,id=d1,ifname=pp0{1,passthrough=on,klooptx=on,klooprx=on" \\
  -device ptnet-pci,netdev=d1,mac=02:79:61:34:ff:4c,addr=0x11 \\
  -netdev "netmap,id=d2,ifname=pp0{2,passthrough=on,klooptx=on,klooprx=on" \\
  -device ptnet-pci,netdev=d2,mac=02:79:61:34:ff:4d,addr=0x12 \\
  -kernel /boot/vmlinuz -initrd /boot/initrd.img -append "%(append)s"
StandardOutput=append:%(folder)s/qemu.log
StandardError=append:%(folder)s/qemu.log
Restart=on-failure
KillMode=mixed
TimeoutStopSec=30

[Install]
WantedBy=multi-user.target
"""


def machines(**options):
    """The lab's machine, otherwise (list of dict)."""
    vm = copy.deepcopy(DECLARED["__lab_host"]["vms_machines"][0])
    vm["management"]["forwards"] = [{"host_address": WHO.address(), "host_port": FORWARD}]
    return [dict(vm, **options)]


@pytest.fixture(scope="module")
def host():
    """A host with both QEMUs and OVMF, and one VM."""
    variables = dict(DECLARED["__lab_host"], qemu_hypervisor="both", vms_hypervisor="distribution",
                     vms_machines=machines(machine="q35"))
    one = emulated.Emulated(
        "hypervisors", tags="lab,host,guest", guests=True, lab_suite="trixie", lab_hypervisor="distribution",
        lab_build_fork=True, lab_image_packages=["ovmf"], lab_fleet=WHO.fleet, lab_host_variables=variables,
        lab_guests=[{"name": "vm1", "host": "hv1", "management_port": FORWARD}])
    with emulated.kept(one):
        yield one


def running(host):
    """Pid (int) and command line (str) of the VM's QEMU."""
    pid = int(host.check("systemctl show -P MainPID ptnet-vm-vm1"))
    return pid, host.check("tr '\\0' ' ' < /proc/%d/cmdline" % pid)


def declare(host, **given):
    """Have the machine as declared; returns what the playbook said (str)."""
    answer = host.playbook("playbooks/host.yml", "--tags", "vms", **given)
    assert answer, answer
    return answer.text


def prove(host, folder):
    """Packets of all six cases, and a kernel that is well."""
    for playbook in ("guest", "check"):
        answer = host.playbook("playbooks/%s.yml" % playbook, check_report_folder=str(folder))
        assert answer, answer
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results["verdict"] == "passed"
    assert len(results["cases"]) == 6
    assert host.hurt() == []


def restarted_by_consent(host, folder, **given):
    """Nothing is interrupted without consent; with it the VM is what it should be, once. Returns its command line."""
    before = running(host)
    assert "Wanted, not done: a restart of vm1" in declare(host, **given)
    assert running(host) == before
    declare(host, vms_allow_restart=True, **given)
    after = running(host)
    assert after[0] != before[0]
    prove(host, folder)
    assert re.search(r"hv1 .*changed=0 ", declare(host, **given))
    assert running(host) == after
    return after[1]


def test_q35(host, tmp_path):
    command = running(host)[1]
    assert "-machine q35" in command
    assert "vfio-user-pci" in command
    prove(host, tmp_path)


def test_it_changes_over_to_the_fork(host, tmp_path):
    command = restarted_by_consent(host, tmp_path, vms_machines=machines(hypervisor="fork"))
    assert "-device ptnet-pci" in command
    assert host.check("systemctl show -P ActiveState ptnet-port-vm1").strip() != "active"


def test_a_machine_of_version_0_1_0_is_taken_over(host, tmp_path):
    binary = running(host)[1].split()[0]
    host.check("systemctl stop ptnet-vm-vm1 ptnet-net-vm1")
    host.put(UNIT, OLD % {"binary": binary, "folder": FOLDER, "address": WHO.address(), "forward": FORWARD,
                          "append": machines()[0]["append"].strip()})
    # The user and what it has came with later versions.
    host.check("chown -R root:root %s && systemctl daemon-reload && systemctl start ptnet-vm-vm1" % FOLDER)
    assert host.check("ps -o user= -p %d" % running(host)[0]).strip() == "root"
    restarted_by_consent(host, tmp_path, vms_machines=machines(hypervisor="fork"))
    assert host.check("ps -o user:32= -p %d" % running(host)[0]).strip() == "ptnet-vm-vm1"
    assert host.check("stat -c %%U %s/disk.qcow2" % FOLDER).strip() == "ptnet-vm-vm1"


def test_uefi(host, tmp_path):
    command = restarted_by_consent(host, tmp_path, vms_machines=machines(machine="q35", firmware="uefi"))
    assert "OVMF_CODE" in command
    answer = host.ansible("ansible", "vm1", "--module-name", "command", "--args", "ls /sys/firmware/efi/efivars")
    assert answer, answer
