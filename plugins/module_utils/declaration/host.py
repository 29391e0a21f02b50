# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one host declares, item by item, and what is known of that host. Pure. Private to netmap.ptnet.

Each item is read as the module reads it that gets it: the argument spec, then the module's own checks. What cannot be
read is told and left out, so that the rules see the rest.
"""

from __future__ import annotations

from collections import namedtuple

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.errors import UnsupportedError
from ansible.module_utils.parsing.convert_bool import boolean as truth

from .. import mac as addresses
from ..errors import PtnetError
from ..netmap import names, parameters, pipes, port_options, sizing
from ..netmap.options import INTERFACE, PARENT
from ..ptnet import definition as processes
from ..ptnet.options import PTNET_PORT
from ..qemu import definition as machines
from ..qemu.options import PTNET_VM
from .contradiction import Place, found

SWITCH = {
    "name": {"type": "str", "required": True},
    "interfaces": {"type": "list", "elements": "dict", "default": [], "options": INTERFACE},
}
# The variables of a host that make up its declaration, with the types that they have.
VARIABLES = {
    "netmap_nics": list, "netmap_parameters": dict, "ports_switches": list, "ports_pipe_parents": list,
    "ports_processes": list, "ports_allow_management": bool, "vms_machines": list, "vms_hypervisor": str,
    "vms_allow_management": bool, "vms_fleet": str, "vms_state": str, "ports_state": str,
}
# What is not to be there cannot contradict anything.
_ABSENT = {"ports_switches": "ports_state", "ports_pipe_parents": "ports_state", "ports_processes": "ports_state",
           "vms_machines": "vms_state"}
FORM = "form"

# A VM or a port process (``kind``): ``options`` as given and completed by the spec, ``whole`` with all that is derived.
Machine = namedtuple("Machine", "place kind name options whole")
# A port that one opens: ``port`` as names.parse returns it, ``options`` as given.
Opened = namedtuple("Opened", "place machine port options")
# An interface on a switch; ``options`` as port_options.declared returns them.
Attached = namedtuple("Attached", "place switch name options")
# Whatever else has a name; ``options`` as given.
Named = namedtuple("Named", "place name options")

Known = namedtuple("Known", "memory interfaces management attached", defaults=(None, None, {}, ()))
Known.__doc__ = """What is known of the host, None where it is not.

