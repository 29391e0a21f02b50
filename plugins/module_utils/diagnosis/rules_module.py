# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the module: installed, fitting, loaded, its parameters and its device node. Private to netmap.ptnet."""

from __future__ import annotations

import functools

from ..errors import PtnetError
from ..netmap import parameters
from .rule import ERROR, NOTE, WARNING, Rule

_LOADING = ("max_bridges", "sink_num", "ptnet_vnet_hdr")


def _absent(facts):
    return not facts["loaded"] and not facts["module"]["installed"]


def _not_installed(facts):
    if _absent(facts) and not facts["load_at_boot"] and not facts["restoration"]["wanted"]:
        yield "no module netmap for %s" % facts["kernel_release"]


def _gone(facts):
    if _absent(facts) and (facts["load_at_boot"] or facts["restoration"]["wanted"]) and not _unindexed(facts):
        yield "no module netmap for %s, but it is to be loaded at boot" % facts["kernel_release"]


def _unindexed(facts):
    return [] if facts["module"]["installed"] else [
        path for kernel in facts["kernels"] if kernel["running"] for path in kernel["copies"]]


def _vanished(facts):
    if facts["loaded"] and not facts["module"]["installed"] and not facts["module"]["built_in"]:
        yield "loaded, but modinfo knows no such module for %s" % facts["kernel_release"]


def _wrong_kernel(loaded, facts):
    if facts["module"]["fits_kernel"] is False and facts["loaded"] == loaded:
        yield "%s is for %s, the running kernel is %s" % (
            facts["module"]["installed"]["path"], (facts["module"]["installed"]["vermagic"] or "?").split()[0],
            facts["kernel_release"])


def _next_kernel(facts):
    kernels = facts["kernels"]
    if not any(kernel["netmap"] and kernel["netmap"]["fits"] for kernel in kernels):
        return  # Not yet anywhere; said by another rule.
    place = [index for index, kernel in enumerate(kernels) if kernel["running"]]
    for kernel in kernels[place[0] + 1 if place else 0:]:
        netmap = kernel["netmap"]
        if not netmap or not netmap["fits"]:
            yield "kernel %s: %s" % (kernel["release"], "its netmap is for %s" % (netmap["vermagic"] or "?").split()[0]
                                     if netmap else "no netmap")


def _copies(facts):
    for kernel in facts["kernels"]:
        if len(kernel["copies"]) > 1:
            yield "kernel %s: %s; modprobe takes %s" % (
                kernel["release"], ", ".join(kernel["copies"]), (kernel["netmap"] or {}).get("path") or "none")


def _headers(facts):
    if not facts["headers_present"] and not facts["module"]["fits_kernel"]:
        yield "no /lib/modules/%s/build/Makefile" % facts["kernel_release"]


def _stale(facts):
    if facts["module"]["stale"]:
        yield "%s is another build than the loaded module" % facts["module"]["installed"]["path"]


def _incomplete(facts):
    for kind in sorted(facts["builds"]):
        for build in facts["builds"][kind]:
            if not build["complete"]:
                yield "%s for %s" % (kind, build["slot"])


def _not_loaded(facts):
    module = facts["module"]
    return not facts["loaded"] and module["installed"] and module["fits_kernel"] is not False


def _load_failed(facts):
    if _not_loaded(facts) and facts["load_at_boot"]:
        yield "installed as %s, wanted at boot, not in the kernel" % facts["module"]["installed"]["path"]


def _idle(facts):
    if _not_loaded(facts) and not facts["load_at_boot"]:
        yield "installed as %s" % facts["module"]["installed"]["path"]


def _locked(facts):
    guards = facts["security"]
    if not facts["loaded"] and facts["module"]["installed"]:
        if guards["lockdown"] != "none":
            yield "lockdown: %s" % guards["lockdown"]
        if guards["signed_only"]:
            yield "the kernel enforces signatures of modules"


def _not_at_boot(facts):
    if facts["loaded"] and not facts["load_at_boot"] and not facts["module"]["built_in"]:
        yield "loaded now, not named in the boot files of this collection"


def _no_node(facts):
    if facts["loaded"] and not facts["device"]:
        yield "netmap is loaded"


def _open_to_all(facts):
    if facts["device"] and int(facts["device"]["mode"], 8) & 0o007:
        yield "mode %(mode)s, group %(group)s" % facts["device"]


def _root_only(facts):
    node = facts["device"]
    if node and not int(node["mode"], 8) & 0o060:
        yield "mode %(mode)s, group %(group)s" % node


