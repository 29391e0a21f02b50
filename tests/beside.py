# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stages of ``make test`` that run while others wait for emulated machines, in a process of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading

import lab

ROWS = "NETMAP_PTNET_ROWS"  # in the environment: the file that takes what the stages came to
_END = re.compile(r"=== (\S+) (?:passed|failed|skipped) after ")


class Beside:
    """``tests/run.py STAGE ...`` under way. Its output comes at the end as a whole, a line for each stage at once.

    :param names: of the stages, in their order (list of str)
    """

    def __init__(self, names, program):
        self._names, self._said = names, []
        descriptor, self._rows = tempfile.mkstemp(suffix=".json")
        os.close(descriptor)
        # A mark of its own: when a scenario has ended, whatever has that one's mark is ended too.
        self.mark = lab.run_mark("beside")
        self._process = subprocess.Popen(
            [sys.executable, program, *names], env=dict(os.environ, **{ROWS: self._rows, lab.RUN_MARK: self.mark}),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self):
        for line in self._process.stdout:
            self._said.append(line)
            end = _END.match(line)
            if end and end[1] in self._names:
                print("(beside) " + line, end="", flush=True)

    def wait(self):
        """Print all that was said. Returns rows of name, outcome, seconds and note (list of list)."""
        status = self._process.wait()
        self._thread.join()
        print("".join(self._said), end="", flush=True)
        try:
            with open(self._rows, encoding="utf-8") as stream:
                rows = json.load(stream)
        except ValueError:
            rows = []
        os.unlink(self._rows)
        done = {row[0] for row in rows}
        return rows + [[name, "failed", 0, "its process ended with %d" % status] for name in self._names
                       if name not in done]


def asked():
    """Where to tell what the stages came to (path), None where nobody asked; not meant for what the stages start."""
    return os.environ.pop(ROWS, None)


def tell(path, rows):
    """Hand on what the stages came to. Returns whether somebody asked for it (bool)."""
    if path:
        with open(path, "w", encoding="utf-8") as stream:
            json.dump(rows, stream)
    return bool(path)
