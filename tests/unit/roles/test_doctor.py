# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook doctor looks into no other guest than the one that is meant."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

from ansible_collections.netmap.ptnet.plugins.module_utils.vm_identity import identity

TOP = pathlib.Path(__file__).parents[3]
DOCTOR = """#!%s
# WANT_JSON
import json
print(json.dumps({"changed": False, "findings": []}))
"""
# The way to a machine: the question who it is is answered, and all else is run here.
CONNECTION = """
from ansible.plugins.connection.local import Connection as Local
DOCUMENTATION = '''
name: led
short_description: local, to a machine with a uuid
description: local
'''
class Connection(Local):
    transport = "netmap.ptnet.led"
    def exec_command(self, cmd, *args, **kwargs):
        if "product_$1" in cmd:
            return 0, b"system=Linux\\nuuid=%s\\n", b""
        return super().exec_command(cmd, *args, **kwargs)
"""


def test_another_guest_is_refused_and_the_others_are_looked_at(tmp_path):
    collection = tmp_path / "ansible_collections/netmap/ptnet"
    (collection / "plugins/modules").mkdir(parents=True)
    (collection / "plugins/connection").mkdir()
    for name in ("galaxy.yml", "roles", "meta", "playbooks", "plugins/filter", "plugins/module_utils"):
        (collection / name).symlink_to(TOP / name)
    (collection / "plugins/modules/netmap_doctor.py").write_text(DOCTOR % sys.executable)
    (collection / "plugins/connection/led.py").write_text(CONNECTION % identity("", "hv1", "vm1").uuid())
    (tmp_path / "hosts.json").write_text(json.dumps({
        "netmap_hosts": {"hosts": {"hv1": {"vms_machines": [{"name": "vm1"}, {"name": "vm2"}]}}},
        "netmap_guests": {"hosts": {"vm1": {}, "vm2": {}}},
        "all": {"vars": {"ansible_connection": "netmap.ptnet.led", "ansible_python_interpreter": sys.executable}}}))
    done = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), "-i", str(tmp_path / "hosts.json"),
         "netmap.ptnet.doctor", "--tags", "doctor"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(tmp_path), "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
             "ANSIBLE_HOME": str(tmp_path / "home"), "ANSIBLE_NOCOLOR": "1"})
    asked = done.stdout.partition("TASK [Look for known failures]")[2].partition("TASK [")[0]
    assert [host for host in ("hv1", "vm1", "vm2") if "ok: [%s]" % host in asked] == ["hv1", "vm1"], done.stdout
    assert "hv1/vm2 (uuid" in done.stdout
    assert "TASK [Summary]" in done.stdout
    assert done.returncode == 2
