# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ports of one switch: from desired and present to what to do, in order. Pure. Private to netmap.ptnet."""

from __future__ import annotations

from collections import namedtuple

from ..errors import PtnetError
from . import abi, guard, parameters
from .changes import SWITCH_PORTS_MAX
from .forbidden import ForbiddenRequest, refuse_frames, refuse_polling
from .port_options import GLOBAL, NIC, PERSISTENT, PRIVATE, SETTINGS, SHAPE, VETH
from .record import described

STOP, DETACH, DELETE, UNLINK = "stop polling", "detach", "delete", "remove the pair of"
LINK, RAISE, CREATE, ATTACH = "make the pair of", "bring up", "create", "attach"
HEADER, POLL = "set the header of", "poll"

Action = namedtuple("Action", "verb port")

# What a decision looks at: entries of all switches, the same by port, driver by interface (None: no such interface),
# what the record says of this switch, pipe parents of ours, interface -> why it must not be cut, the limit of
# switches, header length of attached NICs, pairs (``peer``, ``up``), limits of polling, parameters, driver of pairs,
# MTU and buffer size of those NICs that exist.
Seen = namedtuple("Seen", "entries places drivers known parents management max_bridges headers pairs limits parameters "
                          "pair frames")


def present(switch, entries):
    """The ports of one switch: name to whether the host stack is attached too (dict)."""
    ports = {entry.port: False for entry in entries if entry.switch == switch and not entry.host_stack
             and not entry.stuck}
    for entry in entries:
        if entry.switch == switch and entry.host_stack:
            ports[entry.port] = True
    return ports


def lines(switch, wanted, seen):
    """The ports before and after, for a diff: name to words (dict), for what is there now."""
    now, found = present(switch, seen.entries), {}
    for name in sorted(set(now) | {name for name in seen.known if _left_over(name, seen)}):
        known = seen.known.get(name, {})
        port = dict({key: known[key] for key in ("kind",) + SETTINGS if key in known}, host_stack=now.get(name, False))
        if name in seen.headers:
            port["vnet_header_length"] = seen.headers[name]
        found[name] = described(name, port)
        if name not in now:
            found[name] += " (left over)"
        elif _polling_unknown(name, wanted.get(name, {}), seen) or (name in wanted and known.get("unfinished") and (
                known["kind"] == PERSISTENT or known.get("made"))):
            found[name] += " (unfinished)"
        elif known.get("kind") == VETH and name in wanted and not seen.pairs.get(name, {}).get("up", True):
            found[name] += " (down)"
    return found


def decide(switch, wanted, state, purge, seen):
    """What to do, in order: first all that goes, then all that comes (list of Action).

    :param wanted: from :func:`port_options.declared` (dict)
    :param state: ``present`` or ``absent`` (str)
    :param purge: take off what we put on this switch and nobody declared (bool)
    :raises PtnetError: anything that must not or cannot be done; nothing has changed then
    """
    now, stay = present(switch, seen.entries), state == "present"
    leave = set()
    for name in sorted(wanted):
        _refuse_stuck(name, seen)
        if not stay:
            leave |= {name} if name in now or _left_over(name, seen) else set()
            continue
        _refuse_unattachable(switch, name, wanted[name], seen)
        if _must_renew(name, wanted[name], now, seen):
            leave.add(name)
    if purge:
        leave |= {name for name, known in seen.known.items() if known["ours"] and not (stay and name in wanted)
                  and (name in now or _left_over(name, seen))}
    enter = [name for name in sorted(wanted) if stay and (name not in now or name in leave)]
    going = [action for name in sorted(leave) for action in _leaving(name, wanted if stay else {}, now, seen)]
    # Off the switch first: then all that is deleted is deleted at once.
    going.sort(key=lambda action: {DELETE: 1, UNLINK: 2}.get(action.verb, 0))
    coming = [action for name in enter for action in _entering(name, wanted[name], going, seen)]
    adjust = [action for name in sorted(wanted) if stay and name in now and name not in leave
              for action in _adjusting(name, wanted[name], seen)]
    _refuse_undetachable(switch, leave & set(now), seen)
    _refuse_cutting_off(leave, enter, going, seen)
    for action in coming + adjust:
        if action.verb == POLL:
            _refuse_polling(action.port, wanted[action.port]["polling"], seen)
    _refuse_overfull(switch, wanted, leave, enter, seen)
    return going + adjust + coming


def remembered(wanted, params, actions, known):
    """What the record says of this switch once the actions are done: port to its properties (dict).

    :param params: ``state``, ``purge``, ``allow_management`` (dict)
    """
    if params["state"] == "absent":
        return {} if params["purge"] else {name: known[name] for name in known if name not in wanted}
    ports = {} if params["purge"] else dict(known)
    attached = {action.port for action in actions if action.verb == ATTACH}
    linked = {action.port for action in actions if action.verb == LINK}
    for name in wanted:
        before = known.get(name, {})
        ports[name] = dict(wanted[name], allow_management=bool(params["allow_management"]),
                           ours=name in attached or before.get("ours", False))
        if name in linked or (before.get("made") and wanted[name]["kind"] == VETH):
            ports[name]["made"] = True
        if before.get("held") and name not in attached:
            ports[name]["held"] = True
    return ports


