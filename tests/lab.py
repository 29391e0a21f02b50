# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make lab`` and ``make lab-down``: the emulated lab, from the knobs of the Makefile to ansible-playbook.

Exit status: 0 proven, or rehearsed on doubles, 2 failed, 3 a source cannot be reached, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import yaml
from ansible_collections.netmap.ptnet.plugins.module_utils import files
from ansible_collections.netmap.ptnet.plugins.module_utils.build.source import unreachable
from ansible_collections.netmap.ptnet.plugins.module_utils.build.store import Store
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.lab import machine, processes

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STEPS = ("lab", "host", "guest", "check")
RUN_MARK = "NETMAP_PTNET_RUN"
UNREACHABLE_STATUS = 3
DOUBLES = os.path.join(ROOT, "tests/doubles")
# Beside the inventory that the lab role writes, so that there is one before it does.
CONTROLLER = """---
ungrouped:
  hosts:
    localhost:
      ansible_connection: local
      ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""


def cache():
    """Where everything expensive is kept (path)."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.abspath(os.environ.get("LAB_CACHE") or os.path.join(home, "netmap-ptnet"))


def lab_name():
    """The name of the lab that ``make lab`` makes (str), ``LAB_NAME``. With the cache it says which lab it is.

    :raises PtnetError: it cannot be one
    """
    given = knob("LAB_NAME") or role("defaults/main.yml")["lab_name"]
    machine.check_names(given, None)
    return given


def run_mark(lab):
    """What the processes of this run bear in their environment (str): whose they are, so that others let them be."""
    return "%s:%s:%d" % (cache(), lab, os.getpid())


@contextlib.contextmanager
def alone(lab):
    """Hold the lab of a name in this cache: a second run would take the machines away from under the first.

    :raises PtnetError: there is another run
    """
    os.makedirs(cache(), mode=0o700, exist_ok=True)
    with open(os.path.join(cache(), "lock-" + lab), "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PtnetError("the machines are in use", found="another run on the lab %s in %s" % (lab, cache()),
                             remedy="run it again when that has ended; another LAB_NAME or LAB_CACHE is another lab"
                             ) from None
        yield


def control(lab):
    """A folder for shared SSH connections of programs other than Ansible (path), short enough for sockets."""
    digest = hashlib.sha256(("%s:%s" % (cache(), lab)).encode()).hexdigest()[:10]
    return os.path.expanduser("~/.ansible/cp/" + digest)


def knob(name):
    """A knob of the Makefile, None when it is not set (str)."""
    return os.environ.get(name) or None


def variables():
    """The knobs as variables of the playbooks (dict).

    :raises PtnetError: a knob that cannot be
    """
    given = {
        "lab_cache": cache(), "lab_name": lab_name() if knob("LAB_NAME") else None, "lab_mirror": knob("MIRROR"),
        "lab_suite": word("SUITE", *role("meta/argument_specs.yml")["argument_specs"]["main"]["options"]["lab_suite"][
            "choices"]),
        "lab_hypervisor": word("HYPERVISOR", "distribution", "fork", "both"),
        "lab_accelerator": word("ACCELERATOR", "auto", "kvm", "tcg"),
        "lab_memory": _number("MEMORY", 1024, 65536), "lab_cpus": _number("CPUS", 1, 64),
        "check_seconds": _number("CHECK_SECONDS", 1, 60),
        "netmap_source": knob("SOURCE_NETMAP"), "netmap_commit": knob("COMMIT_NETMAP"),
        "qemu_source": knob("SOURCE_QEMU"), "qemu_commit": knob("COMMIT_QEMU"),
        "lab_snapshot": {"yes": True, "no": False}.get(word("SNAPSHOT", "yes", "no")),
    }
    word("FROM", *STEPS)
    word("REHEARSAL", "yes", "no")
    for name in ("netmap_source", "qemu_source"):
        # A path counts from where make was called, the modules run elsewhere.
        if given[name] and os.path.exists(given[name]):
            given[name] = os.path.abspath(given[name])
    return {name: value for name, value in given.items() if value is not None}


def word(name, *allowed):
    """A knob that is one of some words, None when it is not set (str).

    :raises PtnetError: it is another
    """
    if knob(name) not in (None, *allowed):
        raise PtnetError("%s is refused" % name, found=knob(name), expected="one of " + ", ".join(allowed))
    return knob(name)


