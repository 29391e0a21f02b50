# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In the machine: run modules of the collection without Ansible, and stop or die at the n-th thing that they do.

The modules are the real ones, with their faces; only ``face.serve`` is replaced (see :mod:`emulated`).
Usage: ``python3 -m steps [--at N --then halt|kill]`` with the steps, a list of ``[module, options]``, as JSON on the
standard input. Prints the result of each step, then how many effects there were, one JSON object a line.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
import time

PREFIX = "ansible_collections.netmap.ptnet.plugins."
# What changes a machine, by the names of Python's audit events.
EFFECTS = ("os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.mkdir", "os.chmod", "os.chown",
           "fcntl.ioctl", "subprocess.Popen", "os.truncate")
_ETHTOOL = 0x8946
_QUESTIONS = (2, 5, 7)  # PORT_INFO_GET, VALE_LIST, PORT_HDR_GET


class Effects:
    """Counts what changes the machine; at one of them this process halts or dies, just before it happens."""

    def __init__(self, at=None, then="halt"):
        self.at, self.then = at, then
        self.count = 0
        self.last = ""
        sys.addaudithook(self._hook)

    def _hook(self, event, args):
        if event == "open":
            path, mode, flags = args
            if not isinstance(path, str) or not (flags & (os.O_WRONLY | os.O_RDWR)) or path.startswith("/dev/null"):
                return
        elif event not in EFFECTS or (event == "fcntl.ioctl" and (args[1] == _ETHTOOL or args[2][2] in _QUESTIONS)):
            return
        self.count += 1
        self.last = ("%s %s" % (event, args))[:120]
        if self.count != self.at:
            return
        tell(reached=self.count, effect=self.last)
        if self.then == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        while True:
            time.sleep(60)


def tell(**words):
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def module(name):
    """A module of the collection: what it does (function of params and check mode), and its options (dict)."""
    face = importlib.import_module(PREFIX + "modules." + name)
    kept = []
    face.serve = lambda act, spec, **constraints: kept.append((act, spec))
    face.main()
    return kept[0]


def complete(options, spec):
    """Options with the defaults of those that are missing, as Ansible fills them in (dict)."""
    unknown = set(options) - set(spec)
    if unknown:
        raise KeyError(", ".join(sorted(unknown)))
    full = {}
    for name, one in spec.items():
        value = options.get(name, one.get("default"))
        if "options" in one and value is not None:
            value = [complete(item, one["options"]) for item in value] if one["type"] == "list" else \
                complete(value, one["options"])
        full[name] = value
    return full


def run(name, options, check_mode=False):
    """One step. Returns its result (dict), with ``failed`` and ``msg`` when the module refused."""
    act, spec = module(name)
    from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError

    try:
        return act(complete(options, spec), check_mode)
    except PtnetError as error:
        return dict(error.facts, failed=True, changed=False, msg=error.message)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--at", type=int)
    parser.add_argument("--then", default="halt", choices=["halt", "kill"])
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    steps = json.load(sys.stdin)
    for name, _options in steps:
        module(name)  # Imports are none of the effects.
    effects = Effects(given.at, given.then)
    status = 0
    for name, options in steps:
        result = run(name, options, given.check)
        tell(step=name, changed=result["changed"], failed=result.get("failed", False), msg=result.get("msg"),
             result=result)
        if result.get("failed"):
            status = 1
            break
    tell(effects=effects.count)
    return status


if __name__ == "__main__":
    sys.exit(main())
