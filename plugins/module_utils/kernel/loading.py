# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""netmap loaded, with its parameters, now and at boot: desired against present. Private to netmap.ptnet."""

from __future__ import annotations

import re
from collections import namedtuple

from ..change import Change
from ..errors import PtnetError
from ..netmap import guard, parameters
from ..netmap.device import Device
from ..netmap.record import Record
from . import drivers
from .platform import platform
from .users import named, users

# module: from system.module(); stale: the loaded build is not the installed one; now: parameter values, or None;
# boot: from system.boot(); node: from system.node(); carried: interfaces that a reload would cut, with what they
# carry; drivers: from Drivers.read(); images: from Drivers.images(); unsigned: files that the kernel would refuse.
Seen = namedtuple("Seen", "module installed fits stale now boot node carried users drivers images unsigned")

# load and unload: bool, both for a reload; write: parameters for the kernel; wanted: why a reload is wanted (list);
# boot: what the boot files should say; node: group and mode, or None; drop: drivers to unload before netmap; lift:
# drivers to load after it; stock: drivers to have back without netmap; images: kernels whose initramfs is made anew.
Plan = namedtuple("Plan", "load unload write wanted boot node drop lift stock images", defaults=((), (), (), ()))

_SHAPE = ("tx_slots", "rx_slots", "tx_rings", "rx_rings")


def act(params, check_mode, system=None, device=None, open_record=Record):
    """Make the module's state as declared (dict): the face of ``netmap_module``.

    :param params: the options of the module (dict)
    :raises PtnetError: a bad parameter, no module for this kernel, or users in the way
    """
    checked = parameters.check(params["parameters"])
    _check_node(params["group"], params["mode"])
    params = dict(params, drivers=drivers.check(params["drivers"]))
    system = system or platform()
    device = device or Device(system.driver_of)
    if check_mode:
        return _run(params, checked, check_mode, system, device, open_record)
    with device.locked("netmap_module"):
        return _run(params, checked, check_mode, system, device, open_record)


def _run(params, checked, check_mode, system, device, open_record):
    record = open_record()
    seen, awaited = read(params, system, device, record), []
    if check_mode and params["state"] == "loaded":
        seen, awaited = foreseen(seen)
    plan = decide(params, checked, seen)
    change = Change()
    predicted = _after(params, checked, plan, seen)
    for name, value in _before(seen).items():
        change.note(name, value, predicted[name])
    if plan.node and not system.group_exists(plan.node["group"]):
        change.note("group %s" % plan.node["group"], "absent", "present")
    if not check_mode:
        perform(plan, checked, system)
        _verify(params, plan, checked, seen, system)
    result = dict(change.result(), **report(params, plan, checked, predicted, seen, system, record, check_mode))
    return dict(result, warnings=awaited + result.get("warnings", [])) if awaited else result


def read(params, system, device, record):
    """What is there now (Seen)."""
    module, installed = system.module(), system.installed()
    found, carried = [], {}
    if module is not None:
        entries = device.entries() if module["refcount"] != 0 else []
        found = users(system, module, entries, record.parents)
    declared, images = {}, {}
    if params["drivers"]:
        doors = system.drivers()
        declared = doors.read(params["drivers"])
        images = doors.images(params["drivers"]) if params["state"] == "loaded" and params["persistent"] else {}
    if module is not None or declared:
        carried = {name: what for name, what in system.management().items()
                   if (module is not None and system.driver_of(name) == system.ptnet_driver)
                   or any(name in driver["interfaces"] for driver in declared.values())}
    paths = [one["path"] for one in [installed] + list(declared.values()) if one and one["path"]]
    return Seen(module, installed, installed is None or system.fits(installed),
                bool(module and installed and system.stale(module, installed)),
                system.parameters() if module else None, system.boot(), system.node(), carried, found, declared,
                images, system.unsigned(paths))


