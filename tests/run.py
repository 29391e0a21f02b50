# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make test``: every stage, then what each came to. Usage: tests/run.py [STAGE ...]

Those that are named run one after the other. Without names, two of molecule's scenarios, which mostly wait for emulated
machines, have others beside them. A stage that fails stops no other one. Exit status: 0 none failed, 1 some did, 2 bad
input, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import beside
import lab
import sanity
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError

MOLECULE = "molecule"  # the lab_name of its machines
UPSTREAM = "upstream"  # another scenario, and its lab_name
FLEET = "fleet"  # likewise
FORK, FORK_SUITE = "fork", "bookworm"  # likewise, and the release on which the HOWTO's way is tested
DOUBLE_TESTS = "tests/machine/test_double.py"
MOLECULE_BOUND = 35 * 60  # seconds of one attempt; images and builds from nothing are in it, on a busy machine
# Modules that a second, idle converge may start: in an emulated machine each start takes seconds.
BUDGET = {"hv1": 25, "vm1": 15}
# ansible-core's two rows: 2.19 is the last for Python 3.11, newer ones want 3.12.
NEW_ROW, OLD_ROW = ("3.14", "3.13", "3.12"), ("3.11",)


def say(text=""):
    print(text, flush=True)


def run(*argv, **environment):
    """Run a program in the checkout with our own output. Returns whether it ended well (bool)."""
    return subprocess.run(argv, cwd=lab.ROOT, env=dict(os.environ, **environment), check=False).returncode == 0


def result(*passed):
    return ("passed" if all(passed) else "failed"), ""


def lint():
    return result(run("tests/lint"))


def sanity_tests():
    return result(run("tests/sanity"))


def unit():
    return result(run(os.path.join(sys.prefix, "bin/pytest")))


def mutation():
    """Whether the unit tests notice faults that are made on purpose."""
    return result(run(sys.executable, "tests/mutation/run.py"))


def other_core():
    """Unit tests, and at night sanity, in a second environment, with the ansible-core of another Python.

    What random values find was looked for in the first one.
    """
    versions = NEW_ROW if sys.version_info < (3, 12) else OLD_ROW
    found = [(version, python) for version in versions for python in [sanity.interpreter(version)] if python]
    if not found:
        return "skipped", "no Python %s on this machine" % " or ".join(versions)
    version, python = found[0]
    venv = ".cache/venv-" + version
    if not run("tests/setup", VENV=venv, PYTHON=python):
        return "failed", "no environment with %s" % python
    core = subprocess.run([os.path.join(venv, "bin/ansible"), "--version"], cwd=lab.ROOT, check=True,
                          stdout=subprocess.PIPE, text=True).stdout.splitlines()[0]
    note = "%s, Python %s" % (core, version)
    say(note)
    night = lab.word("NIGHTLY", "yes", "no") == "yes"
    passed = [run(os.path.join(venv, "bin/pytest"), EXAMPLES="" if night else "few")]
    if night:
        # Both run, whatever the first one says.
        passed.append(run("tests/sanity", VENV=venv))
    return result(*passed)[0], note


def molecule():
    """The scenario on emulated machines."""
    given, doubles, reason = sources()
    return reason or repeated(MOLECULE, dict(given, **doubles), molecule_once,
                              "doubles: datapath not proven" if doubles else "upstream")


def fork():
    """The HOWTO's way to packets: a release whose own QEMU does not serve ptnet, and the fork compiled for it."""
    given, doubles, reason = sources(lab_suite=FORK_SUITE, lab_hypervisor="fork")
    if doubles:
        return "skipped", "the sources are doubles; the stage molecule has run the fork's"
    return reason or repeated(FORK, given, once(FORK), "upstream")


def fleet():
    """Several hosts with dotted names, joined by cables."""
    given, doubles, reason = sources()
    if doubles:
        return "skipped", "the sources are doubles; without a datapath no packet goes from host to host"
    if not lab.has_qemu(given):
        return "skipped", "its machines run on the distribution's QEMU, which this suite does not have"
    return reason or repeated(FLEET, given, once(FLEET), "upstream")


def nightly(stage):
    """A stage that is one of the long forms."""
    def maybe():
        return stage() if lab.word("NIGHTLY", "yes", "no") == "yes" else ("skipped", "a long form: NIGHTLY=yes")
    return maybe


def sources(**more):
    """What the machines are made from.

    :param more: variables of the playbooks, beside those of the knobs
    :returns: the variables (dict), those of doubles (dict, empty with the real sources), and how a stage ends where
        sources cannot be had (outcome and note, None where they can)
    """
    given = dict(lab.variables(), **more)
    doubles, reasons = lab.rehearsal(given)
    return given, doubles, ("failed", "cannot be had: " + ", ".join(reasons)) if reasons else None


def once(name):
    """One attempt of a scenario whose second converge is not counted, as :func:`molecule_once`."""
    return lambda given, keep: (*scenario(name, name, given, keep)[:2], "")


