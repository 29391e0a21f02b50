# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the interfaces that carry a machine's management from being taken away. Pure. Private to netmap.ptnet.

Which those are tells ``system.management()``; here it is decided who would take one. All that can do so asks here:
programs and services that open ports, what is attached to switches, and drivers that are loaded again.
"""

from __future__ import annotations

from ..errors import PtnetError
from . import libnetmap, names


def taken(port):
    """The interface that the kernel loses to a program that opens a port (str), None where it loses none.

    REGISTER switches the whole interface over, whichever rings are asked for and those of the host included
    (netmap_do_regif in netmap.c calls the nm_register of its driver). A pipe has an nm_register of its own and leaves
    that of its parent alone (netmap_pipe_reg in netmap_pipe.c); a monitor is refused unless the port that it watches
    is in netmap mode already (netmap_get_monitor_na in netmap_monitor.c).

    :param port: as users write it, with libnetmap's suffixes (str)
    """
    request = libnetmap.parse(port)
    return request.port.name if isinstance(request.port, names.Interface) and not request.monitor else None


def refuse(what, name, carried, variable, label=None, instead="choose another one", when="there is another way in"):
    """Refuse to take an interface that carries the management.

    :param what: what is refused, one clause (str)
    :param name: the interface (str)
    :param carried: from ``system.management()``, empty where it may be taken (dict)
    :param variable: the role's variable that gives consent (str)
    :param label: how the interface is called in the error (str)
    :param instead: what to do without consent, imperative (str)
    :param when: when consent is reasonable, one clause (str)
    :raises PtnetError: it does carry it
    """
    if name in carried:
        raise PtnetError(what, found="%s carries %s" % (label or name, carried[name]),
                         expected="an interface whose loss does not cut this machine off",
                         remedy="%s, or set allow_management (the roles' variable is %s) when %s" % (
                             instead, variable, when))


def refuse_opening(who, ports, management, allowed, variable):
    """Refuse ports whose opening takes an interface that carries the management.

    :param who: who would open them, such as ``VM fw`` (str)
    :param ports: as users write them (list of str)
    :param management: tells what carries it, ``system.management``; not asked where nothing is taken (callable)
    :param allowed: whether that was consented to (bool)
    :param variable: the role's variable that gives consent (str)
    :raises PtnetError: the first such port
    """
    found = [] if allowed else [name for name in map(taken, ports) if name]
    carried = management() if found else {}
    for name in found:
        refuse("%s does not get %s" % (who, name), name, carried, variable)


def beside(name, carried, entries):
    """An interface with which another one shares its switch, and that carries the management (str or None).

    The host's leg on a switch has the address, and a NIC of that switch brings the packets.

    :param carried: from ``system.management()`` (dict)
    :param entries: the ports of all switches (list of names.Entry)
    """
    switches = {entry.switch for entry in entries if entry.port == name and entry.switch}
    return next((entry.port for entry in entries if entry.switch in switches and entry.port in carried), None)
