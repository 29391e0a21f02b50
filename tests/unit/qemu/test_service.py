# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole of ptnet_vm on doubles: units, drift, restarts, consents."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from types import SimpleNamespace

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap.device import Device
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import (
    choice,
    definition,
    qmp,
    service,
    supervisor,
)
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu.program import Program
from fake_device import FakeNetmap
from fake_host import NETWORK, PORTS, VM
from vm_params import PTNET, port
from vm_params import params as complete

PREFLIGHT = service.Service._preflight


def test_started_twice_and_checked_before(host, params):
    predicted = service.act(params, True)
    assert host.done() == []
    assert os.listdir(host.units) == []
    result = service.act(params, False)
    assert result["diff"] == predicted["diff"]
    assert (predicted["changed"], predicted["state"], predicted["pid"]) == (True, "running", None)
    assert (result["changed"], result["state"], result["pid"]) == (True, "running", 4711)
    assert result["seconds"] is not None
    assert host.done() == ["useradd", "create", "daemon-reload", "enable", "stop", "reset-failed", "start"]
    assert (result["hypervisor"], result["user"]) == (host.asked, "ptnet-vm-fw")
    again = service.act(params, False)
    assert (again["changed"], again["diff"], host.done()) == (False, {"before": {}, "after": {}}, [])
    assert again["running"]


def test_drift_of_a_running_vm_is_reported_then_healed_with_consent(host, params):
    service.act(params, False)
    host.done()
    params["cpus"] = 2
    result = service.act(params, False)
    assert host.done() == ["daemon-reload"]
    assert result["restart_wanted"]
    assert result["drift"] == {"running": ["-smp 1"], "wanted": ["-smp 2"]}
    again = service.act(params, False)
    assert (again["changed"], again["restart_wanted"], host.done()) == (False, True, [])
    params["allow_restart"] = True
    healed = service.act(params, False)
    assert (healed["changed"], healed["restart_wanted"], healed["drift"]) == (True, False, {})
    assert host.done() == ["stop", "reset-failed", "stop", "reset-failed", "start"]
    assert not service.act(params, False)["changed"]


def test_a_vm_of_an_earlier_version_keeps_its_addresses_until_a_restart_is_allowed(host, params):
    service.act(params, False)
    path = os.path.join(host.units, VM)
    before = host.file(VM)
    # Its command line had no identity, and addresses without the host's name.
    old = re.sub(r" \\\n +-smbios [^ \n]*", "", before.replace("mac=02:", "mac=06:"))
    assert "-smbios" not in old
    assert old != before.replace("mac=02:", "mac=06:")
    with open(path, "w") as stream:
        stream.write(old)
    host.run(["systemctl", "daemon-reload"])
    host.known[VM].start()
    running = host.running(4711)
    host.done()
    waits = service.act(params, False)
    assert (waits["changed"], waits["restart_wanted"], host.done()) == (True, True, ["daemon-reload"])
    assert any(option.startswith("-smbios type=1,uuid=") for option in waits["drift"]["wanted"])
    assert host.running(4711) == running


def test_the_host_is_its_own_name_unless_the_fleet_calls_it_otherwise(host, params, monkeypatch):
    here = os.uname()
    monkeypatch.setattr(service.os, "uname", lambda: os.uname_result((here[0], "hv7", *here[2:])))
    found = [service.act(dict(params, host=name), True) for name in (None, "hv7", "hv7.example.org")]
    assert found[0] == found[1]
    assert found[1]["uuid"] != found[2]["uuid"]
    assert found[1]["ports"] != found[2]["ports"]


def test_stopped_and_present(host, params):
    params["state"] = "present"
    assert service.act(params, False)["state"] == "stopped"
    assert "start" not in host.done()
    params["state"] = "started"
    service.act(params, False)
    params["state"] = "present"
    assert service.act(params, False)["state"] == "running"
    host.done()
    params["state"] = "stopped"
    assert service.act(params, False)["changed"]
    assert host.done() == ["stop", "reset-failed"]
    assert {unit.state for unit in host.known.values()} == {"inactive"}
    assert not service.act(params, False)["changed"]


