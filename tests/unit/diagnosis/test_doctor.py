# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.diagnosis import doctor, loops
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel.linux.platform import Linux


class Reading:
    """A machine on which nothing is found but its log."""

    def __init__(self, log=(), unreadable=False):
        self.log, self.unreadable = list(log), unreadable

    def kernels(self):
        return []

    def security(self):
        return {"lockdown": "none", "signed_only": False, "secure_boot": False}

    def nics(self):
        return []

    def namespaces(self):
        return []

    def service(self):
        return {"active": None, "result": None}

    def kernel_log(self, lines):
        if self.unreadable:
            raise PtnetError("the kernel log cannot be read")
        return self.log[-lines:]


def no_program(argv, **_options):
    raise PtnetError("%s cannot be started" % argv[0])


def act(tmp_path, reading=None, units=list, **params):
    root = str(tmp_path)
    (tmp_path / "proc").mkdir(exist_ok=True)
    (tmp_path / "sys/class/net").mkdir(parents=True, exist_ok=True)
    options = dict({"store": str(tmp_path), "ignore": [], "gather_log": True, "kernel_log_lines": 100}, **params)
    return doctor.act(options, True, Linux(root=root, run_program=no_program), None, reading or Reading(), units,
                      lambda: loops.read(root))


def ids(result):
    return [one["id"] for one in result["findings"]]


def test_a_machine_without_netmap_is_healthy(tmp_path):
    result = act(tmp_path)
    assert result["healthy"]
    assert not result["changed"]
    assert "not_installed" in ids(result)
    assert result["counts"]["error"] == 0
    json.dumps(result)


def test_a_damaged_record_is_a_finding_not_a_failure(tmp_path):
    (tmp_path / "ports.json").write_text("{")
    result = act(tmp_path)
    assert ids(result)[0] == "record_damaged"
    assert not result["healthy"]


def test_the_log_is_read_when_asked_for(tmp_path):
    reading = Reading([{"at": 1.0, "text": "unregister_netdevice: waiting for p0 to become free"}])
    assert "interface_wedged" in ids(act(tmp_path, reading))
    assert "interface_wedged" not in ids(act(tmp_path, reading, gather_log=False))
    assert "interface_wedged" not in ids(act(tmp_path, reading, ignore=["interface_wedged"]))


def test_a_log_that_cannot_be_read_is_a_note(tmp_path):
    result = act(tmp_path, Reading(unreadable=True))
    assert "log_unreadable" in ids(result)
    assert result["healthy"]


@pytest.mark.parametrize(("options", "message"), [
    ({"ignore": ["nosuch\x1b"]}, "unknown findings are ignored; found: 'nosuch\\x1b'; expected: one of api_mismatch"),
    ({"kernel_log_lines": 0}, "kernel_log_lines is refused; found: 0; expected: 1 to 100000."),
    ({"kernel_log_lines": 100001}, "kernel_log_lines is refused")])
def test_what_cannot_be_is_refused(tmp_path, options, message):
    with pytest.raises(PtnetError) as caught:
        act(tmp_path, **options)
    assert message in caught.value.message
