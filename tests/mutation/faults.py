# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deliberate faults that a reader would not notice at once, and the unit tests that do.

Each is found by its text, wherever in ``plugins`` that lies, so that it outlives code that is moved. A fault whose
place is not there any more is an error: say in this file where it went.
"""

from __future__ import annotations

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault.

    :ivar name: what is wrong then (str)
    :ivar edits: what stands there, and what stands there instead (pairs of str); each stands in one place only
    :ivar tests: the files or folders below ``tests/unit`` that notice (tuple of str)
    """

    name: str
    edits: tuple
    tests: tuple

    def texts(self, root):
        """The files with the fault in them: path below the checkout to its text (dict of str).

        :param root: the checkout (path)
        :raises LookupError: the place is not there, or there are several
        """
        found = {}
        for old, new in self.edits:
            files = [path for path in sorted((pathlib.Path(root) / "plugins").rglob("*.py"))
                     if old in path.read_text(encoding="utf-8")]
            names = [str(path.relative_to(root)) for path in files]
            text = found.get(names[0]) or files[0].read_text(encoding="utf-8") if files else ""
            if len(files) != 1 or text.count(old) != 1:
                raise LookupError("%s: %r stands %s, not in one place of plugins/" % (
                    self.name, old, "in " + ", ".join(names) if files else "nowhere"))
            found[names[0]] = text.replace(old, new)
        return found


FAULTS = (
    Fault("every user may write the lock",
          (("os.O_NOFOLLOW | os.O_CLOEXEC, 0o600", "os.O_NOFOLLOW | os.O_CLOEXEC, 0o666"),),
          ("netmap/test_lock.py",)),
    Fault("every user may look into the folder of a VM",
          (("os.chmod(home, 0o750)", "os.chmod(home, 0o755)"),),
          ("qemu/test_service_disks.py",)),
    Fault("services make files that every user reads",
          (('    "UMask": "0077",\n', ""),),
          ("qemu/test_unit.py", "qemu/test_sandbox.py")),
    Fault("a VM is not ordered after its ports",
          (("After=systemd-modules-load.service network.target netmap-ptnet-ports.service%(helpers)s",
            "After=systemd-modules-load.service network.target%(helpers)s"),),
          ("qemu/test_unit.py",)),
    Fault("what a VM's QEMU started outlives it",
          (("KillMode=mixed", "KillMode=process"),),
          ("qemu/test_unit.py",)),
    Fault("a guest writes its read-only disks",
          (('on(disk["read_only"])', "on(False)"),),
          ("qemu/test_distribution.py",)),
    Fault("qemu-img guesses the format of the image below a disk",
          ((', "-F", disk["backing_format"]', ""),),
          ("qemu/test_service_disks.py",)),
    Fault("nobody looks whether a VM was started or stopped",
          (('if {"start", "stop"} & set(decided.steps) and ', "if False and "),),
          ("qemu/test_service.py",)),
    Fault("a VM starts on a port whose opening wedges the kernel",
          (('opening.refuse_wedging([port["ifname"] for port in vm["ports"]]', "(lambda *_unused: None)([]"),),
          ("qemu/test_service.py",)),
    Fault("git runs the program that an address names",
          (('"protocol.ext.allow": "never"', '"protocol.ext.allow": "always"'),),
          ("build/test_source.py",)),
    Fault("an archive writes outside its folder",
          (("refuse_members(path, members, only)", "None"), ('{"filter": "tar"}', '{"filter": "fully_trusted"}')),
          ("build/test_hostile_archives.py",)),
    Fault("modules lose their signature",
          (('work.run("strip", "--strip-debug", os.path.join(place, name))', "pass"),
           ("self._sign(work, os.path.join(place, name))",
            'self._sign(work, os.path.join(place, name)); work.run("strip", os.path.join(place, name))')),
          ("build/test_recipes.py",)),
    Fault("whatever has a job's process number now is killed",
          (("if _lives(mark):", "if True:"),),
          ("traffic/test_background.py",)),
    Fault("a hangup leaves programs behind",
          (("signal.SIGTERM, signal.SIGHUP, signal.SIGINT", "signal.SIGTERM, signal.SIGINT"),),
          ("traffic/test_session.py",)),
    Fault("a QEMU that talks on is listened to for ever",
          (("left = self._deadline - time.monotonic()", "left = self._timeout"),),
          ("qemu/test_qmp.py",)),
    Fault("polling that did not stop is said to have",
          (("!= errno.EFAULT:\n                raise\n", "is None:\n                raise\n"),),
          ("netmap/test_device.py",)),
    Fault("a route that rejects counts as the default route",
          ((" and content[7] == _UNICAST", ""),),
          ("kernel/linux/test_management.py",)),
    Fault("nobody looks whether ports are as declared",
          (('if now.get(action.port) != job["after"].get(action.port):', "if False:"),),
          ("netmap/test_ports.py",)),
    Fault("after a failure the boot restores what was wanted, not what is",
          (("keep(Change(), planned.lines(), self.record, self.system, False)", "pass"),),
          ("netmap/test_boot.py",)),
)
