# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One emulated machine: its command line, its start from cold or from a snapshot, its removal.

A snapshot is the memory of a booted machine in a file that clones map privately (QEMU's migration capability
``x-ignore-shared``), and its disk overlay, which becomes the backing file of the clones' overlays.
Private to netmap.ptnet.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time

from ..change import Change
from ..command import run, tail
from ..errors import PtnetError
from ..qemu.qmp import Qmp
from . import accelerator, processes, remote
from .image import identity

# The same for every machine of an image: a clone reboots with it (facts of the snapshot, not taste).
# tsc=nowatchdog: on a busy controller the kernel takes the clock for broken and goes on with one ten times slower.
APPEND = ("root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off audit=0 quiet systemd.show_status=0 "
          "tsc=nowatchdog")
SNAPSHOT_COMMAND_TIMEOUT = 60
LOG = "emulator.log"
SOCKET_MAX = 107  # bytes of the path of a Unix socket, unix(7)
HOST_MAX = 64  # HOST_NAME_MAX of Linux
_LAB = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z")
_HOST = re.compile(r"[a-z0-9][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)*\Z")


def act(params, check_mode):
    """What ``lab_machine`` does. Returns the module's result (dict)."""
    check_names(params["lab"], params["name"])
    change = Change()
    if params["state"] == "absent":
        top = os.path.join(os.path.realpath(params["cache"]), "machines")
        running, folders = processes.machines(), _folders(top)
        wanted = os.path.join(top, *(part for part in (params["lab"], params["name"]) if part))
        for folder in sorted({*running, *folders}):
            if folder == wanted or folder.startswith(wanted + "/"):
                change.note(os.path.relpath(folder, top), "present", "absent")
                if not check_mode:
                    processes.kill({folder: running.get(folder, [])})
                    shutil.rmtree(folder, ignore_errors=folder not in folders)
                    with contextlib.suppress(OSError):  # others of its lab are there
                        os.rmdir(os.path.dirname(folder))
        return change.result()
    machine = Machine(params)
    # A link that cannot be is told in check mode too.
    cables(params["name"], params["links"])
    running = machine.running()
    change.note(params["name"], "running" if running else "absent", "running")
    if check_mode:
        return dict(change.result(), name=params["name"])
    attempts = [] if running else machine.start()
    return dict(change.result(), failed_attempts=attempts, **machine.report())


def check_names(lab, name):
    """Refuse names that become part of paths and command lines; each may be None.

    :raises PtnetError: it cannot be one
    """
    if lab is not None and not _LAB.match(lab):
        raise PtnetError("the name of a lab is not usable", found=repr(lab),
                         expected="lower-case letters, digits and -, at most 32 characters")
    if name is not None and (len(name) > HOST_MAX or not _HOST.match(name)):
        raise PtnetError("the name of a lab machine is not usable", found=repr(name),
                         expected="a host name of lower-case letters, digits, - and dots, at most %d characters"
                         % HOST_MAX)


def _folders(top):
    """The folders of machines, whether these run or not (set of path); version 0.1.0 had no folders of labs."""
    found = set()
    for lab in os.listdir(top) if os.path.isdir(top) else []:
        path = os.path.join(top, lab)
        if os.path.lexists(os.path.join(path, "overlay.qcow2")):
            found.add(path)
        else:
            found |= {os.path.join(path, name) for name in os.listdir(path)}
    return found


def ended(cache, lab):
    """The machines of a lab whose emulators ended by themselves, with what these said last (dict of str).

    :param cache: (path)
    :param lab: its name (str)
    """
    top = os.path.join(os.path.realpath(cache), "machines")
    running = processes.machines()
    return {os.path.basename(folder): (tail(os.path.join(folder, LOG), 1) or ["nothing"])[0]
            for folder in sorted(_folders(top))
            if folder.startswith(os.path.join(top, lab) + "/") and folder not in running
            and os.path.exists(os.path.join(folder, "machine.json"))}


