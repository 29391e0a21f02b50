# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Receivers that go on between two module calls."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.traffic import background
from hypothesis import given
from hypothesis import strategies as st


def test_a_job_is_ready_before_start_returns_and_ends_when_it_is_wanted(tmp_path):
    folder = str(tmp_path / "job")

    def work(ready):
        (tmp_path / "listening").write_text("yes")
        ready()
        while not background.wanted_since(folder):
            time.sleep(0.01)
        return [{"packets": 7}]
    background.start(folder, work)
    assert (tmp_path / "listening").exists()
    assert not os.path.exists(os.path.join(folder, "result"))
    assert background.collect(folder, 5) == [{"packets": 7}]
    assert not os.path.exists(folder)


def test_what_a_job_raises_before_it_is_ready_is_raised_by_start(tmp_path):
    def work(ready):
        raise PtnetError("pkt-gen gave up on vale1:a", found="busy", remedy="stop the VM", log_tail=["x"])
    with pytest.raises(PtnetError, match="gave up on vale1:a.*busy.*stop the VM") as caught:
        background.start(str(tmp_path / "job"), work)
    assert caught.value.facts["log_tail"] == ["x"]


def test_what_a_job_raises_later_is_raised_by_collect(tmp_path):
    def work(ready):
        ready()
        raise PtnetError("the port went away")
    background.start(str(tmp_path / "job"), work)
    with pytest.raises(PtnetError, match="the port went away"):
        background.collect(str(tmp_path / "job"), 5)


def test_a_job_that_does_not_end_is_given_up(tmp_path):
    def work(ready):
        ready()
        time.sleep(30)
    background.start(str(tmp_path / "job"), work)
    with pytest.raises(PtnetError, match="not done within 0.1 s"):
        background.collect(str(tmp_path / "job"), 0.1)
    assert not (tmp_path / "job").exists()


def test_a_job_that_nobody_wants_is_over_when_stop_returns(tmp_path):
    folder, over = str(tmp_path / "job"), tmp_path / "over"

    def work(ready):
        def stop(_number, _frame):
            raise PtnetError("interrupted")
        signal.signal(signal.SIGTERM, stop)
        try:
            # The signal may come as soon as this is said.
            ready()
            time.sleep(30)
        finally:
            time.sleep(0.8)  # Longer than the half second that was waited once: a port stayed busy for the next case.
            over.write_text("yes")
    background.start(folder, work)
    background.stop(folder)
    assert over.exists()
    assert not os.path.exists(folder)
    background.stop(folder)  # Nothing to stop is no error.


@pytest.mark.parametrize("words", [["sleep", "60"], [sys.executable, "-c", "import time; time.sleep(60)"]])
def test_a_process_that_has_the_number_of_a_job_now_is_left_alone(tmp_path, words):
    """The job has gone without a result, as at a power failure; its number is another process's now."""
    folder = tmp_path / "job"
    folder.mkdir()
    with subprocess.Popen(words) as other:
        (folder / "pid").write_text("%d" % other.pid)
        background.start(str(folder), lambda ready: ready())
        background.collect(str(folder), 5)
        assert other.poll() is None
        other.kill()


def test_nothing_to_collect_says_so(tmp_path):
    with pytest.raises(PtnetError, match="no job to collect"):
        background.collect(str(tmp_path / "none"), 1)


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "x" * 41, "a\n"])
def test_job_names_are_plain_words(name):
    with pytest.raises(PtnetError, match="name of a job"):
        background.folder_of(name)


@given(st.text(), st.text())
def test_whatever_it_is_called_there_is_a_job_for_it_and_for_nothing_else(one, other):
    assert background.folder_of(background.job_name(one), "/run") == "/run/pkt-gen-" + background.job_name(one)
    assert (background.job_name(one) == background.job_name(other)) == (one == other)


@pytest.mark.parametrize(("text", "job"), [
    ("vale1-10-vm1-to-hv1", "vale1-10-vm1-to-hv1"),
    ("a" * 40, "a" * 40),
    ("vale1-10-vm1-to-hv1.example.org", "vale1-10-vm1-to-hv1-example-o-7097beef3e"),
    ("../../etc", "-etc-"),
])
def test_a_job_can_be_read(text, job):
    assert background.job_name(text).startswith(job)
