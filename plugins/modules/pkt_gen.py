#!/usr/bin/python
# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pkt_gen
short_description: Send and receive frames with pkt-gen and count them
version_added: 0.1.0
author: netmap.ptnet contributors (@netmap-ptnet)
description:
  - Runs one or more pkt-gen at the same time for a bounded time, and returns what each of them counted.
  - Receivers are started first, senders when all receivers have opened their ports. All of them are ended before the
    module returns, also when it fails or is interrupted.
  - Ports are opened one after the other, as netmap may hang when pipes are opened at the same time.
  - Frames are sent, yet no state changes, so RV(ignore:changed) is always false.
  - What a sender counts is no proof that anything arrived. Judge by the receiver.
attributes:
  check_mode:
    description: Can run in C(check_mode) and predict what the real run would change.
    support: partial
    details:
      - No frames are sent in check mode, and RV(runs) is empty.
  diff_mode:
    description: Returns what it changed, or would change, in diff mode.
    support: N/A
    details:
      - This module changes nothing.
  idempotent:
    description: A second run with the same options reports C(changed=false).
    support: full
options:
  background:
    description:
      - With V(start) the task returns as soon as all receivers listen. They go on until they are collected, or until
        O(timeout). Senders are refused.
      - With V(collect) it waits until those receivers have been silent for O(idle) of their start, and returns their
        figures.
      - With V(stop) it ends them at once, without figures, where nobody is to collect them any more. Having none to end
        is no error.
      - So receivers on one machine are surely ready before a task on another machine sends.
    type: str
    choices: [start, collect, stop]
  job:
    description: What O(background) refers to, for several at the same time.
    type: str
    default: default
  runs:
    description: What to run, at least one unless O(background=collect) or O(background=stop).
    type: list
    elements: dict
    suboptions:
      port:
        description:
          - Port as pkt-gen takes it, such as V(vale1:10), V(netmap:p0}1) or V(eth1), with or without C(netmap:).
          - One ring of a NIC is V(eth1-0), the rings of its host V(eth1^), all of them V(eth1*). There are no ranges.
          - A monitor is V(vale1:10/r) (what the port receives), V(vale1:10/t) (what it sends) or V(vale1:10/z) (both,
            without copying). It only receives, and the port must be open already, for instance in a VM. C(/x) asks for
            exclusive use, C(/R) and C(/T) for one direction.
          - C(@1) names a memory region, C(@share=netmap:p0) that of another port, C(@conf:slots=512) a shape.
          - What cannot work is refused with its reason, such as the host's rings of a VALE port.
        type: str
        required: true
      function:
        description: Whether to send or to receive.
        type: str
        choices: [tx, rx]
        required: true
      seconds:
        description:
          - How long to send, or how long at most to receive.
          - A sender needs this or O(runs[].packets).
        type: float
      packets:
        description: Number of frames after which the run ends.
        type: int
      length:
        description: Bytes of a frame that is sent, without the CRC.
        type: int
        default: 60
      threads:
        description: Number of threads, each serving one ring. By default one thread serves all rings.
        type: int
      processors:
        description: Number of processors to use, pkt-gen's own default without it.
        type: int
      src_mac:
        description: Source address of frames that are sent. By default a stable one is derived from O(runs[].port).
        type: str
      dst_mac:
        description: Destination address of frames that are sent. By default the broadcast address.
        type: str
      burst:
        description: Frames sent or received at a time, pkt-gen's own default without it.
        type: int
      rate:
        description: Frames a second to send. As fast as possible without it.
        type: int
      wait_link:
        description:
          - Whole seconds between opening the port and the first frame, for a link that has to come up.
          - By default 0 on VALE ports and pipes, and 2 elsewhere.
        type: int
  discard:
    description:
      - With O(background=start), seconds to receive before counting begins.
      - Frames that an earlier sender left in a pipe would be counted otherwise.
    type: float
    default: 0
  start_delay:
    description: Seconds between the readiness of the receivers and the start of the senders.
    type: float
    default: 0
  idle:
    description:
      - Seconds of silence that end a receiver.
      - They count after the end of all senders of this task or after O(background=collect), or without either after the
        first frame received.
    type: float
    default: 2
  timeout:
    description: Seconds for the whole task. Runs that still go on are ended then, and say so in RV(runs[].ended).
    type: float
    default: 60
  allow_management:
    description:
      - Allow ports that take an interface which carries the default route or the SSH connection of this run. Without it
        they are refused before anything changes, in check mode too.
      - That is the interface with the address that the connection came in on, the one by which its answers leave, and
        what lies below them (bridges, bonds, VLANs, VRFs, pairs). The pipes of an interface and its monitors do not
        take it.
    type: bool
    default: false
  binary:
    description: Name or path of pkt-gen. A name is looked up in C(PATH), C(/usr/local/bin) and the like.
    type: str
    default: pkt-gen
seealso:
  - module: netmap.ptnet.ptnet_vm
"""

EXAMPLES = r"""
- name: Send for five seconds through a switch and count what arrives
  netmap.ptnet.pkt_gen:
    runs:
      - port: "vale1:rx"
        function: rx
      - port: "vale1:tx"
        function: tx
        seconds: 5
  register: traffic

