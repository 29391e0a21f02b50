# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the ptnet QEMU is built, for the engine. Private to netmap.ptnet."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import platform
import re

from ..command import run
from ..errors import PtnetError
from .archive import ROOT, read_manifest, read_members
from .identity import unordered
from .install import Installed
from .store import Store, absolute

#: Options of the old HOWTO that mean nothing any more; --enable-netmap brings ptnet.
OBSOLETE = ("--enable-ptnetmap",)
FIXED = ("--enable-kvm", "--enable-netmap", "--disable-werror", "--python=python3", "--disable-tools", "--disable-docs",
         "--disable-guest-agent", "--disable-vnc", "--disable-sdl", "--disable-gtk", "--disable-curses",
         "--disable-debug-info", "--audio-drv-list=", "--disable-git-update")
X86 = ("x86_64-softmmu", "i386-softmmu")
#: Firmware of x86 machines; the rest of pc-bios is for other processors.
X86_DATA = ("bios*.bin", "vgabios*.bin", "sgabios.bin", "kvmvapic.bin", "linuxboot*.bin", "multiboot.bin",
            "efi-virtio.rom", "efi-e1000*.rom", "efi-rtl8139.rom", "efi-vmxnet3.rom", "keymaps/*")
HEADERS = ("netmap.h", "netmap_user.h", "netmap_virt.h", "netmap_legacy.h")


