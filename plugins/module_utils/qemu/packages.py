# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The distribution's packages that VMs need: a current QEMU, qemu-img, passt, UEFI. Private to netmap.ptnet."""

from __future__ import annotations

import contextlib
import os
import re

from .. import command, files
from ..change import Change
from ..errors import PtnetError
from . import choice, network
from .distribution import OLDEST, Distribution
from .program import Program

# What is needed, and Debian's package that has it.
PACKAGES = {"qemu": "qemu-system-x86", "qemu-img": "qemu-utils", "passt": "passt", "ovmf": "ovmf"}
IMAGE_TOOL = "/usr/bin/qemu-img"
UEFI = "/usr/share/OVMF/OVMF_CODE_4M.fd"
# Releases of Debian whose own QEMU is older and whose backports have one that serves.
BACKPORTS = ("trixie",)
SOURCE = "/etc/apt/sources.list.d/netmap-ptnet-backports.sources"
_SOURCE_TEXT = """\
# Written by netmap.ptnet.qemu_package: %(codename)s has no QEMU of %(oldest)s or newer. Removed by its state=absent.
Types: deb
URIs: %(mirror)s
Suites: %(codename)s-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
_SECONDS = 1800
_QUIET = {"DEBIAN_FRONTEND": "noninteractive"}


def act(params, check_mode):
    """What the module ``qemu_package`` does."""
    change = Change()
    if params["state"] == "absent":
        if change.note("source", _read(SOURCE), "") and not check_mode:
            os.unlink(SOURCE)
        return dict(change.result(), hypervisor=None, hypervisor_reason=None, packages=[], warnings=[])
    have = read()
    decided = decide(have, params)
    change.note("source", _read(SOURCE) if decided["source"] else "", decided["source"])
    change.note("packages", [], decided["packages"])
    if change.changed and not check_mode:
        _perform(decided)
        left = decide(read(), params)["packages"]
        if left:
            raise PtnetError("packages were installed and what they have is not there", found=", ".join(left),
                             remedy="look at them with dpkg -L")
    return dict(change.result(), hypervisor=decided["hypervisor"], hypervisor_reason=decided["reason"],
                packages=decided["packages"], warnings=[decided["said"]] if decided["said"] else [])


def read():
    """What is there (dict): ``objections`` to the distribution's QEMU (list of str, None when one serves), ``missing``
    (keys of :data:`PACKAGES`), ``release`` (os-release), ``offered``: versions of QEMU that can be installed (list of
    pairs of version and suite), None where there is no apt.
    """
    programs = [Program(path) for path in Distribution.BINARIES]
    objections = [Distribution.objection(one) if one.there else "no %s" % one.path for one in programs]
    places = {"qemu-img": IMAGE_TOOL, "passt": network.PASST, "ovmf": UEFI}
    return {"objections": None if None in objections else objections,
            "missing": [name for name, path in places.items() if not os.path.exists(path)],
            "release": _release(), "offered": _offered()}


def decide(have, params):
    """What to install (dict): ``hypervisor``, ``reason``, ``packages`` (list of str), ``suite`` to take them from (str
    or None), ``source``: text of a source of packages that is needed for it (str, empty when none is), ``said`` of it.

    :param have: as :func:`read` returns it (dict)
    :param params: hypervisor, passt, uefi, mirror (dict)
    :raises PtnetError: what was asked for is neither there nor to be had
    """
    asked = [kind.NAME for kind in choice.PREFERRED] if params["hypervisor"] == choice.AUTO else [params["hypervisor"]]
    decided = {"suite": None, "source": "", "said": None}
    wanted = [name for name in have["missing"]
              if name == "qemu-img" or (name == "passt" and params["passt"]) or (name == "ovmf" and params["uefi"])]
    for name in asked:
        if name != Distribution.NAME:
            decided.update(hypervisor=name, reason=_because(have, "asked for" if len(asked) == 1 else "built"))
            break
        if have["objections"] is None:
            decided.update(hypervisor=name, reason="it is installed")
            break
        if _from_packages(decided, have, params["mirror"]):
            decided.update(hypervisor=name)
            wanted.insert(0, "qemu")
            break
    else:
        raise PtnetError("the distribution's QEMU cannot serve ptnet ports here", found="; ".join(have["objections"]),
                         expected="QEMU %d.%d or newer with vfio-user-pci, installed or to be installed" % OLDEST,
                         remedy=Distribution.REMEDY + ", or set hypervisor: fork")
    packages = [PACKAGES[name] for name in wanted]
    if packages and have["offered"] is None:
        raise PtnetError("programs are missing that this module installs with apt alone", found="no apt",
                         expected=", ".join(wanted), remedy="install them with the system's package manager")
    return dict(decided, packages=packages)


def _from_packages(decided, have, mirror):
    """Whether a QEMU that serves can be installed; notes where from."""
    fit = [(number, suite) for version, suite in have["offered"] or () for number in [_number(version)]
           if number >= OLDEST]
    if fit:
        number, suite = max(fit)
        decided.update(suite=suite, reason="QEMU %s is in %s" % (".".join(map(str, number)), suite))
        return True
    codename = have["release"].get("VERSION_CODENAME")
    if have["offered"] is not None and have["release"].get("ID") == "debian" and codename in BACKPORTS:
        oldest = "%d.%d" % OLDEST
        decided.update(
            suite=codename + "-backports", reason="%s-backports has a current QEMU" % codename,
            source=_SOURCE_TEXT % {"codename": codename, "mirror": mirror, "oldest": oldest},
            said="%s-backports was added to the sources of packages (%s), because %s has no QEMU of %s or newer" % (
                codename, SOURCE, codename, oldest))
        return True
    return False


def _because(have, asked):
    return asked if have["objections"] is None or asked == "asked for" else "; ".join(have["objections"])


def _number(version):
    """The upstream version in one of Debian's, such as 1:11.1.3+ds-1~bpo13+1 (tuple of int)."""
    found = re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in found.group(1).split(".")) if found else ()


def _perform(decided):
    if decided["source"]:
        files.replace(SOURCE, decided["source"])
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends"]
    if decided["suite"]:
        install += ["-t", decided["suite"]]
    remedy = "check the sources of packages and the way to them, or install %s by hand" % ", ".join(decided["packages"])
    # Lists that are there may be old; they are only read again where they must be.
    if decided["source"] or command.run([*install, "--dry-run", *decided["packages"]], _SECONDS, env=_QUIET,
                                        allowed=None)[0]:
        command.run(["apt-get", "update", "-q"], _SECONDS, env=_QUIET, remedy=remedy)
    command.run([*install, *decided["packages"]], _SECONDS, env=_QUIET, remedy=remedy)


def _offered():
    if not os.path.exists("/usr/bin/apt-get"):
        return None
    listed = command.run(["apt-cache", "madison", PACKAGES["qemu"]], 60, allowed=None)[1]
    rows = [[part.strip() for part in line.split("|")] for line in listed.splitlines() if line.count("|") == 2]
    return [(version, where.split()[1].partition("/")[0]) for _name, version, where in rows
            if len(where.split()) > 1]


def _release():
    values = {}
    with contextlib.suppress(OSError), open("/etc/os-release", encoding="utf-8") as stream:
        for line in stream:
            name, equals, value = line.strip().partition("=")
            if equals:
                values[name] = value.strip("\"'")
    return values


def _read(path):
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""