def intended(known, target):
    """What the record says of a port while it is changed, so that it is true wherever the run ends (dict).

    What there was stays, what may be there already is added; ``unfinished`` has the rest found out.

    :param known: what it said before, None for nothing (dict)
    :param target: what it shall say, None for nothing (dict)
    """
    both = dict(target or {}, **(known or {}))
    states = [one for one in (known, target) if one]
    if any(one["kind"] == PERSISTENT for one in states):
        both["kind"] = PERSISTENT
    both["ours"] = any(one["ours"] for one in states)
    return dict(both, unfinished=True)


def _left_over(name, seen):
    """Whether we made the interface and it is on no switch: a run was interrupted."""
    known = seen.known.get(name)
    if not known or not known["ours"] or seen.places.get(name):
        return False
    return (known["kind"] == PERSISTENT and seen.drivers.get(name) == "") or (
        bool(known.get("made")) and seen.drivers.get(name) == seen.pair)


def _polling_unknown(name, wanted, seen):
    known = seen.known.get(name, {})
    return bool((known.get("unfinished") or known.get("rebooted")) and (known.get("polling") or wanted.get("polling")))


def _must_renew(name, wanted, now, seen):
    known, kind = seen.known.get(name, {}), wanted["kind"]
    if kind == PERSISTENT and (name in now or _left_over(name, seen)):
        return name not in now or bool(known.get("unfinished")) or any(
            known.get(key) != wanted[key] for key in SHAPE + ("memory",))
    if kind == VETH and _other_pair(wanted, known) and seen.drivers.get(name) == seen.pair:
        return True
    return name in now and (now[name] != wanted["host_stack"] or (
        # Set back to 0, the frame size that came with the header would stay (PORT_HDR_SET in netmap.c).
        seen.headers.get(name, 0) != 0 and not wanted.get("vnet_header_length")))


def _other_pair(wanted, known):
    return bool(known.get("made")) and (bool(known.get("unfinished")) or any(
        known.get(key) != wanted.get(key) for key in ("peer", "mac")))


def _leaving(name, wanted, now, seen):
    known, listed = seen.known.get(name, {}), name in now
    if listed and seen.drivers.get(name) and (known.get("polling") or _polling_unknown(name, {}, seen)):
        yield Action(STOP, name)
    if listed:
        yield Action(DETACH, name)
    if known.get("ours") and known["kind"] == PERSISTENT and seen.drivers.get(name) == "":
        yield Action(DELETE, name)
    if known.get("made") and seen.drivers.get(name) == seen.pair and (
            name not in wanted or wanted[name]["kind"] != VETH or _other_pair(wanted[name], known)):
        yield Action(UNLINK, name)


def _entering(name, port, going, seen):
    gone = seen.drivers.get(name) is None or Action(UNLINK, name) in going
    if port["kind"] == VETH and gone:
        yield Action(LINK, name)
    if port["kind"] == VETH and (gone or not seen.pairs[name]["up"]):
        yield Action(RAISE, name)
    if port["kind"] == PERSISTENT:
        yield Action(CREATE, name)
    yield Action(ATTACH, name)
    if port.get("vnet_header_length"):
        yield Action(HEADER, name)
    if port.get("polling"):
        yield Action(POLL, name)


def _adjusting(name, port, seen):
    known, length = seen.known.get(name, {}), port.get("vnet_header_length", 0)
    if port["kind"] == VETH and not seen.pairs[name]["up"]:
        yield Action(RAISE, name)
    if length and length != seen.headers.get(name, 0):
        yield Action(HEADER, name)
    if known.get("polling") != port.get("polling") or _polling_unknown(name, port, seen):
        if known.get("polling") or _polling_unknown(name, port, seen):
            yield Action(STOP, name)
        if port.get("polling"):
            yield Action(POLL, name)


def _refuse_stuck(name, seen):
    if any(entry.stuck for entry in seen.places.get(name, ())):
        raise ForbiddenRequest("renamed", "%s is stuck on a switch" % name)


def _refuse_unattachable(switch, name, port, seen):
    elsewhere = [entry.name for entry in seen.places.get(name, ())
                 if entry.switch != switch and seen.drivers.get(name) is not None]
    if elsewhere:
        raise PtnetError("%s cannot be attached to %s" % (name, switch), found="it is attached as %s" % elsewhere[0],
                         expected="one switch for each port", remedy="declare it absent there first")
    # An interface of this name would look like the port, here or on another switch.
    if seen.drivers.get(name) is None and seen.places.get(name):
        raise PtnetError("%s is not an attached NIC" % seen.places[name][0].name,
                         found="a port that a VM or a program opened", expected="a port that was attached",
                         remedy="leave it out: VM ports come and go with their VM")
    _REFUSE[port["kind"]](switch, name, port, seen)
    if name in seen.frames and not seen.places.get(name):
        refuse_frames("%s cannot be attached" % name, *seen.frames[name])


