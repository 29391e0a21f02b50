# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Into a really different kernel: the playbook upgrade builds for it first, boots it, and all comes back."""

from __future__ import annotations

import io
import json
import os
import pathlib
import re
import subprocess
import tarfile
import threading
import time

import lab
import pytest
import yaml
from ansible_collections.netmap.ptnet.plugins.module_utils.lab import image, processes
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu.qmp import Qmp
from emulated import Emulated, nightly

# This release has another one beside its own kernel, and netmap's default commit builds for both.
SUITE = "bookworm"
OWN, OTHER = "linux-image-cloud-amd64", "linux-image-6.12-cloud-amd64"
ROLE = pathlib.Path(lab.ROOT, "roles/lab")
DECLARED = {"vms_machines": [], "netmap_parameters": {"priv_ring_num": 32},
            "ports_switches": [{"name": "vale1", "interfaces": [{"name": "leg0s", "kind": "veth", "peer": "leg0"}]}],
            "ports_pipe_parents": [{"name": "pp0", "pipes": 2, "tx_slots": 64, "rx_slots": 64}]}

pytestmark = pytest.mark.skipif(not nightly(), reason="takes minutes: NIGHTLY=yes")


@pytest.fixture(scope="module")
def host():
    """A host of our own, which ends with another kernel."""
    keep = os.environ.get("KEEP") == "yes"
    one = Emulated(os.environ.get("KERNELS_LAB", "kernels"), lab_suite=SUITE)
    try:
        one.create()
        yield one
        assert one.hurt() == []
    finally:
        if not keep:
            one.remove()


@pytest.fixture(scope="module")
def other(host):
    """Another kernel, put on the host as its package does, and a build root with the headers of both (dict)."""
    made = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    common = {"cache": lab.cache(), "suite": SUITE, "mirror": lab.knob("MIRROR"), "size": "2G", "recipe": None,
              "mask": [], "initrd_modules": made["__lab_initrd_modules"], "kernel_release": None,
              "authorized_key": pathlib.Path(lab.cache(), "ssh/id_ed25519.pub").read_text().strip()}
    packages = made["__lab_image_packages"] + made["__lab_suite_packages"][SUITE]
    kernel = image.act(dict(common, kind="disk", recipe=str(ROLE / "files/image"), packages=[
        OTHER if name == OWN else name for name in packages]), False)
    running = host.check("uname -r").strip()
    assert kernel["kernel_release"] != running
    root = image.act(dict(common, kind="build_root", kernel_release=kernel["kernel_release"],
                          packages=made["__lab_build_root_packages"] + ["linux-headers-" + running]), False)
    return dict(kernel, interpreter=root["interpreter"])


@pytest.fixture(scope="module")
def builder(other, tmp_path_factory):
    """The build root as a build host (path of an inventory)."""
    path = tmp_path_factory.mktemp("kernels") / "other.yml"
    path.write_text(json.dumps({"netmap_builders": {"hosts": {"other": {
        "ansible_connection": "local", "ansible_python_interpreter": other["interpreter"],
        "ansible_remote_tmp": lab.cache() + "/ansible"}}}}))
    return path


def install(host, kernel, folder):
    """What the package of a kernel leaves behind: its modules, and what the boot loader starts."""
    release = kernel["kernel_release"]
    subprocess.run(["debugfs", "-R", "rdump /usr/lib/modules/%s %s" % (release, folder), kernel["disk"]], check=True,
                   capture_output=True, env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin"))
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as packed:
        packed.add(folder / release, arcname=release)
    host.put("/root/modules.tar.gz", stream.getvalue())
    host.check("tar -C /lib/modules --no-same-owner -xf /root/modules.tar.gz && rm /root/modules.tar.gz && sync")


def reboots_into(host, kernel):
    """A boot loader that starts another kernel at the next reboot: the emulator ends then, and is started with it."""
    (pid,) = processes.machines([host.folder])[host.folder]
    with open("/proc/%d/cmdline" % pid, encoding="utf-8") as stream:
        words = stream.read().rstrip("\0").split("\0")
    if "-incoming" in words:
        at = words.index("-incoming")
        del words[at:at + 2]
    for option, file in (("-kernel", kernel["kernel"]), ("-initrd", kernel["initrd"])):
        words[words.index(option) + 1] = file
    with Qmp(os.path.join(host.folder, "qmp"), 60) as qmp:
        qmp.execute("set-action", reboot="shutdown")

    def wait():
        while host.running():
            time.sleep(0.3)
        host._argv = words
        host.start(wait=False)

    threading.Thread(target=wait, daemon=True).start()


def test_a_host_goes_into_another_kernel(host, other, builder, tmp_path):
    inventory, release = "--inventory=%s" % builder, other["kernel_release"]
    given = dict(DECLARED, netmap_build_host="other")

    def converge():
        answer = host.playbook("playbooks/host.yml", inventory, "--tags", "netmap,ports", **given)
        assert answer, answer
        return bool(re.search(r"changed=[1-9]", answer.text))

    assert converge()
    before = host.check("uname -r").strip()
    install(host, other, tmp_path)
    # A kernel that is not there, and one that may not be booted now: nothing is interrupted.
    answer = host.playbook("playbooks/upgrade.yml", inventory, netmap_upgrade_release="9.9.9-none", **given)
    assert not answer, answer
    assert "Kernel 9.9.9-none is not installed" in " ".join(answer.text.split()), answer
    answer = host.playbook("playbooks/upgrade.yml", inventory, **given)
    assert answer, answer
    assert "a reboot into kernel %s" % release in answer.text, answer
    assert host.check("uname -r; ls /lib/modules/%s/updates/netmap-ptnet" % release).split() == [before, "netmap.ko"]
    reboots_into(host, other)
    answer = host.playbook("playbooks/upgrade.yml", inventory, netmap_upgrade_allow_reboot=True, **given)
    assert answer, answer
    found = host.module("netmap_info", gather=["kernels", "drift"])
    assert (found["kernel_release"], found["loaded"], found["drift"], found["stuck"]) == (release, True, [], [])
    assert found["module"]["installed"]["path"] == "/lib/modules/%s/updates/netmap-ptnet/netmap.ko" % release
    assert found["module"]["installed"]["vermagic"].split()[0] == release
    assert [(one["name"], port["name"]) for one in found["switches"] for port in one["ports"]] == [("vale1", "leg0s")]
    assert [(one["name"], one["present"]) for one in found["parents"]] == [("pp0", True)]
    assert all(kernel["netmap"]["fits"] for kernel in found["kernels"])
    assert host.check("cat /sys/module/netmap/parameters/priv_ring_num").strip() == "32"
    assert not converge()
    # A boot loader that starts another kernel than was wanted is named, at once.
    answer = host.playbook("playbooks/upgrade.yml", inventory, netmap_upgrade_allow_reboot=True,
                           netmap_upgrade_release=before, **given)
    assert not answer, answer
    said = " ".join(answer.text.split())
    assert "After the reboot kernel %s runs (wanted: %s" % (release, before) in said, answer
