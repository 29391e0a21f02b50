# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Persistent ports that serve as parents of pipes: desired against present. Private to netmap.ptnet."""

from __future__ import annotations

from collections import namedtuple

from ..change import Change
from ..errors import PtnetError
from ..kernel.platform import platform
from . import names, parameters
from .changes import ChangeableDevice, Unloaded
from .record import Record

SHAPE = ("tx_slots", "rx_slots", "tx_rings", "rx_rings")
# What the region must have room for. It can change while the parent exists.
ROOM = ("pipes", "extra_buffers")

# What a decision looks at: entries of all switches, driver by interface (None: no such interface), the parents we
# made with their properties, the shape of those that exist, the module's parameters, and the free memory in bytes.
Seen = namedtuple("Seen", "entries drivers ours shapes parameters memory")


def act(params, check_mode, system=None, device=None, open_record=Record, keep=None):
    """Make the pipe parents as declared (dict): the face of ``netmap_pipe``.

    :param params: ``parents``, ``state``, ``purge`` (dict)
    :param keep: makes what is recorded come back after a reboot, :func:`boot_service.keep`; None while restoring
    :raises PtnetError: bad names, too small a region, an existing parent of another shape, or a refusal
    """
    wanted = declared(params)
    system = system or platform()
    device = device or ChangeableDevice(system.driver_of)
    if check_mode and not system.loaded():
        # A play in check mode did not load netmap; the real one would have, with no port there yet.
        result = _run(params, wanted, system, open_record(), None, True, keep)
        warnings = ["netmap is not loaded: predicted as if it were, with no persistent port"]
        return dict(result, warnings=warnings + result.get("warnings", []))
    with device.changing("netmap_pipe", absent=params["state"] == "absent") as changes:
        return _run(params, wanted, system, open_record(), None if changes is Unloaded else changes, check_mode, keep)


def _run(params, wanted, system, record, changes, check_mode, keep):
    entries = changes.entries() if changes else []
    drivers = {name: system.driver_of(name) for name in set(wanted) | set(record.parents)}
    if changes is None and params["state"] == "absent":
        # Without netmap an interface of a parent's name is somebody else's.
        drivers = dict.fromkeys(drivers)
    attached = {entry.port for entry in entries}
    shapes = {name: _shape(changes.info(name)) for name in sorted(record.parents)
              if changes and drivers[name] == "" and name not in attached}
    seen = Seen(entries, drivers, record.parents, shapes, system.parameters() or {}, system.memory_available())
    raised = {}
    if check_mode and params["state"] == "present":
        raised = missing_room({name: wanted[name] for name in wanted if drivers[name] is None}, seen.parameters)
        seen = seen._replace(parameters=dict(seen.parameters, **raised))
    remove, create = decide(wanted, params["state"], params["purge"], seen)
    before = {name: seen.ours[name] for name in sorted(seen.ours) if drivers[name] == ""}
    after = {name: shape for name, shape in before.items() if name not in remove}
    after.update((name, made(wanted[name], seen.parameters)) for name in create)
    for name in set(wanted) & set(after) - set(create):
        after[name] = dict(after[name], capacity=_capacity(after[name], wanted[name]))
    change = Change()
    change.note("parents", _lines(before), _lines(after))
    change.note("extra_buffers", _extra(record.parents), _extra(remembered(record.parents, wanted, params, after)))
    recorded, parents = record.lines(), remembered(record.parents, wanted, params, after)
    if not check_mode:
        _perform(remove, create, parents, changes, record, system)
        if record.parents != parents:
            record.parents = parents
            record.save()
    record.parents = parents
    warnings = keep(change, recorded, record, system, check_mode) if keep else []
    if raised:
        warnings = warnings + ["predicted as if netmap.ptnet.netmap_module had raised %s; otherwise the run refuses" % (
            " and ".join("%s to %d" % item for item in sorted(raised.items())))]
    result = dict(change.result(), parents=[
        dict({key: after[name][key] for key in SHAPE + ("capacity", "memory")}, name=name) for name in sorted(after)])
    return dict(result, warnings=warnings) if warnings else result


