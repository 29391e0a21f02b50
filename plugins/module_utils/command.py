# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that starts other programs and waits for them. Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

from .errors import PtnetError

TAIL_LINES = 20
TERM_SECONDS = 10


def tail(path, lines=TAIL_LINES):
    """The last lines of a text file (list of str); empty when it cannot be read."""
    try:
        with open(path, "rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - 16384))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return []
    return text.splitlines()[-lines:]


def run(argv, timeout, cwd=None, env=None, log=None, stdin=None, allowed=(0,), remedy=None):
    """Run a program to its end and return ``(status, output)``; it never outlives the call.

    :param argv: the program and its arguments; never a shell line (list of str)
    :param timeout: seconds it may take; then its whole process group is killed (number)
    :param env: variables set on top of ours; ``LC_ALL=C`` always is (dict)
    :param log: a file that the output is appended to instead of being returned (path)
    :param stdin: text given on standard input (str)
    :param allowed: exit statuses that are no error; None allows all (tuple of int)
    :raises PtnetError: not found, too slow, or another status; carries ``log_tail``
    """
    environment = dict(os.environ, LC_ALL="C")
    environment.update(env or {})
    sink = open(log, "ab") if log else subprocess.PIPE  # noqa: SIM115 (closed below, after the process)
    try:
        if log:
            sink.write(("$ %s\n" % " ".join(argv)).encode())
            sink.flush()
        process = _spawn(argv, sink, remedy, cwd=cwd, env=environment,
                         stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL)
        late = False
        try:
            output = process.communicate(stdin.encode() if stdin is not None else None, timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            late = True
            _end_group(process)
            output = process.communicate()[0]
        except BaseException:
            _end_group(process)
            process.wait()
            raise
    finally:
        if log:
            sink.close()
    text = (output or b"").decode("utf-8", "replace")
    status = process.returncode
    if late or (allowed is not None and status not in allowed):
        lines = tail(log) if log else text.splitlines()[-TAIL_LINES:]
        raise PtnetError(
            "%s failed" % " ".join(argv[:3]),
            found="no end within %s s" % timeout if late else "exit status %d: %s" % (
                status, lines[-1].strip() if lines else "no output"),
            remedy=remedy or ("read %s" % log if log else None), log=log, log_tail=lines)
    return status, text


def start(argv, log, remedy=None):
    """Start a program in its own process group and return it (subprocess.Popen); whoever calls this ends it.

    :param argv: the program and its arguments (list of str)
    :param log: a file that takes its output (path)
    :raises PtnetError: it cannot be started
    """
    with open(log, "ab") as sink:
        return _spawn(argv, sink, remedy, env=dict(os.environ, LC_ALL="C"), stdin=subprocess.DEVNULL)


def _spawn(argv, sink, remedy, **streams):
    try:
        # AnsibleModule.run_command knows no timeout, and this also runs where there is no Ansible, at boot.
        # pylint: disable-next=ansible-bad-function
        return subprocess.Popen(argv, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True, **streams)
    except OSError as error:
        raise PtnetError("%s cannot be started" % argv[0], found=error.strerror,
                         remedy=remedy or "install the package that has %s" % os.path.basename(argv[0])) from error


def _end_group(process):
    """Let a program clean up after itself, for a while, then kill it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(TERM_SECONDS)
    kill_group(process)


def kill_group(process):
    """Kill a program that :func:`start` or :func:`run` started, and its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
