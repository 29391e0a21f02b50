# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.diagnosis.doctor import RULES
from ansible_collections.netmap.ptnet.plugins.module_utils.diagnosis.rule import EVIDENCE_MAX, SEVERITIES, find

KO = "/lib/modules/6.1/updates/netmap-ptnet/netmap.ko"


def nic(name="eth1", **values):
    return dict({"name": name, "driver": "ixgbe", "module": "ixgbe", "switch": "vale1", "adapter": "native",
                 "mtu": 1500, "mtu_fits": True, "offloads": [], "flow_control": [], "up": True, "carrier": True,
                 "carries": None, "iommu_group": None}, **values)


def healthy():
    return {
        "loaded": True, "load_at_boot": True, "kernel_release": "6.1", "headers_present": True, "memory": 8192,
        "kvm": True, "hostname": "hv1",
        "module": {"installed": {"path": KO, "vermagic": "6.1 SMP"}, "fits_kernel": True, "stale": False, "refcount": 2,
                   "holders": ["ixgbe"], "built_in": False},
        "device": {"path": "/dev/netmap", "mode": "0660", "group": "netmap"},
        "parameters": {"now": {"buf_num": 20000, "buf_size": 2048, "ring_size": 36864, "max_bridges": 8},
                       "boot": {"buf_num": 20000}},
        "switches": [{"name": "vale1", "ports": [{"name": "eth1", "host_stack": False, "kind": "attached"}]}],
        "stuck": [], "parents": [], "users": [], "ptnet_interfaces": [], "interfaces": [],
        "builds": {"netmap": [{"slot": "6.1", "complete": True, "modules": ["netmap"]}], "qemu": []},
        "kernels": [{"release": "6.1", "running": True, "copies": [KO],
                     "netmap": {"path": KO, "vermagic": "6.1 SMP", "fits": True}}],
        "security": {"lockdown": "none", "signed_only": False, "secure_boot": False},
        "nics": [nic()], "memory_regions": [{"name": "global", "bytes": 48 << 20}], "pipes": [], "vms": [],
        "namespaces": [], "drift": [], "boot_conflicts": [],
        "restoration": {"wanted": True, "enabled": True, "current": True, "active": "active", "result": "success"},
        "log": [{"at": 1.0, "text": "681.55 [4652] netmap_init               netmap: loaded module"}],
        "log_error": [], "record_error": [], "machines": [],
        "loops": {"stuck": [], "members": 2, "running": True, "able": True, "late": True},
    }


def said(*texts):
    def change(facts):
        facts["log"] += [{"at": 2.0, "text": text} for text in texts]
    return change


def said_unloaded(*texts):
    def change(facts):
        facts["log"] = [{"at": 2.0, "text": text} for text in texts]
        unloaded(facts)
    return change


def put(**values):
    return lambda facts: facts.update(values)


def unloaded(facts):
    facts.update(loaded=False, switches=[], device=None, nics=[])
    facts["module"].update(refcount=None, stale=None)
    facts["parameters"]["now"] = {}


def uninstalled(facts):
    unloaded(facts)
    facts["module"].update(installed=None, fits_kernel=None)
    facts["kernels"][0].update(netmap=None, copies=[])


def inside(part, **values):
    return lambda facts: facts[part].update(values)


def with_nic(**values):
    return put(nics=[nic(**values)])


def both(*changes):
    def change(facts):
        for one in changes:
            one(facts)
    return change


def drift(what, now, boot):
    return put(drift=[{"what": what, "now": now, "boot": boot}])


def newer(netmap):
    return lambda facts: facts["kernels"].append({"release": "6.2", "running": False, "copies": [], "netmap": netmap})


def vm(ifname="vale1:10", driver="ptnet-pci", passthrough=True, more=()):
    return put(vms=[{"pid": 7, "name": "vm1", "port_processes": [],
                     "ports": [{"ifname": ifname, "id": "d1", "passthrough": passthrough,
                                "pci_ids": "qemu" if driver == "ptnet-pci" else None}],
                     "devices": [{"driver": driver, "netdev": "d1"}] + [
                         {"driver": name, "netdev": None} for name in more]}])