def declared(params):
    """The declared parents: name to ROOM and SHAPE (dict). Pure.

    :raises PtnetError: a bad name, a name twice, a number out of range, or nothing to do
    """
    wanted = {}
    for parent in params["parents"] or []:
        name = names.interface(parent["name"], "the name of a pipe parent")
        if name in wanted:
            raise PtnetError("a pipe parent is declared twice", found=name, expected="each parent once")
        if len(name) > names.QEMU_MAX - 2:
            raise PtnetError("the name of a pipe parent is refused", found=name,
                             expected="at most %d characters, so that QEMU can open %s{1" % (names.QEMU_MAX - 2, name))
        parent = dict({"extra_buffers": 0}, **parent)
        for key, most in (("pipes", parameters.PARAMETERS["priv_if_num"].high // 2),
                          ("extra_buffers", parameters.PARAMETERS["priv_buf_num"].high),
                          ("tx_slots", parameters.SLOTS_MAX), ("rx_slots", parameters.SLOTS_MAX),
                          ("tx_rings", parameters.RINGS_MAX), ("rx_rings", parameters.RINGS_MAX)):
            least = 0 if key == "extra_buffers" else 1
            if not least <= parent[key] <= most:
                raise PtnetError("%s of the pipe parent %s is refused" % (key, name), found=parent[key],
                                 expected="%d to %d" % (least, most))
        wanted[name] = {key: parent[key] for key in ROOM + SHAPE}
    if not wanted and not params["purge"]:
        raise PtnetError("there is nothing to do", found="no parents", expected="parents, or purge",
                         remedy="set purge to delete every pipe parent that this collection made")
    return wanted


def decide(wanted, state, purge, seen):
    """The parents to delete and to create, in order (two lists of str). Pure.

    :param wanted: from :func:`declared` (dict)
    :param state: ``present`` or ``absent`` (str)
    :param purge: delete the parents that we made and nobody declared (bool)
    :param seen: the machine (Seen)
    :raises PtnetError: anything that must not or cannot be done; nothing has changed then
    """
    remove, create = set(), []
    for name in sorted(wanted):
        driver = seen.drivers[name]
        _refuse_foreign(name, driver, seen)
        if state == "absent":
            if driver is not None:
                remove.add(name)
        elif driver is None:
            create.append(name)
        else:
            _refuse_drift(name, wanted[name], seen)
    if purge:
        remove |= {name for name in seen.ours if seen.drivers[name] == ""
                   and (name not in wanted or state == "absent")}
    for name in sorted(remove):
        _refuse_attached(name, seen)
    _refuse_too_small({name: wanted[name] for name in create}, seen.parameters)
    need = sum(made(wanted[name], seen.parameters)["memory"] for name in create)
    if need > seen.memory:
        raise PtnetError("there is too little memory for the pipe parents %s" % ", ".join(create),
                         found="%d MiB available" % (seen.memory >> 20), expected="%d MiB" % (-(-need >> 20)),
                         remedy="ask for fewer slots or rings, or lower priv_buf_num; netmap itself would silently "
                                "make fewer buffers")
    return sorted(remove), create


def made(wanted, now):
    """What a parent is once it exists: shape, ``capacity`` in pipes, ``memory`` in bytes, ``region`` (dict). Pure.

    ``region`` has the objects of each pool, which later tell what else would fit.
    """
    shape = {key: wanted[key] for key in SHAPE}
    region = parameters.private_region(now, **shape)
    memory = region.pop("bytes")
    return dict(shape, capacity=_capacity(dict(shape, region=region), wanted), memory=memory, region=region)


def _capacity(parent, wanted):
    if "region" not in parent:
        return parent.get("capacity", 0)
    return parameters.pipe_capacity(parent["region"], extra_buffers=wanted["extra_buffers"],
                                    **{key: parent[key] for key in SHAPE})


def _extra(parents):
    return ["%s %d" % (name, parents[name]["extra_buffers"]) for name in sorted(parents)
            if parents[name].get("extra_buffers")]


def remembered(known, wanted, params, after):
    """What the record says once all is done: parent to its properties (dict). Pure.

    A parent that is recorded and not there, because restoring it failed, stays until it is declared absent or purged.

    :param known: what it says now (dict)
    :param wanted: from :func:`declared` (dict)
    :param params: ``state``, ``purge`` (dict)
    :param after: the parents that exist afterwards (dict)
    """
    present = params["state"] == "present"
    parents = {name: known[name] for name in known
               if (name in wanted and present) or not (name in wanted or params["purge"])}
    parents.update(after)
    return {name: dict(parent, **{key: wanted[name][key] for key in ROOM}) if name in wanted else parent
            for name, parent in parents.items()}


def _refuse_foreign(name, driver, seen):
    if driver:
        raise PtnetError("%s cannot be a pipe parent of its own" % name, found="an interface with the driver %s"
                         % driver, expected="a name that no interface has", remedy="choose another name")
    _refuse_attached(name, seen)
    if driver == "" and name not in seen.ours:
        raise PtnetError("%s was not made by this collection" % name, found="an interface without a driver, such as "
                         "a persistent port made by hand or held by an open pipe", expected="a name that no "
                         "interface has", remedy="close its pipes and delete it (vale-ctl -r %s), or choose another "
                         "name" % name)


def _refuse_attached(name, seen):
    for entry in seen.entries:
        if entry.port != name or (seen.drivers.get(name) is None and not entry.stuck):
            continue
        raise PtnetError(
            "the pipe parent %s is on a VALE switch" % name,
            found="stuck, its switch is lost" if entry.stuck else "attached as %s" % entry.name,
            expected="a persistent port on no switch",
            remedy="stop the VMs and reboot the host; a persistent port on a switch cannot be queried, opened or "
                   "detached safely")


def _refuse_drift(name, wanted, seen):
    shape = seen.shapes[name]
    found = ["%s=%d" % (key, shape[key]) for key in SHAPE if shape[key] != wanted[key]]
    capacity = _capacity(seen.ours[name], wanted)
    if not found and capacity < wanted["pipes"]:
        found.append("room for %d pipes" % capacity)
    if found:
        raise PtnetError(
            "the pipe parent %s exists with another shape" % name, found=", ".join(found),
            expected=", ".join("%s=%d" % item for item in sorted(wanted.items())),
            remedy="stop the VMs and programs that use its pipes, declare it absent, then present again")


def missing_room(create, now):
    """The parameters that are too small for parents that are to be made, and what they need (dict of int). Pure.

    A check run goes on from these: netmap_module, which comes before, has raised nothing in it.

    :raises PtnetError: no value is enough
    """
    missing = {}
    for wanted in create.values():
        short = parameters.raise_for_pipes(now, wanted["pipes"], wanted["extra_buffers"],
                                           **{key: wanted[key] for key in SHAPE})
        missing.update((key, max(number, missing.get(key, 0))) for key, number in short.items())
    return missing


def _refuse_too_small(create, now):
    missing = missing_room(create, now)
    if missing:
        first = next(name for name in create if missing_room({name: create[name]}, now))
        wanted = create[first]
        raise PtnetError(
            "%d pipes%s do not fit on the parent %s" % (
                wanted["pipes"], " with %(extra_buffers)d extra buffers an end" % wanted if wanted["extra_buffers"]
                else "", first),
            found="room for %d" % made(wanted, now)["capacity"],
            expected=", ".join("%s of %d or more" % item for item in sorted(missing.items())),
            remedy="raise %s with netmap.ptnet.netmap_module before the parent is made" % " and ".join(sorted(missing)),
            raise_parameters=missing)


def _perform(remove, create, parents, changes, record, system):
    for name in remove:
        try:
            changes.delif(name)
        except PtnetError as error:
            if system.driver_of(name) is not None:
                found = _users(name, system)
                raise PtnetError(error.what, found=error.found, remedy="stop %s, then run again" % (", ".join(
                    "process %(pid)d (%(command)s)" % user for user in found) or "its users"),
                    users=found, errno=error.facts.get("errno")) from error
        record.parents.pop(name, None)
        record.save()
    for name in create:
        earlier = record.parents.get(name)
        record.parents[name] = parents[name]
        record.save()
        shape = {key: parents[name][key] for key in SHAPE}
        try:
            changes.newif(name, **shape)
        except PtnetError:
            if system.driver_of(name) is None:
                # What was recorded before is tried again at the next boot.
                del record.parents[name]
                record.parents.update({name: earlier} if earlier else {})
                record.save()
                raise
        granted = _shape(changes.info(name))
        if granted != shape:
            raise PtnetError("netmap made %s with another shape" % name, found=granted, expected=shape,
                             remedy="declare it absent, then present with numbers that netmap grants")


def _users(name, system):
    users = system.processes()
    named = [user for user in users if name in user["command"]]
    return named or users


def _shape(info):
    return {key: info[key] for key in SHAPE}


def _lines(parents):
    return ["%s %s" % (name, " ".join("%s=%d" % (key, parents[name][key]) for key in SHAPE + ("capacity",)))
            for name in sorted(parents)]
