# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the machine that answered with the one that was meant. Runs on the controller, touches no machine."""

from __future__ import annotations

from ansible_collections.netmap.ptnet.plugins.module_utils import vm_identity
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError

DOCUMENTATION = r"""
name: who_answers
version_added: 0.2.0
short_description: Whether the machine that answered is the one that was meant
description:
  - Takes what the role P(netmap.ptnet.guest#role) asked a guest, and says which machine that is and why it is not the
    wanted one.
author: netmap.ptnet contributors (@netmap-ptnet)
positional: _input
options:
  _input:
    description: Lines C(system=), C(user=), C(uuid=) and C(serial=).
    type: str
    required: true
  name:
    description: Name of the wanted machine on its host.
    type: str
    required: true
  host:
    description: Its host's name in the inventory. Without it and O(uuid) nothing is compared.
    type: str
    default: ""
  fleet:
    description: As O(netmap.ptnet.vms#role:main:vms_fleet) of that host.
    type: str
    default: ""
  uuid:
    description: The uuid of a machine that another manager starts, instead of O(host).
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Refuse another machine
  ansible.builtin.assert:
    that: not answer.wrong
    fail_msg: "{{ answer.wrong }}"
  vars:
    answer: "{{ asked.stdout | netmap.ptnet.who_answers(name='fw', host='hv1') }}"
"""

RETURN = r"""
_value:
  description:
    - C(system) is its operating system, C(user) the number of the user who was asked, C(uuid) and C(serial) are those
      of its SMBIOS tables, empty where it has none or does not show them to that user.
    - C(wrong) says why it is another machine, empty where it is the wanted one or nothing was compared.
  type: dict
  sample:
    system: linux
    user: "0"
    uuid: 891cafdd-8ee9-5b0c-996f-c8acaeda170f
    serial: hv2/fw
    wrong: >-
      hv2/fw (uuid 891cafdd-8ee9-5b0c-996f-c8acaeda170f) answers, and hv1/fw (uuid
      6a8f05cb-65f6-5790-87b9-e06b27a14e21) is wanted
"""


def who_answers(said, name, host="", fleet="", uuid=""):
    """Which machine it is, and why it is the wrong one (dict); the arguments are as documented above."""
    found = vm_identity.answers(said)
    try:
        wanted = uuid or (vm_identity.identity(fleet, host, name) if host else None)
        return dict(found, wrong=vm_identity.stranger(found, wanted) or "" if wanted else "")
    except PtnetError as error:
        # A name or a uuid that cannot be one is nobody's.
        return dict(found, wrong=error.message)


class FilterModule:
    """The filter under its name."""

    def filters(self):
        return {"who_answers": who_answers}