def repeated(lab_name, given, attempt, note):
    """Run a scenario, and once more from fresh machines when a machine hung. Returns outcome and notes (str each).

    :param attempt: takes the variables and whether the machines are kept, as :func:`molecule_once`
    """
    keep = lab.word("KEEP", "yes", "no") == "yes"
    notes = [note]
    with lab.alone(lab_name):
        try:
            for last in (False, True):
                lab.remove(lab_name)
                failure, hang, note = attempt(given, keep)
                notes.append(note)
                if not hang or last:
                    break
                notes.append("a machine hung, done twice")
                say("\nAn emulated machine hung: %s. Starting over once, from fresh machines." % hang)
        finally:
            if not keep:
                lab.remove(lab_name)
    return "failed" if failure else "passed", "; ".join(filter(None, [failure, *notes]))


def molecule_once(given, keep):
    """One attempt: why it failed, why that looks like a machine that hangs, and what to note (each str or empty)."""
    failure, hang, starts = scenario("default", MOLECULE, given, keep)
    if failure:
        return failure, hang, ""
    counted = ", ".join("%d on %s" % (starts.get(name, 0), name) for name in BUDGET)
    # None at all means that nothing was counted.
    over = [name for name, limit in BUDGET.items() if not 0 < starts.get(name, 0) <= limit]
    return "too many module starts" if over else "", "", "module starts of the second converge: " + counted


