# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's loop over the rings of one port: who wakes it, and when it polls. Private to netmap.ptnet.

*Notified*: the guest's kick comes as a message and wakes the loop; idle it costs nothing, under traffic each kick costs
a message. *Polling*: the loop looks at the rings, pauses, looks again; the guest never kicks. *Automatic*: the one when
idle and the other under traffic.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import os
import signal
import threading
import time

from ..errors import PtnetError

NOTIFIED, POLLING, AUTOMATIC = "notified", "polling", "automatic"
MODES = (AUTOMATIC, POLLING, NOTIFIED)
PAUSE = 20  # microseconds, see the benchmark
PAUSE_MAX = 1000000
_NONE = -1
_JOIN = 5  # seconds; a stop takes milliseconds
_SET_NAME = 15  # PR_SET_NAME of prctl(2)
# Each begin of the loop is a line in the kernel's log and a wait under netmap's lock, and the guest can have one with
# each message: so many at once, then one in a second.
_BEGINS_AT_ONCE, _BEGIN_SECONDS = 20, 1.0


class Pace:
    """When *automatic* changes over. Pure; times are seconds of any clock.

    Each change restarts the loop, which takes milliseconds and a line in the kernel's log.
    """

    KICKS, WITHIN = 16, 0.1  # so many kicks in so many seconds are traffic
    QUIET = 1.0  # seconds without a packet until it is over

    def __init__(self):
        self._kicks = collections.deque(maxlen=self.KICKS)
        self._pointers, self._since = None, 0.0
        self._quiet = None

    def kicked(self, now, pointers):
        """A kick came. Returns whether to poll from now on (bool).

        :param pointers: returns the rings' pointers as they are now
        """
        kicks = self._kicks  # another thread may change over meanwhile
        kicks.append(now)
        if len(kicks) < self.KICKS or now - kicks[0] > self.WITHIN:
            return False
        # A guest that kicks and sends nothing would have the loop change over for ever.
        return pointers() != self._quiet

    def polled(self, now, pointers):
        """The rings' pointers as they are now. Returns whether to wait for kicks again (bool)."""
        if pointers != self._pointers:
            self._pointers, self._since = pointers, now
            return False
        if now - self._since < self.QUIET:
            return False
        self._quiet = pointers
        return True

    def changed(self):
        """The loop changed over: count from the begin."""
        self._kicks = collections.deque(maxlen=self.KICKS)
        self._pointers = None


class Loop:
    """The loop of one port. Its methods are called by one thread at a time (devices.py holds a lock).

    :param port: the open port (opened.OpenPort)
    :param rings: how many rings (int)
    :param mode: one of :data:`MODES`
    :param pause: of polling, microseconds (int)
    :param name: for the thread (str)
    :param say: takes a line for the log
    """

    def __init__(self, port, rings, mode, pause, name, say):
        self._port, self._name, self._say = port, name, say
        self.mode, self.pause = mode, pause
        self.pace = Pace()
        self._polls = mode == POLLING
        self._interrupts = [_NONE] * rings
        self._thread = None
        self._begins = []
        self.kicks = [_eventfd() for _ring in range(rings)]

    @property
    def running(self):
        """Whether it runs (bool); netmap may have refused it after it was started."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def polls(self):
        """Whether it polls, or would (bool)."""
        return self._polls

    def start(self, prepare=lambda: None):
        """Start it; it looks at all rings first, so that nothing is lost that happened before.

        :param prepare: what has to be asked of netmap first, held up as the start is
        """
        if not self.running:
            self.stop()
            self.hold_up()
            prepare()
            self._begin()

    def _begin(self):
        wake = [_NONE] * len(self.kicks) if self._polls else self.kicks
        self._thread = threading.Thread(target=self._run, args=(list(zip(wake, self._interrupts)),), daemon=True)
        self._begun = threading.Event()
        self._thread.start()
        self._begun.wait()

    def hold_up(self):
        """Wait where a guest wants this too often: each time netmap is asked, under its lock, and may say something."""
        now = time.monotonic()
        self._begins = [begun for begun in self._begins if now - begun < _BEGINS_AT_ONCE * _BEGIN_SECONDS]
        if len(self._begins) >= _BEGINS_AT_ONCE:
            time.sleep(_BEGIN_SECONDS)
        self._begins.append(time.monotonic())

    def stop(self):
        """End it, and return when it has ended."""
        thread = self._thread
        if thread is None:
            return
        # A wish that comes before the loop has begun ends it as it begins; one that comes after its end would end the
        # next one, which _run then starts again.
        self._stopping = True
        while thread.is_alive():
            with contextlib.suppress(PtnetError):
                self._port.stop()
            thread.join(_JOIN)
        self._thread = None
        self._stopping = False

    def restart(self):
        """Have a running loop begin anew, with the rings' pointers as they are."""
        if self.running:
            self.hold_up()
            self.stop()
            self._begin()

    def interrupts(self, eventfds, others=True):
        """What it signals from now on, for each ring (list of int, -1 for nothing).

        :param others: whether these are other eventfds than before, and not new descriptors of the same (bool)
        """
        self._interrupts = list(eventfds)
        if others:
            self.restart()

    def poll(self, polls):
        """Have it poll, or wait for kicks."""
        self._polls = polls
        self.pace.changed()
        self.restart()

    def kick(self, ring, pointers):
        """The guest kicked: wake the loop. Returns whether it should change over (bool).

        :param pointers: returns the rings' pointers as they are now
        """
        os.write(self.kicks[ring], _ONE)
        return self.mode == AUTOMATIC and not self._polls and self.pace.kicked(time.monotonic(), pointers)

    _stopping = False
    _begun = None

    def _run(self, eventfds):
        # A pending signal would make the kernel's loop spin: schedule_timeout() returns at once.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        ctypes.CDLL(None).prctl(_SET_NAME, self._name.encode()[:15], 0, 0, 0)
        self._begun.set()
        while not self._stopping:
            try:
                self._port.loop(eventfds, self.pause)
            except PtnetError as error:
                self._say("%s: the loop ended: %s" % (self._name, error))
                return


_ONE = (1).to_bytes(8, "little")


def _eventfd():
    """An eventfd; os.eventfd came with Python 3.10."""
    descriptor = ctypes.CDLL(None, use_errno=True).eventfd(0, os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor
