# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The NICs on a VALE switch: desired against present. Private to netmap.ptnet."""

from __future__ import annotations

from collections import namedtuple

from ..change import Change
from ..errors import PtnetError
from ..kernel.modules import platform
from . import names, parameters
from .changes import SWITCH_PORTS_MAX, ChangeableDevice, Unloaded
from .record import Record

ATTACH = "attach"
DETACH = "detach"

Action = namedtuple("Action", "verb port host_stack")

# What a decision looks at: entries of all switches, driver by interface (None: no such interface), NICs that we
# attached to this switch, interface -> why it must not be cut, and the limit of switches.
Seen = namedtuple("Seen", "entries drivers ours management max_bridges")


def act(params, check_mode, system=None, device=None, open_record=Record, keep=None):
    """Make the NICs on one switch as declared (dict): the face of ``vale_port``.

    :param params: ``switch``, ``ports``, ``state``, ``purge``, ``allow_management`` (dict)
    :param keep: makes what is recorded come back after a reboot, :func:`boot_service.keep`; None while restoring
    :raises PtnetError: bad names, a port that must not be touched, or what the kernel refused
    """
    switch = names.switch(params["switch"])
    wanted = declared(params)
    system = system or platform()
    device = device or ChangeableDevice(system.driver_of)
    if not check_mode:
        with device.changing("vale_port %s" % switch, absent=params["state"] == "absent") as changes:
            return _run(params, switch, wanted, system, open_record(), changes, changes, keep)
    # A play in check mode did not load netmap; the real one would have, with nothing attached yet.
    reader = device if system.loaded() else Unloaded
    return _run(params, switch, wanted, system, open_record(), reader, None, keep)


def _run(params, switch, wanted, system, record, reader, changes, keep):
    known, recorded = record.attached.get(switch, {}), record.lines()
    ours = {name for name in known if known[name]["ours"]}
    entries = reader.entries()
    relevant = set(wanted) | ours | {entry.port for entry in entries}
    seen = Seen(entries, {name: system.driver_of(name) for name in relevant}, ours,
                {} if params["allow_management"] else system.management(),
                (system.parameters() or {}).get("max_bridges", parameters.PARAMETERS["max_bridges"].default))
    actions = decide(switch, wanted, params["state"], params["purge"], seen)
    before = present(switch, entries)
    after = predicted(before, actions)
    change = Change()
    change.note("ports", _lines(before), _lines(after))
    nics = remembered(known, wanted, params, actions)
    if changes is not None and actions:
        perform(switch, actions, changes, record, nics)
        changes.forget()
        _verify(switch, actions, present(switch, changes.entries()))
    if record.put(switch, nics) and changes is not None:
        record.save()
    warnings = keep(change, recorded, record, system, changes is None) if keep else []
    final = present(switch, changes.entries()) if changes is not None else after
    result = dict(change.result(), switch=switch, ports=described(final, seen))
    warnings += ["%s is stuck: it was opened or queried while attached; only a reboot frees it" % entry.name
                 for entry in entries if entry.stuck]
    if reader is Unloaded and changes is None:
        warnings.append("netmap is not loaded: predicted as if it were, with no port on any switch")
    return dict(result, warnings=warnings) if warnings else result


def declared(params):
    """The declared ports: name to whether the host stack is attached too (dict). Pure.

    :raises PtnetError: a bad name, a name twice, or nothing to do
    """
    wanted = {}
    for port in params["ports"] or []:
        name = names.interface(port["name"], "the port name")
        if name in wanted:
            raise PtnetError("a port is declared twice", found=name, expected="each port once")
        wanted[name] = bool(port.get("host_stack"))
    if not wanted and not params["purge"]:
        raise PtnetError("there is nothing to do", found="no ports", expected="ports, or purge",
                         remedy="set purge to take off every NIC that this collection attached to the switch")
    return wanted