def scenario(name, lab_name, given, keep):
    """Run one of molecule's scenarios on the machines of one lab.

    :returns: why it failed, why that looks like a machine that hangs (each str or empty), and the module starts of
        its second converge (dict of host: int)
    """
    folder = os.path.join(lab.cache(), lab_name)
    report = os.path.join(lab.cache(), "report-" + lab_name)
    outcomes = os.path.join(lab.cache(), "outcomes-" + lab_name)
    for path in (folder, report, outcomes):
        shutil.rmtree(path, ignore_errors=True)
    os.makedirs(outcomes)
    given = dict(given, lab_name=lab_name, check_report_folder=report, check_rerun="make molecule")
    with lab.ansible(lab_name, given) as (environment, arguments):
        environment.update(
            NETMAP_PTNET_REPORT=report, NETMAP_PTNET_INVENTORY=lab.inventory(lab_name),
            NETMAP_PTNET_CONTROL=lab.control(lab_name), NETMAP_PTNET_ARGUMENTS=json.dumps(arguments),
            NETMAP_PTNET_OUTCOMES=outcomes,
            MOLECULE_EPHEMERAL_DIRECTORY=folder, MOLECULE_GLOB="molecule/*/molecule.yml",
            MOLECULE_COMMAND_BORDERS="no", PY_COLORS=str(int(sys.stdout.isatty())))
        # ssh makes no folder for its sockets, and ends without one.
        os.makedirs(lab.control(lab_name), mode=0o700, exist_ok=True)
        late = threading.Event()
        process = subprocess.Popen(
            ["molecule", "test", "--scenario-name", name, "--destroy", "never" if keep else "always", "--", *arguments],
            env=environment, cwd=lab.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace")

        def end():
            late.set()
            lab.end_marked(environment[lab.RUN_MARK])

        bound = threading.Timer(MOLECULE_BOUND, end)
        bound.start()
        try:
            starts, missing, silent = follow(process.stdout)
            status = process.wait()
        finally:
            bound.cancel()
    if late.is_set():
        return "no end", "no end after %d min" % (MOLECULE_BOUND // 60), {}
    if status < 0:
        return "molecule was ended by signal %d, as make lab-down does" % -status, "", {}
    if status:
        return "molecule ended with %d" % status, lab.hung(lab_name, report) or silent, {}
    if missing:
        return "molecule left out " + ", ".join(missing), "", {}
    return "", "", starts


def follow(stream):
    """Print what molecule says.

    :returns: the module starts of its second converge (dict of host: int), the steps without a playbook, which molecule
        takes for done (list of str), and whether machines were silent while tests looked at them (str, empty for no)
    """
    step, starts, missing, silent = "", {}, [], ""
    for line in stream:
        sys.stdout.write(line)
        sys.stdout.flush()
        plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
        # With colours "default ➜ converge: Executing", without "[default > converge] Executing".
        begun = re.match(r"INFO .* (\w+)[]:]+ Executing", plain)
        step = begun[1] if begun else step
        count = re.match(r" +(\S+) +ok=\d.*module_starts=(\d+)", plain)
        if count and step == "idempotence":
            starts[count[1]] = int(count[2])
        if "Executed: Missing playbook" in plain and plain.startswith("WARNING"):
            missing.append(step)
        if step == "verify" and ("during banner exchange" in plain or "UNREACHABLE!" in plain):
            silent = "a machine did not answer (verify)"
    return starts, missing, silent


def upstream():
    """netmap's own tests on a host made by hand and on ours."""
    given, doubles, reason = sources()
    if doubles:
        return "skipped", "the sources are doubles, netmap's own tests are not among them"
    report = os.path.join(lab.cache(), "report-" + UPSTREAM, "upstream.html")
    return reason or repeated(UPSTREAM, given, once(UPSTREAM), report)


def machine():
    """What may break a machine: power failures, killed and concurrent runs, on the real kernel and the real netmap."""
    _given, doubles, reason = sources()
    if doubles:
        return "skipped", "the sources are doubles; what they prove is in the stage double"
    if reason:
        return reason
    with lab.alone("machine"):
        return result(run(os.path.join(sys.prefix, "bin/pytest"), "-s", "tests/machine", "--ignore", DOUBLE_TESTS))


def double():
    """Random states and injected faults on the double of netmap, which counts the calls that would crash netmap."""
    with lab.alone("double"):
        return result(run(os.path.join(sys.prefix, "bin/pytest"), "-s", DOUBLE_TESTS))


def benchmark():
    """Figures of the module for ports, as ratios of what ran side by side; no part of ``make test``."""
    return figures("ports.py", "--host", "hv1")


def rates():
    """What a port of each QEMU carries and costs, likewise."""
    return figures("rates.py", tags="lab,host,guest", guests=True, lab_hypervisor="both")


def figures(program, *arguments, **made):
    """Run a program of tests/benchmark on an emulated host of its own.

    :param made: see :class:`emulated.Emulated`
    """
    sys.path[:0] = [os.path.join(lab.ROOT, "tests/machine")]
    import emulated

    with lab.alone("benchmark"):
        host = emulated.Emulated("benchmark", **made)
        try:
            host.create()
            return result(run(sys.executable, "tests/benchmark/" + program, "--inventory", lab.inventory("benchmark"),
                              *arguments))
        finally:
            host.remove()


STAGES = {"lint": lint, "sanity": sanity_tests, "unit": unit, "mutation": mutation, "other-core": other_core,
          "fleet": fleet, "molecule": molecule, "machine": machine, "double": double, "fork": nightly(fork),
          "upstream": nightly(upstream)}
# Two processors bear the two hosts of the fleet and a compiler's load, or two hosts: what runs beside which stage.
BESIDE = {"fleet": ("lint", "sanity", "unit", "mutation", "other-core"), "molecule": ("machine", "double")}
# What is asked for by name is run.
ON_REQUEST = {"fork": fork, "upstream": upstream, "benchmark": benchmark, "rates": rates}


def main(wanted):
    asked = beside.asked()
    stages = dict(STAGES, **(ON_REQUEST if wanted else {}))
    unknown = [name for name in wanted if name not in stages]
    if unknown:
        raise PtnetError("there is no such stage", found=", ".join(unknown), expected=", ".join(stages))
    # A knob that cannot be is told now, not after a quarter of an hour.
    lab.variables()
    lab.word("KEEP", "yes", "no")
    lab.word("NIGHTLY", "yes", "no")
    os.environ["VENV"] = sys.prefix
    os.environ.setdefault(lab.RUN_MARK, lab.run_mark("tests"))
    rows = perform(wanted, stages) if wanted else perform_all()
    if beside.tell(asked, rows):
        return 0
    rows.sort(key=lambda row: list(stages).index(row[0]))
    say("\n%-12s  %-8s  %10s" % ("stage", "result", "time"))
    for name, outcome, seconds, note in rows:
        say(("%-12s  %-8s  %3d min %2d s  %s" % (name, outcome, *divmod(int(seconds), 60), note)).rstrip())
    count = [sum(row[1] == outcome for row in rows) for outcome in ("passed", "failed", "skipped")]
    say("%d passed, %d failed, %d skipped" % tuple(count))
    return 1 if count[1] else 0


def perform_all():
    """All stages, some beside others. Returns rows as :func:`perform`."""
    rows = []
    for name in [name for name in STAGES if not any(name in others for others in BESIDE.values())]:
        side = beside.Beside(BESIDE[name], os.path.join(lab.ROOT, "tests/run.py")) if name in BESIDE else None
        try:
            rows += perform([name], STAGES)
            rows += side.wait() if side else []
        except KeyboardInterrupt:
            if side:
                lab.end_marked(side.mark)
            raise
    return rows


def perform(names, stages):
    """Run stages one after the other. Returns rows of name, outcome, seconds and note (list of tuple)."""
    rows = []
    for name in names:
        say("\n=== %s %s" % (name, "=" * (70 - len(name))))
        begin = time.monotonic()
        try:
            outcome, note = stages[name]()
        except Exception as error:  # whatever it is, the other stages and the table still come
            outcome, note = "failed", getattr(error, "message", None) or str(error) or type(error).__name__
        rows.append((name, outcome, time.monotonic() - begin, note))
        say("=== %s %s after %d min %d s" % (name, outcome, *divmod(int(rows[-1][2]), 60)))
    return rows


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as CI ends a job
    try:
        sys.exit(main(sys.argv[1:]))
    except PtnetError as error:
        print("tests: %s" % error.message, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        lab.end_marked(os.environ[lab.RUN_MARK])
        say("\ninterrupted; the next run begins with fresh machines")
        sys.exit(130)
