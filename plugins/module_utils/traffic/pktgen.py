# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of pkt-gen as declared: checked, completed, as an argument vector. Pure. Private to netmap.ptnet."""

from __future__ import annotations

from .. import mac
from ..errors import PtnetError
from ..netmap import libnetmap, names

# pkt-gen -T, milliseconds. Short, because the first and the last report of a run are left out of the spread.
REPORT = 200
# Everybody on the segment takes it, and a bridge does not drop it as it drops 00:00:00:00:00:00.
BROADCAST = "ff:ff:ff:ff:ff:ff"
LENGTH = (16, 65536)


def check(run):
    """A run with its defaults filled in (dict).

    :param run: one element of the module's ``runs`` (dict)
    :raises PtnetError: a run that pkt-gen refuses, takes for something else, or that would not end
    """
    port = run["port"]
    # Without the prefix pkt-gen takes tap0 for a tap device and 'null' for no device at all.
    request = libnetmap.parse(port)
    name = request.text()
    sender = run["function"] == "tx"
    for option in ("packets", "threads", "processors", "burst", "rate", "seconds"):
        if run[option] is not None and run[option] <= 0:
            raise PtnetError("%s of the run on %s is too small" % (option, port), found=run[option],
                             expected="more than 0")
    if run["wait_link"] is not None and run["wait_link"] < 0:
        raise PtnetError("wait_link of the run on %s is negative" % port, found=run["wait_link"], expected="0 or more")
    if not LENGTH[0] <= run["length"] <= LENGTH[1]:
        raise PtnetError("length of the run on %s is out of range" % port, found=run["length"],
                         expected="%d to %d bytes without the CRC" % LENGTH)
    _refuse_useless(request, sender, run["threads"])
    if sender and not (run["seconds"] or run["packets"]):
        raise PtnetError("the sender on %s would never end" % port, remedy="set seconds or packets")
    done = dict(run, name=name)
    if sender:
        done["src_mac"] = mac.check(run["src_mac"] or mac.derive("pkt-gen", name), "the sender on %s" % port)
        destination = (run["dst_mac"] or BROADCAST).lower()
        done["dst_mac"] = destination if destination == BROADCAST else mac.check(
            destination, "the receiver of %s" % port)
    if run["wait_link"] is None:
        # pkt-gen waits 2 s for any name but vale*; the ends of a pipe have no link to come up either.
        done["wait_link"] = 2 if isinstance(request.port, names.Interface) else 0
    return done


def _refuse_useless(request, sender, threads):
    """Rings that the function of a run cannot use, and what pkt-gen silently does otherwise."""
    text = request.text()
    if sender and request.monitor:
        # netmap_monitor_txsync in netmap_monitor.c answers EIO.
        raise PtnetError("nothing can be sent through the monitor %s" % text, expected="function: rx",
                         remedy="send on the port that it watches")
    if ("R" if sender else "T") in request.flags:
        raise PtnetError("the run on %s has no ring to use" % text, found="function: %s" % ("tx" if sender else "rx"),
                         expected="%s rings" % ("transmit" if sender else "receive"), remedy="leave out the flag")
    if threads and threads > 1 and request.ring is not None:
        raise PtnetError("%d threads on the single ring of %s" % (threads, text), expected="one thread",
                         remedy="leave out threads or the ring; pkt-gen would start from ring 0 instead")


def vector(run, binary):
    """What to execute for a run that :func:`check` returned (list of str)."""
    argv = [binary, "-i", run["name"], "-f", run["function"], "-N", "-T", str(REPORT), "-w", str(run["wait_link"]),
            "-l", str(run["length"])]
    for letter, option in (("-n", "packets"), ("-p", "threads"), ("-c", "processors"), ("-b", "burst"),
                           ("-R", "rate"), ("-S", "src_mac"), ("-D", "dst_mac")):
        if run.get(option) is not None:
            argv += [letter, str(run[option])]
    return argv
