# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict rests on the receiver."""

from __future__ import annotations

import copy

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.netmap.ptnet.plugins.filter.check_report import check_report
from hypothesis import given, settings
from hypothesis import strategies as st


def measured(name="a", **changes):
    return dict({"name": name, "sent": 1000, "received": 900, "seconds": 1}, **changes)


def judged(*cases, **results):
    return check_report(dict(results, cases=list(cases)))


@pytest.mark.parametrize(("changes", "ok", "reason"), [
    ({}, True, ""),
    ({"received": 1}, True, ""),
    ({"received": 0}, False, "counted nothing, although the sender reports 1,000 packets"),
    ({"received": None}, False, "counted nothing"),
    ({"received": 0, "sent": None}, False, "the receiver counted nothing"),
    ({"sent": None}, True, ""),
    ({"lossless": True}, False, "100 of 1,000 packets are missing"),
    ({"lossless": True, "received": 1000}, True, ""),
    ({"lossless": True, "received": 1016}, True, ""),
    ({"lossless": True, "received": 1017}, False, "17 more packets arrived"),
    ({"lossless": True, "sent": None}, False, "sender's count is missing"),
    ({"lossless": True, "unit": "bytes", "received": 999}, False, "1 of 1,000 bytes are missing"),
    ({"error": "pkt-gen did not start"}, False, "pkt-gen did not start"),
])
def test_verdict_of_a_case(changes, ok, reason):
    report = judged(measured(**changes))
    assert report["cases"][0]["ok"] is ok
    assert reason in report["cases"][0]["reason"]
    assert report["verdict"] == ("passed" if ok else "failed")


def test_a_silent_link_is_not_hidden_by_its_neighbour():
    runs = [{"sent": 10, "received": 20, "seconds": 1}, {"sent": 10, "received": 0, "seconds": 1}]
    case = judged({"name": "a", "runs": runs})["cases"][0]
    assert not case["ok"]
    assert "on link 2 of 2" in case["reason"]


def test_lost_packets_of_one_pipe_are_not_balanced_by_another():
    runs = [{"sent": 10, "received": 11, "seconds": 1}, {"sent": 11, "received": 10, "seconds": 1}]
    assert not judged({"name": "a", "lossless": True, "runs": runs})["cases"][0]["ok"]


def test_links_add_up():
    runs = [
        {"sent": 2000000, "received": 2000000, "seconds": 2, "samples": [1, 1000000, 1200000, 2], "avg_batch": 10},
        {"sent": 6000000, "received": 6000000, "seconds": 2, "samples": [1, 2900000, 3100000, 2], "avg_batch": 30},
    ]
    case = judged({"name": "a", "lossless": True, "runs": runs})["cases"][0]
    assert (case["sent"], case["received"], case["loss"], case["runs"]) == (8000000, 8000000, 0, 2)
    assert case["rate"] == pytest.approx(4)
    assert case["spread"] == pytest.approx({"min": 3.9, "median": 4.1, "max": 4.3})
    assert case["avg_batch"] == pytest.approx(20)


def test_bytes_are_rated_in_megabits():
    assert judged(measured(unit="bytes", sent=1000000, received=1000000))["cases"][0]["rate"] == pytest.approx(8)


def test_samples_too_few_for_a_spread():
    case = judged(measured(samples=[1, 2]))["cases"][0]
    assert case["spread"] is None
    assert case["rate"] == pytest.approx(0.0009)


def test_ratio_to_the_baseline():
    report = judged(measured("native", received=1000), measured("guest", received=250, baseline="native"))
    assert [case["ratio"] for case in report["cases"]] == [None, 0.25]


@pytest.mark.parametrize("native", [{"received": 0}, {"seconds": 0}, {"error": "no"}])
def test_no_ratio_to_what_proved_nothing(native):
    assert judged(measured("native", **native), measured("guest", baseline="native"))["cases"][1]["ratio"] is None


def test_other_traffic_and_a_second_attempt_are_told():
    notes = judged(measured(received=1001, attempts=2, notes=["noisy"]))["cases"][0]["notes"]
    assert notes[0] == "noisy"
    assert "attempt 2" in notes[1]
    assert "other traffic" in notes[2]


def test_nothing_measured_is_no_pass():
    assert judged()["verdict"] == "failed"


