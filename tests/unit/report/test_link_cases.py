# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which traffic proves a link between two hosts."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.netmap.ptnet.plugins.filter.link_cases import FilterModule
from ansible_collections.netmap.ptnet.plugins.filter.traffic_cases import traffic_cases

link_cases = FilterModule().filters()["link_cases"]
ONE, TWO = "hv1.example.org", "hv2.example.org"
LINKS = [{"a": ONE + ":eth1", "b": TWO + ":eth1"}]
SWITCH = [{"name": "vale1", "interfaces": [{"name": "eth1"}]}]


def host(name, vms=None, guests=None, unreachable=None, switches=None, links=None):
    switches, links = SWITCH if switches is None else switches, LINKS if links is None else links
    vms = [{"name": vm, "ports": [{"port": port} for port in ports]} for vm, ports in (vms or {}).items()]
    guests = [vm["name"] for vm in vms if vm["name"] not in (unreachable or {})] if guests is None else guests
    return {"name": name, "vms": vms, "guests": [{"item": guest} for guest in guests],
            "unreachable": unreachable or {}, "switches": switches,
            "cases": traffic_cases(vms, name, guests, unreachable=unreachable, switches=switches, links=links)}


def known(*hosts):
    return {case["name"]: case for one in hosts for case in one["cases"]}


def test_from_machine_to_machine_over_two_switches_and_two_nics():
    one, two = host(ONE, {"vm1": ["vale1:a"], "vm2": ["vale1:b"]}), host(TWO, {"vm3": ["netmap:p{1", "vale1:c"]})
    there, back = link_cases([one, two], LINKS, seconds="5")
    assert (there["sender"], there["receiver"], there["title"]) == ("vm1", "vm3", "vm1 → eth1 → eth1 → vm3")
    assert there["path"] == ["vm1", "vale1", ONE + ":eth1", TWO + ":eth1", "vale1", "vm3"]
    assert there["send"] == [{"port": "ptnet0", "function": "tx", "wait_link": 0, "seconds": 5.0}]
    assert there["receive"] == [{"port": "ptnet1", "function": "rx", "wait_link": 0}]
    assert back["path"] == there["path"][::-1]
    assert (back["sender"], back["receiver"]) == ("vm3", "vm1")
    cases = known(one, two)
    assert [cases[case["inside"]]["path"] for case in (there, back)] == [["vm1", "vale1", "vm2"]] * 2
    assert [cases[case["baseline"]]["path"] for case in (there, back)] == [[ONE, "vale1", ONE], [TWO, "vale1", TWO]]
    assert there["name"] != back["name"]
    assert max(len(case["name"]) for case in (there, back)) <= 40


def test_a_machine_is_compared_with_a_machine_and_a_host_with_a_host():
    machines = host(ONE, {"vm1": ["vale1:a"]})
    (there, back) = link_cases([machines, host(TWO)], LINKS)
    cases = known(machines, host(TWO))
    assert cases[there["inside"]]["path"] == ["vm1", "vale1", ONE]
    assert cases[back["inside"]]["path"] == [ONE, "vale1", "vm1"]
    assert back["send"][0]["port"] == "vale1:check_tx"
    assert there["receive"][0]["port"] == "vale1:check_rx"
    # One machine on each side: nothing inside one host is the same.
    assert [case["inside"] for case in link_cases([machines, host(TWO, {"vm3": ["vale1:a"]})], LINKS)] == [None, None]
    (there, back) = link_cases([host(ONE), host(TWO)], LINKS)
    assert known(host(ONE))[there["inside"]]["path"] == [ONE, "vale1", ONE]


def test_a_nic_that_was_passed_through_is_the_machines_own():
    there, back = link_cases(
        [host(ONE, {"vm1": ["vale1:a"]}), host(TWO, {"vm3": ["vale2:x", "netmap:eth1"]}, switches=[])], LINKS)
    assert (there["receiver"], there["receive"]) == ("vm3", [{"port": "ptnet1", "function": "rx", "wait_link": 4}])
    assert there["path"] == ["vm1", "vale1", ONE + ":eth1", TWO + ":eth1", "vm3"]
    assert (back["send"][0]["wait_link"], back["receive"][0]["wait_link"]) == (4, 0)


def test_an_unreachable_guest_fails_a_link_only_where_no_other_can_prove_it():
    two = host(TWO, {"vm3": ["vale1:a"]})
    (there, _back) = link_cases([host(ONE, {"dead": ["vale1:a"], "vm2": ["vale1:b"]}, unreachable={"dead": "x"}), two],
                                LINKS)
    assert (there["sender"], "error" in there) == ("vm2", False)
    cases = link_cases([host(ONE, {"dead": ["vale1:a"]}, unreachable={"dead": "no route"}), two], LINKS)
    assert [case["error"] for case in cases] == ["dead does not answer: no route"] * 2


@pytest.mark.parametrize(("two", "reason"), [
    (None, "hv2.example.org is not checked in this run"),
    (host(TWO, switches=[]), "eth1 of hv2.example.org is neither on a switch nor passed to a machine"),
    (host(TWO, {"vm9": ["eth1"]}, guests=[], switches=[]), "passed to vm9, which is no reachable guest"),
])
def test_what_cannot_be_proven_is_told(two, reason):
    (row,) = link_cases([host(ONE)] + ([two] if two else []), LINKS)
    assert row["title"] == "hv1.example.org:eth1 ↔ hv2.example.org:eth1"
    assert reason in row["not_provable"]


@pytest.mark.parametrize(("links", "said"), [
    ([{"a": "hv1:eth1"}], "link 1 of check_links is not understood"),
    (["hv1:eth1"], "link 1 of check_links is not understood"),
    ([{"a": "eth1", "b": "hv2:eth1"}], "HOST:NIC"),
    ([{"a": ":eth1", "b": "hv2:eth1"}], "HOST:NIC"),
    ([{"a": "hv1:", "b": "hv2:eth1"}], "interface"),
    ([{"a": "hv1:eth1", "b": "hv1:eth1"}], "from a NIC to itself"),
    ([LINKS[0], {"a": LINKS[0]["b"], "b": LINKS[0]["a"]}], "link 2 of check_links stands there twice"),
])
def test_links_that_cannot_be_are_refused(links, said):
    with pytest.raises(AnsibleFilterError, match=said):
        link_cases([], links)
    with pytest.raises(AnsibleFilterError, match=said):
        traffic_cases([], "hv1", [], links=links)


def test_no_links_no_cases():
    assert link_cases([host(ONE)], []) == []
    assert link_cases([], [{"a": "::1:eth1", "b": "hv2:eth1"}])[0]["title"] == "::1:eth1 ↔ hv2:eth1"