def _refuse_nic(switch, name, _port, seen):
    driver = seen.drivers.get(name)
    if driver == "":
        raise PtnetError(
            "%s is a persistent netmap port" % name, found="an interface without a driver",
            expected="a NIC or one end of a veth pair",
            remedy="VMs open ephemeral ports such as %s:%s by themselves, pipe parents (netmap.ptnet.netmap_pipe) are "
                   "never attached; for a host leg attach one end of a veth pair" % (switch, name))
    if driver is None:
        raise PtnetError("%s cannot be attached to %s" % (name, switch), found="no interface of this name",
                         expected="a NIC or one end of a veth pair that exists, or kind=veth to make one")


def _refuse_veth(switch, name, port, seen):
    driver, known = seen.drivers.get(name), seen.known.get(name, {})
    if driver not in (None, seen.pair):
        raise PtnetError("%s cannot be one end of a pair" % name, found="an interface with the driver %s"
                         % (driver or "of netmap"), expected="a %s, or no interface" % seen.pair)
    peer = seen.pairs.get(name, {}).get("peer")
    if driver == seen.pair and peer not in (None, port["peer"]) and not (
            _other_pair(port, known)):
        raise PtnetError("%s has another peer" % name, found=peer, expected=port["peer"],
                         remedy="name the peer that it has, or delete the pair")
    if driver is None and seen.drivers.get(port["peer"]) is not None:
        raise PtnetError("the peer of %s cannot be made" % name, found="an interface %s exists" % port["peer"],
                         expected="a name that no interface has")
    if seen.places.get(port["peer"]) and seen.drivers.get(port["peer"]) is not None:
        raise PtnetError("the peer of %s is on a switch itself" % name, found=port["peer"],
                         expected="an end that stays with the host", remedy="detach it, %s carries it" % switch)


def _refuse_persistent(switch, name, port, seen):
    driver, known = seen.drivers.get(name), seen.known.get(name, {})
    if name in seen.parents:
        raise PtnetError("%s is a pipe parent" % name, found="one that netmap_pipe made", expected="another name: a "
                         "parent on a switch can neither be opened nor queried")
    if driver:
        raise PtnetError("%s cannot be a persistent port" % name, found="an interface with the driver %s" % driver,
                         expected="a name that no interface has")
    if driver == "" and not (known.get("ours") and known.get("kind") == PERSISTENT):
        raise PtnetError("the persistent port %s was not made for %s" % (name, switch), found="one that others made "
                         "and may have open", expected="a name that no interface has", remedy="delete it (vale-ctl -r "
                         "%s), or declare it absent where it was made" % name)
    parameters.private_region(seen.parameters, **{key: port[key] for key in SHAPE})
    memory = port["memory"]
    if memory not in (PRIVATE, GLOBAL) and not (memory in seen.parents and seen.drivers.get(memory) == ""):
        raise PtnetError("the memory of %s is not there" % name, found=memory, expected="%s, %s, or a pipe parent that "
                         "netmap_pipe made" % (PRIVATE, GLOBAL))


_REFUSE = {NIC: _refuse_nic, VETH: _refuse_veth, PERSISTENT: _refuse_persistent}


def _refuse_undetachable(switch, leave, seen):
    for name in sorted(leave):
        known, driver = seen.known.get(name, {}), seen.drivers.get(name)
        if driver == "" and (known.get("held") or not (known.get("ours") and known["kind"] == PERSISTENT)):
            raise ForbiddenRequest("detach-unproven", "%s:%s cannot be detached safely" % (switch, name),
                                   found="a persistent netmap port that %s" % (
                                       "a program had open" if known.get("held") else "somebody attached"))
        if driver is None and not known.get("ours"):
            raise PtnetError("%s:%s cannot be detached" % (switch, name),
                             found="a port that a VM or a program opened", remedy="stop the VM or the program")


def _refuse_cutting_off(leave, enter, going, seen):
    peers = {seen.pairs[action.port]["peer"] for action in going if action.verb == UNLINK}
    for name in sorted(leave | set(enter) | (peers - {None})):
        guard.refuse("%s is left alone" % name, name, seen.management, "ports_allow_management")
    for name in sorted(leave):
        other = seen.drivers.get(name) and guard.beside(name, seen.management, seen.entries)
        if other:
            guard.refuse("%s is left alone" % name, other, seen.management, "ports_allow_management",
                         label="%s on the same switch" % other)


def _refuse_polling(name, polling, seen):
    online, receive, transmit = seen.limits[name]
    refuse_polling("%s cannot be polled" % name, polling["first_cpu"], polling["cpus"],
                   abi.POLLING_MULTI if polling["mode"] == "multi" else abi.POLLING_SINGLE, online, receive, transmit)


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
        used += 2 if wanted[name]["host_stack"] else 1
