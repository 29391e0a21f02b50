# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In the machine: run upstream's tests one by one and say of each how it ended, one JSON object a line.

Ends after the first that found no end. Usage: ``python3 inside.py '{"tests": [[suite, variant, name]], "seconds": N}'``
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

# What upstream's scripts want of a distribution and this image lacks.
SHIMS = {"bc": "#!/bin/sh\nread -r line; printf '%X\\n' \"${line##*; }\"\n",
         "awk": "#!/bin/sh\nexec busybox awk \"$@\"\n"}
SIGNS = ("oops:", "bug:", "warning:", "call trace", "null pointer", "waiting for", "refcount_t")
# As upstream's randomized_tests gives them, but the same in every run.
ARGUMENTS = ["-n", "10", "-l", "274", "-f", "x", "-q"]


def main():
    given = json.loads(sys.argv[1])
    here = os.getcwd()
    os.makedirs("shims", exist_ok=True)
    for name, text in SHIMS.items():
        with open("shims/" + name, "w") as stream:
            stream.write(text)
        os.chmod("shims/" + name, 0o755)
    os.environ["PATH"] = "%s:%s:/usr/local/sbin:/usr/local/bin:%s" % (here, os.environ["PATH"], here + "/shims")
    for suite, variant, name in given["tests"]:
        subprocess.run(["dmesg", "-C"], check=True)
        begin = time.monotonic()
        if suite == "control":
            outcome, log = control(variant, given["seconds"])
        else:
            outcome, log = integration(variant, name, given["seconds"])
        kernel = subprocess.run(["dmesg", "-t"], stdout=subprocess.PIPE, text=True, errors="replace", check=True).stdout
        hurt = [line for line in kernel.splitlines() if any(sign in line.lower() for sign in SIGNS)]
        sys.stdout.write(json.dumps({"outcome": outcome, "seconds": round(time.monotonic() - begin, 1),
                                     "log": log.splitlines()[-8:], "kernel": hurt[:5]}) + "\n")
        sys.stdout.flush()
        if outcome == "no end":
            break


def integration(program, name, seconds):
    os.environ["FUNCTIONAL"] = program
    # As upstream does around each test: a fresh process that keeps ports open between the steps.
    run([program, "-c"], 10)
    run([program, "-o"], 10)
    result = run(["tests/" + name, *ARGUMENTS], seconds)
    closed = run([program, "-c"], 10)
    return ("no end" if closed[0] == "no end" else result[0]), result[1]


def control(number, seconds):
    # The program deletes the interface that it is given, so it gets one of its own.
    run(["ip", "link", "add", "ctl0", "type", "veth", "peer", "name", "ctl1"], 10)
    run(["ip", "link", "set", "ctl0", "up"], 10)
    run(["ip", "link", "set", "ctl1", "up"], 10)
    try:
        return run(["ctrl-api-test", "-i", "ctl0", "-j", number], seconds)
    finally:
        run(["ip", "link", "del", "ctl0"], 20)


def run(argv, seconds):
    """How a program ended: ``passed``, ``failed`` or ``no end`` (str), and what it said (str)."""
    with open("output", "w+b") as sink:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
                                   start_new_session=True)
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
            os.killpg(process.pid, signal.SIGKILL)
        sink.seek(0)
        said = sink.read().decode("utf-8", "replace")
    return ("no end" if status is None else "failed" if status else "passed"), said


if __name__ == "__main__":
    main()