def served(state="running", pci_ids="qemu", more=(), name="vm1"):
    """A VM of the distribution's QEMU, and what became of its port process."""
    return put(vms=[{"pid": 7, "name": name, "port_processes": [{"name": "fw", "pid": 6, "state": state}],
                     "ports": [{"ifname": "vale1:10", "id": "d0", "passthrough": True, "pci_ids": pci_ids}],
                     "devices": [{"driver": one, "netdev": None} for one in ("vfio-user-pci", *more)]}])


def port_unit(active, sub="", enabled="static", result="success"):
    return put(machines=[{"Id": "ptnet-port-fw.service", "ActiveState": active, "SubState": sub, "Result": result,
                          "UnitFileState": enabled}])


def unit(active, sub="", enabled="enabled", result="success"):
    return put(machines=[{"Id": "ptnet-vm-vm1.service", "ActiveState": active, "SubState": sub, "Result": result,
                          "UnitFileState": enabled}])


def killed(late, *threads):
    return inside("loops", late=late, stuck=[{"unit": "ptnet-vm-vm1.service", "pid": 320, "ports": ["vale1:10"],
                                              "threads": list(threads)}])


def elsewhere(kind, **values):
    return put(namespaces=[dict({"name": "red", "inode": 5, "pid": None, "stuck": [], "error": None, "switches": [
        {"name": "vale1", "ports": [{"name": "v", "kind": kind, "host_stack": False}]}]}, **values)])


def pools(facts):
    facts["parameters"]["now"].update(buf_curr_num=10000, buf_curr_size=2048)
    facts["users"] = [{"kind": "process", "name": "x", "holds": []}]


FORGOTTEN = both(uninstalled, put(load_at_boot=False), inside("restoration", wanted=False))

_MTU_REFUSED = "012.65 [2255] netmap_buf_size_validate  error: netmap buf size (2048) < device MTU (9000)"

