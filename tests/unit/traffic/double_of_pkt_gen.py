# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A double of pkt-gen: prints in its formats and ends as it does, but opens no port.

What it plays is in its port's name: busy, deaf (ignores SIGINT), silent (receives nothing), broken (a thread fails).
"""

from __future__ import annotations

import os
import signal
import sys
import time

words = sys.argv[1:]
options = {word: words[index + 1] for index, word in enumerate(words) if word.startswith("-") and word != "-N"}
port, receives = options["-i"], options["-f"] == "rx"
over = False


def say(function, text):
    sys.stderr.write("765.608775 %s [1] %s\n" % (function, text))
    sys.stderr.flush()


def stop(_number, _frame):
    global over
    say("sigint_h", "received control-C on thread 0x7f28bb760740")
    over = "deaf" not in port


say("main", "interface is " + port)
if "busy" in port:
    sys.stderr.write("%s: Device or resource busy\n" % port)
    say("main", "aborting")
    sys.stderr.write("Usage:\npkt-gen arguments\n     -h      Show program usage and exit.\n")
    sys.exit(255)
signal.signal(signal.SIGINT, stop)
print("%s %s: 1 queues, 1 threads and 1 cpus." % ("Receiving from" if receives else "Sending on", port))
say("start_threads", "Wait %s secs for phy reset" % options["-w"])
say("start_threads", "Ready...")
if receives:
    say("receiver_body", "reading from %s fd 3 main_fd 3" % port)
else:
    say("sender_body", "start, fd 3 main_fd 3")
log = os.environ.get("DOUBLE_ORDER")
if log:
    with open(log, "a") as stream:
        stream.write("%s\n" % port)
packets, limit = 0, int(options.get("-n", 0))
for _report in range(1000):
    time.sleep(0.01)
    fresh = 0 if "silent" in port or (receives and packets >= 300) else 100
    packets += fresh
    say("main_thread", "%d pps (%d pkts %d bps in 10000 usec) 50.00 avg_batch 0 min_space" % (
        fresh * 100, fresh, fresh * 48000))
    if over or "broken" in port or (limit and packets >= limit):
        break
if "broken" in port:
    say("sender_body", "poll error on 3 ring 0-0")
    say("main_thread", "ouch, thread 0 exited with error")
name = "Received" if receives else "Sent"
if packets:
    print("%s %d packets %d bytes 6 events 60 bytes each in %.2f seconds." % (
        name, packets, 60 * packets, packets / 1e4))
    print("Speed: 10000 pps Bandwidth: 4800000 bps (raw 4800000 bps). Average batch: 50.00 pkts")
else:
    print("%s nothing." % name)
