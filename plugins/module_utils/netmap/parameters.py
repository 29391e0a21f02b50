# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the netmap module: ranges, defaults, and what they cost. Pure. Private to netmap.ptnet.

The kernel checks nothing when a parameter is written, and a wrong count makes every later open fail until the
module is reloaded (netmap_config_obj_allocator in netmap_mem2.c). So everything is checked here first.
"""

from __future__ import annotations

import math
import re
from collections import namedtuple

from ..errors import PtnetError
from .names import shown

RUNTIME = "runtime"
RELOAD = "reload"

# default, lowest, highest, when it takes effect, which memory region it shapes (global, private or None)
Parameter = namedtuple("Parameter", "default low high when region")

_INT_MAX = 2**31 - 1

# Sizes are limited after rounding up to 64 bytes. 56 and 256 are struct netmap_if and struct netmap_ring;
# 131072 is 32 pages (nm_mem and nm_blueprint in netmap_mem2.c).
PARAMETERS = {
    "buf_num": Parameter(163840, 4, 1000000, RUNTIME, "global"),
    "buf_size": Parameter(2048, 64, 65536, RUNTIME, "global"),
    "ring_num": Parameter(200, 2, 1024, RUNTIME, "global"),
    "ring_size": Parameter(36864, 256, 131072, RUNTIME, "global"),
    "if_num": Parameter(100, 10, 10000, RUNTIME, "global"),
    "if_size": Parameter(1024, 56, 4096, RUNTIME, "global"),
    "priv_buf_num": Parameter(4098, 4, 1000000, RUNTIME, "private"),
    "priv_buf_size": Parameter(2048, 64, 65536, RUNTIME, "private"),
    "priv_ring_num": Parameter(4, 2, 1024, RUNTIME, "private"),
    "priv_ring_size": Parameter(20480, 256, 131072, RUNTIME, "private"),
    "priv_if_num": Parameter(2, 1, 100, RUNTIME, "private"),
    "priv_if_size": Parameter(1024, 56, 4096, RUNTIME, "private"),
    "admode": Parameter(0, 0, 2, RUNTIME, None),
    "generic_rings": Parameter(1, 1, 1024, RUNTIME, None),
    "generic_ringsize": Parameter(1024, 2, 65536, RUNTIME, None),
    "generic_mit": Parameter(100000, 0, _INT_MAX, RUNTIME, None),
    "generic_hwcsum": Parameter(0, 0, 1, RUNTIME, None),
    "generic_txqdisc": Parameter(1, 0, 1, RUNTIME, None),
    "fwd": Parameter(0, 0, 1, RUNTIME, None),
    "bridge_batch": Parameter(1024, 1, 1024, RUNTIME, None),
    "txsync_retry": Parameter(2, 0, 1024, RUNTIME, None),
    "no_timestamp": Parameter(0, 0, 1, RUNTIME, None),
    "no_pendintr": Parameter(1, 0, 1, RUNTIME, None),
    "verbose": Parameter(0, 0, _INT_MAX, RUNTIME, None),
    "default_pipes": Parameter(0, 0, 64, RUNTIME, None),
    "ptnet_gso": Parameter(1, 0, 1, RUNTIME, None),
    "sink_delay_ns": Parameter(100, -_INT_MAX, _INT_MAX, RUNTIME, None),
    # Read while the module loads: the table of switches, the sinks, the guest's ptnet interfaces.
    "max_bridges": Parameter(8, 1, 900, RELOAD, None),
    "sink_num": Parameter(1, 0, 100, RELOAD, None),
    "ptnet_vnet_hdr": Parameter(1, 0, 1, RELOAD, None),
}

POOLS = ("if", "ring", "buf")
NIFP_SIZE = 56
RING_OFFSET = 8
RING_HEADER = 256
SLOT_SIZE = 16
RESERVED_BUFFERS = 2
RINGS_MAX = 16
SLOTS_MAX = 4096
SLOTS_DEFAULT = 1024  # NM_BRIDGE_RINGSIZE in netmap_vale.c

PAGE = 4096
_CLUSTER_MAX = 1 << 22
_WORDS = {"y": 1, "yes": 1, "true": 1, "on": 1, "n": 0, "no": 0, "false": 0, "off": 0}


def value(name, raw):
    """A parameter's value as a number, from a number, a decimal string, or Y and N (int)."""
    text = str(raw).strip(" ")
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    # int() would take digits of other scripts, underscores, and blanks of any kind.
    if not re.fullmatch(r"[-+]?[0-9]{1,12}", text):
        raise PtnetError("the value of the netmap parameter %s is refused" % name, found=shown(raw),
                         expected="a whole number")
    return int(text)


def check(wanted):
    """Parameters to set, as numbers, after all checks (dict of int).

    :param wanted: parameter name to value (dict)
    :raises PtnetError: unknown, out of range, or a size that the allocator cannot lay out
    """
    checked = {}
    for name in sorted(wanted or {}, key=str):
        if name not in PARAMETERS:
            raise PtnetError(
                "an unknown netmap parameter", found=shown(name),
                expected="one of " + ", ".join(sorted(PARAMETERS)))
        number = value(name, wanted[name])
        known = PARAMETERS[name]
        if not known.low <= number <= known.high:
            raise PtnetError("the value of the netmap parameter %s is refused" % name, found=number,
                             expected="%d to %d, default %d" % (known.low, known.high, known.default))
        if known.region and name.endswith("_size"):
            cluster(number, name)
        checked[name] = number
    return checked