class Qemu:
    """Recipe of the QEMU fork with the ptnet device."""

    kind = "qemu"
    commands = {"gcc": "gcc", "make": "make", "git": "git", "strip": "binutils", "python3": "python3",
                "pkg-config": "pkgconf"}
    #: Libraries that configure needs, by their pkg-config name.
    libraries = {"glib-2.0": "libglib2.0-dev", "gthread-2.0": "libglib2.0-dev", "pixman-1": "libpixman-1-dev",
                 "zlib": "zlib1g-dev"}
    submodules = ("ui/keycodemapdb",)
    failure_logs = ("config.log",)

    def __init__(self, params):
        self.params = params
        self.prefix = absolute("prefix", params["prefix"])
        self.slot = self.prefix
        self.ignored = [option for option in params["configure_options"] if option in OBSOLETE]
        self.extra = [option for option in params["configure_options"] if option not in OBSOLETE]
        self._headers = None

    def options(self):
        digest = hashlib.sha256()
        for name, text in sorted(self.headers().items()):
            digest.update(name.encode() + b"\0" + text + b"\0")
        return {"prefix": self.prefix, "targets": unordered(self.params["targets"]), "configure_options": self.extra,
                "netmap": digest.hexdigest()}

    def headers(self):
        """netmap's headers: name to content (dict of str to bytes).

        :raises PtnetError: not where ``netmap`` says, or netmap is not installed
        """
        given = self.params["netmap"]
        if self._headers is None and given and os.path.isfile(given):
            top = ROOT + read_manifest(given, "netmap")["prefix"] + "/include/net/"
            self._headers = read_members(given, top, HEADERS)
        if self._headers is None:
            path = self._header_place()
            if path is None:
                raise PtnetError("netmap's headers are not here",
                                 found="no net/netmap.h in " + ", ".join(self._header_places()),
                                 remedy="install netmap first, or give netmap: a directory or netmap's build archive")
            self._headers = {}
            for name in HEADERS:
                try:
                    with open(os.path.join(path, "net", name), "rb") as stream:
                        self._headers[name] = stream.read()
                except FileNotFoundError:
                    continue  # older netmap has fewer headers
        return self._headers

    def awaited(self):
        """Says that netmap's headers are not here: in check mode netmap was not built before (str or None)."""
        given = self.params["netmap"]
        there = self._headers or (given and os.path.isfile(given)) or self._header_place()
        return None if there else "netmap's headers"

    def _header_place(self):
        return next((path for path in self._header_places()
                     if os.path.isfile(os.path.join(path, "net", HEADERS[0]))), None)

    def _header_places(self):
        given = self.params["netmap"]
        if given:
            for below in ("", "include", "sys"):
                yield os.path.join(given, below).rstrip("/")
            return
        installed = Installed(Store(self.params["store"], "netmap"))
        for record in installed.slots.values():
            manifest = installed.manifest(record["identity"])
            if manifest:
                yield installed.root(record["identity"]) + manifest["prefix"] + "/include"
        yield self.prefix + "/include"
        yield "/usr/local/include"
        yield "/usr/include"

    def preflight(self):
        missing = sorted({package for name, package in self.libraries.items()
                          if run(["pkg-config", "--exists", name], 60, allowed=None)[0]})
        if missing:
            raise PtnetError("building QEMU needs libraries that are not here", found="no " + ", ".join(missing),
                             remedy="install (Debian names) " + " ".join(missing))

    def arguments(self, headers):
        """Arguments of QEMU's configure (list of str).

        :param headers: the directory that has net/netmap.h (path)
        """
        return (["--prefix=" + self.prefix, "--target-list=" + ",".join(unordered(self.params["targets"])),
                 "--extra-cflags=-I" + headers] + list(FIXED) + self.extra)

    def build(self, work):
        configure = os.path.join(work.source, "configure")
        if not os.access(configure, os.X_OK):
            raise PtnetError("the source is no QEMU", found="no configure in it", remedy="check source and commit")
        unknown = unknown_options(self.extra, work.read(configure, "--help"))
        if unknown:
            raise PtnetError("configure_options: this QEMU does not know %s" % ", ".join(unknown),
                             remedy="leave it out; ./configure --help of the source lists what there is")
        include = work.scratch("include")
        os.mkdir(os.path.join(include, "net"))
        for name, text in self.headers().items():
            with open(os.path.join(include, "net", name), "wb") as stream:
                stream.write(text)
        with work.step("configure"):
            work.run(configure, *self.arguments(include))
        with work.step("make"):
            work.make()
        with work.step("stage"):
            work.make("install", "DESTDIR=" + work.stage)
            self._prune(work)
            return self._features(work)

    def _prune(self, work):
        """Keep the emulators, the bridge helper and the firmware that the targets can use."""
        top = os.path.join(work.stage, self.prefix.lstrip("/"))
        x86 = not set(self.params["targets"]) - set(X86)
        for folder, _directories, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                place = os.path.relpath(path, top)
                if place.startswith("bin/"):
                    keep = name.startswith("qemu-system-")
                elif place.startswith("share/qemu/"):
                    keep = not x86 or any(fnmatch.fnmatch(place[len("share/qemu/"):], like) for like in X86_DATA)
                else:
                    keep = place.startswith("libexec/")
                if not keep:
                    os.unlink(path)
                elif place.startswith(("bin/", "libexec/")):
                    work.run("strip", path)

    def _features(self, work):
        """Ask the binary itself; a QEMU without netmap or ptnet is no result."""
        emulators = sorted(os.listdir(os.path.join(work.stage, self.prefix.lstrip("/"), "bin")))
        target = "qemu-system-" + self.params["targets"][0].replace("-softmmu", "")
        binary = self.prefix + "/bin/" + (target if target in emulators else emulators[0])
        staged = work.stage + binary
        features = {"netmap": bool(re.search(r"^netmap\b", work.read(staged, "-netdev", "help", allowed=None), re.M)),
                    "ptnet": '"ptnet-pci"' in work.read(staged, "-device", "help", allowed=None)}
        if not all(features.values()):
            raise PtnetError("the QEMU that was built has no %s" % " and no ".join(
                name for name, there in features.items() if not there), remedy="check source and commit: it must be "
                "the fork with ptnet, and nothing in configure_options may switch netmap off")
        return {"binary": binary, "features": features, "version": read_version(work.read(staged, "-version")),
                "prefix": self.prefix, "copied": []}

    def folders(self):
        return [self.prefix]

    def fits(self, manifest):
        if manifest.get("architecture") != platform.machine():
            raise PtnetError("the build is for another architecture", found=manifest.get("architecture"),
                             expected=platform.machine(), remedy="build it for this machine")
        # The program is started once to see that it can be.
        if manifest.get("slot") != self.slot or manifest.get("binary") not in manifest["files"]:
            raise PtnetError("the build is for another prefix", found=manifest.get("slot"), expected=self.slot,
                             remedy="give prefix: the one that it was built for")

    def settle(self, manifest):
        if manifest:
            run([manifest["binary"], "-version"], 60,
                remedy="install the libraries it needs (Debian: libglib2.0-0 libpixman-1-0 zlib1g)")

    def result(self, manifest):
        manifest = manifest or {}
        result = {"ignored_options": self.ignored, "binary": manifest.get("binary"), "version": manifest.get("version"),
                  "features": manifest.get("features", {"netmap": False, "ptnet": False})}
        if self.ignored:
            result["warnings"] = ["%s is obsolete and was left out: --enable-netmap brings ptnet" % option
                                  for option in self.ignored]
        return result


def read_version(text):
    found = re.search(r"version (\S+)", text)
    return found.group(1) if found else None


def unknown_options(options, text):
    """Options that the text of ``configure --help`` does not list (list of str).

    Features stand there by their bare name: ``  vhost-net   vhost-net support`` is --enable-vhost-net and --disable-….
    """
    listed = set(re.findall(r"(?<![\w-])(--[a-z0-9][a-z0-9_-]*)(?![A-Z])", text))
    features = set(re.findall(r"^  ([a-z0-9][\w-]*)(?= )", text.partition("--enable-FEATURE")[2], re.M))
    found = []
    for option in options:
        name = option.split("=", 1)[0]
        feature = re.match(r"--(?:enable|disable)-(.+)\Z", option)
        if name not in listed and not (feature and feature.group(1) in features):
            found.append(option)
    return found