def test_a_failed_start_says_why_and_ends_the_attempts(host, params):
    host.known[VM].complaint = "qemu-system-x86_64: Could not access KVM kernel module: No such file or directory\n"
    with pytest.raises(PtnetError, match="KVM is not available, .*To do: load kvm-intel") as caught:
        service.act(params, False)
    assert {unit.state for unit in host.known.values()} == {"inactive"}
    assert caught.value.facts["log_tail"] == [host.known[VM].complaint.strip()]
    host.known[VM].complaint = None
    assert service.act(params, False)["running"]


@pytest.mark.parametrize(("name", "said", "told"), [
    (NETWORK, "Failed to bind port 2201 (Address already in use) for option '-t 2201'\n",
     "a management forward cannot be opened .2201.*nothing else listens on"),
    (NETWORK, "something new\n", "QEMU ended; found: something new. To do: see .*journalctl -u ptnet-net-fw.service"),
    (PORTS, "vale1:9: open\n" + PtnetError(
        "port vale1:10 is in use", found="named by VM b (process 9)", expected="a port that nobody has open",
        remedy="end its user").message,
     "did not start: port vale1:10 is in use; found: named by VM b .process 9.. To do: end its user"),
])
def test_a_process_beside_qemu_that_does_not_start_says_why(host, params, name, said, told):
    if name == PORTS and host.asked == "fork":
        pytest.skip("QEMU opens its ports itself")
    host.known[name].complaint = said
    with pytest.raises(PtnetError, match=told) as caught:
        service.act(params, False)
    assert (host.known[VM].executed is None) == (name == PORTS)
    assert {unit.state for unit in host.known.values()} == {"inactive"}
    assert caught.value.facts["log_tail"][-1] == said.splitlines()[-1]


def test_the_forks_own_words_for_a_busy_port(host, params):
    host.asked = "fork"
    host.known[VM].complaint = "qemu-system-x86_64: Failed to register vale1:10: Device or resource busy\n"
    with pytest.raises(PtnetError, match="port vale1:10 is in use.*To do: stop its user"):
        service.act(params, False)


def test_a_vm_that_systemd_tries_again_and_again_is_stopped(host, params):
    service.act(params, False)
    host.known[VM].state, host.known[VM].pid = "activating", 0
    params["state"] = "stopped"
    assert service.act(params, False)["changed"]
    assert host.known[VM].state == "inactive"


@pytest.mark.parametrize("state", ["stopped", "started"])
def test_what_systemd_says_is_not_believed(host, params, state, monkeypatch):
    """It may say that a unit stopped that runs on, and a machine may end a moment after it was running."""
    if state == "stopped":
        service.act(params, False)
        host.stubborn = True
    else:
        # Its answer to the question for the run state is its last one.
        monkeypatch.setattr(qmp, "status", lambda *_args: (host.known[VM].stop(), "running")[1])
    with pytest.raises(PtnetError, match="VM fw did not .*systemd says"):
        service.act(dict(params, state=state), False)


def test_a_port_whose_opening_wedges_the_kernel_is_refused_before_anything_changes(host, params, monkeypatch):
    netmap = FakeNetmap()
    netmap.make_persistent("v0")
    netmap.attach_by_hand("vale1:v0")
    monkeypatch.setattr(service, "Device", lambda driver_of: Device(driver_of, open_node=netmap.open_node))
    monkeypatch.setattr(service.opening.socket, "if_nameindex", lambda: [(1, "lo"), (2, "v0")])
    monkeypatch.setattr(service.Service, "_preflight", PREFLIGHT)
    monkeypatch.setattr(service.unit, "KVM", host.folder)
    monkeypatch.setattr(service.network, "needed", lambda _vm: [])
    host.chosen[host.asked].program.path = host.folder
    for name in ("v0", "vale1:v0"):
        with pytest.raises(PtnetError, match="%s.* may not be opened" % name):
            service.act(dict(params, ports=[port(name, trust="shared")]), False)
        assert host.done() == []
        assert os.listdir(host.units) == []
    # A port of the switch itself may be.
    assert service.act(dict(params, ports=[port("vale1:10")]), False)["running"]


def test_the_other_hypervisor_is_a_reason_for_a_restart(host, params):
    before = host.asked
    service.act(params, False)
    host.asked = "fork" if before == "distribution" else "distribution"
    waits = service.act(params, False)
    assert (waits["changed"], waits["restart_wanted"], waits["hypervisor"]) == (True, True, host.asked)
    assert "QEMU was started otherwise" in waits["restart_reasons"]
    again = service.act(params, False)
    assert (again["changed"], again["restart_wanted"]) == (False, True)
    assert set(os.listdir(host.units)) == {VM, NETWORK} | ({PORTS} if host.asked == "distribution" else set())
    done = service.act(dict(params, allow_restart=True), False)
    assert (done["changed"], done["restart_wanted"], done["restart_reasons"]) == (True, False, [])
    last = service.act(params, False)
    assert (last["changed"], last["restart_wanted"], last["running"]) == (False, False, True)
    assert (host.known[PORTS].state == "active") == (host.asked == "distribution")