def test_notices():
    assert judged(measured())["notices"] == []
    report = judged(measured(), machines={"hv1": {"emulated": True, "doubles": ["qemu", "netmap"]}, "hv2": {}})
    assert report["emulated"]
    assert [notice.split()[0] for notice in report["notices"]] == ["Rehearsed", "Measured"]
    assert "netmap and the ptnet QEMU." in report["notices"][0]


@pytest.mark.parametrize("given", [{"rehearsed": True}, {"machines": {"hv1": {}, "vm1": {"doubles": ["netmap"]}}}])
def test_what_ran_on_a_double_is_rehearsed_and_each_case_says_so(given):
    report = judged(measured(), **given)
    assert (report["verdict"], report["rehearsed"], report["passed"]) == ("rehearsed", True, 1)
    assert report["cases"][0]["rehearsed"]
    assert report["cases"][0]["notes"][0] == "rehearsed on a double; datapath not proven"


def test_a_rehearsal_can_fail():
    assert judged(measured(received=0), rehearsed=True)["verdict"] == "failed"
    report = judged(measured(), machines={"hv1": {"doubles": ["netmap"], "forbidden_calls": 2}})
    assert report["verdict"] == "failed"
    assert report["forbidden"] == ["hv1: 2 calls that would have crashed netmap"]


@pytest.mark.parametrize("results", [
    None, [], {}, {"cases": {}}, {"cases": [{}]}, {"cases": ["a"]},
    {"cases": [{"name": "a"}, {"name": "a"}]},
    {"cases": [{"name": "a", "baseline": "missing"}]},
])
def test_unusable_results_are_refused(results):
    with pytest.raises(AnsibleFilterError, match="check_report"):
        check_report(results)


counts = st.none() | st.integers(min_value=0, max_value=10**12)


@settings(deadline=None)
@given(st.lists(st.fixed_dictionaries({"sent": counts, "received": counts, "seconds": st.floats(0, 100)}),
                min_size=1, max_size=4), st.booleans())
def test_any_counts_are_judged_and_the_input_stays(runs, lossless):
    results = {"cases": [{"name": "a", "lossless": lossless, "runs": runs}]}
    before = copy.deepcopy(results)
    case = check_report(results)["cases"][0]
    assert results == before
    expected = all(run["received"] and (not lossless or run["received"] == run["sent"]) for run in runs)
    assert case["ok"] is expected
    assert bool(case["reason"]) is not expected


def test_a_rehearsal_has_no_ratio_to_native():
    cases = [measured("native"), measured("b", baseline="native")]
    assert judged(*cases)["cases"][1]["ratio"] == 1
    assert judged(*cases, rehearsed=True)["cases"][1]["ratio"] is None


def test_who_served_a_port_is_kept():
    ports = [{"vm": "vm1", "port": "vale1:10", "hypervisor": "fork", "mode": "notified"}]
    assert [case["ports"] for case in judged(measured(ports=ports), measured("b"))["cases"]] == [ports, []]


ROW = {"name": "r", "title": "vm8 on hv1", "not_provable": "no guest", "path": []}


@pytest.mark.parametrize(("cases", "rows", "verdict", "said"), [
    ([], [], "failed", "nothing that is declared was proven, because there was no case at all"),
    ([], [ROW], "failed", "nothing that is declared was proven: vm8 on hv1: no guest"),
    ([measured(native=True)], [ROW], "failed", "nothing that is declared was proven: vm8 on hv1: no guest"),
    # A switch without machines is declared, and is proven.
    ([measured(native=True)], [], "passed", None),
    ([measured(native=True), measured("b")], [ROW], "passed", None),
    ([measured(native=True), measured("b", received=0)], [ROW], "failed", "1 of 2 cases failed"),
])
def test_nothing_proven_is_never_passed(cases, rows, verdict, said):
    report = judged(*cases, not_provable=rows)
    assert (report["verdict"], report["failures"]) == (verdict, [said] if said else [])
    assert report["not_provable"] == rows


def test_a_path_over_two_hosts_is_compared_with_the_same_inside_one():
    inner, outer = measured("in", title="vm1 → vale1 → vm2"), measured("out", inside="in", received=90)
    case = judged(inner, outer)["cases"][1]
    assert case["of_inside"] == pytest.approx(0.1)
    assert "10.0 % of the rate inside one host (vm1 → vale1 → vm2)" in case["notes"]
    assert judged(inner, outer, rehearsed=True)["cases"][1]["of_inside"] is None
    for spoiled in (dict(inner, received=0), dict(inner, name="other")):
        assert judged(spoiled, outer)["cases"][1]["of_inside"] is None