def present(switch, entries):
    """The ports of one switch: name to whether the host stack is attached too (dict). Pure."""
    ports = {entry.port: False for entry in entries if entry.switch == switch and not entry.host_stack
             and not entry.stuck}
    for entry in entries:
        if entry.switch == switch and entry.host_stack:
            ports[entry.port] = True
    return ports


def predicted(before, actions):
    """The ports after the actions (dict). Pure."""
    after = dict(before)
    for action in actions:
        if action.verb == DETACH:
            after.pop(action.port, None)
        else:
            after[action.port] = action.host_stack
    return after


def decide(switch, wanted, state, purge, seen):
    """What to do, in order: first detach, then attach (list of Action). Pure.

    :param wanted: name to host stack, from :func:`declared` (dict)
    :param state: ``present`` or ``absent`` (str)
    :param purge: detach what we attached to this switch and nobody declared (bool)
    :param seen: the machine (Seen)
    :raises PtnetError: anything that must not or cannot be done; nothing has changed then
    """
    now = present(switch, seen.entries)
    leave = set()
    for name in sorted(wanted):
        _refuse_stuck(name, seen)
        if state == "absent":
            if name in now:
                leave.add(name)
        else:
            _refuse_unattachable(switch, name, now, seen)
            if name in now and now[name] != wanted[name]:
                leave.add(name)
    if purge:
        leave |= {name for name in seen.ours if name in now and (name not in wanted or state == "absent")}
    enter = [name for name in sorted(wanted) if state == "present" and (name not in now or name in leave)]
    for name in sorted(leave):
        _refuse_undetachable(switch, name, seen)
    for name in sorted(leave | set(enter)):
        if name in seen.management:
            raise PtnetError(
                "%s is left alone" % name, found="it carries %s" % seen.management[name],
                expected="an interface whose loss does not cut this host off",
                remedy="choose another NIC, or set allow_management when there is another way in")
    _refuse_overfull(switch, wanted, leave, enter, seen)
    return [Action(DETACH, name, now[name]) for name in sorted(leave)] + [
        Action(ATTACH, name, wanted[name]) for name in enter]


def _refuse_stuck(name, seen):
    if any(entry.stuck and entry.port == name for entry in seen.entries):
        raise PtnetError("%s is stuck on a switch" % name, found="the kernel lists it without its switch, because "
                         "it was opened or queried while attached", remedy="reboot the host, nothing else frees it")


def _refuse_unattachable(switch, name, now, seen):
    elsewhere = [entry.name for entry in seen.entries
                 if entry.port == name and entry.switch != switch and seen.drivers.get(name) is not None]
    if elsewhere:
        raise PtnetError("%s cannot be attached to %s" % (name, switch), found="it is attached as %s" % elsewhere[0],
                         expected="one switch for each NIC", remedy="declare it absent there first")
    driver = seen.drivers.get(name)
    if driver == "":
        raise PtnetError(
            "%s is a persistent netmap port and is never attached to a switch" % name,
            found="an interface without a driver", expected="a NIC or one end of a veth pair",
            remedy="VMs open ephemeral ports such as %s:%s by themselves, persistent ports serve as pipe parents "
                   "(netmap.ptnet.netmap_pipe); for a host leg attach one end of a veth pair" % (switch, name))
    if driver is None:
        if name in now:
            raise PtnetError("%s:%s is not an attached NIC" % (switch, name),
                             found="a port that a VM or a program opened",
                             expected="a NIC or one end of a veth pair",
                             remedy="leave it out: VM ports come and go with their VM")
        raise PtnetError("%s cannot be attached to %s" % (name, switch), found="no interface of this name",
                         expected="a NIC or one end of a veth pair that exists")


def _refuse_undetachable(switch, name, seen):
    driver = seen.drivers.get(name)
    if driver == "":
        raise PtnetError("%s:%s cannot be detached safely" % (switch, name), found="a persistent netmap port that "
                         "somebody attached", remedy="stop the VMs and reboot the host")
    if driver is None and name not in seen.ours:
        raise PtnetError("%s:%s cannot be detached" % (switch, name),
                         found="a port that a VM or a program opened", remedy="stop the VM or the program")