def cluster(size, name="an object"):
    """How the allocator groups objects of this size: ``(objects per cluster, bytes per object)`` (ints).

    :raises PtnetError: no group of at most 4 MiB fills whole pages
    """
    size = -(-size // 64) * 64
    objects = PAGE // math.gcd(size, PAGE)
    if objects * size > _CLUSTER_MAX:
        better = -(-size // PAGE) * PAGE
        raise PtnetError("the size of %s cannot be laid out in pages" % name, found="%d bytes" % size,
                         expected="groups that fill whole pages within 4 MiB", remedy="use %d" % better)
    return objects, size


def pool(number, size):
    """What a pool really gets: ``(objects, bytes)`` after rounding up to whole clusters (ints)."""
    objects, size = cluster(size)
    clusters = -(-number // objects)
    return clusters * objects, clusters * objects * size


def global_memory(now):
    """Bytes of the region that NICs share, once one is used (int).

    :param now: parameter values; the defaults stand in for missing ones (dict of int)
    """
    full = _with_defaults(now)
    return sum(pool(full[kind + "_num"], full[kind + "_size"])[1] for kind in POOLS)


def private_region(now, tx_slots, rx_slots, tx_rings=1, rx_rings=1):
    """The region that NEWIF gives a persistent port: objects of each pool and ``bytes`` (dict of int).

    The kernel always makes room for two pipes, whatever is asked for, and takes the ``priv_*`` parameters as
    lower bounds (netmap_mem_private_new in netmap_mem2.c, netmap_vale_vp_create in netmap_vale.c).

    :raises PtnetError: the rings or slots are too large for the limits of the allocator
    """
    full = _with_defaults(now)
    tx, rx, pipes = tx_rings + 1, rx_rings + 1, 2
    number = {
        "if": max(full["priv_if_num"], 2 + 4 * pipes),
        "ring": max(full["priv_ring_num"], tx + rx + 8 * pipes),
        "buf": max(full["priv_buf_num"], (4 * pipes + rx) * rx_slots + (4 * pipes + tx) * tx_slots + RESERVED_BUFFERS),
    }
    size = {
        "if": max(full["priv_if_size"], NIFP_SIZE + RING_OFFSET * (tx + rx)),
        "ring": max(full["priv_ring_size"], RING_HEADER + SLOT_SIZE * max(tx_slots, rx_slots)),
        "buf": full["priv_buf_size"],
    }
    region = {"bytes": 0}
    for kind in POOLS:
        most = PARAMETERS["priv_%s_num" % kind].high
        if number[kind] > most:
            raise PtnetError("the private region needs too many netmap_%s objects" % kind, found=number[kind],
                             expected="at most %d" % most, remedy="ask for fewer rings or slots")
        objects, size_in_bytes = pool(number[kind], size[kind])
        region[kind] = objects
        region["bytes"] += size_in_bytes
    return region


def pipes_need(pipes, tx_slots, rx_slots, tx_rings=1, rx_rings=1, extra_buffers=0):
    """Objects that so many pipes take, both ends open, as wide as their parent (dict of int).

    Each end has its own rings and one netmap_if; the two ends share the buffers (netmap_pipe_krings_create_both).
    Buffers beside the rings come out of the same pool, and where they run out the kernel grants fewer without an error
    (netmap_extra_alloc in netmap_mem2.c).

    :param extra_buffers: buffers that each open end asks for beside its rings, ``nr_extra_bufs`` (int)
    """
    return {
        "if": 2 * pipes,
        "ring": 2 * (tx_rings + rx_rings) * pipes,
        "buf": (tx_rings * tx_slots + rx_rings * rx_slots + 2 * extra_buffers) * pipes + RESERVED_BUFFERS,
    }


def pipe_capacity(region, **width):
    """How many pipes a private region has room for (int).

    :param width: as for :func:`pipes_need`
    """
    one = pipes_need(1, **width)
    return min(region["if"] // one["if"], region["ring"] // one["ring"],
               (region["buf"] - RESERVED_BUFFERS) // (one["buf"] - RESERVED_BUFFERS))


def raise_for_pipes(now, pipes, extra_buffers=0, **shape):
    """The ``priv_*`` parameters to raise, and to what, before the parent is created; empty if none (dict of int).

    They count for every parent and every VALE port, so the memory of all of them grows.

    :param shape: ``tx_slots``, ``rx_slots``, ``tx_rings``, ``rx_rings`` of the parent (int)
    :raises PtnetError: more pipes than any value allows
    """
    region = private_region(now, **shape)
    need = pipes_need(pipes, extra_buffers=extra_buffers, **shape)
    wanted = {"priv_%s_num" % kind: need[kind] for kind in POOLS if need[kind] > region[kind]}
    for name, number in wanted.items():
        if number > PARAMETERS[name].high:
            limits = {kind: PARAMETERS["priv_%s_num" % kind].high for kind in POOLS}
            most = pipe_capacity(limits, extra_buffers=extra_buffers, **shape)
            raise PtnetError("one parent cannot hold so many pipes", found=pipes,
                             expected="at most %d of this width, limited by %s" % (most, name),
                             remedy="spread the pipes over several parents%s" % (
                                 ", or ask for fewer slots or extra buffers" if name == "priv_buf_num" else ""))
    return wanted


def _with_defaults(now):
    full = {name: known.default for name, known in PARAMETERS.items()}
    full.update({name: number for name, number in (now or {}).items() if name in PARAMETERS})
    return full
