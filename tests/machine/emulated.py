# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An emulated host of one's own for tests that may break it: cut its power, start it again, run things on it.

It is a machine of the project's own lab role, under a lab name of its own, with the real netmap installed by our role.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import random
import shlex
import subprocess
import sys
import time
import zipfile

import lab
from ansible_collections.netmap.ptnet.plugins.module_utils.command import run
from ansible_collections.netmap.ptnet.plugins.module_utils.lab import processes, remote
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu.qmp import Qmp

PLUGINS = pathlib.Path(lab.ROOT, "plugins")
HERE = pathlib.Path(__file__).parent
CODE = "/root/ptnet"  # where the collection's Python is on the machine
BOOT_TIMEOUT = 300
COMMAND_TIMEOUT = 300
# Lines of a kernel log that say that netmap was hurt (facts: netmap_bdg.c, netmap_vale.c under wrong calls).
HURT = ("oops:", "bug:", "warning:", "unregister_netdevice: waiting for", "general protection fault", "null pointer",
        "call trace", "kernel panic", "blocked for more than", "use-after-free", "refcount_t")


def seed():
    """What every random choice of this run comes from (int); ``SEED=`` gives the same choices again."""
    if not os.environ.get("SEED"):
        os.environ["SEED"] = str(random.SystemRandom().randrange(10 ** 6))
    return int(os.environ["SEED"])


def nightly():
    """Whether the long form is wanted, ``NIGHTLY=yes`` (bool)."""
    return os.environ.get("NIGHTLY") == "yes"


class Answer:
    """What a command said: ``status`` (int), ``text`` (str)."""

    def __init__(self, status, text):
        self.status, self.text = status, text

    def __bool__(self):
        return self.status == 0

    def __repr__(self):
        return "status %s: %s" % (self.status, self.text[-2000:])


