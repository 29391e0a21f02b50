# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and parameters that were meant to hurt: each is refused before Python asks the kernel for anything at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import string
import subprocess
import sys

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.module_utils.kernel import loading
from ansible_collections.netmap.ptnet.plugins.module_utils.netmap import boot_service, parameters
from ansible_collections.netmap.ptnet.plugins.module_utils.qemu import service
from ansible_collections.netmap.ptnet.plugins.module_utils.traffic import session
from ansible_collections.netmap.ptnet.plugins.modules import netmap_module, netmap_pipe, pkt_gen, ptnet_vm, vale_port
from hypothesis import example, given
from hypothesis import strategies as st

LEGAL = string.ascii_letters + string.digits + "_"
# What interpreter, shell, kernel, QEMU or libnetmap read as something else than a letter.
NASTY = "%,/\\^*@-{}: \n\r\t\0.;$`'\"|&<>()[]#!~=+?\x7f\x1b\u0661\u00b2\u2028\u202e\ud800é\U0001f4a9"
SAMPLES = ("", " ", "%d", "v%d", "%s%n", "^", "eth1^", "vale0:eth1^", "vale1:10,id=x", "../../etc/passwd", "vale1",
           "vale1:", "val:p", "x{", "{1", "x{a b", "x{1}2", "eth0\n", "\neth0", "p0{1\n", "eth0\0", "a" * 16, "a" * 64,
           "a" * 65, "a" * 4096, "vale" + "a" * 12 + ":1", "vale1:" + "a" * 16, "é" * 8, "\u0661\u0662", "eth\u0663",
           ".", "..", "$(reboot)", "netmap:", "netmap:netmap:p0", "-1", "--help", "tap:tap0", "pcap:eth0", "null ")


def legal_with(nasty):
    """A legal name with something nasty in it, anywhere."""
    return st.tuples(st.text(LEGAL, max_size=8), nasty, st.text(LEGAL, max_size=8)).map("".join)


HOSTILE = st.one_of(st.sampled_from(SAMPLES), legal_with(st.sampled_from(NASTY)),
                    st.text(LEGAL, min_size=16, max_size=300),
                    st.text().filter(lambda text: not text or set(text) - set(LEGAL)))
# Written anew here, so that the grammar is held against something: what a VM or pkt-gen may have.
PORT = r"(netmap:)?((?!val)[A-Za-z0-9_]{1,15}|vale[A-Za-z0-9_]{1,11}:[A-Za-z0-9_]{1,15})([{}][A-Za-z0-9_]{1,15})?"
LIBNETMAP = PORT + r"([-^][0-9]+|[\^*])?(/[xztrRT]+)?(@[0-9]+)?"
HOSTILE_FOR_VM = HOSTILE.filter(lambda text: not re.fullmatch(PORT, text) or len(text) > 22)
HOSTILE_FOR_PKT_GEN = HOSTILE.filter(lambda text: not re.fullmatch(LIBNETMAP, text))
HOSTILE_NUMBER = st.one_of(
    # Blanks around a number or a word, and capitals, do no harm.
    HOSTILE.filter(lambda text: text.strip(" ").lower() not in parameters._WORDS
                   and not re.fullmatch("[-+]?[0-9]+", text.strip(" "), re.ASCII)), st.just("\u0663"), st.just("1_000"),
    st.just("1\n"), st.integers(min_value=10**9), st.integers(max_value=-2**31), st.floats(), st.none(),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=1))


class SystemCall(BaseException):
    """Python was about to ask the kernel for something; nothing catches this."""


class _Guard:
    """Watches Python's audit events, and stops what it does not allow before it happens."""

    closed = False

    @classmethod
    def hook(cls, event, args):
        if cls.closed and event.split(".")[0] in (
                "open", "fcntl", "os", "subprocess", "socket", "shutil", "tempfile", "glob", "pathlib", "signal"):
            raise SystemCall("%s %r" % (event, args))


sys.addaudithook(_Guard.hook)


@contextlib.contextmanager
def no_system_call():
    _Guard.closed = True
    try:
        yield
    finally:
        _Guard.closed = False


def filled(spec, **given):
    """The parameters as AnsibleModule would hand them over."""
    return dict({name: option.get("default") for name, option in spec.items()}, **given)


def inside(spec, option, **given):
    """One element of a list option, filled in the same way."""
    return filled(spec[option]["options"], **given)


def refused(act, params):
    for check_mode in (True, False):
        with no_system_call(), pytest.raises(PtnetError) as caught:
            act(params, check_mode)
        message = caught.value.message
        assert message.isprintable(), ascii(message)
        assert len(message) < 6000