def test_a_dead_port_process_and_changed_ports_want_a_restart(host, params):
    if host.asked == "fork":
        pytest.skip("QEMU opens its ports itself")
    service.act(params, False)
    host.known[PORTS].stop()
    result = service.act(params, False)
    assert (result["changed"], result["restart_wanted"]) == (False, True)
    assert result["restart_reasons"] == ["%s has ended, and a running QEMU does not connect to another" % PORTS]
    assert not service.act(dict(params, allow_restart=True), False)["restart_wanted"]
    assert host.known[PORTS].state == "active"
    params["ports"][0]["mode"] = "polling"
    result = service.act(params, False)
    assert result["restart_reasons"] == ["%s was started otherwise" % PORTS]
    assert len(result["drift"]["wanted"]) == 1
    assert "mode=polling" in result["drift"]["wanted"][0]


def test_a_machine_of_the_first_version_is_taken_over(host, params):
    """Its unit ran QEMU as root, with its sockets in the folder; its disks are those of the record."""
    service.act(params, False)
    host.users.clear()
    with open(os.path.join(host.units, VM), "w") as stream:
        stream.write("[Service]\nUser=root\nExecStart=%s -old\n" % PTNET)
    host.run(["systemctl", "daemon-reload"])
    host.known[VM].start()
    host.done()
    waits = service.act(params, False)
    assert (waits["changed"], waits["restart_wanted"]) == (True, True)
    assert host.done() == ["useradd", "daemon-reload"]
    assert "root.qcow2" in next(line for line in host.file(VM).splitlines() if line.startswith("ExecStartPre=+"))
    assert not service.act(params, False)["changed"]
    assert service.act(dict(params, allow_restart=True), False)["running"]
    assert not service.act(params, False)["changed"]


def test_which_file_a_process_executes_is_asked_of_the_kernel(tmp_path):
    program = tmp_path / "program"
    shutil.copy(shutil.which("sleep"), program)
    with subprocess.Popen([str(program), "60"]) as process:
        try:
            before = Program(str(program)).file
            assert supervisor._file(process.pid) == before
            shutil.copy(program, tmp_path / "newer")
            os.rename(tmp_path / "newer", program)
            assert supervisor._file(process.pid) == before != Program(str(program)).file
            since = supervisor._since(process.pid)
            assert supervisor.lives(process.pid, since)
            assert not supervisor.lives(process.pid, since - 60)
        finally:
            process.kill()
    assert not supervisor.lives(process.pid, since)
    assert supervisor._file(process.pid) is None
    # A script runs as its interpreter, so its own file says nothing.
    program.unlink()
    program.write_text("#!/bin/sh\n")
    assert Program(str(program)).file is Program(str(tmp_path / "none")).file is None


def test_a_newer_qemu_is_a_reason_for_a_restart(host, params, monkeypatch):
    service.act(params, False)
    monkeypatch.setattr(supervisor, "_file", lambda pid: (1, pid))
    kind = choice.choose()[0]
    monkeypatch.setattr(type(kind.program), "file", None)
    assert not service.act(params, False)["restart_wanted"]  # Nobody knows.
    monkeypatch.setattr(type(kind.program), "file", (1, 4711))
    assert not service.act(params, False)["restart_wanted"]
    monkeypatch.setattr(type(kind.program), "file", (1, 9))
    waits = service.act(params, False)
    assert (waits["changed"], waits["restart_wanted"]) == (False, True)
    assert "was replaced since it was started" in waits["restart_reasons"][0]
    assert waits["drift"]["running"][0].endswith(": an older program")
    monkeypatch.setattr(supervisor, "_file", lambda _pid: (1, 9))
    assert service.act(dict(params, allow_restart=True), False)["changed"] is False


def test_the_watch_comes_before_the_first_machine_and_goes_after_the_last(host, params):
    service.act(params, True)
    service.act(params, False)
    service.act(dict(params, state="absent", allow_removal=True), False)
    assert host.watched == [(True, True), (True, False), (False, False)]


