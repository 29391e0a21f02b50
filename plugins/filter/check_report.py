# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges what the traffic cases measured. Runs on the controller, touches no machine."""

from __future__ import annotations

from statistics import mean, median

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: check_report
version_added: 0.1.0
short_description: Judge measured traffic by what the receiver counted
description:
  - Takes the results of a check, as collected by the role P(netmap.ptnet.check#role), and returns them judged.
  - A case passes when the receiver counted something on every link, whatever the sender says.
  - A case marked as lossless, such as a pipe, passes only when the receiver counted what was sent. A few
    frames more are noted, because the stack of a guest may send on the same port.
  - Loss on a VALE switch is reported and is no failure, because a switch drops what a slow receiver does not take.
  - The ratio to the native rate is computed between cases of the same results only.
  - What is declared and cannot be proven from here is told. Where nothing but comparisons on the hosts went through
    beside that, the check fails, because nothing that was declared is proven.
  - Where a machine ran on a double of netmap or QEMU, everything is marked as rehearsed and nothing as passed; calls
    that would crash the real netmap, which its double counts, are a failure.
author: netmap.ptnet contributors (@netmap-ptnet)
positional: _input
options:
  _input:
    description:
      - The results, a dictionary with C(cases), C(machines), C(topology), C(rehearsed), C(generated),
        C(collection), C(rerun) and C(not_provable). Only C(cases) is required.
      - A case has a C(name) and either C(runs), a list of dictionaries with C(sent), C(received), C(seconds),
        C(samples) and C(avg_batch), one for each of its simultaneous links, or these keys itself when it has one link.
        C(ports), who served its passed-through ports and in which mode, is kept as it is.
      - The schema is described in full in C(REPORT.md) of the role.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Judge two cases
  ansible.builtin.debug:
    msg: "{{ results | netmap.ptnet.check_report }}"
  vars:
    results:
      cases:
        - name: native
          title: host to VALE to host
          sent: 13200000
          received: 4000000
          seconds: 4
        - name: guest
          title: guest to VALE to host
          baseline: native
          sent: 2000000
          received: 1800000
          seconds: 4
# The verdict is passed; the second case has a ratio of 0.45 and a loss of 10 percent.
"""

RETURN = r"""
_value:
  description:
    - The results with C(verdict) (V(passed), V(rehearsed) or V(failed)), C(passed), C(failed), C(rehearsed),
      C(emulated), C(forbidden), C(failures) (why the check fails, one clause each) and C(notices) added.
    - Each case gets C(ok), C(reason), C(notes), the totals C(sent), C(received), C(lost) and C(loss),
      C(rate) and C(spread) in millions of packets a second (megabits a second where C(unit=bytes)),
      C(avg_batch), C(ratio) to its baseline, C(of_inside), the ratio to the same path inside one host where the case
      names one (C(inside)), and C(of_fork), the ratio to the same path on the ptnet QEMU where a machine on the
      distribution's and one on that were tried.
  type: dict
  sample:
    verdict: passed
    passed: 1
    failed: 0
    rehearsed: false
    forbidden: []
    failures: []
    not_provable: []
    emulated: false
    notices: []
    cases:
      - name: guest
        ok: true
        reason: ""
        sent: 2000000
        received: 1800000
        lost: 200000
        loss: 0.1
        rate: 0.45
        ratio: 0.45
"""

REHEARSED = "rehearsed on a double; datapath not proven"
DOUBLE = (
    "Rehearsed on a double; datapath not proven. Stand-ins took the place of %s. "
    "This shows that the automation works; it says nothing about packets through netmap or ptnet."
)
DOUBLED = {"netmap": "netmap", "qemu": "the ptnet QEMU"}
# Frames that the stack of a guest sends by itself before and after a port is in netmap mode (seen: 1).
STRAYS = 16
EMULATED = (
    "Measured on an emulated machine. Only ratios between cases of this run mean something; "
    "the rates themselves are far below those of real hardware."
)


def _total(runs, key):
    """Sum of a count over all links (int), or None when one run lacks it."""
    counts = [run.get(key) for run in runs]
    return None if None in counts else sum(int(count) for count in counts)


def _rate(runs, unit):
    """What the receivers saw together (Mpps, or Mbit/s for bytes), or None when one did not say."""
    if any(run.get("received") is None or float(run.get("seconds") or 0) <= 0 for run in runs):
        return None
    return sum(int(run["received"]) * (8 if unit == "bytes" else 1) / float(run["seconds"]) for run in runs) / 1e6


def _spread(runs):
    """Lowest, median and highest rate of the samples (dict of Mpps), or None where a run has none.

    The first and the last sample of a run were busy in part only. Rates of simultaneous runs are added, so their range
    is the widest that can have been.
    """
    inner = [(run.get("samples") or [])[1:-1] for run in runs]
    if not all(inner):
        return None
    return {name: sum(float(of(samples)) for samples in inner) / 1e6
            for name, of in (("min", min), ("median", median), ("max", max))}


def _reason(case, runs, unit):
    """Why the case fails, one sentence without full stop; empty when it passes."""
    if case.get("error"):
        return str(case["error"])
    for number, run in enumerate(runs, 1):
        sent, received = run.get("sent"), run.get("received")
        where = f" on link {number} of {len(runs)}" if len(runs) > 1 else ""
        if not received or int(received) <= 0:
            claim = "" if sent is None else f", although the sender reports {int(sent):,} {unit}"
            return f"the receiver counted nothing{where}{claim}"
        if case.get("lossless"):
            if sent is None:
                return f"the sender's count is missing{where}, so nobody knows whether all arrived"
            missing = int(sent) - int(received)
            if missing > 0:
                return f"{missing:,} of {int(sent):,} {unit} are missing{where}; this path must not lose any"
            if missing < -STRAYS:
                return f"{-missing:,} more {unit} arrived than were sent{where}; somebody else uses this path"
    return ""


def judge_case(case):
    """One measured case with its verdict and totals; ``ratio`` is left to the caller.

    :param case: a case of the results (dict, see REPORT.md)
    :returns: a new dict; ``rate`` and ``spread`` in Mpps, or Mbit/s where ``unit`` is bytes; ``loss`` from 0 to 1
    """
    unit = case.get("unit", "packets")
    runs = case.get("runs") or [case]
    sent, received = _total(runs, "sent"), _total(runs, "received")
    reason = _reason(case, runs, unit)
    batches = [float(run["avg_batch"]) for run in runs if run.get("avg_batch")]
    lost = None if sent is None or received is None else max(0, sent - received)
    notes = [str(note) for note in case.get("notes") or []]
    if int(case.get("attempts") or 1) > 1:
        notes.append("measured at attempt %d" % int(case["attempts"]))
    if lost is not None and received > sent and not reason:
        notes.append("more arrived than was sent: other traffic is on this path")
    return dict(
        case,
        title=case.get("title") or case["name"],
        path=case.get("path") or [],
        ports=case.get("ports") or [],
        unit=unit,
        lossless=bool(case.get("lossless")),
        baseline=case.get("baseline"),
        ok=not reason,
        reason=reason,
        notes=notes,
        runs=len(runs),
        sent=sent,
        received=received,
        lost=lost,
        loss=lost / sent if lost is not None and sent else None,
        rate=_rate(runs, unit),
        spread=_spread(runs),
        avg_batch=mean(batches) if batches else None,
        ratio=None,
        native=bool(case.get("native")),
        of_inside=None,
        of_fork=None,
    )


def _compare_inside(cases, by_name):
    """Where a case names the same path inside one host, note the ratio to that."""
    for case in cases:
        inside = by_name.get(case.get("inside"))
        if inside and inside["ok"] and inside["rate"] and case["ok"] and case["rate"] is not None:
            case["of_inside"] = case["rate"] / inside["rate"]
            case["notes"].append(
                "%.1f %% of the rate inside one host (%s)" % (100 * case["of_inside"], inside["title"]))


def _failures(cases, forbidden, not_provable):
    """Why the check fails, each a clause (list of str); empty when it does not."""
    failed = sum(not case["ok"] for case in cases)
    failures = ["%d of %d cases failed" % (failed, len(cases))] if failed else []
    # What two programs of a host say to each other proves no port of a machine.
    if not failed and (not_provable or not cases) and all(case["native"] for case in cases):
        failures.append("nothing that is declared was proven%s" % (
            ": %s" % "; ".join("%s: %s" % (row["title"], row["not_provable"]) for row in not_provable)
            if not_provable else ", because there was no case at all"))
    return failures + forbidden


def _place(case):
    """Where a case sends, whichever machine it is (tuple), and whose QEMUs serve its ports (set of str)."""
    vms = {port["vm"] for port in case["ports"]}
    path = tuple("guest" if place in vms else place for place in case["path"])
    return (path, case["runs"]), {port["hypervisor"] for port in case["ports"]}


def _compare_qemus(cases):
    """Where the same path was tried on both QEMUs, note the ratio of the distribution's to the fork's."""
    placed = [(case, *_place(case)) for case in cases if case["ok"] and case["rate"]]
    forks = {place: case["rate"] for case, place, served in placed if served == {"fork"}}
    for case, place, served in placed:
        if served == {"distribution"} and place in forks:
            case["of_fork"] = case["rate"] / forks[place]
            case["notes"].append("%.0f %% of the rate on the ptnet fork" % (100 * case["of_fork"]))


def check_report(results):
    """The judged results.

    :param results: what the check measured (dict, see REPORT.md)
    :returns: a new dict with verdict, counts, notices and judged cases; the input is not changed
    :raises AnsibleFilterError: the results have no usable list of cases
    """
    if not isinstance(results, dict) or not isinstance(results.get("cases"), list):
        raise AnsibleFilterError("check_report: expected a dictionary with a list 'cases', found %r" % (results,))
    for number, case in enumerate(results["cases"], 1):
        if not isinstance(case, dict) or not case.get("name"):
            raise AnsibleFilterError("check_report: case %d has no name, found %r" % (number, case))
    cases = [judge_case(case) for case in results["cases"]]
    by_name = {case["name"]: case for case in cases}
    if len(by_name) < len(cases):
        raise AnsibleFilterError("check_report: case names must differ, found %s" % sorted(c["name"] for c in cases))
    for case in cases:
        if case["baseline"] is None:
            continue
        native = by_name.get(case["baseline"])
        if native is None:
            raise AnsibleFilterError(
                "check_report: case %s is compared with '%s', expected one of %s"
                % (case["name"], case["baseline"], ", ".join(by_name))
            )
        # A ratio to a case that proved nothing would look like a result.
        if native["ok"] and native["rate"] and case["ok"] and case["rate"] is not None:
            case["ratio"] = case["rate"] / native["rate"]
    machines = results.get("machines") or {}
    emulated = any(machine.get("emulated") for machine in machines.values())
    doubles = sorted({kind for machine in machines.values() for kind in machine.get("doubles") or []})
    rehearsed = bool(results.get("rehearsed") or doubles)
    if not rehearsed:
        _compare_qemus(cases)
        _compare_inside(cases, by_name)
    forbidden = ["%s: %d calls that would have crashed netmap" % (name, machine["forbidden_calls"])
                 for name, machine in sorted(machines.items()) if machine.get("forbidden_calls")]
    for case in cases:
        case["rehearsed"] = rehearsed
        if rehearsed:
            case["ratio"] = None  # Between doubles it says nothing of netmap.
            case["notes"].insert(0, REHEARSED)
    failed = sum(not case["ok"] for case in cases)
    not_provable = results.get("not_provable") or []
    failures = _failures(cases, forbidden, not_provable)
    return dict(
        results,
        machines=machines,
        cases=cases,
        passed=len(cases) - failed,
        failed=failed,
        not_provable=not_provable,
        verdict="failed" if failures else "rehearsed" if rehearsed else "passed",
        rehearsed=rehearsed,
        forbidden=forbidden,
        failures=failures,
        emulated=emulated,
        notices=([DOUBLE % (" and ".join(DOUBLED[kind] for kind in doubles) or "netmap or QEMU")] if rehearsed else [])
        + ([EMULATED] if emulated else []),
    )


class FilterModule:
    """The filter under its name."""

    def filters(self):
        return {"check_report": check_report}
