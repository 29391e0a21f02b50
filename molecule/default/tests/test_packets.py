# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the receivers counted in the check that ran just before."""

from __future__ import annotations

import datetime
import json
import os
import pathlib

import pytest

testinfra_hosts = ["netmap_hosts"]


@pytest.fixture(scope="module")
def report():
    return json.loads((pathlib.Path(os.environ["NETMAP_PTNET_REPORT"]) / "results.json").read_text(encoding="utf-8"))


def test_the_figures_are_of_this_boot(host, report):
    age = datetime.timedelta(seconds=float(host.file("/proc/uptime").content_string.split()[0]))
    measured = datetime.datetime.strptime(report["generated"], "%Y-%m-%dT%H:%M:%SZ")
    assert measured > datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - age


def test_every_receiver_counted_packets(report):
    # On doubles it is a rehearsal, which tests/run.py says of the whole stage.
    assert report["verdict"] == ("rehearsed" if report["rehearsed"] else "passed")
    assert all(case["received"] > 0 for case in report["cases"])


def test_pipes_lost_nothing(report):
    pipes = [case for case in report["cases"] if case["lossless"]]
    assert pipes
    assert all(case["lost"] == 0 and case["received"] >= case["sent"] for case in pipes)


@pytest.mark.parametrize("direction", ["from", "to"])
@pytest.mark.parametrize("lossless", [False, True], ids=["switch", "pipe"])
def test_guests_sent_and_received_on_switch_and_pipe(report, direction, lossless):
    guests = {name for name, machine in report["machines"].items() if machine["role"] == "guest"}
    end = 0 if direction == "from" else -1
    assert [case for case in report["cases"] if case["lossless"] == lossless and case["path"][end] in guests]