def role(path):
    """A file of the role lab (dict)."""
    with open(os.path.join(ROOT, "roles/lab", path), encoding="utf-8") as stream:
        return yaml.safe_load(stream)


def suite(given):
    """The Debian release of the machines, from the knobs' variables (str)."""
    return given.get("lab_suite") or role("defaults/main.yml")["lab_suite"]


def has_qemu(given):
    """Whether the image brings a QEMU that serves ptnet, so that none has to be compiled (bool)."""
    packages = role("vars/main.yml")["__lab_suite_packages"][suite(given)]
    return any(package.startswith("qemu-system-x86") for package in packages)


def _number(name, low, high):
    text = knob(name)
    if text is None:
        return None
    if not text.isdecimal() or not low <= int(text) <= high:
        raise PtnetError("%s is refused" % name, found=text, expected="a whole number from %d to %d" % (low, high))
    return int(text)


def defaults(module):
    """The default source and commit that a build module documents (tuple of str)."""
    path = os.path.join(ROOT, "plugins/modules/%s.py" % module)
    with open(path, encoding="utf-8") as stream:
        document = stream.read().split('DOCUMENTATION = r"""', 1)[1].split('"""', 1)[0]
    options = yaml.safe_load(document)["options"]
    return options["source"]["default"], options["commit"]["default"]


def sources_unreachable(given):
    """Why sources cannot be had, found out within 15 s (dict of knob: reason)."""
    store = Store(os.path.join(cache(), "store"), "preflight")
    wanted = {}
    # The fork is compiled where it is the only one, or asked for.
    fork = not has_qemu(given) or given.get("lab_hypervisor") in ("fork", "both")
    for kind in ("netmap", "qemu") if fork else ("netmap",):
        source, commit = defaults("%s_build" % kind)
        wanted["SOURCE_" + kind.upper()] = (given.get(kind + "_source", source), given.get(kind + "_commit", commit))
    with ThreadPoolExecutor() as pool:
        reasons = dict(zip(wanted, pool.map(lambda one: unreachable(*one, store), wanted.values())))
    return {name: reason for name, reason in reasons.items() if reason}


def explain_unreachable(reasons):
    """Say what cannot be had and the ways out."""
    for name, reason in reasons.items():
        print("%s cannot be had: %s" % (name, reason))
    print("Ways out:")
    for name in reasons:
        print("  make lab %s=ADDRESS     another git address that this machine reaches" % name)
        print("  make lab %s=DIRECTORY   a checkout that you brought here" % name)
        print("  make lab %s=FILE.tar.gz an archive of the source" % name)


def rehearsal(given):
    """Variables that put the doubles in the place of netmap and the ptnet QEMU (dict), empty where these can be had.

    Whether something was a double is told by the machines, not by this.

    :param given: the variables so far (dict)
    :returns: the variables, and the reasons that stand against going on (dict of knob: reason)
    """
    wanted = knob("REHEARSAL")
    named = [name for name in ("SOURCE_NETMAP", "COMMIT_NETMAP", "SOURCE_QEMU", "COMMIT_QEMU") if knob(name)]
    if wanted == "yes" and named:
        raise PtnetError("REHEARSAL=yes is refused", found="%s beside it" % ", ".join(named),
                         expected="one of them: a rehearsal takes the doubles as its sources")
    reasons = {} if wanted == "yes" else sources_unreachable(given)
    if reasons:
        explain_unreachable(reasons)
    if reasons and (named or wanted == "no"):
        return {}, reasons
    if not reasons and wanted != "yes":
        return {}, {}
    print("%sThis is a rehearsal: the same path on doubles of netmap and of the ptnet QEMU; the datapath is not proven."
          % ("\n" if reasons else ""), flush=True)
    # The double of QEMU is one of the fork; the distribution's opens ports that the double of netmap does not have.
    doubles = {"netmap_source": os.path.join(DOUBLES, "netmap"), "qemu_source": os.path.join(DOUBLES, "qemu"),
               "lab_hypervisor": "fork"}
    if "lab_suite" not in given:
        # The release on which they were tried from end to end.
        doubles["lab_suite"] = "bookworm"
    if not has_qemu({**given, **doubles}):
        # The double of QEMU runs the distribution's.
        doubles["lab_image_packages"] = ["qemu-system-x86"]
    return doubles, {}


