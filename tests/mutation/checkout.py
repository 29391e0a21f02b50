# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of the checkout in which one file at a time is made wrong, and the unit tests that run there."""

from __future__ import annotations

import contextlib
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
# A fault may have a loop that never ends and takes memory all the time.
_MEMORY = 4 << 30
PASSED, FAILED, UNCOLLECTED, LATE, BROKEN = "passed", "failed", "uncollected", "late", "broken"


class Checkout:
    """The copy; use it in a ``with`` statement. Tests in it import the copy, and never the checkout."""

    def __enter__(self):
        self._top = tempfile.mkdtemp(prefix="mutation-")
        self.root = pathlib.Path(self._top, "ansible_collections/netmap/ptnet")
        listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                                check=True, stdout=subprocess.PIPE, text=True).stdout
        for name in listed.split("\0"):
            if (ROOT / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.root / name)
        return self

    def __exit__(self, *_unused):
        shutil.rmtree(self._top)

    @contextlib.contextmanager
    def changed(self, texts):
        """Have other texts in files, for a while.

        :param texts: path below the checkout to its text (dict of str)
        """
        before = {name: ((self.root / name).read_text(encoding="utf-8"), os.stat(self.root / name))
                  for name in texts}
        try:
            for name, text in texts.items():
                (self.root / name).write_text(text, encoding="utf-8")
            yield
        finally:
            for name, (text, status) in before.items():
                (self.root / name).write_text(text, encoding="utf-8")
                # What was compiled from it is valid again.
                os.utime(self.root / name, ns=(status.st_atime_ns, status.st_mtime_ns))

    def pytest(self, words, bound, keep=False, **environment):
        """Run tests. Returns how that ended (:data:`PASSED`, …) and what was printed (str each).

        :param words: arguments of pytest (list of str)
        :param bound: seconds (number)
        :param keep: keep what was compiled, for later runs; only with the files as they are (bool)
        """
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "--hypothesis-seed=0", *words],
            cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            start_new_session=True,
            env=dict(os.environ, PYTHONPATH="%s:%s/tests/mutation" % (self._top, self.root), NIGHTLY="",
                     PYTHONDONTWRITEBYTECODE="" if keep else "1", **environment))
        resource.prlimit(process.pid, resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        try:
            output = process.communicate(timeout=bound)[0]
        except subprocess.TimeoutExpired:
            return LATE, ""
        finally:
            # With all that the tests started.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        # 2: the fault shows at the import; below 0: ended by a signal, as for want of memory; 4, 5: nothing was run.
        status = process.returncode
        return LATE if status < 0 else {0: PASSED, 1: FAILED, 2: UNCOLLECTED}.get(status, BROKEN), output
