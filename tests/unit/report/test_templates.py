# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page and the summary, rendered as ansible.builtin.template does."""

from __future__ import annotations

import html.parser
import pathlib

import jinja2
import pytest
from ansible_collections.netmap.ptnet.plugins.filter.check_report import check_report

TEMPLATES = pathlib.Path(__file__).parents[3] / "roles" / "check" / "templates"
VOID = {"meta", "br", "link", "img", "hr"}
RESULTS = {
    "generated": "2026-11-22T14:05:31Z", "collection": "0.1.0", "rerun": "make lab",
    "machines": {"hv1": {"role": "host", "emulated": True, "kernel": "6.1.0", "distribution": "Debian 12", "cpus": 2,
                         "memory_mib": 2048, "netmap": {"commit": "0123456789abcdef", "version": "14", "identity": "7"},
                         "qemu": {"version": "3.0.94"}, "parameters": {"max_bridges": 16}}, "vm1": {}},
    "cases": [
        {"name": "native", "title": "host to host", "path": ["hv1", "vale1", "hv1"], "sent": 4000000,
         "received": 2000000, "seconds": 2, "samples": [1, 900000, 1100000, 1], "avg_batch": 200},
        {"name": "guest", "title": "guest to host", "baseline": "native", "sent": 600000, "received": 500000,
         "seconds": 1},
        {"name": "pipe", "title": "through a pipe", "lossless": True, "sent": 1000, "received": 1000, "seconds": 1},
        {"name": "tcp", "unit": "bytes", "sent": 1000, "received": 1000, "seconds": 1},
    ],
}