# Each rule: a machine that has the failure, and one that nearly has it.
CASES = {
    "record_damaged": (put(record_error=["damaged"]), put(record_error=[])),
    "device_unusable": (put(warnings=["/dev/netmap cannot be opened"]), put(warnings=[])),
    "log_unreadable": (put(log=None, log_error=["no /dev/kmsg"]), put(log=None)),
    "not_installed": (FORGOTTEN, uninstalled),
    "module_missing": (uninstalled, FORGOTTEN),
    "module_not_indexed": (both(uninstalled, lambda facts: facts["kernels"][0].update(copies=[KO])), uninstalled),
    "wrong_kernel": (both(unloaded, inside("module", fits_kernel=False)), inside("module", fits_kernel=False)),
    "other_kernel": (inside("module", fits_kernel=False), unloaded),
    "module_vanished": (inside("module", installed=None, fits_kernel=None), uninstalled),
    "load_failed": (unloaded, both(unloaded, put(load_at_boot=False))),
    "not_loaded": (both(unloaded, put(load_at_boot=False)), unloaded),
    "module_locked_out": (both(unloaded, inside("security", lockdown="integrity", signed_only=True)),
                          inside("security", lockdown="integrity")),
    "no_device": (put(device=None), unloaded),
    "parameter_range": (lambda facts: facts["parameters"]["now"].update(if_num=20000),
                        lambda facts: facts["parameters"]["now"].update(if_num=10000)),
    "next_kernel": (newer(None), newer({"path": KO, "vermagic": "6.2 SMP", "fits": True})),
    "not_at_boot": (put(load_at_boot=False), both(put(load_at_boot=False), inside("module", built_in=True))),
    "stale_module": (inside("module", stale=True), inside("module", stale=None)),
    "several_copies": (lambda facts: facts["kernels"][0].update(copies=[KO, "/lib/modules/6.1/extra/netmap.ko"]),
                       lambda facts: facts["kernels"][0].update(copies=[KO])),
    "build_interrupted": (lambda facts: facts["builds"]["qemu"].append({"slot": "/usr/local", "complete": False}),
                          lambda facts: facts["builds"]["qemu"].append({"slot": "/usr/local", "complete": True})),
    "headers_missing": (both(uninstalled, put(headers_present=False)), put(headers_present=False)),
    "device_open_to_all": (inside("device", mode="0666"), inside("device", mode="0660")),
    "device_root_only": (inside("device", mode="0600"), inside("device", mode="0620")),
    "device_drift": (drift("device", {"group": "root", "mode": "0600"}, {"group": "netmap", "mode": "0660"}),
                     drift("loaded", True, False)),
    "parameter_drift": (drift("parameter buf_num", 1000, 2000), drift("parameter bogus", None, 3)),
    "vnet_header_late": (both(drift("parameter ptnet_vnet_hdr", 0, 1), put(ptnet_interfaces=[{"name": "eth2"}])),
                         drift("parameter ptnet_vnet_hdr", 0, 1)),
    "parameter_unknown": (lambda facts: facts["parameters"]["boot"].update(bogus=3),
                          lambda facts: facts["parameters"]["boot"].update(if_num=50)),
    "boot_conflict": (put(boot_conflicts=["/etc/modprobe.d/x.conf"]), put(boot_conflicts=[])),
    "parameters_wait": (pools, both(pools, put(users=[]))),
    "memory_short": (put(memory=32), both(put(memory=32), put(nics=[]))),
    "no_kvm": (both(put(kvm=False), lambda facts: facts["builds"]["qemu"].append({"slot": "/", "complete": True})),
               put(kvm=False)),
    "vm_failed": (unit("activating", "auto-restart", result="exit-code"), unit("active", "running")),
    "vm_off": (unit("inactive", "dead"), unit("inactive", "dead", enabled="disabled")),
    "ports_dead": (served("gone"), served()),
    "port_process_failed": (port_unit("activating", "auto-restart", result="exit-code"),
                            # It begins anew between two clients.
                            port_unit("activating", "auto-restart", enabled="enabled")),
    "loop_stuck": (killed(True, "CPU 0/KVM"), killed(False, "CPU 0/KVM")),
    "loop_lost": (killed(False, "CPU 0/KVM", "CPU 1/KVM"), killed(True, "CPU 0/KVM")),
    "watch_off": (inside("loops", running=False), inside("loops", running=False, members=0)),
    "watch_unable": (inside("loops", able=False), inside("loops", able=False, members=0)),
    "stuck_port": (put(stuck=["v0"]), put(stuck=[])),
    "port_missing": (drift("parent p0", "absent", "present"), both(unloaded, drift("parent p0", "absent", "present"))),
    "restoration_failed": (inside("restoration", active="failed"), inside("restoration", active="inactive")),
    "name_cut": (vm("vale1:abcdefghij"), vm("vale1:abcdefghi")),
    "native_refused": (both(with_nic(adapter="emulated"), lambda facts: facts["parameters"]["now"].update(admode=1)),
                       with_nic(adapter="emulated")),
    "ptnet_no_passthrough": (vm(passthrough=False), vm(driver="virtio-net-pci", passthrough=False)),
    "management_cut": (with_nic(carries="the default route"), with_nic(carries="the default route", switch=None)),
    "stock_driver": (both(with_nic(adapter="emulated"), lambda facts: facts["builds"]["netmap"][0].update(
        modules=["ixgbe", "netmap"])), with_nic(adapter="emulated")),
    "emulated_adapter": (with_nic(adapter="emulated"), with_nic(adapter="emulated", driver="veth")),
    "mtu_too_large": (with_nic(mtu=9000, mtu_fits=False), with_nic(mtu=9000, mtu_fits=False, switch=None)),
    "mtu_unused": (with_nic(mtu=9000, mtu_fits=False, switch=None), with_nic(mtu=9000, mtu_fits=False)),
    "offloads": (with_nic(offloads=["gro", "rx-vlan"]), with_nic(offloads=["rx-vlan"])),
    "flow_control": (with_nic(flow_control=["rx"]), with_nic(flow_control=["rx"], switch=None)),
    "no_carrier": (with_nic(carrier=False), with_nic(carrier=None)),
    "no_restoration": (inside("restoration", enabled=False), inside("restoration", enabled=False, wanted=False)),
    "old_restoration": (inside("restoration", current=False), inside("restoration", current=None)),
    "host_leg_differs": (drift("port vale1:eth1", "attached", "attached with the host stack"),
                         drift("port vale1:eth1", "absent", "attached")),
    "lost_references": (put(users=[{"kind": "unknown", "name": "references", "holds": ["1, perhaps"]}]),
                        both(put(users=[{"kind": "unknown", "name": "references", "holds": ["1"]}]),
                             elsewhere("attached"))),
    "switches_full": (lambda facts: facts["parameters"]["now"].update(max_bridges=1),
                      lambda facts: facts["parameters"]["now"].update(max_bridges=2)),
    "ports_full": (lambda facts: facts["switches"][0].update(ports=[
        {"name": "eth%d" % number, "host_stack": True, "kind": "attached"} for number in range(126)]),
        lambda facts: facts["switches"][0].update(ports=[
            {"name": "%d" % number, "host_stack": False, "kind": "ephemeral"} for number in range(126)])),
    "pci_collision": (vm(more=["qemu-xhci"]), vm(driver="virtio-net-pci", more=["qemu-xhci"])),
    "not_passed_through": (vm(driver="e1000"), vm()),
    "port_in_namespace": (elsewhere("attached"), elsewhere("ephemeral")),
    "namespace_unreadable": (elsewhere("attached", error="no"), elsewhere("attached")),
    "not_recorded": (drift("port vale1:eth9", "attached", "absent"), drift("parent p0", "absent", "present")),
    "program_in_namespace": (elsewhere("ephemeral"), elsewhere("attached")),
    "zero_mac": (put(users=[{"kind": "process", "name": "pkt-gen", "pid": 3, "holds": [],
                             "command": "pkt-gen -i vale1:1 -f tx"}]),
                 put(users=[{"kind": "process", "name": "pkt-gen", "pid": 3, "holds": [],
                             "command": "pkt-gen -i vale1:1 -f tx -S 02:00:00:00:00:01"}])),
    "kernel_fault": (said("RIP: 0010:netmap_get_bdg_na+0x1f/0x2a0 [netmap]"), said("RIP: 0010:x+0x1/0x2 [veth]")),
    "interface_wedged": (said("unregister_netdevice: waiting for p0 to become free. Usage count = 2"),
                         said("waiting for p0")),
    "unknown_symbol": (said_unloaded("netmap: Unknown symbol nm_x (err -2)"), said("netmap: Unknown symbol nm_x")),
    "driver_symbol": (said("ixgbe: disagrees about version of symbol netmap_attach"),
                      said("ixgbe: disagrees about version of symbol dca_add")),
    "version_magic": (said_unloaded("netmap: version magic '6.0 SMP ' should be '6.1 SMP '"),
                      said("netmap: version magic '6.0 SMP ' should be '6.1 SMP '")),
    "signature_refused": (said_unloaded("Lockdown: modprobe: unsigned module loading is restricted; see man kernel_l"),
                          said_unloaded("Lockdown: x: hibernation is restricted")),
    "ring_too_large": (said("012.34 [1026] netmap_obj_malloc         netmap_ring request size 65792 too large"),
                       said("012.34 [1026] netmap_obj_malloc         netmap_ring request size 16640 too large")),
    "if_too_large": (said("012.34 [1026] netmap_obj_malloc         netmap_if request size 1080 too large"),
                     both(said("012.34 [1026] netmap_obj_malloc         netmap_if request size 1080 too large"),
                          lambda facts: facts["parameters"]["now"].update(if_size=2048))),
    "parameter_refused": (said("469.7 [1356] x requested objtotal 20001 out of range [10, 1]"),
                          said("netmap_config_obj_allocator something else")),
    "iommu_mismatch": (said("012.34 [ 750] netmap_mem_get_id iommu group mismatch: 1 vs 2"), said("iommu group 1")),
    "pool_exhausted": (said("012.34 [1031] netmap_obj_malloc         no more netmap_ring objects"),
                       lambda facts: facts["log"].insert(0, {"at": 0.5, "text": "no more netmap_ring objects"})),
    "memory_refused": (said("012.34 [1454] x Unable to create cluster at 9 for 'netmap_buf' allocator"),
                       said("cluster")),
    # Once no NIC has such an MTU, what was said of one is history.
    "mtu_refused": (both(said(_MTU_REFUSED), with_nic(mtu=9000, mtu_fits=False, switch=None)), said(_MTU_REFUSED)),
    "timer_sends": (said("[   45.1]  generic_timer_handler+0x5f/0xb0 [netmap]"),
                    both(said("[   45.1]  generic_timer_handler+0x5f/0xb0 [netmap]"),
                         lambda facts: facts["parameters"]["now"].update(generic_mit=0))),
    "nic_busy": (said("012.3 [1723] x NIC eth1 busy, cannot attach to bridge"), said("NIC eth1 ready")),
    "api_mismatch": (said("015.2 [2776] netmap_ioctl              API mismatch: got 99 need 14"), said("API")),
    "switch_full": (said("015.2 [ 442] x bridge full 252, cannot create new port"), said("bridge br0 up")),
    "switch_name": (said("015.2 [ 192] nm_find_bridge            invalid bridge name vale-1:x"), said("bridge")),
    "vnet_header": (said("015.2 [2849] x virt_hdr_len=12, but application does not accept it"), said("virt_hdr")),
    "packets_dropped": (said("015.2 [4326] x eth1 drop mbuf that needs checksum offload"), said("drop")),
    "unknown_parameter": (lambda facts: facts["log"].insert(0, {"at": 1, "text": "netmap: unknown parameter 'x' i"}),
                          said("veth: unknown parameter 'x' ignored")),
    "unsigned": (lambda facts: facts["log"].insert(0, {"at": 0.5, "text": "netmap: module verification failed: x"}),
                 lambda facts: facts["log"].insert(0, {"at": 0.5, "text": "veth: module verification failed: x"})),
}


