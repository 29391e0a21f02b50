# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role check on two hosts and their guests, with stand-ins for what it runs on them: who is lost, who goes on."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.vm_identity import identity

TOP = pathlib.Path(__file__).parents[3]
STUB = """#!%s
# WANT_JSON
import json, os, sys
args = json.load(open(sys.argv[1]))
top = %r
"""
# Every receiver counts; when the one of a certain case listens, its sender vm1 vanishes.
PKT_GEN = STUB + """
with open(os.path.join(top, "log"), "a") as log:
    log.write(json.dumps([args.get("background"), args.get("job")]) + "\\n")
if args.get("background") == "start" and args["job"] == os.environ.get("VANISH"):
    open(os.path.join(top, "vm1.gone"), "w")
print(json.dumps({"changed": False, "runs": [
    {"function": run["function"], "packets": 100, "seconds": 1.0, "samples": [], "avg_batch": 1.0}
    for run in args.get("runs") or [{"function": "rx"}]]}))
"""
NETMAP_INFO = STUB + """
print(json.dumps({"changed": False, "kernel_release": "6.1", "vms": [], "ptnet_interfaces": []}))
"""
CONNECTION = """
import json, os
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as Local
DOCUMENTATION = '''
name: fading
short_description: local, until it is gone
description: local
options:
  vm:
    description: who
    vars: [{name: inventory_hostname}]
  remote_user:
    description: none
    vars: [{name: ansible_user}]
'''
class Connection(Local):
    transport = "netmap.ptnet.fading"
    def exec_command(self, cmd, *args, **kwargs):
        top, name = %r, self._play_context.remote_addr
        with open(os.path.join(top, "commands"), "a") as log:
            log.write(name + "\\n")
        if os.path.exists(os.path.join(top, name + ".gone")):
            raise AnsibleConnectionFailure("no route")
        if "product_$1" in cmd:
            with open(os.path.join(top, "machines.json")) as machines:
                return 0, ("uuid=" + json.load(machines)[name]).encode(), b""
        return super().exec_command(cmd, *args, **kwargs)
"""
INVENTORY = {
    "netmap_hosts": {
        "hosts": {
            "hv1.example.org": {"vms_machines": [
                {"name": name, "ports": [{"port": "vale1:" + name}]} for name in ("vm1", "vm2", "dead", "stranger")]},
            "hv2.example.org": {"vms_machines": [
                {"name": "vm1", "ports": [{"port": "vale1:vm3"}, {"port": "eth2"}]},
                {"name": "off", "state": "stopped", "ports": [{"port": "vale1:off"}]}]},
            "hv3.example.org": {"ports_switches": []}},
        "vars": {"ports_switches": [{"name": "vale1", "interfaces": [{"name": "eth1"}]}],
                 "check_links": [{"a": "hv1.example.org:eth1", "b": "hv2.example.org:eth1"}]}},
    "netmap_guests": {"hosts": {name: {"ansible_connection": "netmap.ptnet.fading", "ansible_host": name}
                                for name in ("vm1", "vm2", "vm3", "dead", "off")}},
    # Each host has a vm1.
    "pairs": {"hosts": {"vm1": {"guest_host": "hv1.example.org"},
                        "vm3": {"guest_host": "hv2.example.org", "guest_name": "vm1"}}},
    "all": {"vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}},
}


# Which machine each guest is in.
MACHINES = {guest: identity("", host, machine).uuid() for guest, host, machine in (
    ("vm1", "hv1.example.org", "vm1"), ("vm2", "hv1.example.org", "vm2"), ("vm3", "hv2.example.org", "vm1"),
    ("dead", "hv1.example.org", "dead"))}


@pytest.fixture
def check(tmp_path):
    """Run the role; returns its status, its output, its results, and what was asked of pkt_gen."""
    collection = tmp_path / "ansible_collections/netmap/ptnet"
    (collection / "plugins/modules").mkdir(parents=True)
    (collection / "plugins/connection").mkdir()
    for name in ("galaxy.yml", "roles", "plugins/filter", "plugins/module_utils"):
        (collection / name).symlink_to(TOP / name)
    (collection / "meta").symlink_to(TOP / "meta")
    for name, text in (("pkt_gen", PKT_GEN), ("netmap_info", NETMAP_INFO)):
        (collection / "plugins/modules" / (name + ".py")).write_text(text % (sys.executable, str(tmp_path)))
    (collection / "plugins/connection/fading.py").write_text(CONNECTION % str(tmp_path))
    (tmp_path / "dead.gone").touch()

    def run(inventory, machines=None, **environment):
        (tmp_path / "machines.json").write_text(json.dumps({**MACHINES, **(machines or {})}))
        (tmp_path / "hosts.json").write_text(json.dumps(inventory))
        (tmp_path / "play.yml").write_text(json.dumps([{
            "hosts": "netmap_hosts", "gather_facts": False, "roles": ["netmap.ptnet.check"], "tags": ["check"],
            "vars": {"check_report_folder": str(tmp_path / "report")}}]))
        done = subprocess.run(
            [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), "-i", str(tmp_path / "hosts.json"),
             str(tmp_path / "play.yml"), "--tags", "check"], cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(tmp_path), "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
                 "ANSIBLE_HOME": str(tmp_path / "home"), "ANSIBLE_NOCOLOR": "1", **environment})
        log = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()] \
            if (tmp_path / "log").exists() else []
        written = tmp_path / "report/results.json"
        return done, json.loads(written.read_text()) if written.exists() else None, log
    return run


