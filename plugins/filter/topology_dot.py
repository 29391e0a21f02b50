# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws the topology as Graphviz text. Runs on the controller, touches no machine."""

from __future__ import annotations

import re
from html import escape

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: topology_dot
version_added: 0.1.0
short_description: Draw hosts, switches, VMs and pipes as Graphviz text
description:
  - Returns a graph in the language of Graphviz, to be drawn by C(dot -Tsvg).
  - Who is connected to whom is read from the port names alone. C(vale1:10) is a port of the switch C(vale1),
    C(netmap:p0{1) and C(netmap:p0}1) are the two ends of one pipe, any other name is a port of the host.
  - A pipe end that no VM holds is drawn at the pipe's parent on the host.
  - The parts carry the classes C(host), C(switch), C(vm), C(parent), C(port), C(link) and C(pipe),
    so that a page can style them.
author: netmap.ptnet contributors (@netmap-ptnet)
positional: _input
options:
  _input:
    description:
      - A dictionary with C(hosts). Each host has C(switches), a dictionary from the name of a switch to the list of
        what is attached to it besides VMs, and C(vms), a dictionary from the name of a VM to its C(ports).
      - Each port has C(port), the name on the host, and optionally C(interface) and C(mac), as seen in the guest.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Draw a VM on a switch
  ansible.builtin.command:
    cmd: dot -Tsvg
    stdin: "{{ topology | netmap.ptnet.topology_dot }}"
  delegate_to: localhost
  changed_when: false
  vars:
    topology:
      hosts:
        hv1:
          switches:
            vale1: [eth1]
          vms:
            client:
              ports:
                - port: vale1:client
                  interface: eth1
                  mac: 52:54:00:12:34:56
"""

RETURN = r"""
_value:
  description: The graph.
  type: str
  sample: 'digraph topology { rankdir=LR; … }'
"""

PIPE_END = re.compile(r"^(?P<parent>[^{}]+)(?P<role>[{}])(?P<id>[^{}]+)$")
HEAD = """digraph topology {
  rankdir=LR; ranksep=0.9; nodesep=0.3; pad=0.1; fontname="Helvetica"; bgcolor="transparent";
  node [fontname="Helvetica", fontsize=12, shape=box, style="rounded,filled", margin=0];
  node [fillcolor="#ffffff", color="#57606a"];
  edge [fontname="Helvetica", fontsize=10, color="#57606a", dir=none];"""


def _quoted(text):
    return '"%s"' % str(text).replace("\\", "\\\\").replace('"', '\\"')


def _box(node, kind, title, rows):
    """A node with a title and one row for each port. Rows are (key, text, small text)."""
    cells = "".join(
        '<TR><TD PORT="%s" ALIGN="LEFT">%s%s</TD></TR>'
        % (key, escape(text), '<BR ALIGN="LEFT"/><FONT POINT-SIZE="9">%s</FONT>' % escape(small) if small else "")
        for key, text, small in rows
    )
    return '%s [class="%s", tooltip=%s, label=<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="5">' \
        '<TR><TD><B>%s</B></TD></TR>%s%s</TABLE>>];' % (
            node, kind, _quoted("%s %s" % (kind, title)), escape(title), "<HR/>" if rows else "", cells)


class _Host:
    """Nodes and edges of one host; pipes never leave a host, because their two ends share its memory."""

    def __init__(self, prefix, host):
        self.prefix = prefix
        self.switches = {name: [(str(end), "attached") for end in ends or []]
                         for name, ends in (host.get("switches") or {}).items()}
        self.switch_edges = []
        self.pipes = {}
        self.nics = {}
        self.vms = []
        for number, (name, vm) in enumerate((host.get("vms") or {}).items()):
            self._add_vm("%sv%d" % (prefix, number), name, vm)

    def _add_vm(self, node, name, vm):
        rows = []
        for index, port in enumerate((vm or {}).get("ports") or []):
            if not isinstance(port, dict) or not port.get("port"):
                raise AnsibleFilterError("topology_dot: a port of VM %s has no name 'port', found %r" % (name, port))
            # VALE names stand alone, "netmap:" is the optional scheme of all others.
            path = str(port["port"])
            path = path[7:] if path.startswith("netmap:") else path
            end = "%s:i%d" % (node, index)
            rows.append(("i%d" % index, str(port.get("interface") or path), str(port.get("mac") or "")))
            pipe = PIPE_END.match(path)
            if pipe:
                key = (pipe.group("parent"), pipe.group("id"))
                self.pipes.setdefault(key, {})[pipe.group("role")] = end
            elif ":" in path:
                switch, own = path.split(":", 1)
                ports = self.switches.setdefault(switch, [])
                ports.append((own, ""))
                self.switch_edges.append((switch, len(ports) - 1, end))
            else:
                self.nics.setdefault(path, []).append(end)
        self.vms.append(_box(node, "vm", name, rows))

    def lines(self):
        """Lines of the graph that belong into the host's cluster."""
        nodes = {name: "%ss%d" % (self.prefix, number) for number, name in enumerate(self.switches)}
        for name, ports in self.switches.items():
            yield _box(nodes[name], "switch", name,
                       [("p%d" % index, own, small) for index, (own, small) in enumerate(ports)])
        yield from self.vms
        for switch, index, end in self.switch_edges:
            yield '%s:p%d:e -> %s:w [class="link"];' % (nodes[switch], index, end)
        for number, (name, ends) in enumerate(self.nics.items()):
            node = "%sn%d" % (self.prefix, number)
            yield _box(node, "port", name, [])
            for end in ends:
                yield '%s -> %s:w [class="link"];' % (node, end)
        yield from self._pipe_lines()

    def _pipe_lines(self):
        parents = {}
        for (parent, name), ends in sorted(self.pipes.items()):
            labels = "taillabel=%s, headlabel=%s"
            left, right = "%s{%s" % (parent, name), "%s}%s" % (parent, name)
            style = 'class="pipe", style=bold, labeldistance=3.2, labelangle=14, minlen=2'
            if len(ends) == 2:
                yield "%s:e -> %s:w [%s, %s];" % (
                    ends["{"], ends["}"], labels % (_quoted(left), _quoted(right)), style)
                continue
            if parent not in parents:
                parents[parent] = "%sq%d" % (self.prefix, len(parents))
                yield _box(parents[parent], "parent", parent, [])
            (role, end), = ends.items()
            free, held = (right, left) if role == "{" else (left, right)
            yield "%s -> %s:w [%s, %s];" % (parents[parent], end, labels % (_quoted(free), _quoted(held)), style)


def topology_dot(topology):
    """The topology as a Graphviz graph (str).

    :param topology: hosts with their switches and VMs (dict, see REPORT.md of the role check)
    :raises AnsibleFilterError: no ``hosts``, or a port without a name
    """
    if not isinstance(topology, dict) or not isinstance(topology.get("hosts"), dict):
        raise AnsibleFilterError("topology_dot: expected a dictionary with 'hosts', found %r" % (topology,))
    lines = [HEAD]
    for number, (name, host) in enumerate(topology["hosts"].items()):
        lines.append('  subgraph cluster_%d { class="host"; label=%s;' % (number, _quoted(name)))
        lines.append('    labeljust=l; style=rounded; color="#8c959f"; margin=14;')
        lines += ["    " + line for line in _Host("h%d" % number, host or {}).lines()]
        lines.append("  }")
    return "\n".join([*lines, "}", ""])


class FilterModule:
    """The filter under its name."""

    def filters(self):
        return {"topology_dot": topology_dot}