def found(change):
    facts = healthy()
    change(facts)
    before = copy.deepcopy(facts)
    findings = find(RULES, facts)
    assert facts == before, "a rule changed what it judges"
    return {one["id"]: one for one in findings}


def test_a_healthy_machine_has_no_findings():
    assert found(lambda facts: None) == {}


def test_every_rule_has_its_cases():
    assert sorted(CASES) == sorted(rule.id for rule in RULES)


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_failure_is_found_and_its_neighbour_is_not(name):
    ill, well = CASES[name]
    finding = found(ill)[name]
    assert finding["evidence"]
    assert all(isinstance(line, str) and line for line in finding["evidence"])
    assert all(finding[part] for part in ("symptom", "cause", "fix"))
    assert name not in found(well)


def test_a_machine_without_netmap_gets_one_note():
    findings = found(FORGOTTEN)
    assert {name: one["severity"] for name, one in findings.items()} == {"not_installed": "note"}


def test_errors_come_first_and_evidence_is_bounded():
    facts = healthy()
    facts.update(load_at_boot=False, stuck=["v%d" % number for number in range(50)])
    facts["device"]["mode"] = "0600"
    findings = find(RULES, facts)
    severities = [SEVERITIES.index(one["severity"]) for one in findings]
    assert severities == sorted(severities) == [0, 1, 2]
    assert findings[0]["evidence"][EVIDENCE_MAX:] == ["and 45 more"]