def _node_drift(facts):
    for one in facts["drift"]:
        if one["what"] == "device":
            yield "now %(group)s %(mode)s" % one["now"] + ", after a reboot %(group)s %(mode)s" % one["boot"]


def _parameter_drift(facts):
    for one in facts["drift"]:
        name = one["what"][len("parameter "):]
        if one["what"].startswith("parameter ") and one["now"] is not None and not (
                name == "ptnet_vnet_hdr" and facts["ptnet_interfaces"]):
            yield "%s is %s now and %s after a reboot%s" % (
                name, one["now"], one["boot"], " (taken while netmap loads)" if name in _LOADING else "")


def _vnet_hdr(facts):
    for one in facts["drift"]:
        if one["what"] == "parameter ptnet_vnet_hdr" and facts["ptnet_interfaces"]:
            yield "ptnet_vnet_hdr is %s now and %s in the boot file; %s decided when it appeared" % (
                one["now"], one["boot"], facts["ptnet_interfaces"][0]["name"])


def _range(facts):
    for plane, where in (("now", "in the kernel"), ("boot", "in the boot file")):
        for name, number in sorted(facts["parameters"][plane].items()):
            known = parameters.PARAMETERS.get(name)
            if known and not known.low <= number <= known.high:
                yield "%s=%d %s, allowed are %d to %d" % (name, number, where, known.low, known.high)
            elif known and known.region and name.endswith("_size"):
                try:
                    parameters.cluster(number, name)
                except PtnetError as error:
                    yield "%s=%d %s: %s" % (name, number, where, error.remedy)


def _unknown(facts):
    for name in sorted(set(facts["parameters"]["boot"]) - set(parameters.PARAMETERS)):
        yield "%s=%d" % (name, facts["parameters"]["boot"][name])


def _conflicts(facts):
    return facts["boot_conflicts"]


def _waiting(facts):
    now = facts["parameters"]["now"]
    for kind in parameters.POOLS:
        built, size = now.get(kind + "_curr_num"), now.get(kind + "_curr_size")
        if not built or not facts["users"]:
            continue
        try:
            wanted, wanted_size = parameters.pool(now[kind + "_num"], now[kind + "_size"])[0], now[kind + "_size"]
        except PtnetError:
            continue
        if size < wanted_size:
            yield "%s_size is %d, the region was built with %d" % (kind, wanted_size, size)
        elif built < wanted:
            yield "%s_num is %d, the region was built with %d" % (kind, now[kind + "_num"], built)


def _memory(facts):
    for region in facts["memory_regions"]:
        # Only a NIC makes the kernel build the region that all NICs share.
        used = region["name"] == "global" and any(nic["switch"] for nic in facts["nics"])
        if used and (region["bytes"] or 0) >> 20 > facts["memory"]:
            yield "the parameters ask for %d MiB, the machine has %d MiB" % (region["bytes"] >> 20, facts["memory"])


def _kvm(facts):
    if (facts["builds"]["qemu"] or facts["machines"]) and not facts["kvm"]:
        yield "no /dev/kvm"


_BUILD = "build and install it for this kernel: role netmap.ptnet.netmap, or netmap_build with state=present"
_PARAMETERS = "declare it in netmap_parameters of role netmap.ptnet.netmap (netmap_module: parameters)"

