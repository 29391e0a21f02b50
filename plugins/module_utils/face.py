# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module's ``main()`` does. Private to netmap.ptnet."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

from .build.address import secrets
from .errors import PtnetError


def serve(act, argument_spec, **constraints):
    """Run ``act(params, check_mode)`` as an Ansible module with check mode.

    :param act: takes the parameters (dict) and whether nothing may change (bool); returns the result (dict)
    :param argument_spec: as for :class:`AnsibleModule` (dict)
    :param constraints: ``required_if`` and its relatives, as for :class:`AnsibleModule`
    """
    module = AnsibleModule(argument_spec=argument_spec, supports_check_mode=True, **constraints)
    # Ansible returns the options as they were given.
    module.no_log_values.update(secrets(module.params))
    try:
        result = act(module.params, module.check_mode)
    except PtnetError as error:
        module.fail_json(msg=error.message, **error.facts)
    for text in result.pop("warnings", ()):
        module.warn(text)
    module.exit_json(**result)
