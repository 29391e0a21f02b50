# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How netmap is built on Linux, for the engine. Private to netmap.ptnet.

Facts from netmap's LINUX/configure and LINUX/netmap.mak.in.
"""

from __future__ import annotations

import os
import platform
import re
import shutil

from ..command import run
from ..errors import PtnetError
from .identity import digest_file, unordered
from .store import absolute

#: All that LINUX/configure knows; it only warns about another name and goes on.
SUBSYSTEMS = ("vale", "pipe", "monitor", "generic", "ptnetmap", "sink", "extmem", "null")
MODULES = "/lib/modules"
#: depmod prefers this directory to the kernel's own modules; patched NIC drivers must win over the stock ones.
MODULE_DIRECTORY = "updates/netmap-ptnet"


class Netmap:
    """Recipe of netmap's kernel modules, applications and headers."""

    kind = "netmap"
    commands = {"gcc": "gcc", "make": "make", "git": "git", "strip": "binutils", "depmod": "kmod"}
    submodules = ()
    failure_logs = ("config.log",)

    def __init__(self, params):
        self.params = params
        self.release = params["kernel_release"] or platform.release()
        if not re.match(r"[\w.+~-]+\Z", self.release):
            raise PtnetError("kernel_release is malformed", found=self.release, expected="as uname -r prints it")
        self.slot = self.release
        if params["drivers"]:
            # netmap's configure takes a missing patch for a patch that does not fit.
            self.commands = dict(self.commands, patch="patch")
        absolute("prefix", params["prefix"])
        self.vendor = vendor_archives(params)
        self.headers = params["kernel_dir"] or next(
            (path for path in ("%s/%s/build" % (MODULES, self.release), "/usr/src/linux-headers-" + self.release)
             if os.path.isdir(path)), None)

    def options(self):
        params = self.params
        options = {"kernel_release": self.release, "prefix": params["prefix"],
                   "drivers": unordered(params["drivers"]), "apps": unordered(params["apps"]),
                   "subsystems": unordered(params["subsystems"])}
        if params["drivers"]:
            options["driver_archives"] = {driver: one["checksum"] for driver, one in self.vendor.items()}
        if params["sign_certificate"]:
            options["signed_by"] = self._certificate()
        return options

    def _certificate(self):
        path = self.params["sign_certificate"]
        try:
            return digest_file(path)
        except OSError as error:
            raise PtnetError("sign_certificate cannot be read", found="%s: %s" % (path, error.strerror)) from error

    def awaited(self):
        return None

    def preflight(self):
        package = "linux-headers-" + self.release
        if not self.headers or not os.path.isfile(os.path.join(self.headers, "Makefile")):
            raise PtnetError(
                "the headers of kernel %s are not here" % self.release,
                found=self.params["kernel_dir"] or "no %s/%s/build, no /usr/src/%s" % (MODULES, self.release, package),
                remedy="install the package %s (Debian, Ubuntu) or kernel-devel (Fedora), or give kernel_dir" % package)
        try:
            with open(os.path.join(self.headers, "include/generated/utsrelease.h")) as stream:
                found = re.search(r'UTS_RELEASE "([^"]+)"', stream.read())
        except OSError:
            found = None
        if not found or found.group(1) != self.release:
            raise PtnetError("%s is not prepared for modules of this kernel" % self.headers,
                             found=found.group(1) if found else "no include/generated/utsrelease.h",
                             expected=self.release, remedy="install the package %s, or give kernel_dir" % package)
        if self.params["sign_key"]:
            for what, path in (("sign_key", self.params["sign_key"]), ("scripts/sign-file", self._sign_file())):
                if not os.access(path, os.R_OK):
                    raise PtnetError("modules cannot be signed", found="%s is not there: %s" % (what, path),
                                     remedy="give the files of the key, and the headers that have scripts/sign-file")

    def _sign_file(self):
        return os.path.join(self.headers, "scripts/sign-file")

    def _sign(self, work, module):
        """Sign a module as the last step: stripping takes a signature away."""
        with open(os.path.join(self.headers, ".config"), errors="replace") as stream:
            found = re.search(r'^CONFIG_MODULE_SIG_HASH="(\w+)"', stream.read(), re.MULTILINE)
        work.run(self._sign_file(), found.group(1) if found else "sha256", self.params["sign_key"],
                 self.params["sign_certificate"], module)

    def arguments(self):
        """Arguments of netmap's configure (list of str). ``--kernel-version`` would overwrite ``--kernel-dir``."""
        params = self.params
        chosen = [name for name in SUBSYSTEMS if name in params["subsystems"]]
        arguments = ["--kernel-dir=" + self.headers, "--prefix=" + params["prefix"], "--no-utils"]
        if params["kernel_sources"]:
            arguments.append("--kernel-sources=" + params["kernel_sources"])
        if params["drivers"]:
            arguments += ["--drivers=" + ",".join(unordered(params["drivers"])), "--fail-on-driver-errors"]
        else:
            arguments.append("--no-drivers")
        arguments.append("--apps=" + ",".join(unordered(params["apps"])) if params["apps"] else "--no-apps")
        return arguments + ["--%s-%s" % ("enable" if name in chosen else "disable", name) for name in SUBSYSTEMS]

    def build(self, work):
        configure = os.path.join(work.source, "configure")
        if not os.access(configure, os.X_OK):
            raise PtnetError("the source is no netmap", found="no configure in it", remedy="check source and commit")
        for what in ("drivers", "apps"):
            known = work.read(configure, "--show-" + what).split()
            unknown = sorted(set(self.params[what]) - set(known))
            if unknown:
                raise PtnetError("%s: this netmap has no %s" % (what, ", ".join(unknown)),
                                 expected=" ".join(sorted(known)))
        # configure looks for the sources of the running kernel unless this names another one.
        env = {"kernelver": self.release, "PATH": "%s:%s" % (_offline(work), os.environ.get("PATH", os.defpath))}
        kept = self._give_vendor(work, configure) if self.params["drivers"] else []
        with work.step("configure"):
            work.run(configure, *self.arguments(), *kept, env=env)
        with work.step("make"):
            work.make(env=env)
        with work.step("stage"):
            return self._stage(work, env)

    def _give_vendor(self, work, configure):
        """Put the vendors' archives where netmap's build looks before it downloads; what configure is to be told.

        Drivers of which there is none are built from the kernel's sources (list of str).

        :raises PtnetError: an archive that is not what was meant, or a driver that would be downloaded
        """
        external = set(work.read(configure, "--show-ext-drivers").split())
        unknown = sorted(set(self.vendor) - external)
        if unknown:
            raise PtnetError("driver_archives: %s is no vendor's driver of this netmap" % ", ".join(unknown),
                             expected=" ".join(sorted(external)))
        lacking = sorted(external & set(self.params["drivers"]) - set(self.vendor))
        if lacking and not self.params["kernel_sources"]:
            raise PtnetError(
                "the build would download %s, and nobody knows what it gets" % ", ".join(lacking),
                found="no driver_archives for it", expected="the vendor's archive and its checksum, or kernel_sources",
                remedy="get the archive (netmap's LINUX/default-config.mak.in_ has its address), look at it, and give "
                       "it with its sha256 in driver_archives")
        for driver, one in sorted(self.vendor.items()):
            for folder in ("", driver):
                place = os.path.join(work.source, "LINUX/ext-drivers", folder)
                os.makedirs(place, exist_ok=True)
                copy = os.path.join(place, os.path.basename(one["archive"]))
                shutil.copyfile(one["archive"], copy)
                found = "sha256:" + digest_file(copy)
                if found != one["checksum"]:
                    raise PtnetError("%s is not the archive of %s that was meant" % (one["archive"], driver),
                                     found=found, expected=one["checksum"],
                                     remedy="get it again, and look at it before you change the checksum")
        others = sorted(external - set(self.vendor))
        return ["--no-ext-drivers=" + ",".join(others)] if others else []

    def _stage(self, work, env):
        work.make("install-headers", "install-docs", "install-libnetmap", "install-apps",
                  "DESTDIR=" + work.stage, env=env)
        place = os.path.join(work.stage, MODULES.lstrip("/"), self.release, MODULE_DIRECTORY)
        os.makedirs(place)
        vermagic = {}
        for top, directories, names in os.walk(work.build):
            directories[:] = [name for name in directories if name != "netmap-tmpdir"]
            for name in names:
                if name.endswith(".ko"):
                    shutil.copyfile(os.path.join(top, name), os.path.join(place, name))
                    work.run("strip", "--strip-debug", os.path.join(place, name))
                    if self.params["sign_key"]:
                        self._sign(work, os.path.join(place, name))
                    vermagic[name[:-len(".ko")]] = read_vermagic(os.path.join(place, name))
        missing = [name for name in ["netmap"] + [driver_name(name) for name in self.params["drivers"]]
                   if name.replace("-", "_") not in [built.replace("-", "_") for built in vermagic]]
        if missing:
            raise PtnetError("not built: %s" % ", ".join(missing), remedy="read the log; leave the driver out, or give "
                             "kernel_sources with the full sources of this kernel")
        programs = os.path.join(work.stage, self.params["prefix"].lstrip("/"), "bin")
        for name in sorted(os.listdir(programs)) if os.path.isdir(programs) else []:
            work.run("strip", os.path.join(programs, name))
        modules = [os.path.join(place, name) for name in sorted(os.listdir(place))]
        return {"kernel_release": self.release, "vermagic": vermagic["netmap"], "prefix": self.params["prefix"],
                "native_drivers": sorted(name for name in vermagic if name != "netmap"),
                "copied": ["/" + os.path.relpath(path, work.stage) for path in modules]}

    def folders(self):
        return [self.params["prefix"], "%s/%s/%s" % (MODULES, self.release, MODULE_DIRECTORY)]

    def fits(self, manifest):
        here, release = platform.machine(), self.release
        for what, found, expected in (
                ("architecture", manifest.get("architecture"), here),
                ("kernel release", manifest.get("kernel_release"), release),
                ("slot", manifest.get("slot"), release),
                ("vermagic", str(manifest.get("vermagic")).partition(" ")[0], release)):
            if found != expected:
                raise PtnetError("the build is for another %s" % what, found=found, expected=expected,
                                 remedy="build it for this machine, or say kernel_release when another kernel is meant")

    def settle(self, manifest):
        # The folder of a kernel that is gone would be filled again.
        if os.path.isfile("%s/%s/modules.builtin" % (MODULES, self.release)):
            run(["depmod", self.release], 600, remedy="install kmod")

    def result(self, manifest):
        # Before a build there is only what was asked for.
        foretold = {"native_drivers": sorted(map(driver_name, self.params["drivers"]))}
        return {"kernel_release": self.release, "native_drivers": (manifest or foretold).get("native_drivers", [])}