RULES = (
    Rule("not_installed", NOTE, "netmap is not installed", "nobody installed it for the running kernel", _BUILD,
         _not_installed),
    Rule("module_missing", ERROR, "netmap is wanted at boot and not installed for the running kernel",
         "the kernel was changed, or the module removed", _BUILD, _gone),
    Rule("module_not_indexed", ERROR, "modprobe does not find netmap although netmap.ko is there",
         "depmod did not run after it was copied", "run depmod, or let netmap_build install it", _unindexed),
    Rule("wrong_kernel", ERROR, "loading ends with \"Exec format error\" or \"Invalid module format\"",
         "netmap was built for another kernel",
         _BUILD + "; or boot the kernel that it was built for", functools.partial(_wrong_kernel, False)),
    Rule("load_failed", ERROR, "netmap is wanted at boot and not loaded",
         "loading failed, or somebody unloaded it", "load it with netmap_module, which says why it fails",
         _load_failed),
    Rule("not_loaded", NOTE, "netmap is installed and not loaded", "nobody asked for it",
         "load it with netmap_module (role netmap.ptnet.netmap)", _idle),
    Rule("module_locked_out", ERROR, "loading ends with \"Required key not available\" or \"Operation not permitted\"",
         "Secure Boot or kernel lockdown takes signed modules only",
         "sign netmap.ko with a key that is enrolled (mokutil --import), or switch Secure Boot off", _locked),
    Rule("no_device", ERROR, "/dev/netmap is absent", "udev did not make the node, or this is a container",
         "reload netmap with netmap_module (allow_reload), or pass the device into the container", _no_node),
    Rule("parameter_range", ERROR, "every open of a port fails with \"Cannot allocate memory\"",
         "the kernel checks no parameter when it is written, and stays broken after the old value is restored",
         "set it with netmap_module and allow_reload=true: only a reload heals it", _range),
    # The release does not count where symbols have versions (CONFIG_MODVERSIONS), so it may load all the same.
    Rule("other_kernel", WARNING, "the installed netmap was not built for the running kernel",
         "the kernel was changed, or the wrong build was installed", _BUILD, functools.partial(_wrong_kernel, True)),
    Rule("module_vanished", WARNING, "netmap is gone after a reboot, although it is loaded now",
         "its file was removed after it was loaded", _BUILD, _vanished),
    Rule("next_kernel", WARNING, "a newer installed kernel would come up without netmap",
         "netmap was not built for it", "build it before the reboot: netmap_build with kernel_release", _next_kernel),
    Rule("not_at_boot", WARNING, "netmap is gone after a reboot", "it was loaded by hand",
         "declare it: netmap_module with persistent=true (role netmap.ptnet.netmap)", _not_at_boot),
    Rule("stale_module", WARNING, "the loaded netmap is not the installed one", "it was installed after it was loaded",
         "reload it: netmap_allow_reload of role netmap.ptnet.netmap (netmap_module: allow_reload)", _stale),
    Rule("several_copies", WARNING, "the wrong build of netmap is picked up", "netmap was installed more than once",
         "remove the copies that netmap_build did not install, then run depmod", _copies),
    Rule("build_interrupted", WARNING, "an installation was interrupted", "the run ended in the middle of it",
         "run the role again; it finishes what was begun", _incomplete),
    Rule("headers_missing", NOTE, "a build here ends with \"kernel not configured\"",
         "the headers of the running kernel are not installed",
         "install linux-headers (Debian) or kernel-devel (Red Hat) for this release, or build elsewhere: "
         "netmap_build_host of role netmap.ptnet.netmap", _headers),
    Rule("device_open_to_all", WARNING, "everybody on this machine may use /dev/netmap",
         "its mode gives rights to others; who opens it takes NICs away from the kernel",
         "use group and mode of netmap_module (default: netmap, 0660)", _open_to_all),
    Rule("device_root_only", NOTE, "programs get \"permission denied\" on /dev/netmap unless root runs them",
         "the node is made anew at each load, for root only",
         "use group and mode of netmap_module, and put users into the group", _root_only),
    Rule("device_drift", WARNING, "the rights on /dev/netmap change with the next load",
         "they were changed by hand", "run netmap_module with the group and mode that are wanted", _node_drift),
    Rule("parameter_drift", WARNING, "a parameter has another value after a reboot",
         "it was written by hand, or waits for a reload", _PARAMETERS, _parameter_drift),
    Rule("vnet_header_late", WARNING, "ping works through a ptnet interface and TCP moves nothing",
         "ptnet_vnet_hdr counts when the interface appears; a later write leaves the two ends in disagreement",
         "run role netmap.ptnet.guest, which sets it before netmap loads, and reload netmap", _vnet_hdr),
    Rule("parameter_unknown", WARNING, "a parameter in the boot file has no effect",
         "netmap has no parameter of this name; modprobe only logs it", _PARAMETERS, _unknown),
    Rule("boot_conflict", WARNING, "parameters are not the declared ones after a reboot",
         "another file of modprobe speaks of netmap", "move what it says to netmap_parameters and delete the file",
         _conflicts),
    Rule("parameters_wait", WARNING, "memory parameters were written and nothing changed",
         "a region is rebuilt only while nobody uses it",
         "stop the users that netmap_info names, or reload: netmap_module with allow_reload", _waiting),
    Rule("memory_short", WARNING, "netmap silently makes fewer buffers than asked for",
         "the region of the NICs is larger than the memory", "lower buf_num in netmap_parameters", _memory),
    Rule("no_kvm", WARNING, "QEMU ends with \"Could not access KVM kernel module\"",
         "ptnet devices need KVM", "load kvm_intel or kvm_amd; in a VM switch on nested virtualization", _kvm),
)