def foreseen(seen):
    """What a check run goes on from: the builds that ``netmap_build`` would have installed before. Pure.

    :returns: the machine as it would be then (Seen), and what is only expected (list of str)
    """
    awaited = ["the driver %s" % name for name in sorted(seen.drivers) if drivers.lacks_build(seen.drivers[name])]
    if seen.installed is None or not seen.fits:
        awaited.insert(0, "netmap")
        seen = seen._replace(installed={"path": None, "version": None, "srcversion": None, "vermagic": None}, fits=True)
    seen = seen._replace(drivers={
        name: dict(driver, installed="netmap", fits=True) if drivers.lacks_build(driver) else driver
        for name, driver in seen.drivers.items()})
    return seen, ["not installed for the running kernel: %s; foretold as if netmap.ptnet.netmap_build had installed it"
                  % " and ".join(awaited)] if awaited else []


def decide(params, checked, seen):
    """What to do (Plan). Pure.

    :param checked: the declared parameters as numbers (dict)
    :raises PtnetError: it cannot or must not be done; nothing has changed then
    """
    if params["state"] == "unloaded":
        return _decide_unloading(params, seen)
    node = {"group": params["group"], "mode": _octal(params["mode"])}
    boot = seen.boot
    if params["persistent"]:
        kept = seen.boot["parameters"] if params["parameters"] is None else checked
        boot = {"load": True, "parameters": kept, "node": node, "drivers": params["drivers"]}
    drivers.refuse(seen.drivers)
    absent = [name for name in sorted(seen.drivers) if seen.drivers[name]["loaded"] is None]
    common = {"boot": boot, "node": node, "images": sorted(seen.images)}
    differing, wanted = {}, []
    if seen.module is not None:
        missing = sorted(set(checked) - set(seen.now))
        if missing and not seen.stale:
            raise PtnetError("this build of netmap has no parameter %s" % ", ".join(missing), expected="one of "
                             + ", ".join(name for name in seen.now if name in parameters.PARAMETERS))
        differing = {name: checked[name] for name in checked if seen.now.get(name) != checked[name]}
        wanted = ["%s is %s, declared is %d: decided while netmap loads" % (name, seen.now.get(name), differing[name])
                  for name in sorted(differing) if name not in seen.now
                  or parameters.PARAMETERS[name].when == parameters.RELOAD]
        if seen.stale:
            wanted.append("the installed build is not the loaded one")
    if wanted and seen.module["built_in"]:
        wanted, absent = ["%s; netmap is built into this kernel, so a reboot does it" % one for one in wanted], []
    elif params["allow_reload"]:
        again = bool(wanted)
        drop = drivers.moving(seen.drivers, again)
        wanted += drivers.reasons(seen.drivers)
        if wanted:
            _refuse_unfit(seen)
            _refuse_cut(params, seen, "reloaded (%s)" % "; ".join(wanted), drop, again)
            return Plan(again or seen.module is None, again, {} if again else _runtime(differing, seen), wanted,
                        drop=drop, lift=drop + absent, **common)
    else:
        wanted += drivers.reasons(seen.drivers)
    if seen.module is None or absent:
        _refuse_unfit(seen)
    return Plan(seen.module is None, False, _runtime(differing, seen), wanted, lift=absent, **common)


def _runtime(differing, seen):
    return {name: number for name, number in differing.items()
            if name in seen.now and parameters.PARAMETERS[name].when == parameters.RUNTIME}


def _decide_unloading(params, seen):
    boot = {"load": False, "parameters": {}, "node": None, "drivers": []} if params["persistent"] else seen.boot
    if seen.module is None:
        return Plan(False, False, {}, [], boot, None)
    drop = drivers.moving(seen.drivers, True, False) if params["allow_reload"] else []
    _refuse_cut(params, seen, "unloaded", drop, True)
    if seen.module["built_in"]:
        raise PtnetError("netmap cannot be unloaded", found="it is built into this kernel",
                         remedy="leave it; it does nothing while nobody opens it")
    return Plan(False, True, {}, [], boot, None, drop=drop, stock=drop)


def _refuse_unfit(seen):
    if seen.installed is None:
        raise PtnetError("netmap is not installed for the running kernel", found="modinfo knows no such module",
                         remedy="build and install it with netmap.ptnet.netmap_build, then run depmod")
    if not seen.fits:
        raise PtnetError("the installed netmap does not fit the running kernel",
                         found="built for %s" % (seen.installed["vermagic"] or "?").split()[0],
                         remedy="build it for this kernel with netmap.ptnet.netmap_build, or boot that kernel")
    if seen.unsigned:
        raise PtnetError("this kernel takes signed modules only (Secure Boot, lockdown or module.sig_enforce)",
                         found="no signature on " + ", ".join(seen.unsigned), expected="modules signed with an "
                         "enrolled key", remedy="build with sign_key and sign_certificate of netmap.ptnet.netmap_build "
                         "and enrol that certificate: mokutil --import, then reboot")