``memory`` in MiB (int), ``interfaces`` name to driver, None for one of netmap's own (dict), ``management`` name to what
it carries (dict of str), ``attached`` what is on switches already (pairs of switch and name).
"""


def known(found_by_info):
    """What a result of netmap_info, empty for none, tells (Known)."""
    interfaces = found_by_info.get("interfaces")
    return Known(
        found_by_info.get("memory"),
        None if interfaces is None else {one["name"]: one.get("driver") for one in interfaces},
        {one["name"]: one["carries"] for one in found_by_info.get("nics") or () if one.get("carries")},
        {(switch["name"], port["name"]) for switch in found_by_info.get("switches") or () for port in switch["ports"]
         if port["kind"] == "attached"})


class Host:
    """The declaration of one host as far as it can be read; ``unreadable`` are the contradictions of the rest.

    :ivar machines: VMs and port processes that shall be there (list of Machine)
    :ivar opened: their ports (list of Opened)
    :ivar addresses: MAC addresses (list of Named: the address, and whether it was given)
    :ivar disks: of all VMs (list of Named: the path, and the options)
    :ivar forwards: of all VMs (list of pairs of Place and dict)
    :ivar switches: (list of Named)
    :ivar attached: interfaces on switches (list of Attached)
    :ivar parents: of pipes (list of Named)
    :ivar nics: those that are described for sizing (list of Named)
    :ivar parameters: of netmap (dict of int)
    :param declared: the variables of :data:`VARIABLES`, absent where they are not set (dict)
    :param name: of the host in the inventory, from which addresses are derived (str)
    :param facts: (Known)
    :param complete: whether every variable of this host was seen. A role that is applied with variables of its own sees
        these alone; then what is missing proves nothing (bool)
    """

    def __init__(self, declared, name="", facts=None, complete=True):
        self.known, self.complete, self.unreadable = facts or Known(), complete, []
        self.machines, self.opened, self.addresses, self.disks, self.forwards = [], [], [], [], []
        self.switches, self.attached, self.parents, self.nics, self.parameters = [], [], [], [], {}
        self.allow_management = self._flag("ports_allow_management", declared)
        # What the roles give to VMs and port processes that do not say it themselves.
        self._defaults = {
            "VM": {"host": name, "fleet": declared.get("vms_fleet") or PTNET_VM["fleet"]["default"],
                   "hypervisor": declared.get("vms_hypervisor") or PTNET_VM["hypervisor"]["default"],
                   "allow_management": self._flag("vms_allow_management", declared)},
            "port process": {"host": name, "allow_management": self.allow_management}}
        for variable, read in (("netmap_parameters", self._parameter), ("netmap_nics", self._nic),
                               ("ports_switches", self._switch), ("ports_pipe_parents", self._parent),
                               ("ports_processes", self._process), ("vms_machines", self._vm)):
            absent = declared.get(_ABSENT.get(variable)) == "absent"
            for key, item in () if absent else self._items(variable, declared.get(variable)):
                read(Place("%s[%s]" % (variable, key), names.shown(item)), key, item)

    def _items(self, variable, value):
        expected = VARIABLES[variable]
        if value is None:
            return []
        if not isinstance(value, expected):
            self._refuse(Place(variable, names.shown(value)), PtnetError(
                "%s is refused" % variable, found=type(value).__name__,
                expected={list: "a list", dict: "names with values"}[expected]))
            return []
        return list(value.items() if expected is dict else enumerate(value))

    def _flag(self, variable, declared):
        try:
            return truth(declared.get(variable) or False)
        except TypeError:
            self._refuse(Place(variable, names.shown(declared[variable])), PtnetError(
                "%s is refused" % variable, expected="true or false"))
            return False

    def _refuse(self, place, error):
        self.unreadable.append(found(FORM, [place], error))

    def _try(self, place, function, *arguments):
        """What a function returns, None where it raises PtnetError, which is told."""
        try:
            return function(*arguments)
        except PtnetError as error:
            self._refuse(place, error)
            return None

    def _options(self, place, spec, item, what):
        """The place of an item with its name, and the item completed by a spec, None where it has another form."""
        if not isinstance(item, dict):
            self._refuse(Place(place.path, what), PtnetError("an element is refused", found=names.shown(item),
                                                             expected="options by name"))
            return place, None
        place = Place(place.path, "%s %s" % (what, _word(item["name"]) if "name" in item else "without a name"))
        try:
            result = ArgumentSpecValidator(spec).validate({**self._defaults.get(what, {}), **item})
        except (AttributeError, TypeError):  # it does not expect a scalar where options are
            self._refuse(place, PtnetError("an option has another form than documented", found=names.shown(item)))
            return place, None
        for error in result.errors:
            unknown = isinstance(error, UnsupportedError)
            self._refuse(place, PtnetError("%s%s" % ("there is no option " if unknown else "", error.msg.rstrip("."))))
        return place, None if result.error_messages else result.validated_parameters

    def _parameter(self, place, name, value):
        place = Place(place.path, "value %s" % names.shown(value))
        self.parameters.update(self._try(place, parameters.check, {name: value}) or {})

    def _nic(self, place, _index, item):
        if not isinstance(item, dict) or "name" not in item:
            self._refuse(place, PtnetError("a NIC is refused", found=names.shown(item), expected="options with a name"))
        elif self._try(place, sizing.size, (), (), (), [item]) is not None:
            self.nics.append(Named(Place(place.path, "NIC %s" % item["name"]), item["name"], item))

    def _switch(self, place, _index, item):
        interfaces = item.get("interfaces") if isinstance(item, dict) else None
        # They are read one by one.
        item = dict(item, interfaces=[]) if isinstance(interfaces, list) else item
        place, options = self._options(place, SWITCH, item, "switch")
        if options is None or self._try(place, names.switch, options["name"]) is None:
            return
        self.switches.append(Named(place, options["name"], options))
        for index, interface in enumerate(interfaces or ()):
            inner, one = self._options(Place("%s.interfaces[%d]" % (place.path, index), ""), INTERFACE, interface,
                                       "port of %s," % options["name"])
            read = one and self._try(inner, port_options.declared, {"ports": [one], "purge": True})
            for name, properties in (read or {}).items():
                inner = Place(inner.path, "%s %s on %s" % (_KINDS[properties["kind"]], name, options["name"]))
                self.attached.append(Attached(inner, options["name"], name, dict(one, **properties)))
                if "mac" in properties:
                    self.addresses.append(Named(inner, properties["mac"], bool(one["mac"])))

    def _parent(self, place, _index, item):
        place, options = self._options(place, PARENT, item, "parent")
        if options and self._try(place, pipes.declared, {"parents": [options], "purge": True}):
            self.parents.append(Named(place, options["name"], options))

    def _process(self, place, _index, item):
        place, options = self._options(place, PTNET_PORT, item, "port process")
        if options and options["state"] != "absent":
            self._machine(place, "port process", options, processes.complete)

    def _vm(self, place, _index, item):
        place, options = self._options(place, PTNET_VM, item, "VM")
        if options and options["state"] != "absent":
            self._machine(place, "VM", options, machines.complete)

    def _machine(self, place, kind, options, complete):
        ports, readable = [], []
        for index, port in enumerate(options["ports"] or ()):
            inner = place.inside(".ports[%d]" % index, "port %s" % _word(port["port"]))
            ifname = self._try(inner, names.qemu_ifname, port["port"])
            if ifname and (not port["mac"] or self._try(inner, addresses.check, port["mac"], "the port")):
                ports.append(port)
                readable.append((inner, ifname))
        bad = len(options["ports"] or ()) - len(ports)
        # Without any port that can be read, what else there is to say of a process is that it has none.
        whole = None if bad and not ports else self._try(place, complete, dict(options, ports=ports))
        machine = Machine(place, kind, options["name"], options, whole)
        self.machines.append(machine)
        self.opened += [Opened(inner, machine, names.parse(ifname), port)
                        for (inner, ifname), port in zip(readable, ports)]
        if whole is None:
            return
        self.addresses += [Named(inner, port["mac"], bool(given["mac"]))
                           for (inner, _ifname), port, given in zip(readable, whole["ports"], ports)]
        # Plain file names of two VMs of one name are one folder's, and then the name is what is wrong.
        if all(one.name != machine.name for one in self.machines[:-1]):
            self.disks += [Named(place.inside(".disks[%d]" % index, "disk %s" % disk["path"]), disk["path"], disk)
                           for index, disk in enumerate(whole.get("disks", ()))]
        management = whole.get("management")
        if management:
            self.addresses.append(Named(place.inside(".management", "management"), management["mac"],
                                        bool(options["management"]["mac"])))
            self.forwards += [(place.inside(".management.forwards[%d]" % index, "forward %s" % machines.listening(one)),
                               one) for index, one in enumerate(management["forwards"])]


def _word(text):
    """What is given as it is, where that can be printed (str)."""
    shown = names.shown(text)
    return text if shown == "'%s'" % text else shown


_KINDS = {port_options.NIC: "NIC", port_options.VETH: "veth end", port_options.PERSISTENT: "persistent port"}
