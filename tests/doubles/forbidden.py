# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the calls that crash or wedge the real netmap, on the double only, and checks that each is counted.

``forbidden.py`` makes each once; ``forbidden.py fuzz SECONDS [SEED]`` makes random requests from several threads. Run
as root in a machine with the double loaded, beside conformance.py, whose packing it uses.
"""

from __future__ import annotations

import contextlib
import os
import random
import struct
import sys
import threading
import time

from conformance import (
    ALL,
    ATTACH,
    BODY,
    DELIF,
    DETACH,
    HDR_GET,
    HDR_SET,
    INFO,
    LIST,
    NEWIF,
    NIC_SW,
    POLL_OFF,
    POLL_ON,
    POOLS,
    REGISTER,
    Node,
    ip,
    once,
    references,
)

PARAMETERS = "/sys/module/netmap/parameters/"


def parameter(name):
    with open(PARAMETERS + name, encoding="ascii") as stream:
        return stream.read().strip()


def each_once():
    failed = []

    def forbidden(key, action):
        before = int(parameter("forbidden_calls"))
        answer = action()
        counted, last = int(parameter("forbidden_calls")) - before, parameter("forbidden_last")
        good = counted == 1 and last.startswith(key + ":") and answer not in ("ok", None)
        print("%s: %s, counted %d, %s" % (key, answer, counted, last))
        if not good:
            failed.append(key)

    ip("link", "add", "fba", "type", "veth", "peer", "name", "fbb")
    once(NEWIF, "fb0")
    once(ATTACH, "vale1:fba", mode=NIC_SW)
    for reqtype in (REGISTER, INFO, ATTACH, DETACH, HDR_SET, HDR_GET, POLL_ON, POLL_OFF, POOLS):
        forbidden("host-entry", lambda reqtype=reqtype: once(reqtype, "vale1:fba^", mode=ALL)[0])
    forbidden("list-index", lambda: once(LIST, port_idx=2 ** 31)[0])
    with Node() as holder:
        holder.ask(REGISTER, "fb0", mode=ALL)
        forbidden("attach-open", lambda: once(ATTACH, "vale1:fb0", mode=ALL)[0])
    once(ATTACH, "vale1:fb0", mode=ALL)
    for name in ("fb0", "vale1:fb0"):
        forbidden("query-attached", lambda name=name: once(INFO, name)[0])
        forbidden("query-attached", lambda name=name: once(REGISTER, name, mode=ALL)[0])
    forbidden("two-switches", lambda: once(ATTACH, "vale2:fb0", mode=ALL)[0])
    once(DETACH, "vale1:fb0")
    forbidden("adapter-flap", lambda: once(INFO, "fbb")[0])
    forbidden("unlink-attached", lambda: "deleted" if ip("link", "del", "fba") == 0 else "ok")
    before = int(parameter("forbidden_calls"))
    race("fb1")
    print("unlocked: counted %d, %s" % (int(parameter("forbidden_calls")) - before, parameter("forbidden_last")))
    if int(parameter("forbidden_calls")) == before:
        failed.append("unlocked")
    print("after: detach %s, delif %s, references %d" % (
        once(DETACH, "vale1:fba")[0], once(DELIF, "fb0")[0], references()))
    return failed


def race(name, seconds=3):
    over = time.monotonic() + seconds

    def change():
        with Node() as node:
            while time.monotonic() < over:
                node.ask(random.choice((NEWIF, DELIF)), name)

    threads = [threading.Thread(target=change) for _unused in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    once(DELIF, name)


def fuzz(seconds, seed):
    ip("link", "add", "fza", "type", "veth", "peer", "name", "fzb")
    over, counts = time.monotonic() + seconds, []
    names = ["", "fz0", "fz1", "fza", "fzb", "lo", "vale0:fza", "vale0:fzb", "vale0:fz0", "vale0:fza^", "vale1:a",
             "vale1:fz1", "vale1:fzb", "fz0{1", "fz0}1", "fz1{2", "vale1:a{1", "fzq{1", "fzq}1", "fz0{1{2", "vale",
             "val:", "vale0:", "%d", "fz%d", "x" * 63, "vale" + "y" * 59, "{", "}", "a{" * 31]
    edge = [0, 1, 2, 3, 4, 7, 8, 12, 64, 254, 255, 1024, 2 ** 15, 2 ** 16 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 63,
            2 ** 64 - 1]

    def run(number):
        choose, made = random.Random(seed * 100 + number), 0
        nodes = [Node() for _unused in range(6)]
        while time.monotonic() < over:
            place = choose.randrange(6)
            if choose.random() < 0.15:
                with contextlib.suppress(OSError):
                    os.close(nodes[place].fd)
                nodes[place] = Node()
            reqtype = choose.choice(list(BODY) + [DELIF, REGISTER, REGISTER, 0, 13, 14, 15, 99])
            layout, fields = BODY.get(reqtype, ("=", ""))
            values = {}
            for field in fields.split():
                if choose.random() < 0.3:
                    values[field] = choose.choice(edge)
            values.setdefault("mode", choose.choice((1, 1, 1, 3, 4)))
            kinds = [8 * struct.calcsize("=" + kind) for kind in layout if kind in "QIH"]
            limits = dict(zip(fields.split(), kinds))
            values = {field: value % 2 ** limits[field] for field, value in values.items() if field in limits}
            options = 4096 if choose.random() < 0.02 else 0
            nodes[place].ask(reqtype, choose.choice(names), options=options, **values)
            made += 1
        for node in nodes:
            os.close(node.fd)
        counts.append(made)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(1)
        if random.random() < 0.2:
            ip("link", "del", "fza")
            ip("link", "add", "fza", "type", "veth", "peer", "name", "fzb")
    for entry in range(8):
        for name in ("fza", "fzb", "fz0", "fz1"):
            once(POLL_OFF, "vale%d:%s" % (entry, name))
            once(DETACH, "vale%d:%s" % (entry, name))
    for name in os.listdir("/sys/class/net"):
        once(DELIF, name)
    ip("link", "del", "fza")
    print("%d requests, %s of them forbidden, references %d" % (
        sum(counts), parameter("forbidden_calls"), references()))
    return []


if __name__ == "__main__":
    if not os.path.exists(PARAMETERS + "double") or parameter("double") != "Y":
        sys.exit("this is not the double of netmap: nothing was done")
    if sys.argv[1:2] == ["fuzz"]:
        wrong = fuzz(float(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    else:
        wrong = each_once()
    if wrong:
        sys.exit("not counted: %s" % wrong)
