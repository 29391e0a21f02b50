# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action behind ``build_archive_fetch``: it runs on the controller."""

from __future__ import annotations

import os

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..plugin_utils import fetched


class ActionModule(ActionBase):
    """Brings one file to the controller, by way of ``ansible.builtin.fetch``, which knows of become."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        args = self.validate_argument_spec(
            {"src": {"type": "path", "required": True}, "cache": {"type": "path", "required": True}})[1]
        source, cache = args["src"], os.path.expanduser(args["cache"])
        found = self._execute_remote_stat(source, all_vars=task_vars, follow=True)
        if self._task.check_mode:
            path = fetched.place(cache, found["checksum"], source) if found["exists"] else None
            # Whatever is compared with a build that is not there yet, or not here, shall differ from it.
            return dict(result, changed=False, path=path if path and os.path.exists(path) else os.devnull)
        if not found["exists"]:
            raise AnsibleActionFail("the build archive is not there; found: no %s. To do: build it on that machine, "
                                    "or see that the same machine is named for the build." % source)
        path = fetched.obtain(cache, found["checksum"], source, lambda draft: self._fetch(source, draft, task_vars))
        return dict(result, changed=False, path=path)

    def _fetch(self, source, draft, task_vars):
        task = self._task.copy()
        task.args = {"src": source, "dest": draft, "flat": True}
        done = self._shared_loader_obj.action_loader.get(
            "ansible.legacy.fetch", task=task, connection=self._connection, play_context=self._play_context,
            loader=self._loader, templar=self._templar, shared_loader_obj=self._shared_loader_obj,
        ).run(task_vars=task_vars)
        if done.get("failed"):
            raise AnsibleActionFail("%s cannot be fetched; found: %s." % (source, done.get("msg")))