class Machine:
    """A machine below ``<cache>/machines/<lab>/<name>``: overlay, console, control socket, definition.

    :raises PtnetError: sockets there would have paths that are too long
    """

    def __init__(self, params):
        self.params = params
        self.name = params["name"]
        self.cache = os.path.realpath(params["cache"])
        self.folder = os.path.join(self.cache, "machines", params["lab"], self.name)
        length = len(os.fsencode(self._file("link%d" % len(params["links"]))))
        if length > SOCKET_MAX:
            raise PtnetError("the folder of the machine is too deep for its sockets", found=self.folder,
                             expected="%d bytes less" % (length - SOCKET_MAX),
                             remedy="keep the cache at a shorter path (LAB_CACHE of make), or shorten the names")

    def _file(self, name):
        return os.path.join(self.folder, name)

    def _definition(self):
        try:
            with open(self._file("machine.json")) as stream:
                return json.load(stream)
        except (OSError, ValueError):
            return None

    def running(self):
        """Whether the process is there and answers a command (bool)."""
        definition = self._definition()
        return bool(definition and processes.machines([self.folder])
                    and remote.answers(definition["port"], self.params["ssh_key"], 20))

    def report(self):
        """Where and how the machine is reached (dict)."""
        definition = self._definition()
        return dict(definition, console=self._file("console.log"), folder=self.folder)

    def start(self):
        """Start it, once more after a hang. Returns the reasons of failed attempts (list of str, at most one).

        :raises PtnetError: the second attempt failed too; carries the console's last lines
        """
        failed = []
        while True:
            processes.kill(processes.machines([self.folder]))
            shutil.rmtree(self.folder, ignore_errors=True)
            os.makedirs(self.folder)
            try:
                self._boot(from_snapshot=self.params["snapshot"] and not failed)
                return failed
            except PtnetError as error:
                console = tail(self._file("console.log"))
                processes.kill(processes.machines([self.folder]))
                if failed:
                    raise PtnetError("the emulated machine %s did not start, twice" % self.name, found=error.message,
                                     remedy="read %s; on a busy machine raise timeout" % self._file("console.log"),
                                     log_tail=console, failed_attempts=failed) from error
                failed.append("%s console: %s" % (error.message, console[-1] if console else "empty"))

    def _boot(self, from_snapshot):
        begin = time.monotonic()
        accel = accelerator.choose(self.params)
        snapshot = os.path.join(self.cache, "snapshots", self._snapshot_identity(accel))
        clone = from_snapshot and os.path.exists(snapshot)
        backing = (os.path.join(snapshot, "overlay.qcow2"), "qcow2") if clone else (self.params["disk"], "raw")
        run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", backing[0], "-F", backing[1],
             self._file("overlay.qcow2")], 60)
        port = processes.free_port()
        memory = os.path.join(snapshot, "memory") if clone else self._file("memory")
        argv = vector(self.params, accel, self.folder, port, memory, share=not clone, ends=self._ends())
        run(argv + (["-incoming", "defer"] if clone else []), 60, env={"PATH": os.environ["PATH"] + ":/usr/sbin"})
        if clone:
            with Qmp(self._file(processes.SOCKET), SNAPSHOT_COMMAND_TIMEOUT) as qmp:
                _ignore_shared(qmp)
                qmp.execute("migrate-incoming", uri="exec:cat %s" % os.path.join(snapshot, "state"))
                _wait_for(lambda: qmp.execute("query-status")["status"] in ("paused", "running"), "the snapshot loads")
                qmp.execute("cont")
        remote.wait(port, self.params["ssh_key"], self.params["timeout"])
        if from_snapshot and not clone:
            self._save(snapshot)
        remote.introduce(port, self.params["ssh_key"], self.name)
        with open(self._file("machine.json.new"), "w") as stream:
            json.dump({"name": self.name, "port": port, "accelerator": accel, "from_snapshot": clone,
                       "seconds": round(time.monotonic() - begin, 1)}, stream)
        os.rename(self._file("machine.json.new"), self._file("machine.json"))

    def _ends(self):
        """Sockets of our cables, ours and the other machine's (list of pairs of path)."""
        return [(self._file("link%d" % number), os.path.join(os.path.dirname(self.folder), peer, "link%d" % number))
                for number, peer in cables(self.name, self.params["links"])]

    def _snapshot_identity(self, accel):
        inputs = {name: self.params[name] for name in ("disk", "memory", "cpus", "guest_disk")}
        version = run([self.params["emulator"], "--version"], 30)[1]
        argv = vector(dict(self.params, lab="", name=""), accel, "", 0, "", False, [("", "") for _end in self._ends()])
        return identity("snapshot", [inputs, version, accel, argv])

    def _save(self, snapshot):
        """Keep the booted machine for later clones, and go on as one of its users ourselves."""
        making = snapshot + ".making-%s-%s" % (self.params["lab"], self.name)
        shutil.rmtree(making, ignore_errors=True)
        os.makedirs(making)
        with Qmp(self._file(processes.SOCKET), SNAPSHOT_COMMAND_TIMEOUT) as qmp:
            qmp.execute("stop")
            _ignore_shared(qmp)
            qmp.execute("migrate", uri="exec:cat > %s" % os.path.join(making, "state"))
            _wait_for(lambda: qmp.execute("query-migrate").get("status") in ("completed", "failed"), "the snapshot")
            if qmp.execute("query-migrate")["status"] == "failed":
                raise PtnetError("the snapshot of %s failed" % self.name)
            run(["cp", "--sparse=always", self._file("memory"), os.path.join(making, "memory")], 120)
            run(["cp", "--sparse=always", self._file("overlay.qcow2"), os.path.join(making, "overlay.qcow2")], 120)
            qmp.execute("cont")
        try:
            os.rename(making, snapshot)
        except OSError:  # another run was first; its snapshot is as good
            shutil.rmtree(making)


