# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ports on VALE switches: read, decide, act, verify. Private to netmap.ptnet."""

from __future__ import annotations

import copy
import itertools
import os

from ..change import Change
from ..errors import PtnetError
from ..kernel.platform import platform
from . import names, parameters
from .changes import ChangeableDevice, Unloaded
from .forbidden import ForbiddenRequest
from .port_options import GLOBAL, PERSISTENT, PRIVATE, SHAPE, VETH, declared
from .port_plan import (
    ATTACH,
    CREATE,
    DELETE,
    DETACH,
    HEADER,
    LINK,
    POLL,
    RAISE,
    STOP,
    UNLINK,
    Seen,
    decide,
    intended,
    lines,
    present,
    remembered,
)
from .record import Record, described

# mem_id of the region that NICs share (nm_mem in netmap_mem2.c).
_GLOBAL_REGION = 1


def act(params, check_mode, system=None, device=None, open_record=Record, keep=None):
    """Make the ports on one switch, and those on no other, as declared (dict): the face of ``vale_port``.

    :param params: ``switch``, ``ports``, ``state``, ``purge``, ``allow_management``, ``only_switches``; ``restoring``:
        the machine has booted, so nothing is known of polling (dict)
    :param keep: makes what is recorded come back after a reboot, :func:`boot_service.keep`; None while restoring
    :raises PtnetError: bad names, a port that must not be touched, or what the kernel refused
    """
    switch, only = params.get("switch"), params.get("only_switches")
    if switch is None and only is None:
        raise PtnetError("there is nothing to do", found="no switch", expected="switch, or only_switches")
    wanted = declared(params, os.uname().nodename) if switch is not None else {}
    if switch is None and params["ports"]:
        raise PtnetError("the ports have no switch", found="no switch", expected="switch: the one that they are on")
    kept = [names.switch(name) for name in [switch] * (switch is not None) + list(only or [])]
    system = system or platform()
    device = device or open_device(system)
    if check_mode and not system.loaded():
        # A play in check mode did not load netmap; the real one would have, with nothing attached yet.
        return _Run(params, system, open_record(), Unloaded, True).result(switch, wanted, kept, keep)
    absent = switch is None or params["state"] == "absent"
    with device.changing("vale_port %s" % (switch or "of no switch"), absent=absent) as changes:
        return _Run(params, system, open_record(), changes, check_mode).result(switch, wanted, kept, keep)


def open_device(system):
    """The device as the ports need it (ChangeableDevice)."""
    return ChangeableDevice(system.driver_of, polling_limits=lambda name: system.links().polling_limits(name),
                            frame_limits=lambda name: frame_limits(system, name))


def frame_limits(system, name):
    """The MTU of an interface, and the size of the buffers that it would get, bytes (ints)."""
    default = parameters.PARAMETERS["buf_size"].default
    return system.mtu_of(name), (system.parameters() or {}).get("buf_size", default)