def test_what_is_ignored_is_not_found():
    facts = healthy()
    facts["load_at_boot"] = False
    assert find(RULES, facts, ignore=["not_at_boot"]) == []


def test_the_parameter_of_a_private_region_is_named():
    findings = found(said("1.2 [1026] netmap_obj_malloc         5_ring request size 30000 too large"))
    assert findings["ring_too_large"]["evidence"] == ["30000 bytes were asked for, priv_ring_size is 20480"]
    findings = found(said("1.2 [1026] netmap_obj_malloc         %s_ring-5 request size 65792 too large"))
    assert findings["ring_too_large"]["evidence"] == ["65792 bytes were asked for, ring_size is 36864"]


def test_repeated_messages_are_counted():
    line = "015.2 [2776] netmap_ioctl              API mismatch: got 99 need 14"
    assert found(said(line, line))["api_mismatch"]["evidence"] == [
        "netmap_ioctl: API mismatch: got 99 need 14 (2 times)"]


def test_stuck_threads_are_named_with_their_ports():
    assert found(killed(True, "CPU 0/KVM", "CPU 0/KVM"))["loop_stuck"]["evidence"] == [
        "ptnet-vm-vm1.service: process 320 is dead, 2 threads of it are not (CPU 0/KVM); ports vale1:10"]