def _ignore_shared(qmp):
    qmp.execute("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}])


def _wait_for(done, what):
    end = time.monotonic() + SNAPSHOT_COMMAND_TIMEOUT
    while not done():
        if time.monotonic() > end:
            raise PtnetError("%s was not done within %s s" % (what, SNAPSHOT_COMMAND_TIMEOUT))
        time.sleep(0.02)


def cables(name, links):
    """The links that a machine is an end of: their numbers among all, and the machine at the other end. Pure.

    :param links: names of the two machines of each (list of pairs of str)
    :returns: list of pairs of int and str
    :raises PtnetError: a link that has not two ends
    """
    for link in links:
        if len(set(link)) != 2 or len(link) != 2:
            raise PtnetError("a link of the lab is not usable", found=", ".join(link) or "nothing",
                             expected="two machines")
    return [(number, link[1 - link.index(name)]) for number, link in enumerate(links) if name in link]


def vector(params, accel, folder, port, memory, share, ends=()):
    """The command line of QEMU (list of str). Pure.

    :param accel: ``kvm`` or ``tcg``
    :param port: TCP port on the controller's loopback that leads to the machine's SSH (int)
    :param memory: file that holds the machine's memory (path)
    :param share: whether writes reach that file, as a snapshot needs, or stay private, as clones need (bool)
    :param ends: of each cable, the socket that we are at and the one that the other machine is at (pairs of path)
    """
    # An AMD CPU with nested paging is what the emulator can nest; with KVM the host's own is passed on.
    cpu = "host" if accel == "kvm" else "EPYC,+svm,+npt"
    argv = [
        params["emulator"], "-name", "%s%s/%s" % (processes.MARK, params["lab"], params["name"]), "-daemonize",
        "-machine", "pc,accel=%s,memory-backend=ram" % accel, "-cpu", cpu,
        "-smp", str(params["cpus"]), "-m", str(params["memory"]),
        "-object", "memory-backend-file,id=ram,size=%dM,mem-path=%s,share=%s" % (
            params["memory"], memory, "on" if share else "off"),
        "-nodefaults", "-no-user-config", "-display", "none", "-vga", "none",
        "-serial", "file:%s" % os.path.join(folder, "console.log"),
        # The emulator's last words; without a kind of message to log, what it says on its way out goes to /dev/null.
        "-D", os.path.join(folder, LOG), "-d", "unimp",
        "-qmp", "unix:%s,server=on,wait=off" % os.path.join(folder, processes.SOCKET),
        "-kernel", params["kernel"], "-initrd", params["initrd"], "-append", APPEND,
        "-drive", "file=%s,if=virtio,format=qcow2" % os.path.join(folder, "overlay.qcow2"),
        # restrict: no way out, so nothing in the lab depends on what a network happens to offer.
        "-netdev", "user,id=management,restrict=on,hostfwd=tcp:127.0.0.1:%d-:22" % port,
        "-device", "virtio-net-pci,netdev=management,romfile=",
    ]
    for number, (ours, theirs) in enumerate(ends):
        # Datagrams: no end has to be there first, and one that restarts finds the other again.
        argv += ["-netdev", "dgram,id=link%d,local.type=unix,local.path=%s,remote.type=unix,remote.path=%s" % (
            number, ours, theirs), "-device", "virtio-net-pci,netdev=link%d,romfile=" % number]
    if params["guest_disk"]:
        argv += ["-drive", "file=%s,if=virtio,format=raw,read-only=on" % params["guest_disk"]]
    return argv