def _refuse_cut(params, seen, done, drop, netmap):
    """Refuse what would take netmap, or a NIC's driver, from under somebody.

    :param drop: the drivers that go first, and so are not in the way (list of str)
    :param netmap: whether netmap itself goes (bool)
    """
    in_the_way = [user for user in seen.users if user["kind"] != "driver" or (netmap and user["name"] not in drop)]
    if in_the_way:
        remedy = "stop the VMs and traffic tools, detach NICs (vale_port) and delete pipe parents (netmap_pipe), " \
            "then run again"
        if all(user["kind"] == "driver" for user in in_the_way):
            remedy = "name these drivers in drivers and set allow_reload; their NICs are down for a moment"
        raise PtnetError("netmap cannot be %s while it is in use" % done, found=named(in_the_way),
                         expected="no users", remedy=remedy, users=in_the_way)
    drivers.refuse_held(seen.drivers, drop)
    for name in sorted(seen.carried) if not params["allow_management"] else ():
        driver = drivers.of(seen.drivers, name)
        if driver in drop if driver else netmap:
            guard.refuse("netmap is not %s" % done, name, seen.carried, "netmap_allow_management",
                         label="%s%s" % (name, " of driver " + driver if driver else ""),
                         instead="come in by another interface", when="this one configures itself again")


def _check_node(group, mode):
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,31}", group):
        raise PtnetError("the group is refused", found=ascii(group), expected="the name of a system group")
    if not re.fullmatch(r"0?[0-7]{3}", mode):
        raise PtnetError("the mode is refused", found=ascii(mode), expected="an octal mode such as 0660")
    if int(mode, 8) & 0o007:
        raise PtnetError("the mode is refused", found=mode, expected="nothing for others: who opens /dev/netmap "
                         "takes NICs away from the kernel", remedy="use 0660 and put users into the group")


def _octal(mode):
    return "%04o" % int(mode, 8)


def _before(seen):
    build = None if seen.module is None else "another than installed" if seen.stale else "as installed"
    return {"loaded": seen.module is not None, "build": build, "parameters now": _declared_part(seen.now),
            "boot": seen.boot, "device": _node(seen.node), "drivers": drivers.states(seen.drivers),
            "initramfs": seen.images}


def _after(params, checked, plan, seen):
    now = _declared_part(seen.now)
    if plan.load:
        now = dict(now, **checked)
    if plan.unload and not plan.load:
        now = {}
    node = plan.node or (None if plan.unload else _node(seen.node))
    build = None if params["state"] == "unloaded" else "as installed" if plan.load else _before(seen)["build"]
    # A fresh load shows more than was declared; the prediction speaks of what was declared only.
    return {"loaded": params["state"] == "loaded", "build": build, "parameters now": dict(now, **plan.write),
            "boot": plan.boot, "device": node,
            "drivers": dict(drivers.states(seen.drivers), **dict(dict.fromkeys(plan.lift, "netmap"),
                                                                 **dict.fromkeys(plan.stock, "stock"))),
            "initramfs": {release: names for release, names in seen.images.items() if release not in plan.images}}


def _declared_part(now):
    return {name: number for name, number in (now or {}).items() if name in parameters.PARAMETERS}


def _node(node):
    return {"group": node["group"], "mode": node["mode"]} if node else None


def perform(plan, checked, system):
    """Carry out the plan; boot files first, so that an interrupted run comes back right after a reboot."""
    if plan.node and not system.group_exists(plan.node["group"]):
        system.make_group(plan.node["group"])
    if plan.boot != system.boot():
        system.write_boot(plan.boot)
    for release in plan.images:
        # Before anything is unloaded: what fails here has cut nobody off.
        system.drivers().rebuild(release)
    with drivers.moved(plan, system):
        if plan.unload:
            _unload(system)
        if plan.load:
            # What the boot files keep from an earlier run counts for this load too; the declared value wins.
            system.load(dict(plan.boot["parameters"], **checked))
    for name in sorted(plan.write):
        system.write_parameter(name, plan.write[name])
    if plan.node and _node(system.node()) != plan.node:
        try:
            system.write_node(plan.node["group"], plan.node["mode"])
        except OSError as error:
            raise PtnetError("the group and mode of /dev/netmap cannot be set", found=error.strerror,
                             expected="a device node that root may change") from error