def test_who_is_lost_costs_its_own_cases_and_all_others_are_proven(check):
    done, report, log = check(INVENTORY, VANISH="vale1-vm1-vm1-to-vm2")
    assert report, done.stdout + done.stderr
    failed = {case["title"]: case["reason"] for case in report["cases"] if not case["ok"]}
    assert all("vm1" in title or "dead" in title for title in failed), failed
    assert failed["dead → vale1 → hv1.example.org"] == "dead does not answer: Task failed: no route"
    assert failed["vm1 → vale1 → vm2"] == failed["vm2 → vale1 → vm1"] == "vm1 does not answer: Task failed: no route"
    passed = [case["title"] for case in report["cases"] if case["ok"]]
    assert {"vm1 → vale1 → hv1.example.org", "vm2 → vale1 → hv1.example.org", "vm3 → vale1 → hv2.example.org",
            "hv2.example.org → vale1 → vm3"} <= set(passed)
    # It went away before the link was tried.
    assert failed["vm1 → eth1 → eth1 → vm3"] == "vm1 does not answer: Task failed: no route"
    rows = {row["title"]: row["not_provable"] for row in report["not_provable"]}
    assert list(rows) == ["stranger on hv1.example.org", "eth2 of hv2.example.org in vm3", "off on hv2.example.org",
                          "hv3.example.org"]
    assert report["verdict"] == "failed"
    # Ansible dropped no host, and the run failed by the judgement alone.
    assert re.findall(r"(?m)^(\S+) +: .*unreachable=(\d+) +failed=(\d+)", done.stdout)[1:] == [
        ("hv2.example.org", "0", "0"), ("hv3.example.org", "0", "0")]
    assert "%d of %d cases failed" % (len(failed), len(report["cases"])) in done.stdout
    # The receivers of the case that failed were ended.
    assert ["stop", "vale1-vm1-vm1-to-vm2"] in log
    started = [job for what, job in log if what == "start"]
    assert sorted(started) == sorted(job for what, job in log if what in ("collect", "stop"))


def test_nothing_is_run_in_another_machine_than_the_one_that_is_meant(check, tmp_path):
    """As where a shared connection leads into the guest of another lab."""
    other = identity("another lab", "hv1.example.org", "vm2").uuid()
    inventory = json.loads(json.dumps(INVENTORY))
    # Nor by cases that were given.
    case = {"name": "given", "title": "given", "sender": "hv2.example.org", "receiver": "vm2", "path": [],
            "lossless": False, "baseline": None, "native": False,
            **{side: [{"port": "vale9:x", "function": way}] for side, way in (("send", "tx"), ("receive", "rx"))}}
    inventory["netmap_hosts"]["hosts"]["hv2.example.org"]["check_cases"] = [case]
    done, report, log = check(inventory, {"vm2": other})
    assert report, done.stdout + done.stderr
    failed = {case["title"]: case["reason"] for case in report["cases"] if not case["ok"]}
    for title in ("hv1.example.org → vale1 → vm2", "vm2 → vale1 → hv1.example.org", "given"):
        assert failed[title].startswith("vm2 does not answer: another machine (uuid %s) answers, and hv1" % other)
    assert "vm1 → vale1 → hv1.example.org" in [case["title"] for case in report["cases"] if case["ok"]]
    # It was asked who it is, and that was all.
    assert (tmp_path / "commands").read_text().splitlines().count("vm2") == 1
    assert "given" not in [job for _what, job in log]


def test_two_hosts_are_compared_with_one(check):
    inventory = json.loads(json.dumps(INVENTORY))
    hosts = inventory["netmap_hosts"]["hosts"]
    del hosts["hv3.example.org"]
    hosts["hv1.example.org"]["vms_machines"] = hosts["hv1.example.org"]["vms_machines"][:2]
    done, report, _log = check(inventory)
    assert done.returncode == 0, done.stdout + done.stderr
    (there, back) = [case for case in report["cases"] if "hv1.example.org:eth1" in case["path"]]
    assert (there["title"], there["of_inside"]) == ("vm1 → eth1 → eth1 → vm3", 1.0)
    assert "100.0 % of the rate inside one host (vm1 → vale1 → vm2)" in done.stdout


def test_hosts_without_anything_fail_with_a_message(check):
    done, report, log = check({**INVENTORY, "netmap_hosts": {"hosts": {"hv3.example.org": {}}}})
    assert (done.returncode, report["verdict"], log) == (2, "failed", [])
    assert "nothing that is declared was proven: hv3.example.org: neither a switch nor a machine" in done.stdout
    assert "0 of 0 cases failed" not in done.stdout
