# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What two QEMUs have in common and where they differ: the interface. Private to netmap.ptnet.

Everything that is true of one of them alone is said in its own file, and nobody else asks which one it is.
"""

from __future__ import annotations

import abc


class Hypervisor(abc.ABC):
    """One QEMU program and how VMs with ptnet ports are run with it.

    VMs are dicts as :func:`definition.define` returns them.

    :param program: the program (Program)
    """

    #: What users call it (str).
    NAME = ""
    #: Where it is looked for, the first one there is taken (tuple of paths).
    BINARIES = ()
    #: How to get it, for errors (str).
    REMEDY = ""
    #: Patterns of what it says when it gives up, each with a sentence and the next step (see :mod:`messages`).
    MESSAGES = ()
    #: Whether a management interface that lost its network process finds the next one (bool).
    RECONNECTS = False

    def __init__(self, program):
        self.program = program

    @classmethod
    @abc.abstractmethod
    def objection(cls, program):
        """Why a program that is there cannot be this hypervisor (str), or None. May run the program.

        :param program: (Program)
        """

    @abc.abstractmethod
    def refuse(self, vm):
        """Refuse what this hypervisor cannot do or would accept and then misbehave. Touches nothing.

        :raises PtnetError: names the option, what is allowed here, and the other way if there is one
        """

    @abc.abstractmethod
    def vector(self, vm):
        """The argument vector, the program first (list of str). Touches nothing but the program."""

    @abc.abstractmethod
    def launcher(self, vm, python):
        """What stands before the argument vector and ends by executing it in its own place (list of str).

        :param python: absolute path of the interpreter (str)
        """

    @abc.abstractmethod
    def ports(self, vm, python):
        """The service that serves the ports to QEMU, or None where QEMU opens them itself or there are none.

        :returns: ``name`` of the unit, its ``text``, the ``argv`` of its process, the ``directory`` of its sockets, and
            ``need``: what QEMU's unit says of it, Requires or Wants (dict of str and list)
        """

    def ask(self, vm, python):
        """A program that ends well when QEMU may open the ports of a VM (list of str), empty where it opens none.

        Run before each start with the rights of QEMU; systemd tries again as the unit says (StartLimitBurst).
        """
        return []

    @abc.abstractmethod
    def fence(self, vm, group_of):
        """What QEMU's unit needs beyond the base of :mod:`sandbox`.

        :param group_of: the group that may use a device node (function of a path)
        :returns: ``devices``, ``groups``, and ``tmpfs``, as TemporaryFileSystem takes them (lists of str), and
            ``directives`` (dict for :func:`sandbox.directives`)
        """

    @abc.abstractmethod
    def files(self):
        """Files of our own that its units need: path to content (dict of bytes)."""
