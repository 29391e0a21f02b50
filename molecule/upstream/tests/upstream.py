# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""netmap's own tests: built from the source that netmap was built from, run one by one on an emulated machine.

Some of them make calls that wedge this netmap (they open persistent ports that are attached, or attach one to two
switches), so the machine goes back to a snapshot after each of those, and after each that found no end.
"""

from __future__ import annotations

import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import threading

import lab
from ansible_collections.netmap.ptnet.plugins.module_utils.build.source import open_source
from ansible_collections.netmap.ptnet.plugins.module_utils.build.store import Store
from emulated import nightly

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = ("functional", "functional-legacy", "fd_server", "fd_server-legacy", "ctrl-api-test", "get_avail_tx_packets",
            "get_max_tx_packets")
# Upstream runs them over the old interface as well; here that is for the night.
APIS = ("functional", "functional-legacy") if nightly() else ("functional",)
SNAPSHOT = "before"
FOLDER = "/root/upstream"
# Each of upstream's tests takes a second or two; emulated and on a busy machine, longer.
TEST_SECONDS = 60
BATCH_SECONDS = 20
# The test creates persistent ports, and nearly all of those then open or attach them as they must not be.
WEDGING = "create_vale_persistent_port"


def source(given):
    """The source that the build took (build.source's kinds), and whether it is the project's own double (bool)."""
    address, commit = lab.defaults("netmap_build")
    address = given.get("netmap_source", address)
    doubles = os.path.abspath(address) == os.path.join(lab.ROOT, "tests/doubles/netmap")
    store = Store(os.path.join(lab.cache(), "store"), "netmap")
    return open_source(address, given.get("netmap_commit", commit), store), doubles


def build(found, interpreter):
    """Compile the tests in the build root, once for each source. Returns the folder with all of it (path).

    :param found: from :func:`source`
    :param interpreter: Python in the build root that fits the machines (path)
    """
    folder = os.path.join(lab.cache(), "upstream", re.sub(r"\W", "", found.content())[-40:])
    if os.path.isdir(folder):
        return folder
    making = folder + ".making"
    shutil.rmtree(making, ignore_errors=True)
    os.makedirs(making)
    if hasattr(found, "fetch"):
        found.fetch()
    found.export(making)
    for words in (["libnetmap", "libnetmap.a", "SRCDIR=.."], ["utils", *PROGRAMS]):
        argv = ["make", "-C", os.path.join(making, words[0]), *words[1:]]
        subprocess.run([interpreter, "-c", "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))", *argv],
                       check=True, stdout=subprocess.DEVNULL)
    os.rename(making, folder)
    return folder


class Bench:
    """The machine with the tests on it.

    :param machine: an emulated host with netmap (emulated.Emulated)
    :param folder: from :func:`build`
    """

    def __init__(self, machine, folder):
        self.machine = machine
        utils = pathlib.Path(folder, "utils")
        self.wedging = {path.name for path in (utils / "tests").iterdir() if WEDGING in path.read_text("utf-8")}
        self._ship(utils)
        listed = machine.check(FOLDER + "/ctrl-api-test -l")
        self.tests = [("integration", api, path.name) for api in APIS for path in sorted((utils / "tests").iterdir())]
        self.tests += [("control", number, name) for number, name in re.findall(r"#0*(\d+): (\w+)", listed)]

    def _ship(self, utils):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz") as packed:
            for name in (*PROGRAMS, "test_lib", "tests"):
                packed.add(utils / name, name)
            packed.add(HERE / "inside.py", "inside.py")
        self.machine.put(FOLDER + ".tar.gz", stream.getvalue())
        self.machine.check("mkdir -p %s && tar -xzf %s.tar.gz -C %s && sync" % ((FOLDER,) * 3))

    def run(self, tests=None):
        """Run tests, all by default, from the machine's present state. Returns name -> result (dict of dict)."""
        self.machine.monitor("savevm " + SNAPSHOT)
        results = {}
        try:
            left = list(tests or self.tests)
            while left:
                tame = [one for one in left if one[2] not in self.wedging]
                batch = tame or left[:1]
                for one, result in self._batch(batch):
                    results[label(one)] = result
                    left.remove(one)
                if not tame or left:
                    self.machine.monitor("loadvm " + SNAPSHOT)
        finally:
            self.machine.monitor("loadvm " + SNAPSHOT)
            self.machine.monitor("delvm " + SNAPSHOT)
        return results

    def _batch(self, batch):
        """Results in order, up to the first test that found no end: the machine may be beyond use then."""
        process = self.machine.begin("cd %s && python3 inside.py '%s'" % (
            FOLDER, json.dumps({"tests": batch, "seconds": TEST_SECONDS})))
        bound = threading.Timer(len(batch) * BATCH_SECONDS + 2 * TEST_SECONDS, process.kill)
        bound.start()
        done, said = [], ""
        for said in process.stdout:
            if said.startswith("{"):
                done.append((batch[len(done)], json.loads(said)))
                sys.stdout.write("%-9s %s\n" % (done[-1][1]["outcome"], label(done[-1][0])))
        bound.cancel()
        process.wait()
        if len(done) < len(batch) and (not done or done[-1][1]["outcome"] != "no end"):
            done.append((batch[len(done)], {"outcome": "no end", "seconds": None, "log": [said], "kernel": []}))
        return done


def label(test):
    suite, variant, name = test
    return "%s %s" % (variant if suite == "integration" else "control", name)


def passed(results):
    return {name for name, result in results.items() if result["outcome"] == "passed"}


def write(folder, by_hand, ours, about):
    """The report: both sets as JSON, and as a page."""
    os.makedirs(folder, exist_ok=True)
    document = dict(about, by_hand=by_hand, with_our_ports=ours)
    pathlib.Path(folder, "upstream.json").write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", "utf-8")
    rows = []
    for name in sorted(by_hand):
        one, two = by_hand[name], ours.get(name, {"outcome": "missing", "kernel": []})
        remark = "" if one["outcome"] == "passed" else "fails by itself on this kernel" \
            if one["outcome"] == two["outcome"] else "differs"
        rows.append((name, one["outcome"], two["outcome"], remark, (one["kernel"] + two["kernel"] + [""])[0]))
    head = ("test", "by hand", "with our ports", "remark", "kernel log")
    text = "netmap's own tests, %s: %d of %d pass by hand, %d with our ports\n" % (
        about["commit"], len(passed(by_hand)), len(by_hand), len(passed(ours)))
    page = "<!DOCTYPE html><meta charset=utf-8><title>netmap's own tests</title><style>body{font-family:sans-serif}" \
        "td,th{text-align:left;padding:.1em .6em}</style><h1>netmap's own tests</h1><p>%s</p><table>%s</table>\n" % (
            escaped(text), "".join("<tr>%s</tr>" % "".join("<%s>%s</%s>" % (tag, escaped(cell), tag) for cell in row)
                                   for tag, row in [("th", head)] + [("td", row) for row in rows]))
    pathlib.Path(folder, "upstream.html").write_text(page, "utf-8")
    sys.stdout.write("\n" + text)
    for row in rows:
        if row[1:3] != ("passed", "passed"):
            sys.stdout.write("  %-50s %-8s %-8s %s%s\n" % (*row[:4], row[4] and " | " + row[4][:90]))


def escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