def inventory(lab):
    """The inventory that the role writes for one lab (path). By name: a whole folder would mix labs."""
    return os.path.join(cache(), "inventory", lab + ".yml")


@contextlib.contextmanager
def ansible(lab, given):
    """What Ansible's programs need for one run on a lab: environment (dict) and arguments (list of str).

    What they leave running in the background ends with the run.
    """
    os.makedirs(os.path.dirname(inventory(lab)), mode=0o700, exist_ok=True)
    if not os.path.exists(inventory("controller")):
        # At once: another lab of this cache may read it.
        files.replace(inventory("controller"), CONTROLLER.encode())
    if not os.path.exists(inventory(lab)):
        with open(inventory(lab), "w", encoding="utf-8") as stream:
            stream.write("all: {}\n")
    extra = os.path.join(cache(), "variables-%d.yml" % os.getpid())
    with open(extra, "w", encoding="utf-8") as stream:
        yaml.safe_dump(given, stream)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(failure_file(lab))
    environment = dict(os.environ, ANSIBLE_CONFIG=os.path.join(ROOT, "tests/ansible.cfg"),
                       NETMAP_PTNET_PROGRESS=os.path.join(cache(), "store/log"),
                       NETMAP_PTNET_FAILURE=failure_file(lab),
                       PATH=os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]))
    environment.setdefault(RUN_MARK, run_mark(lab))
    try:
        yield environment, ["--inventory=" + inventory("controller"), "--inventory=" + inventory(lab),
                            "--extra-vars=@" + extra, *(knob("VERBOSE") or "").split()]
    finally:
        os.unlink(extra)
        end_marked(environment[RUN_MARK])


def play(playbook, given, *arguments):
    """Run one playbook of the collection to its end. Returns its exit status (int)."""
    with ansible(lab_name(), given) as (environment, common):
        argv = ["ansible-playbook", *common, os.path.join(ROOT, "playbooks", playbook), *arguments]
        process = subprocess.Popen(argv, env=environment, cwd=ROOT)
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()
            raise


def end_marked(run, with_machines=False):
    """End what a run started and left behind (compilers, an image being made), by a mark in the environment.

    :param run: the value of the mark, or its parts without the last ones, for all runs on a lab or in a cache (str)
    :param with_machines: whether the lab's machines, which shall outlive the run, end too (bool)
    """
    spared = set() if with_machines else {pid for pids in processes.machines().values() for pid in pids}
    spared |= {os.getpid(), os.getppid()}
    # First politely: mmdebstrap takes its half-made file system away.
    for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 2)):
        limit = time.monotonic() + seconds
        found = _marked(run) - spared
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while found & _marked(run) and time.monotonic() < limit:
            time.sleep(0.1)


def _marked(run):
    """Our own processes that bear a run's mark (set of pid); ``run`` as :func:`end_marked` takes it."""
    found = set()
    for entry in filter(str.isdigit, os.listdir("/proc")):
        # A process may end between the listing and the look.
        with contextlib.suppress(OSError):
            if os.stat("/proc/" + entry).st_uid == os.geteuid():
                with open("/proc/%s/environ" % entry, "rb") as stream:
                    words = stream.read().split(b"\0")
                marks = [word for word in words if word.startswith(RUN_MARK.encode() + b"=")]
                value = marks[0].decode("utf-8", "surrogateescape").partition("=")[2] if marks else ""
                if run in (value, value.rpartition(":")[0], value.rpartition(":")[0].rpartition(":")[0]) and value:
                    found.add(int(entry))
    return found


def up():
    begin = time.monotonic()
    given = variables()
    start = knob("FROM") or "lab"
    if STEPS.index(start) < STEPS.index("check"):
        doubles, reasons = rehearsal(given)
        if reasons:
            return UNREACHABLE_STATUS
        given.update(doubles)
        if changed_sides(side(given)):
            start = "lab"
    given["check_report_folder"] = report_folder()
    skipped = STEPS[:STEPS.index(start)]
    arguments = ["--skip-tags", ",".join(skipped)] if skipped else []
    status = play("lab.yml", given, *arguments)
    hang = status and hung(lab_name(), report_folder())
    if hang:
        print("\nAn emulated machine hung: %s. Starting over once, from fresh machines." % hang)
        remove(lab_name())
        status = play("lab.yml", given)
    print("make lab: %s after %d min %d s" % (
        "failed" if status else outcome(), *divmod(int(time.monotonic() - begin), 60)))
    return 2 if status else 0