def vendor_archives(params):
    """The vendors' archives that are given: driver to ``archive`` (path) and ``checksum`` (dict). Pure.

    :raises PtnetError: a driver twice or not asked for, or a checksum that is none
    """
    found = {}
    for one in params.get("driver_archives") or []:
        if one["driver"] not in params["drivers"] or one["driver"] in found:
            raise PtnetError("driver_archives: %s is refused" % one["driver"],
                             found="twice" if one["driver"] in found else "not in drivers",
                             expected="each of drivers once")
        if not re.match(r"sha256:[0-9a-f]{64}\Z", one["checksum"]):
            raise PtnetError("the checksum of %s is refused" % one["driver"], found=one["checksum"],
                             expected="sha256: and 64 hexadecimal digits, as sha256sum prints them")
        found[one["driver"]] = {"archive": one["archive"], "checksum": one["checksum"]}
    return found


def _offline(work):
    """A folder with programs that stand in for those that download, and do not (path)."""
    folder = work.scratch("offline")
    for name in ("wget", "curl"):
        path = os.path.join(folder, name)
        with open(path, "w") as stream:
            stream.write('#!/bin/sh\necho "error: the build of netmap wanted to download: $*" >&2\nexit 1\n')
        os.chmod(path, 0o755)
    return folder


def driver_name(name):
    """The module of a driver as netmap's configure names it: ``veth.c`` makes ``veth`` (str)."""
    return name[:-2] if name.endswith(".c") else name


def read_vermagic(path):
    """The kernel that a module was built for, as its ``vermagic`` says (str)."""
    with open(path, "rb") as stream:
        found = re.search(rb"\0vermagic=([^\0]+)\0", stream.read())
    if not found:
        raise PtnetError("%s is no kernel module" % path)
    return found.group(1).decode().strip()
