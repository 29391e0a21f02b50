# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what became of each task, or item of a loop, as one line of JSON into the file that $OUTCOMES names.

In its name ``{playbook}`` stands for that of the playbook. A file that is there is kept: of several runs of one
playbook, the first one counts.

For ``tests/foretold.py``. It is no part of the collection: ``ANSIBLE_CALLBACK_PLUGINS=tests/callback`` and
``ANSIBLE_CALLBACKS_ENABLED=outcomes`` switch it on.
"""

from __future__ import annotations

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: outcomes
type: aggregate
short_description: What became of each task, as lines of JSON
description:
  - Writes host, play, task, item, whether it changed something, and whether it failed.
requirements:
  - enabled in the configuration, and the environment variable E(OUTCOMES)
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "outcomes"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self._play, self._stream = "", None

    def v2_playbook_on_start(self, playbook):
        name = os.path.splitext(os.path.basename(playbook._file_name))[0]
        path = os.environ["OUTCOMES"].replace("{playbook}", name)
        # As long as the run.
        self._stream = open(os.devnull if os.path.exists(path) else path, "w", encoding="utf-8")  # noqa: SIM115

    def v2_playbook_on_play_start(self, play):
        self._play = play.get_name()

    def _write(self, result, failed=False):
        # A loop is told by its items.
        if result.task.loop and result.result.get("results"):
            return
        item = result.result.get("_ansible_item_label") if result.task.loop else None
        self._stream.write(json.dumps({
            "host": result.host.get_name(), "delegate": result.task.delegate_to, "play": self._play,
            "task": result.task.get_name(), "item": None if item is None else str(item),
            "changed": bool(result.result.get("changed")), "failed": failed}) + "\n")
        self._stream.flush()

    def v2_runner_on_ok(self, result):
        self._write(result)

    v2_runner_item_on_ok = v2_runner_on_ok

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._write(result, not ignore_errors)

    def v2_runner_item_on_failed(self, result):
        self._write(result, not result.task.ignore_errors)

    def v2_runner_on_unreachable(self, result):
        self._write(result, not result.task.ignore_unreachable)
