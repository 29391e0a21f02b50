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
from ansible_collections.netmap.ptnet.plugins.filter.check_report import STRAYS

pytestmark = pytest.mark.skipif(not emulated.nightly(), reason="takes an hour: NIGHTLY=yes")

LIVES = int(os.environ.get("LIVES") or 20)
FREE = 1.0  # seconds
SLOTS = 512  # of a ring of the pipe, as playbooks/vars/lab.yml declares its parent


@pytest.fixture(scope="module", params=["distribution", "fork"])
def lab(request):
    """A host with one VM: two guests at once are more than the emulator bears (README of role lab)."""
    one = emulated.Emulated("lives", tags="lab,host,guest", guests=True, lab_suite="trixie",
                            lab_hypervisor=request.param)
    try:
        yield one.create()
    finally:
        one.remove()


def freed(life):
    """Seconds until the ports were free: after a kill, or, where QEMU may tidy up first, after its end (float)."""
    return life.get("free", 0) + (life.get("ended", 0) if life["death"].startswith("kill") else 0)


def test_each_life_ends_with_free_ports_and_the_next_one_carries(lab):
    # A shell instead of systemd: a guest is there in a tenth of the time.
    lab.check("systemctl stop ptnet-vm-vm1 && "
              "sed -i 's#root=/dev/vda #&init=/bin/sh #' /etc/systemd/system/ptnet-vm-vm1.service")
    lab.equip()
    process = lab.begin("PYTHONPATH=%s python3 -m lives vm1 %d %d vale1:10 'pp0{1' '%s'" % (
        emulated.CODE, LIVES, emulated.seed(), json.dumps(emulated.HURT)))
    lives = []
    for line in process.stdout:
        print(line, end="")
        if line.startswith("{"):
            lives.append(json.loads(line))
    assert process.wait() == 0
    assert len(lives) == LIVES
    assert [life for life in lives if "wrong" in life or life["kernel"] or freed(life) > FREE] == []
    for life in lives:
        # A pipe loses nothing; the guest's own stack may have said something before the port was ours, and what was
        # under way when the guest died is still in the ring.
        assert 20000 <= life["carried"]["pipe out"] <= 20000 + STRAYS + SLOTS, life
        assert life["carried"]["pipe in"] == 20000, life
        assert min(life["carried"].values()) >= 1000, life