class Emulated:
    """One emulated host, ``hv1`` of a lab of its own. Makes nothing before :meth:`create`.

    :param lab_name: of its lab; machines are known by it (str)
    :param tags: what of ``playbooks/lab.yml`` makes it: ``lab`` alone is bare Debian (str)
    :param guests: whether it has the lab's virtual machines (bool)
    :param given: variables of the playbooks
    """

    host = "hv1"

    def __init__(self, lab_name="machine", tags="lab,netmap", guests=False, **given):
        self.lab_name, self.tags, self.given = lab_name, tags, given
        self._skipped = "check" if guests else "guest,check"
        if not guests:
            self.given["lab_guests"] = []
        self.folder = os.path.join(os.path.realpath(lab.cache()), "machines", lab_name, self.host)
        self.key = os.path.join(lab.cache(), "ssh/id_ed25519")
        self._argv = None
        self._processes = []

    def create(self):
        """A fresh machine, whatever was there before; from an empty cache this makes image and builds first."""
        lab.remove(self.lab_name)
        answer = self.playbook("playbooks/lab.yml", "--tags", self.tags, "--skip-tags", self._skipped)
        assert answer, answer
        return self

    def remove(self):
        """Take the machine away, with all that it wrote."""
        lab.remove(self.lab_name)

    # Power

    @property
    def port(self):
        """The TCP port on our loopback that leads to its SSH (int)."""
        with open(os.path.join(self.folder, "machine.json"), encoding="utf-8") as stream:
            return json.load(stream)["port"]

    def running(self):
        return bool(processes.machines([self.folder]))

    def cut(self):
        """Power off hard: what the guest had not flushed to its disk is lost, the rest of the disk stays."""
        found = processes.machines([self.folder])
        for pid in found.get(self.folder, []):
            with open("/proc/%d/cmdline" % pid, encoding="utf-8") as stream:
                words = stream.read().rstrip("\0").split("\0")
            if "-incoming" in words:  # a clone of the snapshot starts from cold the next time
                at = words.index("-incoming")
                del words[at:at + 2]
            self._argv = words
        processes.kill(found)
        for process in self._processes:
            process.wait()
        self._processes.clear()

    def start(self, wait=True):
        """Power on after :meth:`cut`, from the same disk, from cold. Returns the seconds it took (float)."""
        begin = time.monotonic()
        run(self._argv, 60, env={"PATH": os.environ["PATH"] + ":/usr/sbin"})
        if wait:
            self.wait()
        return time.monotonic() - begin

    def wait(self):
        """Until every service of the booting machine has ended its start."""
        remote.wait(self.port, self.key, BOOT_TIMEOUT)

    def monitor(self, line):
        """Say a line to the emulator, such as ``savevm NAME``: the machine as it runs, to come back to."""
        with Qmp(self._file("qmp"), 60) as qmp:
            said = qmp.execute("human-monitor-command", **{"command-line": line})
        assert not said.strip(), said

    def _file(self, name):
        return os.path.join(self.folder, name)

    # Commands

    def ssh(self, command, timeout=COMMAND_TIMEOUT):
        """Run a shell line as root. Returns :class:`Answer`; output and errors in one text."""
        return Answer(*run(self._ssh(command), timeout, allowed=None))

    def _ssh(self, command):
        # On a busy machine an emulated one takes long to greet; ssh takes the first value of an option.
        return ["ssh", "-o", "ConnectTimeout=120", *remote.OPTIONS, "-i", self.key, "-p", str(self.port),
                "root@127.0.0.1", command]

    def check(self, command, timeout=COMMAND_TIMEOUT):
        """Run a shell line that has to end well; returns its output (str)."""
        answer = self.ssh(command, timeout)
        assert answer, "%s: %r" % (command, answer)
        return answer.text

    def begin(self, command):
        """Start a shell line and return it running (subprocess.Popen with text output); its ssh ends with the power."""
        return subprocess.Popen(self._ssh(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, errors="replace")

    def put(self, path, content):
        """Write a file (bytes or str) there."""
        content = content if isinstance(content, bytes) else content.encode()
        done = subprocess.run(
            self._ssh("mkdir -p %s && cat > %s && sync" % (shlex.quote(os.path.dirname(path)), shlex.quote(path))),
            input=content, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False)
        assert done.returncode == 0, done.stdout

    def equip(self):
        """Bring the collection's code to the machine, for :meth:`steps`."""
        self.put(CODE + ".zip", archive())
        self.check("rm -rf %s && python3 -m zipfile -e %s.zip %s && sync" % (CODE, CODE, CODE))

    def steps(self, steps, at=None, then="halt", check=False):
        """Run modules in the machine without Ansible. Returns what they said, in order (list of dict).

        :param steps: module and options (list of pairs)
        :param at: the number of the effect at which this stops (int); with ``halt`` it then waits for its end
        """
        process = self.begin_steps(steps, at, then, check)
        told = []
        for line in process.stdout:
            if not line.startswith("{"):
                told.append({"said": line})
                continue
            told.append(json.loads(line))
            if "reached" in told[-1]:
                break
        else:
            process.wait()
        self._processes.append(process)
        return told

    def begin_steps(self, steps, at=None, then="halt", check=False):
        """The same, running (subprocess.Popen); each line of its output is a JSON object."""
        options = ["--check"] if check else []
        options += ["--at", str(at), "--then", then] if at else []
        return self.begin("echo %s | PYTHONPATH=%s python3 -m steps %s" % (
            shlex.quote(json.dumps(steps)), CODE, " ".join(options)))

    # Ansible

    def connection(self):
        """How Ansible reaches it, for an inventory of one's own (dict)."""
        return {"ansible_host": "127.0.0.1", "ansible_port": self.port, "ansible_user": "root",
                "ansible_ssh_private_key_file": self.key, "ansible_python_interpreter": "/usr/bin/python3",
                "ansible_ssh_common_args": " ".join(remote.OPTIONS),
                "ansible_control_path_dir": lab.control(self.lab_name)}

    def ansible(self, program="ansible-playbook", *arguments, **given):
        """Run a program of Ansible with this lab's inventory. Returns :class:`Answer`."""
        environment, common = self._ansible(given)
        done = subprocess.run([program, *common, *arguments], cwd=lab.ROOT, env=environment, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace")
        return Answer(done.returncode, done.stdout)

    def playbook(self, path, *arguments, **given):
        """Run a playbook (path from the checkout's root). Returns :class:`Answer`."""
        return self.ansible("ansible-playbook", path, *arguments, **given)

    @contextlib.contextmanager
    def running_playbook(self, path, *arguments, **given):
        """A playbook under way (subprocess.Popen with text output)."""
        environment, common = self._ansible(given)
        with subprocess.Popen(
                ["ansible-playbook", *common, path, *arguments], cwd=lab.ROOT, env=environment,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
            yield process

    def module(self, name, /, **options):
        """Run one module of the collection; returns its result (dict)."""
        arguments = ["--args", json.dumps(options)] if options else []
        answer = self.ansible("ansible", self.host, "--module-name", "netmap.ptnet." + name, "--one-line", *arguments)
        return json.loads(answer.text[answer.text.index("{"):answer.text.rindex("}") + 1])

    def _ansible(self, given):
        """Environment (dict) and arguments (list of str), as lab.ansible has them; but here several run at once."""
        for path, text in ((lab.inventory("controller"), lab.CONTROLLER), (lab.inventory(self.lab_name), "all: {}\n")):
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            if not os.path.exists(path):
                pathlib.Path(path).write_text(text, "utf-8")
        given = {**lab.variables(), **self.given, **given, "lab_name": self.lab_name}
        environment = dict(
            os.environ, ANSIBLE_CONFIG=os.path.join(lab.ROOT, "tests/ansible.cfg"), ANSIBLE_NOCOLOR="1",
            PATH=os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]))
        common = ["--inventory=" + lab.inventory(name) for name in ("controller", self.lab_name)]
        return environment, [*common, "--extra-vars=" + json.dumps(given)]

    # What became of it

    def hurt(self):
        """Lines of the kernel log that say that the kernel was hurt (list of str)."""
        lines = self.check("dmesg").splitlines()
        return [line for line in lines if any(word in line.lower() for word in HURT)]


@contextlib.contextmanager
def kept(one):
    """A fresh machine for a while. With KEEP=yes it stays, and the next run takes it as it is."""
    keep = os.environ.get("KEEP") == "yes"
    try:
        if not (keep and one.running()):
            one.create()
        yield one
    finally:
        if not keep:
            one.remove()


def archive():
    """The collection's Python as a zip file (bytes) that needs no Ansible, with what these tests run in the machine."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for folder in ("", "netmap/", "netmap/ptnet/", "netmap/ptnet/plugins/", "netmap/ptnet/plugins/modules/",
                       "netmap/ptnet/plugins/module_utils/"):
            packed.writestr("ansible_collections/%s__init__.py" % folder, "")
        for path in sorted(PLUGINS.glob("module*/**/*.py")):
            # What imports Ansible is replaced, see inside/steps.py.
            text = "serve = None\n" if path.name == "face.py" else path.read_bytes()
            packed.writestr("ansible_collections/netmap/ptnet/plugins/%s" % path.relative_to(PLUGINS).as_posix(), text)
        for path in sorted((HERE / "inside").glob("*.py")):
            packed.writestr(path.name, path.read_bytes())
    return stream.getvalue()
