# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens when the host gets a new kernel: nothing, a warning, or a build of netmap. Private to netmap.ptnet.

Debian's packages of kernels and of their headers run the scripts in these folders with the release as first word, and
fail when a script fails; so ours always ends well and speaks up.
"""

from __future__ import annotations

import json
import os
import sys

from ..bundle import bundle
from ..change import Change
from ..errors import PtnetError
from ..kernel.service import ServiceFiles
from . import engine, unattended
from .install import Installed
from .netmap import MODULE_DIRECTORY, MODULES, Netmap
from .source import open_source
from .store import Store

FOLDER = "/etc/kernel/postinst.d"
# Before initramfs-tools, which takes drivers with netmap support along when they are there.
_NAME = "00-netmap-ptnet"
SCRIPTS = tuple("/etc/kernel/%s/%s" % (folder, _NAME) for folder in ("postinst.d", "header_postinst.d"))
_OURS = ("state", "archive", "identity", "kernel_release", "kernel_dir", "kernel_hook")

_HEAD = """\
#!/bin/sh
# Written by the Ansible collection netmap.ptnet; changes made here are lost.
release=$1
# Headers may come without their kernel.
[ -n "$release" ] && [ -e "%(modules)s/$release/modules.builtin" ] || exit 0
module=%(modules)s/$release/%(directory)s/netmap.ko
said=
say() {
    echo "$*" >&2
    logger -t netmap-ptnet -p daemon.warning -- "$*" 2>/dev/null || :
}
"""
_BUILD = """\
[ -e "$module" ] || said=$("%(python)s" -I %(archive)s "$release" 2>&1) || :
[ -z "$said" ] || say "$said"
"""
_WARN = """\
[ -e "$module" ] || say "kernel $release has no netmap: a host that boots it has none of its netmap ports." \\
    "Run the playbook netmap.ptnet.upgrade before the reboot," \\
    "or netmap.ptnet.netmap_build with kernel_release $release."
exit 0
"""


class Hook(ServiceFiles):
    """The files of the hook; ``kind`` is what they do: ``warn``, ``build`` or None.

    :param store: the store of the builds (path)
    """

    def __init__(self, store, root=""):
        super().__init__(root)
        self.archive = os.path.join(store, "build.pyz")
        self.PATHS = (self.archive,) + SCRIPTS
        # The address of a source may have a token in it.
        self.MODES = dict(dict.fromkeys(SCRIPTS, 0o755), **{self.archive: 0o600})

    def usable(self):
        """Whether this system runs such scripts (bool)."""
        return os.path.isdir(self._root + FOLDER)

    def wanted(self, kind, params):
        """The files that there should be (dict)."""
        if kind not in ("warn", "build"):
            return {}
        words = {"modules": MODULES, "directory": MODULE_DIRECTORY, "python": sys.executable, "archive": self.archive}
        script = ((_HEAD + (_BUILD if kind == "build" else "") + _WARN) % words).encode()
        files = dict.fromkeys(SCRIPTS if kind == "build" else SCRIPTS[:1], script)
        if kind == "build":
            options = {name: value for name, value in params.items() if name not in _OURS and name[0] != "_"}
            options.update(state="present", archive=None, identity=None, kernel_dir=None)
            files[self.archive] = bundle("build.unattended", unattended.SOURCES,
                                         {unattended.OPTIONS: json.dumps(options, sort_keys=True)})
        return files

    def kind(self, files):
        """What files as of :meth:`read` do (str or None)."""
        script = files.get(SCRIPTS[0])
        return None if script is None else "build" if self.archive in files else "warn"


def act(params, check_mode, root=""):
    """What ``netmap_build`` does: a build, its install, and the hook of new kernels. Returns its result (dict)."""
    if bool(params["sign_key"]) != bool(params["sign_certificate"]):
        raise PtnetError("sign_key and sign_certificate belong together", found="one of them", expected="both, or none")
    recipe = Netmap(params)
    hook = Hook(params["store"], root)
    kind = params["kernel_hook"]
    if params["state"] == "present" and kind == "build" and hook.usable():
        _ready(recipe, params, check_mode)
    result = engine.act(recipe, params, check_mode)
    if params["state"] == "built":
        return result
    present = hook.read()
    if params["state"] == "absent":
        left = set(Installed(Store(params["store"], "netmap")).slots) - {recipe.slot}
        # A removal is given no options to build with.
        kind = "none" if not left else None if kind == "build" else kind
    if kind is None:
        return dict(result, kernel_hook=hook.kind(present))
    warnings = []
    if kind != "none" and not hook.usable():
        warnings.append("kernel_hook: this system has no %s, so a new kernel comes without a word" % FOLDER)
        kind = "none"
    change, wanted = Change(), hook.wanted(kind, params)
    if change.note("kernel hook", _shown(hook, present), _shown(hook, wanted, present)) and not check_mode:
        hook.place(wanted)
    more = change.result()
    for plane in ("before", "after"):
        result["diff"][plane].update(more["diff"][plane])
    result.update(changed=result["changed"] or more["changed"], kernel_hook=hook.kind(wanted))
    return dict(result, warnings=warnings) if warnings else result


def _ready(recipe, params, check_mode):
    """See that this machine can build without anybody: programs, and the source in the store.

    :raises PtnetError: something is missing here, whatever a build host has
    """
    remedy = None
    try:
        engine.need(recipe.commands)
        remedy = "pass as source what this machine has or reaches: a git address, a directory or a .tar archive"
        store = Store(params["store"], recipe.kind)
        source = open_source(params["source"], params["commit"], store)
        if hasattr(source, "fetch") and not check_mode:
            with store.locked():
                source.fetch()
    except PtnetError as error:
        raise PtnetError("kernel_hook=build is refused: this machine could not build; %s" % error.what,
                         found=error.found, expected=error.expected,
                         remedy="%s, or say kernel_hook=warn" % (remedy or error.remedy)) from error


def _shown(hook, files, before=None):
    """For a diff: what the hook does, and whether its files differ while it does the same."""
    kind = hook.kind(files) or "none"
    other = before is not None and kind == (hook.kind(before) or "none") and files != before
    return kind + ", other files" if other else kind
