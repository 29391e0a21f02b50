# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pkt-gen prints, as numbers. Pure. Private to netmap.ptnet.

The formats are those of apps/pkt-gen/pkt-gen.c with ``-N`` (plain units): D() lines of main_thread and
start_threads on standard error, tx_output on standard output, which appears at the end only.
"""

from __future__ import annotations

import re

OPENED = re.compile(r" start_threads \[\d+\] Wait \d+ secs", re.M)
RECEIVING = re.compile(r" receiver_body \[\d+\] reading from ", re.M)
SENDING = re.compile(r" sender_body \[\d+\] start, fd ", re.M)
_REPORT = re.compile(
    r"main_thread \[\d+\] \d+ ?pps (?:\[[^]]*\])?\((\d+) ?pkts (\d+) ?bps in (\d+) usec\) ([\d.]+) avg_batch", re.M)
_TOTAL = re.compile(r"^(?:Sent|Received) (\d+) packets (\d+) bytes \d+ events \d+ bytes each in ([\d.]+) seconds", re.M)
_BATCH = re.compile(r"Average batch: ([\d.]+) pkts")
_THREAD_FAILED = re.compile(r"ouch, thread \d+ exited with error")
_THREAD_ERROR = re.compile(r"poll(\(\))? err|fd error|ioctl error|Unable to set affinity")
_STAMP = re.compile(r"^\d{3}\.\d{6} \S+ \[\d+\] ")
BUSY = "the port is in use"
_ENDS = (
    (r"/dev/netmap: No such file", "netmap is not loaded here", "load the netmap module, then run again"),
    (r"/dev/netmap: Permission denied", "this user may not open /dev/netmap", "run with become: true"),
    (r": Device or resource busy", BUSY, "stop its user, or take another port; a port has one user"),
    (r": No such device or address", "there is no such port", "create it, or correct the name"),
    (r": Cannot allocate memory", "netmap has no room for the port",
     "check the name, max_bridges and netmap's memory parameters"),
    (r"must be <= mtu", "the frames are longer than the interface takes", "lower length, or raise the MTU"),
)


def reports(text):
    """The periodic reports: (packets, microseconds) of each interval (list of tuples of int)."""
    return [(int(match[1]), int(match[3])) for match in _REPORT.finditer(text)]


def measured(text, function):
    """The figures of one run.

    :param text: everything that pkt-gen printed so far (str)
    :param function: ``tx`` or ``rx`` (str)
    :returns: packets, bytes (int), seconds, mpps (float), avg_batch (float or None), samples (packets a second, list
        of int), spread (dict or None)
    """
    intervals = reports(text)
    total = _TOTAL.search(text)
    batch = _BATCH.search(text)
    packets = int(total[1]) if total else sum(interval[0] for interval in intervals)
    # A receiver's own count of seconds runs on until it is stopped, a sender's ends with its last packet.
    seconds = float(total[3]) if total and function == "tx" else active(intervals)
    samples = [round(count * 1e6 / usec) for count, usec in _busy(intervals)]
    return {
        "packets": packets,
        "bytes": int(total[2]) if total else None,
        "seconds": round(seconds, 3),
        "mpps": round(packets / seconds / 1e6, 6) if seconds else 0.0,
        "avg_batch": float(batch[1]) if batch else None,
        "samples": samples,
        "spread": spread(samples[1:-1]),
    }


def active(intervals):
    """Seconds from the first packet to the last (float).

    The first and the last interval were busy in part only: they count for as long as their packets take at the rate
    of the others.
    """
    busy = _busy(intervals)
    inner = busy[1:-1]
    count, usec = (sum(column) for column in zip(*inner)) if inner else (0, 0)
    if count:
        edges = [min(interval[1], interval[0] * usec / count) for interval in (busy[0], busy[-1])]
        return (usec + sum(edges)) / 1e6
    return sum(interval[1] for interval in busy) / 1e6


def spread(samples):
    """Minimum, median and maximum (dict of int), or None without samples."""
    if not samples:
        return None
    ordered = sorted(samples)
    middle = len(ordered) // 2
    return {"min": ordered[0], "max": ordered[-1],
            "median": ordered[middle] if len(ordered) % 2 else round((ordered[middle - 1] + ordered[middle]) / 2)}


def failed(text):
    """Whether a thread of pkt-gen gave up, which its exit status does not tell (bool)."""
    return bool(_THREAD_FAILED.search(text))


def complaint(text):
    """Why pkt-gen gave up: what it said (str), what that means and what to do (str or None)."""
    lines = [_STAMP.sub("", line).strip() for line in text.split("Usage:\n")[0].splitlines()]
    lines = [line for line in lines if line and line != "aborting" and not line.startswith("WARNING")]
    said = lines[-1] if lines else "nothing"
    if failed(text):
        errors = [line for line in lines if _THREAD_ERROR.search(line)]
        said = errors[-1] if errors else said
    for pattern, meaning, remedy in _ENDS:
        if re.search(pattern, said):
            return said, meaning, remedy
    return said, None, None


def tail(text, lines=20):
    """The last lines without the usage text (list of str)."""
    return text.split("Usage:\n")[0].splitlines()[-lines:]


def _busy(intervals):
    busy = [index for index, interval in enumerate(intervals) if interval[0]]
    return intervals[busy[0]:busy[-1] + 1] if busy else []