def _refuse_overfull(switch, wanted, leave, enter, seen):
    bridges = {entry.bridge for entry in seen.entries}
    known = any(entry.switch == switch for entry in seen.entries)
    if enter and not known and len(bridges) >= seen.max_bridges:
        raise PtnetError("the switch %s cannot be made" % switch, found="%d switches exist" % len(bridges),
                         expected="at most max_bridges = %d" % seen.max_bridges,
                         remedy="set max_bridges to %d with netmap_module and allow the reload" % (len(bridges) + 1))
    used = sum(1 for entry in seen.entries if entry.switch == switch and entry.port not in leave)
    for name in enter:
        if used >= SWITCH_PORTS_MAX:
            raise PtnetError("the switch %s has no room for %s" % (switch, name), found="%d entries" % used,
                             expected="at most %d; a host-stack leg is an entry of its own" % SWITCH_PORTS_MAX,
                             remedy="use a second switch")
        used += 2 if wanted[name] else 1


def remembered(known, wanted, params, actions):
    """What the record says of this switch once the actions are done: NIC to its properties (dict). Pure.

    :param known: what it says now (dict)
    :param wanted: name to host stack, from :func:`declared` (dict)
    :param params: ``state``, ``purge``, ``allow_management`` (dict)
    """
    if params["state"] == "absent":
        return {} if params["purge"] else {name: known[name] for name in known if name not in wanted}
    nics = {} if params["purge"] else dict(known)
    attached = {action.port for action in actions if action.verb == ATTACH}
    for name in wanted:
        nics[name] = {"host_stack": wanted[name], "allow_management": bool(params["allow_management"]),
                      "ours": name in attached or (name in known and known[name]["ours"])}
    return nics


def perform(switch, actions, changes, record, nics):
    """Carry out the actions; a refusal counts only if the effect is not there afterwards.

    :param nics: what the record shall say of them, from :func:`remembered` (dict)
    :raises PtnetError: what the kernel refused, with what was done before it (``done``)
    """
    ours = record.attached.setdefault(switch, {})
    done = []
    for action in actions:
        earlier = ours.get(action.port)
        if action.verb == ATTACH:
            ours[action.port] = nics[action.port]
            record.save()
        try:
            if action.verb == ATTACH:
                changes.attach(switch, action.port, action.host_stack)
            else:
                changes.detach(switch, action.port)
        except PtnetError as error:
            changes.forget()
            now = present(switch, changes.entries())
            reached = now.get(action.port) == (action.host_stack if action.verb == ATTACH else None)
            if not reached:
                if action.verb == ATTACH and action.port not in now:
                    # What was recorded before is tried again at the next boot.
                    ours.pop(action.port)
                    ours.update({action.port: earlier} if earlier else {})
                    record.save()
                error.facts["done"] = ["%s %s:%s" % (one.verb, switch, one.port) for one in done]
                raise
        if action.verb == DETACH and ours.pop(action.port, None) is not None:
            record.save()
        done.append(action)


def _verify(switch, actions, now):
    expected = predicted({}, actions)
    for action in actions:
        if now.get(action.port) != expected.get(action.port):
            raise PtnetError("%s:%s is not as it should be afterwards" % (switch, action.port),
                             found="host_stack=%s" % now[action.port] if action.port in now else "not on the switch",
                             remedy="look for another program that changes netmap ports, then run again")


def described(ports, seen):
    """The ports as the module returns them (list of dict). Pure."""
    return [{"name": name, "host_stack": ports[name],
             "kind": "ephemeral" if seen.drivers.get(name) is None and name not in seen.ours else "attached"}
            for name in sorted(ports)]


def _lines(ports):
    return ["%s%s" % (name, " with host stack" if ports[name] else "") for name in sorted(ports)]
