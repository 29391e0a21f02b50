# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs on both QEMUs that reboot, crash and are killed in the midst of traffic; each time their ports carry again.

NIGHTLY=yes only: each life but one is a boot of a guest of an emulated machine. LIVES= sets how many each VM has.
"""

from __future__ import annotations

import json
import os

import emulated
import pytest

pytestmark = pytest.mark.skipif(not emulated.nightly(), reason="takes an hour: NIGHTLY=yes")

LIVES = int(os.environ.get("LIVES") or 20)
FREE = 1.0  # seconds
# Both have the same two kinds of ports, see playbooks/vars/lab.yml.
VMS = {"vm1": ("vale1:10", "pp0{1"), "vm2": ("vale1:11", "pp0{3")}


@pytest.fixture(scope="module")
def lab():
    one = emulated.Emulated("lives", tags="lab,host,guest", guests=True, lab_suite="trixie", lab_hypervisor="both")
    try:
        yield one.create()
    finally:
        one.remove()


@pytest.mark.parametrize("vm", VMS)
def test_each_life_ends_with_free_ports_and_the_next_one_carries(lab, vm):
    for name in VMS:
        unit = "/etc/systemd/system/ptnet-vm-%s.service" % name
        # A shell instead of systemd: a guest is there in a tenth of the time.
        lab.check("systemctl stop %s && sed -i 's# init=/bin/sh##; s#root=/dev/vda #&init=/bin/sh #' %s && "
                  "systemctl daemon-reload" % (os.path.basename(unit), unit))
    lab.equip()
    process = lab.begin("PYTHONPATH=%s python3 -m lives %s %d %d '%s' '%s' '%s'" % (
        emulated.CODE, vm, LIVES, emulated.seed(), *VMS[vm], json.dumps(emulated.HURT)))
    lives = []
    for line in process.stdout:
        print(line, end="")
        if line.startswith("{"):
            lives.append(json.loads(line))
    assert process.wait() == 0
    assert len(lives) == LIVES
    assert [life for life in lives if "wrong" in life or life["kernel"] or (life["free"] or 0) > FREE] == []
    for life in lives:
        assert life["carried"]["pipe out"] == life["carried"]["pipe in"] == 20000, life
        assert min(life["carried"].values()) >= 1000, life