def test_a_machine_without_ports_needs_no_watch(host, params):
    service.act(dict(params, ports=[]), False)
    assert host.watched == []


def test_a_port_process_of_its_own_is_left_alone(host):
    """Its unit has the name that a VM's would have; it serves a machine of somebody else."""
    path = os.path.join(host.units, PORTS)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write("[Service]\nExecStart=of ptnet_port\n")
    before = list(host.calls)
    with pytest.raises(PtnetError, match="of netmap.ptnet.ptnet_port"):
        service.act(complete(name="fw", ports=[port("vale1:fw")]), False)
    result = service.act(complete(name="fw", state="absent"), False)
    assert (result["changed"], os.path.exists(path)) == (False, True)
    assert {words[1] for words in host.calls[len(before):]} == {"show"}


@pytest.mark.parametrize("state", ["present", "started", "stopped"])
def test_the_interface_of_the_management_is_not_taken(host, params, monkeypatch, state):
    monkeypatch.setattr(service, "platform", lambda: SimpleNamespace(
        management=lambda: {"eth0": "the default route"}, driver_of={"eth0": "e1000"}.get))
    params.update(state=state, ports=[port("vale1:10"), port("eth0", trust="shared")])
    for check_mode in (True, False):
        with pytest.raises(PtnetError, match="VM fw does not get eth0; .*default route.*vms_allow_management"):
            service.act(params, check_mode)
    assert host.done() == []
    assert os.listdir(host.units) == []
    assert service.act(dict(params, allow_management=True), True)["changed"]
    # A pipe of that interface does not take it, and what is to go is never in the way.
    assert service.act(dict(params, ports=[port("eth0{1", trust="shared")]), True)["changed"]
    service.act(dict(params, state="absent"), False)


@pytest.mark.parametrize("state", ["present", "started", "stopped"])
def test_memory_is_shared_only_with_consent(host, params, monkeypatch, state):
    monkeypatch.setattr(service.neighbours, "others", lambda _system, own: [("VM client", "pp0{2")])
    parents = ["pp0"]
    monkeypatch.setattr(service.neighbours, "Record", lambda: SimpleNamespace(parents=parents))
    params.update(state=state, ports=[port("vale1:10"), port("pp0{1")])
    for check_mode in (True, False):
        with pytest.raises(PtnetError, match=r"port pp0{1 of VM fw shares .*with VM client \(pp0{2\)"):
            service.act(params, check_mode)
    params["ports"] = [port("vale1:10"), port("pp0{1", trust="shared")]
    assert service.act(params, True)["changed"]
    parents.clear()
    with pytest.raises(PtnetError, match="the pipe pp0{1 of VM fw has no parent"):
        service.act(params, False)
    assert (host.done(), os.listdir(host.units)) == ([], [])
    # What is to go is never in the way.
    service.act(dict(params, state="absent"), False)


def test_consent_is_no_reason_for_a_restart(host, params):
    service.act(params, False)
    result = service.act(dict(params, ports=[port("vale1:10", trust="shared")]), False)
    assert (result["changed"], result["restart_wanted"]) == (False, False)


def test_all_machines_of_the_host_are_told_whoever_declares_them(host, params):
    assert service.act(params, True)["machines"] == []
    assert service.act(params, False)["machines"] == ["fw"]
    for name in ("ptnet-vm-old.service", "ptnet-vm-.service", "ptnet-port-other.service", "ptnet-vm-a.b.service"):
        with open(os.path.join(host.units, name), "w"):
            pass
    os.makedirs(os.path.join(definition.STATE_DIRECTORY, "lost"))
    assert service.act(params, False)["machines"] == ["fw", "lost", "old"]
    assert service.act(dict(params, state="absent", allow_removal=True), False)["machines"] == ["lost", "old"]


def test_limits_are_changed_without_a_restart(host, params):
    service.act(params, False)
    host.done()
    changed = service.act(dict(params, cpu_quota=150, allowed_cpus="2-3", io_weight=50), False)
    assert (changed["changed"], changed["restart_wanted"], host.done()) == (True, False, ["daemon-reload"])
    assert {"CPUQuota=150%", "AllowedCPUs=2-3", "IOWeight=50"} <= set(host.file(VM).splitlines())
    assert service.act(params, False)["changed"]
    assert "CPUQuota" not in host.file(VM)