- name: Watch what a VM receives on its port of the switch
  netmap.ptnet.pkt_gen:
    runs:
      - port: "vale1:10/r"
        function: rx
        seconds: 5

- name: Receive on both pipes of a guest at most 30 seconds
  netmap.ptnet.pkt_gen:
    runs:
      - port: "netmap:p0}1"
        function: rx
        seconds: 30
      - port: "netmap:p0}2"
        function: rx
        seconds: 30

- name: Send exactly one million frames at a bounded rate
  netmap.ptnet.pkt_gen:
    runs:
      - port: eth1
        function: tx
        packets: 1000000
        rate: 200000

- name: Receive on the NIC of the default route, with another way in
  netmap.ptnet.pkt_gen:
    allow_management: true
    runs:
      - port: eth0
        function: rx
        seconds: 5

- name: Listen on a pipe before another machine sends, without what an earlier sender left in it
  netmap.ptnet.pkt_gen:
    background: start
    job: pipe1
    discard: 0.5
    idle: 3
    timeout: 120
    runs:
      - port: "netmap:p0}1"
        function: rx

- name: Collect what arrived
  netmap.ptnet.pkt_gen:
    background: collect
    job: pipe1
  register: received

- name: End the receivers of a measurement that failed
  netmap.ptnet.pkt_gen:
    background: stop
    job: pipe1

- name: Send long frames between two addresses, four rings at a time, when the link had time to come up
  netmap.ptnet.pkt_gen:
    binary: /opt/netmap/bin/pkt-gen
    start_delay: 1
    runs:
      - port: eth1
        function: tx
        seconds: 10
        length: 1514
        threads: 4
        processors: 4
        burst: 512
        src_mac: "02:00:00:00:00:01"
        dst_mac: "02:00:00:00:00:02"
        wait_link: 4
"""

RETURN = r"""
runs:
  description: One element for each run, in their order.
  returned: success
  type: list
  elements: dict
  contains:
    port:
      description: The port as it was given.
      type: str
      sample: "vale1:rx"
    function:
      description: V(tx) or V(rx).
      type: str
      sample: rx
    packets:
      description: Number of frames counted.
      type: int
      sample: 1301365
    bytes:
      description: Their bytes without CRC, null when pkt-gen was killed before its summary or counted no frame.
      type: int
      sample: 78081900
    seconds:
      description: Seconds from the first frame to the last.
      type: float
      sample: 5.012
    mpps:
      description: Millions of frames a second over these seconds.
      type: float
      sample: 0.259646
    avg_batch:
      description: Frames for each system call or interrupt on average, null when not known.
      type: float
      sample: 107.2
    samples:
      description: Frames a second in each interval of 0.2 seconds from the first frame to the last.
      type: list
      elements: int
      sample: [120100, 259900, 260100, 98000]
    spread:
      description: Minimum, median and maximum of RV(runs[].samples) without the first and the last, null without any.
      type: dict
      sample: {min: 259900, median: 260000, max: 260100}
    ended:
      description:
        - Why it ended, V(done) by itself, V(seconds), V(idle) or V(timeout) by these options, V(killed) when it did not
          react to that.
      type: str
      sample: idle
    log:
      description: The last lines of pkt-gen.
      type: list
      elements: str
      sample: ["Received 1301365 packets 78081900 bytes 12140 events 60 bytes each in 7.01 seconds."]
log_tail:
  description: The last lines of the pkt-gen that gave up.
  returned: when a run failed
  type: list
  elements: str
  sample: ["vale1:rx: Device or resource busy"]
msg:
  description:
    - Before anything is sent. A port, address or number that pkt-gen would refuse or take for something else, a sender
      that would never end, a port that must not be opened because that wedges netmap.
    - A pkt-gen that gave up, with its last lines (C(log_tail)) and who else uses the port.
    - Receivers that were not ready in time, or a job to collect that nobody started.
  returned: failure
  type: str
  sample: >-
    the sender on vale1:tx would never end. To do: set seconds or packets.
"""

from ansible_collections.netmap.ptnet.plugins.module_utils.face import serve
from ansible_collections.netmap.ptnet.plugins.module_utils.traffic.session import act

ARGUMENT_SPEC = {
    "background": {"type": "str", "choices": ["start", "collect", "stop"]},
    "job": {"type": "str", "default": "default"},
    "runs": {"type": "list", "elements": "dict", "options": {
        "port": {"type": "str", "required": True},
        "function": {"type": "str", "choices": ["tx", "rx"], "required": True},
        "seconds": {"type": "float"},
        "packets": {"type": "int"},
        "length": {"type": "int", "default": 60},
        "threads": {"type": "int"},
        "processors": {"type": "int"},
        "src_mac": {"type": "str"},
        "dst_mac": {"type": "str"},
        "burst": {"type": "int"},
        "rate": {"type": "int"},
        "wait_link": {"type": "int"},
    }},
    "discard": {"type": "float", "default": 0},
    "start_delay": {"type": "float", "default": 0},
    "idle": {"type": "float", "default": 2},
    "timeout": {"type": "float", "default": 60},
    "allow_management": {"type": "bool", "default": False},
    "binary": {"type": "str", "default": "pkt-gen"},
}


def main():
    serve(act, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