class _Run:
    """One run of the module, on the machine as it is now."""

    def __init__(self, params, system, record, changes, check_mode):
        self.params, self.system, self.record, self.changes = params, system, record, changes
        self.check_mode = check_mode
        self.entries = changes.entries()
        self.drivers = {}
        self.awaited = set()
        self.change = Change()

    def result(self, switch, wanted, kept, keep):
        """Decide for every switch first, then act; returns what the module returns (dict)."""
        recorded, first = self.record.lines(), list(self.entries)
        jobs = []
        if self.params.get("only_switches") is not None:
            for other in sorted(set(self.record.attached) - set(kept)):
                jobs.append(self._job(other, {}, dict(self.params, state="absent", purge=True), "ports of " + other))
        if switch is not None:
            jobs.append(self._job(switch, wanted, self.params, "ports"))
        planned = copy.deepcopy(self.record)
        saved = [planned.put(job["switch"], job["ports"]) for job in jobs]
        # Before the ports: systemd is busy with new interfaces for a while.
        warnings = keep(self.change, recorded, planned, self.system, self.check_mode) if keep else []
        if not self.check_mode and any(job["actions"] for job in jobs):
            try:
                self._perform(jobs)
            except PtnetError:
                if keep:
                    keep(Change(), planned.lines(), self.record, self.system, False)
                raise
        saved += [self.record.put(job["switch"], job["ports"]) for job in jobs]
        if any(saved) and not self.check_mode:
            self.record.save()
        result = self.change.result()
        if switch is not None:
            final = jobs[-1]["after"] if self.check_mode else present(switch, self.changes.entries())
            result.update(switch=switch, ports=self._described(final, jobs[-1]))
        warnings += ["%s is stuck: it was opened or queried while attached; only a reboot frees it" % entry.name
                     for entry in first if entry.stuck]
        if self.awaited:
            warnings.append("predicted as if netmap.ptnet.netmap_pipe had made %s" % ", ".join(sorted(self.awaited)))
        if self.changes is Unloaded and self.check_mode:
            warnings.append("netmap is not loaded: predicted as if it were, with no port on any switch")
        return dict(result, warnings=warnings) if warnings else result

    def _job(self, switch, wanted, params, label):
        """What to do on one switch; the prediction of what it leaves behind is what the next one sees (dict)."""
        known = {name: dict(port) for name, port in self.record.attached.get(switch, {}).items()}
        if self.params.get("restoring"):
            for name in set(known) & set(wanted):
                known[name]["rebooted"] = True
        seen = self._look(switch, wanted, known)
        actions = decide(switch, wanted, params["state"], params["purge"], seen)
        before, after = lines(switch, wanted, seen), present(switch, seen.entries)
        gone = {action.port for action in actions if action.verb in (DETACH, DELETE, UNLINK)}
        shown = {name: text for name, text in before.items() if name not in gone}
        for action in actions:
            if action.verb == DETACH:
                del after[action.port]
            elif action.verb == ATTACH:
                after[action.port] = wanted[action.port]["host_stack"]
            elif action.verb in (DELETE, UNLINK):
                self.drivers[action.port] = None
                self.drivers[seen.pairs.get(action.port, {}).get("peer")] = None
        if params["state"] == "present":
            shown.update((name, described(name, wanted[name])) for name in wanted)
        self.change.note(label, [before[name] for name in sorted(before)], [shown[name] for name in sorted(shown)])
        self.entries = [entry for entry in self.entries if entry.switch != switch or entry.port not in gone]
        ports = remembered(wanted, params, actions, known)
        return {"switch": switch, "wanted": wanted, "actions": actions, "after": after, "known": known,
                "ports": ports}

    def _look(self, switch, wanted, known):
        system, now = self.system, present(switch, self.entries)
        ends = {port["peer"] for port in list(wanted.values()) + list(known.values()) if port.get("peer")}
        regions = {port["memory"] for port in wanted.values() if port.get("memory") not in (None, PRIVATE, GLOBAL)}
        for name in set(wanted) | set(known) | {entry.port for entry in self.entries} | ends | regions:
            if name not in self.drivers:
                driver = system.driver_of(name)
                # Without netmap an interface that looks like a port of ours is somebody else's.
                self.drivers[name] = None if driver == "" and self.changes is Unloaded else driver
        pairs, limits, driver = {}, {}, None
        if ends or any(port.get("polling") for port in wanted.values()):
            links = system.links()
            driver = links.PAIR
            pairs = {name: links.pair(name) for name in set(wanted) | set(known) if self.drivers[name] == driver and (
                wanted.get(name, {}).get("kind") == VETH or known.get(name, {}).get("made"))}
            limits = {name: links.polling_limits(name) for name in wanted if wanted[name].get("polling")}
            # A pair that is made here has one ring in each direction.
            limits.update((name, (limits[name][0], 1, 1)) for name in limits if self.drivers[name] is None)
        parents = set(self.record.parents)
        if self.check_mode and self.changes is Unloaded:
            # netmap_pipe, which comes before, could make nothing.
            self.awaited |= {name for name in regions - set(wanted) if self.drivers[name] is None}
            parents |= self.awaited
            self.drivers.update(dict.fromkeys(self.awaited, ""))
        headers = {name: self.changes.header_length("%s:%s" % (switch, name)) or 0
                   for name in sorted(now) if self.changes is not Unloaded and self.drivers[name] and (
                       wanted.get(name, {}).get("vnet_header_length") or
                       known.get(name, {}).get("vnet_header_length"))}
        # Without netmap nobody knows how large its buffers will be; netmap_module decides that when it loads.
        frames = {name: frame_limits(system, name) for name in wanted
                  if self.drivers[name] and self.changes is not Unloaded}
        now_set = system.parameters() or {}
        places = {}
        for entry in self.entries:
            places.setdefault(entry.port, []).append(entry)
        return Seen(self.entries, places, self.drivers, known, parents,
                    {} if self.params["allow_management"] else system.management(),
                    now_set.get("max_bridges", parameters.PARAMETERS["max_bridges"].default), headers, pairs, limits,
                    now_set, driver, frames)

    # Acting

    def _perform(self, jobs):
        """Carry it out; a refusal counts only if the effect is not there afterwards.

        :raises PtnetError: what the kernel refused, with what was done before it (``done``)
        """
        # Said before the first change, so that a run that ends anywhere leaves nothing unknown.
        for job in jobs:
            touched = {action.port for action in job["actions"]}
            there = self.record.attached.setdefault(job["switch"], {})
            for name in touched:
                known, target = job["known"].get(name), job["ports"].get(name)
                if known and known["kind"] == PERSISTENT and not known.get("held"):
                    self.changes.vouch(job["switch"], name)
                if known or target:
                    there[name] = intended(known, target)
        self.record.save()
        done = []
        for job in jobs:
            for action, error in self._tried(job):
                if error and not self._reached(job, action):
                    self._settle(jobs)
                    error.facts["done"] = done
                    raise error
                done.append("%s %s:%s" % (action.verb, job["switch"], action.port))
        self.changes.forget()
        for job in jobs:
            self._verify(job)

    def _tried(self, job):
        """Do the actions in their order; yields each with the refusal (PtnetError), or None."""
        for verb, group in itertools.groupby(job["actions"], key=lambda action: action.verb):
            actions = list(group)
            if verb == DELETE:
                failed = self.changes.delif_all([action.port for action in actions])
                # What was done is known before the first failure ends the run.
                yield from sorted(((action, failed.get(action.port)) for action in actions),
                                  key=lambda pair: pair[1] is not None)
                continue
            for action in actions:
                try:
                    self._do(job, action)
                except PtnetError as error:
                    yield action, error
                else:
                    yield action, None

    def _do(self, job, action):
        switch, name, changes = job["switch"], action.port, self.changes
        port, known = job["wanted"].get(name, {}), job["known"].get(name, {})
        if action.verb == STOP:
            changes.stop_polling(switch, name)
        elif action.verb == DETACH:
            self._detach(switch, name)
        elif action.verb == UNLINK:
            changes.unlink(name, lambda: self.system.links().remove(name))
        elif action.verb == LINK:
            self.system.links().make(name, port["peer"], port["mac"])
        elif action.verb == RAISE:
            self.system.links().raise_ends(name, port["peer"])
        elif action.verb == CREATE:
            self._create(name, port)
        elif action.verb == ATTACH:
            changes.attach(switch, name, port["host_stack"])
        elif action.verb == HEADER:
            changes.set_header_length(switch, name, port["vnet_header_length"])
        elif action.verb == POLL:
            self._poll(switch, name, port["polling"], known)

    def _detach(self, switch, name):
        try:
            self.changes.detach(switch, name)
        except PtnetError:
            # Polling that nobody recorded also answers EBUSY (netmap_bdg_detach_locked in netmap_bdg.c).
            if not (self.system.driver_of(name) and name in present(switch, self.changes.entries())
                    and self.changes.stop_polling(switch, name)):
                raise
            self.changes.detach(switch, name)

    def _create(self, name, port):
        region = 0
        if port["memory"] != PRIVATE:
            region = _GLOBAL_REGION if port["memory"] == GLOBAL else self.changes.info(port["memory"])["mem_id"]
            self.changes.region(region)
        shape = {key: port[key] for key in SHAPE}
        granted = self.changes.newif(name, mem_id=region, **shape)
        if {key: granted[key] for key in SHAPE} != shape:
            raise PtnetError("netmap made %s with another shape" % name, found=granted, expected=shape,
                             remedy="declare numbers that netmap grants")

    def _poll(self, switch, name, polling, known):
        try:
            self.changes.poll(switch, name, **polling)
        except PtnetError as error:
            if isinstance(error, ForbiddenRequest) or known.get("polling") or not self.changes.stop_polling(
                    switch, name):
                raise
            # Somebody else's polling is replaced by the declared one.
            self.changes.poll(switch, name, **polling)

    def _reached(self, job, action):
        """Whether a refused action has its effect all the same (bool)."""
        self.changes.forget()
        now, port = present(job["switch"], self.changes.entries()), job["wanted"].get(action.port, {})
        if action.verb == ATTACH and port["kind"] == PERSISTENT:
            if action.port in now:
                # A program opened it in the instant since it was made; see the row in forbidden.py.
                job["ports"][action.port]["held"] = True
            return False
        if action.verb == ATTACH:
            return now.get(action.port) == port["host_stack"]
        if action.verb == DETACH:
            return action.port not in now
        if action.verb in (DELETE, UNLINK):
            return self.system.driver_of(action.port) is None
        return False

    def _settle(self, jobs):
        """After a failure the record says what there is, and what is tried again at the next run."""
        self.changes.forget()
        entries = self.changes.entries()
        for job in jobs:
            now, ports = present(job["switch"], entries), dict(job["known"])
            for name in {action.port for action in job["actions"]}:
                known, target = job["known"].get(name), job["ports"].get(name)
                if not (known or target):
                    continue
                both = intended(known, target)
                ours = both["kind"] == PERSISTENT or both.get("made")
                there = name in now or (ours and self.system.driver_of(name) is not None)
                ports.pop(name, None)
                if target and there:
                    ports[name] = dict(both, held=True) if target.get("held") else both
                elif known and (target or there):
                    # What was recorded before is tried again at the next boot.
                    ports[name] = dict(known, unfinished=True)
            self.record.put(job["switch"], ports)
        self.record.save()

    def _verify(self, job):
        now = present(job["switch"], self.changes.entries())
        for action in job["actions"]:
            if now.get(action.port) != job["after"].get(action.port):
                raise PtnetError("%s:%s is not as it should be afterwards" % (job["switch"], action.port),
                                 found="host_stack=%s" % now[action.port] if action.port in now
                                 else "not on the switch",
                                 remedy="look for another program that changes netmap ports, then run again")

    def _described(self, ports, job):
        """The ports as the module returns them (list of dict)."""
        return [dict({key: job["ports"][name][key] for key in ("peer", "memory", "polling", "vnet_header_length")
                      if name in job["ports"] and key in job["ports"][name]},
                     name=name, host_stack=ports[name], kind=self._kind(name, job)) for name in sorted(ports)]

    def _kind(self, name, job):
        driver = self.drivers.get(name)
        if job["ports"].get(name, {}).get("kind") == PERSISTENT or driver == "":
            return "persistent"
        ours = name in job["known"] or name in job["ports"]
        return "ephemeral" if driver is None and not ours else "attached"
