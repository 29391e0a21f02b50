# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packages are installed for which QEMU, from where, and what is said about it."""

from __future__ import annotations

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils import command
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import packages

TRIXIE = {"ID": "debian", "VERSION_CODENAME": "trixie"}
BOOKWORM = {"ID": "debian", "VERSION_CODENAME": "bookworm"}
OWN = [("1:10.0.11+ds-0+deb13u1+b1", "trixie")]
BACKPORT = [("1:11.1.3+ds-1~bpo13+1", "trixie-backports"), *OWN]
OLD = [("1:7.2+dfsg-7+deb12u18+b3", "bookworm")]
NONE = ["no /usr/bin/qemu-system-x86_64"]


@pytest.fixture(autouse=True)
def distribution_first(monkeypatch):
    """One of the two orders, whichever is the default now."""
    first = sorted(packages.choice.PREFERRED, key=lambda kind: kind.NAME)
    monkeypatch.setattr(packages.choice, "PREFERRED", tuple(first))


def params(**more):
    return dict({"state": "present", "hypervisor": "auto", "passt": True, "uefi": False,
                 "mirror": "http://mirror.example/debian"}, **more)


def decide(objections=None, missing=(), release=None, offered=(), **more):
    have = {"objections": objections, "missing": list(missing), "release": release or TRIXIE, "offered": offered}
    return packages.decide(have, params(**more))


@pytest.mark.parametrize(("have", "hypervisor", "installed", "suite", "source"), [
    ({}, "distribution", [], None, False),
    ({"missing": ["passt"]}, "distribution", ["passt"], None, False),
    ({"missing": ["passt", "qemu-img"], "passt": False}, "distribution", ["qemu-utils"], None, False),
    ({"missing": ["ovmf"]}, "distribution", [], None, False),
    ({"missing": ["ovmf"], "uefi": True}, "distribution", ["ovmf"], None, False),
    ({"objections": NONE, "offered": BACKPORT, "missing": ["qemu-img", "passt"]}, "distribution",
     ["qemu-system-x86", "qemu-utils", "passt"], "trixie-backports", False),
    ({"objections": NONE, "offered": OWN}, "distribution", ["qemu-system-x86"], "trixie-backports", True),
    ({"objections": NONE, "offered": []}, "distribution", ["qemu-system-x86"], "trixie-backports", True),
    ({"objections": NONE, "offered": [("1:10.2.1+ds-1ubuntu1", "resolute")], "release": {"ID": "ubuntu"}},
     "distribution", ["qemu-system-x86"], "resolute", False),
    ({"objections": NONE, "offered": OLD, "release": BOOKWORM}, "fork", [], None, False),
    ({"objections": NONE, "offered": OLD, "release": BOOKWORM, "missing": ["passt"]}, "fork", ["passt"], None, False),
    ({"objections": NONE, "offered": None, "release": {"ID": "fedora"}}, "fork", [], None, False),
    ({"hypervisor": "fork"}, "fork", [], None, False),
    ({"hypervisor": "fork", "missing": ["passt"], "offered": BACKPORT}, "fork", ["passt"], None, False),
    ({"hypervisor": "distribution", "objections": NONE, "offered": OWN}, "distribution", ["qemu-system-x86"],
     "trixie-backports", True),
])
def test_decision(have, hypervisor, installed, suite, source):
    decided = decide(**have)
    assert (decided["hypervisor"], decided["packages"]) == (hypervisor, installed)
    assert (decided["suite"], bool(decided["source"]), bool(decided["said"])) == (suite, source, source)
    assert decided["reason"]
    if source:
        assert "Suites: trixie-backports\n" in decided["source"]
        assert "URIs: http://mirror.example/debian\n" in decided["source"]


def test_the_preference_of_ptnet_vm_counts(monkeypatch):
    monkeypatch.setattr(packages.choice, "PREFERRED", packages.choice.PREFERRED[::-1])
    assert decide()["hypervisor"] == "fork"


@pytest.mark.parametrize(("have", "text"), [
    ({"hypervisor": "distribution", "objections": NONE, "offered": OLD, "release": BOOKWORM},
     "found: no /usr/bin/qemu.*10.1 or newer.*hypervisor: fork"),
    ({"missing": ["passt"], "offered": None}, "found: no apt; expected: passt"),
])
def test_what_cannot_be_had_is_told(have, text):
    with pytest.raises(PtnetError, match=text):
        decide(**have)


class Apt:
    """A double of apt, with the programs that its packages bring."""

    def __init__(self, monkeypatch, source, lists=True):
        self.calls, self.installed, self.lists = [], [], lists
        monkeypatch.setattr(packages, "SOURCE", source)
        monkeypatch.setattr(packages, "read", self.read)
        monkeypatch.setattr(command, "run", self.run)

    def read(self):
        there = "qemu-system-x86" in self.installed
        return {"objections": None if there else NONE, "release": TRIXIE, "offered": OWN,
                "missing": [] if "passt" in self.installed else ["passt"]}

    def run(self, words, *_args, **_kwargs):
        self.calls.append(words)
        if words[1] == "update":
            self.lists = True
        elif "--dry-run" not in words:
            self.installed += words[words.index("-t") + 2:]
        return (0 if self.lists else 100), ""


def test_installed_once_and_said_then_left_alone(monkeypatch, tmp_path):
    source = tmp_path / "backports.sources"
    apt = Apt(monkeypatch, str(source))
    predicted = packages.act(params(), True)
    assert (apt.calls, source.exists()) == ([], False)
    done = packages.act(params(), False)
    assert predicted["diff"] == done["diff"]
    assert (done["changed"], done["hypervisor"]) == (True, "distribution")
    assert done["packages"] == ["qemu-system-x86", "passt"]
    assert "trixie-backports was added" in done["warnings"][0]
    assert [words[1] for words in apt.calls] == ["update", "install"]
    apt.calls.clear()
    again = packages.act(params(), False)
    assert (again["changed"], again["packages"], again["warnings"], apt.calls) == (False, [], [], [])
    assert packages.act(params(state="absent"), True)["changed"]
    assert packages.act(params(state="absent"), False)["changed"]
    assert not source.exists()
    assert not packages.act(params(state="absent"), False)["changed"]


def test_the_versions_of_debian_are_read():
    assert packages._number("1:11.1.3+ds-1~bpo13+1") == (11, 1, 3)
    assert packages._number("1:7.2+dfsg-7+deb12u18+b3") == (7, 2)
    assert packages._number("nonsense") == ()


def test_what_apt_offers_is_read(monkeypatch):
    listed = ("qemu-system-x86 | 1:11.1.3+ds-1~bpo13+1 | http://d.example/debian trixie-backports/main amd64 Packages\n"
              "qemu-system-x86 | 1:10.0.11+ds-0 | http://d.example/debian trixie/main amd64 Packages\n")
    monkeypatch.setattr(packages.os.path, "exists", lambda _path: True)
    monkeypatch.setattr(command, "run", lambda *_args, **_kwargs: (0, listed))
    assert packages._offered() == [("1:11.1.3+ds-1~bpo13+1", "trixie-backports"), ("1:10.0.11+ds-0", "trixie")]