def test_the_guard_sees_what_it_should():
    for call in (lambda: open("/dev/null").close(), lambda: subprocess.run(["true"], check=True),
                 lambda: os.listdir("/"), lambda: fcntl.ioctl(0, 0),
                 lambda: socket.if_nameindex() and open("/proc/self/stat").close()):
        with pytest.raises(SystemCall), no_system_call():
            call()


@given(HOSTILE.filter(lambda text: text != "vale1"))
@example("vale1 ")
def test_the_switch_of_vale_port(name):
    port = inside(vale_port.ARGUMENT_SPEC, "ports", name="eth1")
    refused(boot_service.act_on_ports, filled(vale_port.ARGUMENT_SPEC, switch=name, ports=[port]))
    refused(boot_service.act_on_ports, filled(vale_port.ARGUMENT_SPEC, only_switches=["vale1", name]))


@given(HOSTILE, st.sampled_from(["present", "absent"]))
def test_the_ports_of_vale_port(name, state):
    ports = [inside(vale_port.ARGUMENT_SPEC, "ports", name=one) for one in ("eth1", name)]
    refused(boot_service.act_on_ports, filled(vale_port.ARGUMENT_SPEC, switch="vale1", ports=ports, state=state))


@given(HOSTILE, st.sampled_from(["present", "absent"]))
def test_the_parents_of_netmap_pipe(name, state):
    parents = [inside(netmap_pipe.ARGUMENT_SPEC, "parents", name=one) for one in ("p0", name)]
    refused(boot_service.act_on_parents, filled(netmap_pipe.ARGUMENT_SPEC, parents=parents, state=state))


@given(st.sampled_from(["pipes", "extra_buffers", "tx_slots", "rx_slots", "tx_rings", "rx_rings"]),
       st.integers(max_value=-1) | st.integers(min_value=1000001))
def test_the_numbers_of_netmap_pipe(option, number):
    parent = inside(netmap_pipe.ARGUMENT_SPEC, "parents", name="p0", **{option: number})
    refused(boot_service.act_on_parents, filled(netmap_pipe.ARGUMENT_SPEC, parents=[parent]))


@given(HOSTILE)
def test_the_names_of_parameters(name):
    refused(loading.act, filled(netmap_module.ARGUMENT_SPEC, parameters={name: 1}))


@given(st.sampled_from(sorted(parameters.PARAMETERS)), HOSTILE_NUMBER)
@example("buf_num", "\u0661\u0666\u0663\u0668\u0664\u0660")
@example("buf_num", "163_840")
@example("buf_num", True)
def test_the_values_of_parameters(name, value):
    if name in ("verbose", "generic_mit", "sink_delay_ns") and isinstance(value, int):
        return
    refused(loading.act, filled(netmap_module.ARGUMENT_SPEC, parameters={name: value}))


@given(HOSTILE.filter(lambda text: not (set(text) <= set(LEGAL + "-") and text[:1].isalpha() and len(text) < 33)))
def test_the_group_of_netmap_module(name):
    if name[:1] == "_" and set(name) <= set(LEGAL + "-") and len(name) < 33:
        return
    refused(loading.act, filled(netmap_module.ARGUMENT_SPEC, group=name))


@given(HOSTILE)
@example("0666")
@example("0660\n")
@example("\u0660\u0666\u0666\u0660")
def test_the_mode_of_netmap_module(mode):
    if set(mode) <= set("01234567") and len(mode.lstrip("0")) <= 3 and mode.endswith("0"):
        return
    refused(loading.act, filled(netmap_module.ARGUMENT_SPEC, mode=mode))


@given(HOSTILE_FOR_PKT_GEN, st.sampled_from(["tx", "rx"]))
@example("vale0:eth1^", "rx")
@example("eth0-\u0661", "rx")
@example("eth0/r\n", "rx")
@example("eth0@extmem=/etc/shadow", "rx")
def test_the_ports_of_pkt_gen(name, function):
    run = inside(pkt_gen.ARGUMENT_SPEC, "runs", port=name, function=function, seconds=1)
    refused(session.act, filled(pkt_gen.ARGUMENT_SPEC, runs=[run]))


@given(HOSTILE_FOR_VM)
def test_the_ports_of_ptnet_vm(name):
    disk = inside(ptnet_vm.ARGUMENT_SPEC, "disks", path="disk.qcow2", size="1G")
    port = inside(ptnet_vm.ARGUMENT_SPEC, "ports", port=name)
    refused(service.act, filled(ptnet_vm.ARGUMENT_SPEC, name="vm1", disks=[disk], ports=[port]))


@given(HOSTILE.filter(lambda text: not set(text) <= set(string.ascii_lowercase + string.digits + "-") or len(text) > 32
                      or not text or text[0] == "-"), st.sampled_from(["started", "absent"]))
def test_the_name_of_ptnet_vm(name, state):
    refused(service.act, filled(ptnet_vm.ARGUMENT_SPEC, name=name, state=state))
