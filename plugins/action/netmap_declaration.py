# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks what a host declares, on the controller: no connection is made and no module started."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible_collections.netmap.ptnet.plugins.module_utils.declaration.check import check
from ansible_collections.netmap.ptnet.plugins.module_utils.declaration.contradiction import message
from ansible_collections.netmap.ptnet.plugins.module_utils.declaration.host import VARIABLES, known
from ansible_collections.netmap.ptnet.plugins.module_utils.declaration.rules_ports import lone_ends


class ActionModule(ActionBase):
    """What plugins/modules/netmap_declaration.py documents."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """The result of the task (dict)."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec({"facts": {"type": "dict", "default": {}}})
        name = task_vars["inventory_hostname"]
        declared = {variable: self._templar.template(task_vars[variable])
                    for variable in VARIABLES if variable in task_vars}
        host, contradictions = check(declared, name, known(arguments["facts"]),
                                     self._complete(declared, task_vars["hostvars"][name]))
        result = {"changed": False, "contradictions": [
            {"rule": one.rule, "places": list(map(str, one.places)), "text": one.text, "remedy": one.remedy}
            for one in contradictions], "lone_ends": [one.port.kernel_name() for one in lone_ends(host)]}
        if contradictions:
            result.update(failed=True, msg=message(name, contradictions))
        return result

    def _complete(self, declared, inventory):
        """Whether all that the host declares is seen.

        Roles that are given variables of their own see the defaults of the others, empty lists. Machines that the
        inventory declares have their parents declared there too.
        """
        return self._task._role is None or bool(declared.get("ports_pipe_parents")) or (
            "vms_machines" in inventory or "ports_processes" in inventory)
