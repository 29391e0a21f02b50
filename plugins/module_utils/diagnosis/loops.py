# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads of killed processes that stay in netmap's loop, and the watch that frees them. Private to netmap.ptnet."""

from __future__ import annotations

from ..kernel.unix import ports_in
from ..places import WATCH
from ..watch import descriptors
from ..watch.processes import Processes
from ..watch.service import UNIT, WatchFiles
from .rule import ERROR, NOTE, Rule


def read(root=""):
    """What the rules judge (dict).

    ``stuck``: of each killed process that cannot end ``unit``, ``pid``, ``threads`` (their names) and ``ports`` (from
    the command line, which the leader has lost and its threads have not); ``members``: how many processes there are to
    be watched; ``running``: whether the watch runs; ``able`` and ``late``: what this kernel gives out, see
    :mod:`watch.descriptors`.

    :param root: prefix of all paths, for tests (path)
    """
    processes = Processes(root)
    members = processes.members()
    stuck = [(unit, pid, processes.stuck(pid)) for unit, pid in members]
    return {
        "stuck": [{"unit": unit, "pid": pid,
                   "ports": ports_in(_text(processes.folder(pid, threads[0]) + "/cmdline").split("\0")),
                   "threads": [_text(processes.folder(pid, thread) + "/comm") for thread in threads]}
                  for unit, pid, threads in stuck if threads],
        "members": len(members), "running": WatchFiles(root).running(),
        "able": descriptors.able(), "late": descriptors.able_of_threads()}


def _text(path):
    try:
        with open(path, "rb") as stream:
            return stream.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _stuck(facts):
    for one in facts["loops"]["stuck"]:
        yield "%s: process %d is dead, %d threads of it are not (%s)%s" % (
            one["unit"], one["pid"], len(one["threads"]), ", ".join(sorted(set(one["threads"]))),
            "; ports " + ", ".join(one["ports"]) if one["ports"] else "")


def _curable(facts):
    return _stuck(facts) if facts["loops"]["late"] else ()


def _lost(facts):
    return () if facts["loops"]["late"] else _stuck(facts)


def _off(facts):
    loops = facts["loops"]
    if loops["members"] and loops["able"] and not loops["running"]:
        yield "%s does not run, and %d processes of VMs and ports do" % (UNIT, loops["members"])


def _unable(facts):
    if facts["loops"]["members"] and not facts["loops"]["able"]:
        yield "kernel %s has no pidfd_getfd, or does not allow it" % facts["kernel_release"]


_SYMPTOM = "the ports of a VM that was killed stay busy, and its service does not end"
_CAUSE = "its threads are in netmap's loop, which looks at no signals"

RULES = (
    Rule("loop_stuck", ERROR, _SYMPTOM, _CAUSE,
         "run python3 -I %s free; where that file is missing, role netmap.ptnet.vms (ptnet_vm) brings the service that "
         "does so" % WATCH, _curable),
    Rule("loop_lost", ERROR, _SYMPTOM, _CAUSE + ", and nobody kept a duplicate of the descriptor that would end it",
         "reboot the machine: before Linux 6.9 nothing else frees them. role netmap.ptnet.vms (ptnet_vm) brings the "
         "service that prevents it", _lost),
    Rule("watch_off", NOTE, "a VM that is killed would keep its ports busy, and fill the disk through its console",
         "the service that watches was stopped, or these VMs are older than it",
         "systemctl start %s, or run role netmap.ptnet.vms (ptnet_vm), which makes it" % UNIT, _off),
    Rule("watch_unable", NOTE, "a VM that is killed keeps its ports busy until a reboot",
         "this kernel gives no descriptor of one process to another (Linux 5.6), or Yama forbids it "
         "(kernel.yama.ptrace_scope=3)", "use a newer kernel, and ptrace_scope 0 to 2", _unable),
)