def side(given):
    """Which lab the knobs' variables make, in words that change with it (str)."""
    return "%s on %s, QEMU: %s" % ("doubles" if given.get("netmap_source", "").startswith(DOUBLES) else "upstream",
                                   suite(given), given.get("lab_hypervisor", "as the suite has it"))


def changed_sides(wanted):
    """Whether the machines of the lab were made for another :func:`side`; they are removed then (bool)."""
    path = os.path.join(cache(), "side-" + lab_name())
    try:
        with open(path, encoding="utf-8") as stream:
            before = stream.read()
    except OSError:
        before = None
    if before != wanted:
        # A loaded netmap, running machines and the image are of another side; nothing of them can be gone on with.
        remove(lab_name())
    os.makedirs(cache(), mode=0o700, exist_ok=True)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(wanted)
    return before != wanted


def report_folder():
    """Where the check of ``make lab`` puts its report (path): one place for each lab."""
    if knob("LAB_CACHE") or knob("LAB_NAME"):
        return os.path.join(cache(), "report-" + lab_name())
    home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local/state")
    return os.path.join(home, "netmap-ptnet")


def outcome():
    """What a check that did not fail has shown, by what the machines told it (str)."""
    with open(os.path.join(report_folder(), "results.json"), encoding="utf-8") as stream:
        verdict = json.load(stream)["verdict"]
    return "proven" if verdict == "passed" else "rehearsed on doubles, datapath not proven,"


CHECK, SILENT = "check:", " does not answer"  # how role check begins its tasks, and tells of a machine


def failure_file(lab):
    """Where the last failure of a lab's run is noted (path)."""
    return os.path.join(cache(), "failure-%s.json" % lab)


def hung(lab, report=None):
    """Why the last failure looks like an emulated machine that hangs, empty when it does not (str).

    :param report: folder of the check's results, where a machine that is silent fails its own cases alone (path)
    """
    try:
        with open(failure_file(lab), encoding="utf-8") as stream:
            failure = yaml.safe_load(stream)
    except OSError:
        return ""
    if failure.get("unreachable") or failure.get("action", "").endswith(("wait_for_connection", "reboot")):
        gone = ["the emulator of %s ended, its last words: %s" % one for one in machine.ended(cache(), lab).items()]
        return "; ".join(["%s did not answer (%s)" % (failure.get("host"), failure.get("task")), *gone])
    if report and failure.get("task", "").startswith(CHECK):
        with contextlib.suppress(OSError), open(os.path.join(report, "results.json"), encoding="utf-8") as stream:
            reasons = [case.get("error") or "" for case in json.load(stream)["cases"]]
            return next((reason.partition(":")[0] for reason in reasons if SILENT in reason), "")
    return ""


def remove(lab=None):
    """Remove the machines of one lab of this cache, or of all of them, and their inventories."""
    done = machine.act({"state": "absent", "name": None, "lab": lab, "cache": cache()}, False)
    for one in done["diff"]["before"]:
        print("removed %s" % one)
    folder = os.path.join(cache(), "inventory")
    for entry in os.listdir(folder) if os.path.isdir(folder) else []:
        if lab is None or entry == lab + ".yml":
            os.unlink(os.path.join(folder, entry))


def down():
    """Remove the labs of this cache, or the one that LAB_NAME names, and tell what others there are."""
    lab = lab_name() if knob("LAB_NAME") else None
    end_marked(cache() if lab is None else "%s:%s" % (cache(), lab), with_machines=True)
    remove(lab)
    for folder in sorted(processes.machines()):
        place, mark, _machine = folder.partition("/machines/")
        if mark and place != os.path.realpath(cache()):
            print("left alone: %s; `make lab-down LAB_CACHE=%s` removes it" % (folder, place))
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was begun is tidied up either way
    try:
        if sys.argv[1] == "down":
            sys.exit(down())
        with alone(lab_name()):
            sys.exit(up())
    except PtnetError as error:
        sys.exit("lab: %s" % error.message)
    except KeyboardInterrupt:
        print("\ninterrupted; `make lab` goes on from here, `make lab-down` removes the machines")
        sys.exit(130)