class Page(html.parser.HTMLParser):
    """Well-formed or not, the text, and whatever would be loaded from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts, self.loads = [], set(), [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def render(name, results, svg=""):
    env = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined,
                             loader=jinja2.FileSystemLoader(TEMPLATES))
    return env.get_template(name).render(
        __check_report=check_report(results), __check_topology_svg=svg, __check_report_path="report.html")


def page(results, svg=""):
    text = render("report.html.j2", results, svg)
    parsed = Page(text)
    assert parsed.open == []
    assert parsed.loads == []
    assert "url(" not in text
    assert "@import" not in text
    return " ".join(" ".join(parsed.texts).split()), parsed


def spoiled(**changes):
    return dict(RESULTS, cases=[*RESULTS["cases"][:2], dict(RESULTS["cases"][2], **changes)])


def test_page_of_a_pass():
    text, parsed = page(RESULTS, "<?xml?><!DOCTYPE svg><svg><title>t</title></svg>")
    for part in ("Passed: all 4 cases", "emulated", "50 % of native", "1.000", "0.900 – 1.100", "16.7 %", "make lab",
                 "max_bridges=16", "0123456789ab", "6.1.0"):
        assert part in text
    assert "svg" in parsed.tags
    assert "Stand-ins" not in text


def test_page_of_a_failure_tells_the_reason_first():
    text, _parsed = page(dict(spoiled(received=990), rehearsed=True))
    assert "Failed: 1 of 3 cases" in text
    assert "Stand-ins took the place" in text
    # Once in the heading, before the topology and the figures, and once in the table.
    assert text.count("10 of 1,000 packets are missing") == 2
    assert text.index("10 of 1,000 packets") < text.index("Rate at the receiver")


@pytest.mark.parametrize("results", [{"cases": []}, {"cases": [{"name": "a", "error": "no"}]}])
def test_page_of_next_to_nothing(results):
    assert "Failed" in page(results)[0]
    assert "FAILED" in render("summary.txt.j2", results)


ROWS = [{"name": "r", "title": "vm8 on hv1.example.org", "path": [], "not_provable": "no host of the group "
         "netmap_guests has that name, so nobody can count inside it"}]


def test_what_cannot_be_proven_is_told_beside_what_passed():
    text, _parsed = page(dict(RESULTS, not_provable=ROWS))
    assert "Passed: all 4 cases" in text
    assert "Not provable here: vm8 on hv1.example.org." in text
    assert text.count("so nobody can count inside it") == 1
    summary = render("summary.txt.j2", dict(RESULTS, not_provable=ROWS))
    lines = summary.splitlines()
    assert lines[0] == "netmap passthrough check: PASSED, 4 of 4 cases passed, 1 not provable here"
    assert any(line.startswith("--   vm8 on hv1.example.org") for line in lines)
    assert "so nobody can count inside it" in " ".join(summary.split())
    assert max(map(len, lines)) <= 88


@pytest.mark.parametrize("cases", [[], [dict(RESULTS["cases"][0], native=True)]])
def test_nothing_proven_is_said_and_nowhere_passed(cases):
    results = dict(RESULTS, cases=cases, not_provable=ROWS)
    text, _parsed = page(results)
    assert "Failed: nothing that is declared was proven" in text
    assert ("There was no case at all." in text) is (not cases)
    summary = render("summary.txt.j2", results)
    assert summary.startswith("netmap passthrough check: FAILED")
    assert "FAIL nothing that is declared was proven" in summary
    assert max(map(len, summary.splitlines())) <= 88


def hostile(value):
    if isinstance(value, dict):
        return {"<script>" if key in ("hv1", "max_bridges") else key: hostile(one) for key, one in value.items()}
    if isinstance(value, list):
        return [hostile(one) for one in value]
    return value


def test_nothing_from_the_results_becomes_markup():
    results = hostile(RESULTS)
    evil = '"><script>'
    results.update(generated=evil, collection=evil, rerun=evil)
    machine = results["machines"]["<script>"]
    machine.update(role=evil, kernel=evil, distribution=evil, cpus=evil, memory_mib=evil, parameters={evil: evil},
                   netmap={"commit": evil, "version": evil, "identity": evil},
                   qemu={"hypervisor": "distribution", "version": evil, "package": evil})
    results["cases"][1].update(title=evil, path=[evil], error=evil, notes=[evil], ports=[
        {"vm": evil, "port": evil, "hypervisor": evil, "mode": evil}])
    results["not_provable"] = [{"name": evil, "title": evil, "path": [evil], "not_provable": evil}]
    text, parsed = page(results)
    assert "script" not in parsed.tags
    assert text.count(evil) >= 12


def test_summary_fits_a_terminal():
    text = render("summary.txt.j2", spoiled(received=0, title="a title that is far longer than its column can be"))
    lines = text.splitlines()
    assert lines[0] == "netmap passthrough check: FAILED, 2 of 3 cases passed"
    assert any(line.startswith("FAIL a title") for line in lines)
    assert any("counted nothing" in line for line in lines)
    assert any(line.startswith("ok   guest to host") and line.endswith("50.0 %") for line in lines)
    assert max(map(len, lines)) <= 88
    assert len(lines) < 24


def test_a_long_reason_fits_a_terminal_too():
    text = render("summary.txt.j2", spoiled(error="vm3 does not answer: Task failed: " + "no route to it, " * 9))
    assert "     vm3 does not answer" in text
    assert max(map(len, text.splitlines())) <= 88


def test_page_and_summary_of_a_rehearsal_never_say_passed():
    results = dict(RESULTS, rehearsed=True, machines=dict(RESULTS["machines"], vm1={"doubles": ["netmap"]}))
    text, _parsed = page(results)
    assert text.count("rehearsed on a double; datapath not proven") == len(RESULTS["cases"])
    assert "Rehearsed: all 4 cases on doubles" in text
    assert "✓ passed" not in text
    summary = render("summary.txt.j2", results)
    assert "REHEARSED, 4 of 4 cases" in summary
    assert "passed" not in summary
    assert summary.count("rehearsed on a double; datapath not proven") == len(RESULTS["cases"])


def test_calls_that_crash_netmap_are_on_page_and_summary():
    results = dict(RESULTS, machines={"hv1": {"doubles": ["netmap"], "forbidden_calls": 1}})
    for text in (page(results)[0], render("summary.txt.j2", results)):
        assert "1 calls that would have crashed netmap" in text


def served(*ports):
    """The results of a run whose case of the guest has these ports (VM, hypervisor, mode)."""
    qemus = {"fork": {"hypervisor": "fork", "version": "3.0.94", "commit": "292a8b6145726f8d", "identity": "0f3a5b"},
             "distribution": {"hypervisor": "distribution", "version": "11.1.3", "package": "Debian 1:11.1.3+ds-1"}}
    case = dict(RESULTS["cases"][1], ports=[
        {"vm": name, "port": "vale1:%d" % number, "hypervisor": kind, "mode": mode}
        for number, (name, kind, mode) in enumerate(ports)])
    machines = {name: {"role": "guest", "qemu": qemus.get(kind, {})} for name, kind, _mode in ports}
    return dict(RESULTS, machines=machines, cases=[RESULTS["cases"][0], case])


def test_page_says_which_qemu_and_mode_served_a_case():
    text, _parsed = page(served(("vm1", "fork", "notified")))
    assert "3.0.94 of the ptnet fork 292a8b614572 build 0f3a5b" in text
    assert "vm1: QEMU of the ptnet fork, notified" in text
    text, _parsed = page(served(("vm1", "distribution", "automatic"), ("vm1", "distribution", "automatic")))
    assert "11.1.3 of the distribution Debian 1:11.1.3+ds-1" in text
    # Both ports alike are said once.
    assert text.count("vm1: QEMU of the distribution, automatic") == 1
    assert "\u201cNotified\u201d" in text
    text, _parsed = page(served(("vm1", "fork", "notified"), ("vm2", "distribution", "polling")))
    assert "vm1: QEMU of the ptnet fork, notified; vm2: QEMU of the distribution, polling" in text


def test_page_says_nothing_of_a_qemu_that_was_not_seen():
    for text in (page(served(("vm1", None, None)))[0], page(RESULTS)[0]):
        assert "QEMU of" not in text
        assert "\u201cNotified\u201d" not in text
    assert "vm1: QEMU of the distribution" in page(served(("vm1", "distribution", None)))[0]