def test_a_failed_machine_is_said_once():
    assert sorted(found(unit("failed", "failed", result="exit-code"))) == ["vm_failed"]


@pytest.mark.parametrize(("state", "evidence"), [
    ("gone", "VM vm1: ptnet-port-fw.service has ended"),
    ("restarted", "VM vm1: ptnet-port-fw.service is another than the one that it was started with")])
def test_a_machine_without_its_port_process_has_to_be_restarted(state, evidence):
    finding = found(served(state))["ports_dead"]
    assert (finding["severity"], finding["evidence"]) == ("error", [evidence])
    assert "restart" in finding["fix"]
    assert found(served(state, name=None))["ports_dead"]["evidence"][0].startswith("VM 7: ")


def test_a_port_process_that_was_killed_is_said_once():
    change = both(served("gone"), port_unit("failed", "failed", result="signal"))
    assert sorted(found(change)) == ["ports_dead"]


@pytest.mark.parametrize(("change", "ids"), [
    (port_unit("failed", "failed", result="exit-code"), ["port_process_failed"]),
    (port_unit("inactive", "dead", enabled="enabled"), ["vm_off"]),
    # The process of a VM that is off, which is said of the VM.
    (port_unit("inactive", "dead"), [])])
def test_a_port_process_alone(change, ids):
    assert sorted(found(change)) == ids


def test_ports_of_either_qemu_have_ids_of_other_devices():
    assert sorted(found(served(more=["pcie-root-port"]))) == ["pci_collision"]
    assert found(served(more=["pcie-root-port"], pci_ids="freebsd")) == {}


def test_machines_of_the_distribution_need_kvm_too():
    assert sorted(found(both(put(kvm=False), unit("active", "running")))) == ["no_kvm"]


@pytest.mark.parametrize(("held", "seen"), [
    ("port eth1", True), ("port eth1^", True), ("port eth1{1", False), ("port vale1:10", False),
    ("descriptor 3", False), ("port a b", False)])
def test_a_program_that_has_the_nic_of_the_management(held, seen):
    user = {"kind": "process", "name": "qemu", "pid": 7, "command": "qemu -netdev netmap", "holds": ["mapping", held]}
    findings = found(both(with_nic(carries="the default route", switch=None), put(users=[user])))
    assert ("management_cut" in findings) is seen
    if seen:
        assert findings["management_cut"]["evidence"] == [
            "eth1 carries the default route and process 7 has it (qemu -netdev netmap)"]
