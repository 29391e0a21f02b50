# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NIC drivers with netmap support: what to unload and load, and what is refused. Private to netmap.ptnet.

What is read comes from ``platform.Drivers.read``. Out of the kernel go drivers before netmap, into it netmap
before drivers, because a driver with netmap support uses netmap's symbols.
"""

from __future__ import annotations

import contextlib
import re

from ..errors import PtnetError


def check(names):
    """Module names of drivers, without repetition (list of str); ``veth.c``, as netmap's configure has it, is veth.

    :raises PtnetError: no name of a driver
    """
    found = []
    for name in names or ():
        plain = re.sub(r"\.c\Z", "", name).replace("-", "_")
        if not re.fullmatch(r"[A-Za-z0-9_]{1,55}", plain) or plain == "netmap":
            raise PtnetError("a driver is refused", found=ascii(name),
                             expected="the name of a NIC driver's module, such as ixgbe or veth")
        if plain not in found:
            found.append(plain)
    return found


def states(seen):
    """Driver to what is loaded of it: ``netmap``, ``stock``, ``other build`` or None (dict)."""
    return {name: seen[name]["loaded"] for name in sorted(seen)}


def of(seen, interface):
    """The declared driver of an interface (str or None)."""
    return next((name for name in sorted(seen) if interface in seen[name]["interfaces"]), None)


def lacks_build(driver):
    """Whether ``netmap_build`` is still to install a driver (bool); one that is built into the kernel it cannot.

    :param driver: one of :meth:`Drivers.read` (dict)
    """
    return driver["installed"] != "built in" and not (driver["installed"] == "netmap" and driver["fits"])


def refuse(seen):
    """Refuse drivers that have no installed build with netmap support.

    :raises PtnetError: the first one
    """
    for name in sorted(seen):
        driver = seen[name]
        what = "the driver %s has no netmap support" % name
        remedy = "build it: drivers of netmap.ptnet.netmap_build; without it its NICs work emulated, and slower"
        if driver["installed"] is None:
            raise PtnetError("there is no driver %s for this kernel" % name, found="modinfo knows no such module",
                             remedy=remedy)
        if driver["installed"] == "built in":
            raise PtnetError(what, found="it is built into this kernel", expected="a module", remedy="leave it out, or "
                             "take a kernel that has it as a module")
        if driver["installed"] != "netmap":
            raise PtnetError(what, found="modprobe would load %s, which does not use netmap" % driver["path"],
                             expected="a build of netmap with this driver", remedy=remedy)
        if not driver["fits"]:
            raise PtnetError("the installed driver %s does not fit the running kernel" % name, found=driver["path"],
                             remedy="build it for this kernel with netmap.ptnet.netmap_build")


def refuse_held(seen, drop):
    """Refuse to unload drivers that other modules use.

    :raises PtnetError: the first one
    """
    for name in drop:
        holders = [one for one in seen[name]["holders"] if one not in drop]
        if holders:
            raise PtnetError("the driver %s cannot be unloaded" % name, found="used by " + ", ".join(holders),
                             remedy="unload these first, and load them again afterwards")


def reasons(seen):
    """Why drivers want to be loaded again (list of str)."""
    why = {"stock": "%s is loaded without netmap support", "other build": "the loaded %s is not the installed build"}
    return [why[seen[name]["loaded"]] % name for name in sorted(seen) if seen[name]["loaded"] in why]


def moving(seen, netmap, stock=True):
    """The drivers to unload (list of str): those that are not as installed, and with netmap those that use it.

    :param netmap: whether netmap itself is unloaded (bool)
    :param stock: whether the kernel's own ones go too (bool)
    """
    kinds = {"other build"} | ({"netmap"} if netmap else set()) | ({"stock"} if stock else set())
    return [name for name in sorted(seen) if seen[name]["loaded"] in kinds]


@contextlib.contextmanager
def moved(plan, system):
    """Unload the drivers of a plan, and load those it names after the body; on an error all get some driver back."""
    if not (plan.drop or plan.lift or plan.stock):
        yield
        return
    doors = system.drivers()
    try:
        for name in plan.drop:
            doors.unload(name)
        yield
        for name in plan.lift:
            doors.load(name)
        for name in plan.stock:
            doors.load_stock(name)
    except PtnetError as error:
        back = {name: _back(name, doors) for name in plan.drop}
        if back:
            error.facts["drivers"] = back
            said = ", ".join("%s %s" % (name, kind or "not loaded") for name, kind in sorted(back.items()))
            raise PtnetError(error.what, error.found, error.expected, "%s; drivers now: %s" % (
                error.remedy or "read the kernel log (dmesg)", said), **error.facts) from error
        raise
    doors.settle()


def _back(name, doors):
    """Load a driver that went, whichever works: a machine without its NICs may be out of reach."""
    if doors.read([name])[name]["loaded"] is None:
        for load in (doors.load, doors.load_stock):
            with contextlib.suppress(PtnetError):
                load(name)
                break
    return doors.read([name])[name]["loaded"]


def verify(plan, seen, system):
    """Check that drivers are as planned and their interfaces are there again.

    :param seen: what was read before (dict)
    :raises PtnetError: they are not
    """
    found = system.drivers().read(sorted(seen))
    wrong = {name: found[name]["loaded"] for name in plan.lift if found[name]["loaded"] != "netmap"}
    wrong.update({name: found[name]["loaded"] for name in plan.stock if found[name]["loaded"] != "stock"})
    if wrong:
        raise PtnetError("drivers are not loaded as they should be", found=wrong,
                         expected=dict(dict.fromkeys(plan.lift, "netmap"), **dict.fromkeys(plan.stock, "stock")),
                         remedy="read the kernel log (dmesg)")


def lost(plan, seen, system):
    """NICs that were there and are not after their driver was loaded again (list of str)."""
    if not plan.drop:
        return []
    found = system.drivers().read(plan.drop)
    return sorted(name for driver in plan.drop for name in seen[driver]["interfaces"]
                  if name not in found[driver]["interfaces"])


def warnings(params, seen, plan, system, check_mode):
    """What to tell about drivers beside the result (list of str)."""
    found = []
    if seen and not check_mode:
        gone = lost(plan, seen, system)
        if gone:
            found.append("gone or renamed after their driver was loaded again: " + ", ".join(gone))
    if seen and params["persistent"] and system.drivers().foreign_initramfs():
        found.append("the initramfs of this system is not looked into: make it anew (dracut --force, mkinitcpio -P), "
                     "or it may load the kernel's own %s at boot" % ", ".join(sorted(seen)))
    return found