def _unload(system):
    module = system.module()
    # A user may have come since the look; with references the kernel would refuse, and less clearly.
    if module["refcount"]:
        raise PtnetError("netmap is not unloaded", found="%d new references%s" % (
            module["refcount"], " of " + ", ".join(module["holders"]) if module["holders"] else ""),
            remedy="run again: it names who uses netmap")
    system.unload()


def _verify(params, plan, checked, seen, system):
    if system.loaded() != (params["state"] == "loaded"):
        raise PtnetError("netmap is not %s afterwards" % params["state"], remedy="read the kernel log (dmesg)")
    if params["state"] == "unloaded":
        return
    now = system.parameters()
    reached = checked if plan.load else plan.write
    wrong = {name: now.get(name) for name in reached if now.get(name) != reached[name]}
    if wrong:
        raise PtnetError("netmap did not take its parameters", found=wrong,
                         expected={name: reached[name] for name in wrong}, remedy="read the kernel log (dmesg)")
    node = system.node()
    if _node(node) != plan.node:
        raise PtnetError("/dev/netmap is not as declared", found=_node(node), expected=plan.node,
                         remedy="look for another rule for it in /etc/udev/rules.d, or /etc/devfs.conf")
    if params["drivers"]:
        drivers.verify(plan, seen.drivers, system)


def memory(now, record):
    """What the memory parameters cost, in bytes (dict). Pure.

    :param now: parameter values (dict of int)
    :param record: what is recorded on the host (Record)
    """
    parents = {name: parameters.private_region(now, **{key: parent[key] for key in _SHAPE})["bytes"]
               for name, parent in record.parents.items() if set(_SHAPE) <= set(parent)}
    port = parameters.private_region(now, parameters.SLOTS_DEFAULT, parameters.SLOTS_DEFAULT)
    return {"nics": parameters.global_memory(now), "port": port["bytes"], "parents": parents}


def report(params, plan, checked, predicted, seen, system, record, check_mode):
    """The rest of the result: loaded, version, srcversion, parameters, memory, drivers, reload_wanted, users, warnings
    (dict)."""
    module = seen.module if check_mode else system.module()
    if check_mode and plan.load:
        module = seen.installed
    now = predicted["parameters now"] if check_mode else system.parameters()
    reload_wanted = bool(plan.wanted) and not plan.unload and not plan.drop
    warnings, cost = [], {}
    if reload_wanted:
        warnings.append("netmap wants a reload, which was not done: %s%s" % (
            "; ".join(plan.wanted), "; in use by " + named(seen.users) if seen.users else ""))
    if any(parameters.PARAMETERS[name].region for name in plan.write) and seen.users:
        warnings.append("memory parameters take effect when nobody uses the region; in use by %s" % named(seen.users))
    if predicted["loaded"]:
        cost = memory(dict(now or {}, **checked), record)
        need = cost["nics"]
        if need > system.memory_total():
            warnings.append("the region of the NICs takes %d MiB, more than this machine has; netmap would silently "
                            "make fewer buffers: lower buf_num" % (need >> 20))
        warnings += drivers.warnings(params, seen.drivers, plan, system, check_mode)
        warnings += ["%s speaks of netmap as well and may win at boot" % path for path in system.boot_conflicts()]
    result = {
        "loaded": predicted["loaded"],
        "version": module["version"] if module and predicted["loaded"] else None,
        "srcversion": module["srcversion"] if module and predicted["loaded"] else None,
        "parameters": {"now": now if predicted["loaded"] else {}, "boot": plan.boot["parameters"]},
        "memory": cost, "drivers": predicted["drivers"],
        "reload_wanted": reload_wanted, "reload_reasons": plan.wanted if reload_wanted else [], "users": seen.users,
    }
    return dict(result, warnings=warnings) if warnings else result
