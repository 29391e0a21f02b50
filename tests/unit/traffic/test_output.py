# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures from pkt-gen's output; the samples follow its printf formats, partly from a real run on a tap device."""

from __future__ import annotations

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.traffic import output

REPORT = "783.806530 main_thread [2781] %d pps (%d pkts %d bps in %d usec) 53.20 avg_batch 99999 min_space\n"


def text(*packets, summary=None, usec=200000):
    lines = "".join(REPORT % (count * 5, count, count * 2400, usec) for count in packets)
    return lines + (summary or "")


SENT = ("Sent 1000 packets 60000 bytes 20 events 60 bytes each in 0.50 seconds.\n"
        "Speed: 2000 pps Bandwidth: 960000 bps (raw 960000 bps). Average batch: 50.00 pkts\n")


def test_a_sender_is_measured_by_its_summary():
    figures = output.measured(text(300, 400, 300, summary=SENT), "tx")
    assert figures == {"packets": 1000, "bytes": 60000, "seconds": 0.5, "mpps": 0.002, "avg_batch": 50.0,
                       "samples": [1500, 2000, 1500], "spread": {"min": 2000, "median": 2000, "max": 2000}}


def test_a_receiver_is_measured_while_it_was_busy():
    # The summary's 9 seconds include the silence before it was stopped.
    summary = SENT.replace("Sent", "Received").replace("0.50", "9.00").replace("1000 packets", "900 packets")
    figures = output.measured(text(0, 0, 100, 400, 0, 300, 100, 0, 0, summary=summary), "rx")
    assert figures["packets"] == 900
    # 0.6 s in between, the 100 before and the 100 after at the rate of these 700.
    assert figures["seconds"] == round(0.6 + 2 * 100 * 0.6 / 700, 3)
    assert figures["samples"] == [500, 2000, 0, 1500, 500]
    assert figures["spread"] == {"min": 0, "median": 1500, "max": 2000}


def test_without_a_summary_the_reports_count():
    figures = output.measured(text(10, 20), "tx")
    assert (figures["packets"], figures["bytes"], figures["seconds"], figures["avg_batch"]) == (30, None, 0.4, None)
    assert figures["spread"] is None


def test_nothing_at_all():
    for printed in ("", "Sent nothing.\n", text(0, 0)):
        figures = output.measured(printed, "rx")
        assert (figures["packets"], figures["seconds"], figures["mpps"], figures["samples"]) == (0, 0, 0.0, [])


def test_an_infinite_batch_is_no_number():
    # Printed by a real pkt-gen on a tap device, which counts no events; JSON has no infinity.
    printed = text(5, summary=SENT.replace("50.00 pkts", "inf pkts"))
    assert output.measured(printed, "tx")["avg_batch"] is None


def test_reports_with_deviation_are_read_too():
    line = "001.000001 main_thread [9] 12 pps [avg/std 12 /3  pps](3 pkts 9 bps in 250000 usec) 1.00 avg_batch 0"
    assert output.reports(line) == [(3, 250000)]


@pytest.mark.parametrize(("said", "meaning"), [
    ("/dev/netmap: No such file or directory", "netmap is not loaded here"),
    ("/dev/netmap: Permission denied", "this user may not open /dev/netmap"),
    ("vale1:x: Device or resource busy", output.BUSY),
    ("nope: No such device or address", "there is no such port"),
    ("vale1:x: Cannot allocate memory", "netmap has no room for the port"),
    ("pkt_size (2000) must be <= mtu (1500)", "the frames are longer than the interface takes"),
    ("nmfoo: invalid request, prefix unknown or missing", None),
])
def test_the_reason_stands_before_aborting_and_usage(said, meaning):
    printed = ("765.609019 extract_ip_range [477] range is 10.1.0.1:1234 to 10.1.0.1:1234\n%s\n"
               "765.609041 main [3335] aborting\nUsage:\npkt-gen arguments\n     -h      Show\n" % said)
    assert output.complaint(printed)[:2] == (said, meaning)
    assert not any("arguments" in line for line in output.tail(printed))


def test_a_failed_thread_is_a_failure_whatever_the_status():
    printed = ("001.000000 sender_body [1802] poll error on 3 ring 0-0\n"
               "001.000001 main_thread [2813] ouch, thread 0 exited with error\nSent nothing.\n")
    assert output.failed(printed)
    assert output.complaint(printed)[0] == "poll error on 3 ring 0-0"
    # A full ring that nobody empties is waited for, it ends nothing.
    assert not output.failed("1.0 sender_body [1797] poll error on queue 0: timeout\n")
