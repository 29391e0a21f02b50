# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What more than one host shows: what was foretold came, each machine is who it is, packets go from host to host."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
import testinfra

ROOT = pathlib.Path(__file__).parents[3]
HOSTS = ("hv1.example.org", "hv2.example.org")
# What a guest is asked, and what is built for it, depends on the machine that the run itself makes.
UNFORESEEN = ("client", "server", "edge")


@pytest.fixture(scope="module")
def report():
    return json.loads((pathlib.Path(os.environ["NETMAP_PTNET_REPORT"]) / "results.json").read_text(encoding="utf-8"))


def test_the_run_did_what_check_mode_foretold():
    folder = pathlib.Path(os.environ["NETMAP_PTNET_OUTCOMES"])
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/foretold.py"), str(folder / "foretold"), str(folder / "converge"),
         *UNFORESEEN],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout


def test_packets_went_from_a_machine_on_one_host_to_one_on_the_other(report):
    # VM, switch, NIC, NIC, switch, VM; the rate stands beside that of the same path inside one host.
    across = [case for case in report["cases"] if case.get("inside")]
    assert {(case["path"][0], case["path"][-1]) for case in across} == {
        ("client", "edge"), ("edge", "client")}
    assert all(case["ok"] and case["received"] > 0 and case["of_inside"] for case in across)


def test_machines_on_one_switch_reach_each_other(report):
    found = {(case["path"][0], case["path"][-1]) for case in report["cases"] if case["ok"] and not case["lossless"]}
    assert {("client", "server"), ("server", "client")} <= found


def test_what_cannot_be_proven_from_here_is_named(report):
    assert report["verdict"] == "passed"
    told = {row["name"]: row["not_provable"] for row in report["not_provable"]}
    assert any("sealed" in name for name in told), told
    assert any("eth2" in name for name in told), told


def test_machines_of_one_name_have_addresses_of_their_own():
    hosts = testinfra.get_hosts(["ansible://netmap_hosts"], ansible_inventory=os.environ["NETMAP_PTNET_INVENTORY"])
    found = [host.check_output("grep -oE '02(:[0-9a-f]{2}){5}' /etc/systemd/system/ptnet-port-sealed.service").split()
             for host in hosts]
    assert [len(addresses) for addresses in found] == [1, 1]
    assert found[0] != found[1]
