# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The golden disk image and the build root, both made by mmdebstrap and kept by identity.

The build root has the compiler, the kernel headers and the libraries of the image's distribution, so what is
built natively in it fits the emulated machines whatever distribution the controller runs.
Private to netmap.ptnet.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from contextlib import contextmanager

from ..change import Change
from ..command import run

FORMAT = 4
"""Raised when the making changes in a way that the inputs do not show."""
MMDEBSTRAP_TIMEOUT = 1200
# What of the controller stays hidden in the build root; everything else (home, sources, cache) is seen there
# under its own path, so addresses and directories mean the same inside and outside.
OWN_FOLDERS = ("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "sys", "usr")


def identity(kind, inputs, folders=()):
    """Digest of everything that the result is made of (16 hexadecimal digits).

    :param inputs: the options that shape it (dict, JSON-able)
    :param folders: folders or files whose content shapes it too (list of path)
    """
    digest = hashlib.sha256(json.dumps([FORMAT, kind, inputs], sort_keys=True).encode())
    for folder in folders:
        for path in _files(folder):
            with open(path, "rb") as stream:
                content = hashlib.sha256(stream.read()).hexdigest()
            name = os.path.relpath(path, os.path.dirname(folder))
            digest.update(("%s %o %s\n" % (name, os.stat(path).st_mode & 0o777, content)).encode())
    return digest.hexdigest()[:16]


def _files(folder):
    if os.path.isfile(folder):
        return [folder]
    return sorted(os.path.join(top, name) for top, _folders, names in os.walk(folder) for name in names)


def act(params, check_mode):
    """What ``lab_image`` does: make it when it is not there. Returns the module's result (dict)."""
    kind = params["kind"]
    folders = [params["recipe"]] if params["recipe"] else []
    inputs = {name: params[name] for name in ("suite", "mirror", "packages", "mask", "initrd_modules", "authorized_key",
                                              "size", "kernel_release")}
    name = "%s-%s" % (kind, identity(kind, inputs, folders))
    place = os.path.join(params["cache"], "images", name)
    change = Change()
    present = os.path.exists(place)
    if change.note(name, "present" if present else "absent", "present") and not check_mode:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with _lock(os.path.join(params["cache"], "images", ".lock")):
            if not os.path.exists(place):
                _make(kind, params, place)
    return dict(change.result(), identity=name, path=place, **_contents(kind, place))


@contextmanager
def _lock(path):
    with open(path, "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _make(kind, params, place):
    """Make it beside its place and rename, so an interrupted run leaves nothing that looks finished."""
    top = os.path.dirname(place)
    for name in os.listdir(top):
        if name.startswith(".making-"):
            shutil.rmtree(os.path.join(top, name), ignore_errors=True)
    making = tempfile.mkdtemp(prefix=".making-", dir=top)
    os.chmod(making, 0o755)
    log = place + ".log"
    if os.path.exists(log):
        os.unlink(log)
    tar = os.path.join(making, "root.tar")
    # As root its mounts get a name space of their own, which ends with it: a later removal must never walk into them.
    apart, scratch = (["unshare", "--mount"], making) if os.geteuid() == 0 else ([], tempfile.gettempdir())
    run(apart + _mmdebstrap(kind, params, tar), MMDEBSTRAP_TIMEOUT, log=log,
        env=dict(_hook_environment(params), TMPDIR=scratch), remedy=(
        "read %s; the distribution's mirror must be reachable (option mirror), and after a kernel update in the "
        "archive an old image no longer finds its headers: remove %s" % (log, top)))
    if kind == "disk":
        _disk(making, tar, params["size"], log)
    else:
        _build_root(making, tar, log)
    os.unlink(tar)
    os.rename(making, place)


def _mmdebstrap(kind, params, tar):
    packages = list(params["packages"])
    if kind == "build_root":
        packages.append("linux-headers-%s" % params["kernel_release"])
    argv = ["mmdebstrap", "--variant=%s" % ("minbase" if kind == "disk" else "apt"), "--format=tar",
            "--include=%s" % ",".join(packages),
            "--aptopt=APT::Install-Recommends \"false\"",
            "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*"]
    argv += ["--setup-hook=%s" % _beside(params["suite"], other) for other in _other_suites(packages)]
    if kind == "disk":
        argv.append("--customize-hook=%s" % os.path.join(params["recipe"], "customize"))
    return argv + [params["suite"], tar] + ([params["mirror"]] if params["mirror"] else [])


def _other_suites(packages):
    """Suites that packages are asked for from by name, as in ``passt/trixie-backports`` (sorted list of str)."""
    return sorted({package.split("/", 1)[1] for package in packages if "/" in package})


def _beside(suite, other):
    """Shell line that adds another suite of the same mirror, whichever mmdebstrap took, to the sources in ``$1``."""
    return "sed -n 's/ %s / %s /p;q' \"$1/etc/apt/sources.list\" > \"$1/etc/apt/sources.list.d/%s.list\"" % (
        suite, other, other)


def _hook_environment(params):
    recipe = params["recipe"] or ""
    return {
        "LAB_OVERLAY": os.path.join(recipe, "overlay"), "LAB_INIT": os.path.join(recipe, "init"),
        "LAB_AUTHORIZED_KEY": params["authorized_key"] or "", "LAB_MASK": " ".join(params["mask"]),
        "LAB_INITRD_MODULES": " ".join(params["initrd_modules"]),
    }


def _disk(making, tar, size, log):
    """A raw ext4 disk without a partition table, and beside it the kernel and the RAM disk to boot it with."""
    root = os.path.join(making, "root")
    disk = os.path.join(making, "disk.raw")
    os.mkdir(root)
    script = ('set -e; tar -C "$1" --exclude=./dev/* -xf "$2"; truncate -s "$3" "$4"; '
              'mke2fs -q -t ext4 -J size=16 -E lazy_itable_init=1 -L lab -d "$1" "$4"')
    # Without root's rights fakeroot keeps the owners between unpacking and writing the file system.
    prefix = [] if os.geteuid() == 0 else ["fakeroot"]
    run(prefix + ["sh", "-c", script, "sh", root, tar, size, disk], 300, log=log,
        env={"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
    (release,) = os.listdir(os.path.join(root, "usr/lib/modules"))
    shutil.copyfile(os.path.join(root, "boot/vmlinuz-%s" % release), os.path.join(making, "vmlinuz"))
    shutil.copyfile(os.path.join(root, "boot/initrd.img"), os.path.join(making, "initrd.img"))
    with open(os.path.join(making, "kernel_release"), "w") as stream:
        stream.write(release)
    if os.path.exists(os.path.join(root, QEMU)):
        _emulator(making, root)
    shutil.rmtree(root)


QEMU = "usr/bin/qemu-system-x86_64"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
# With the loader of its own distribution it runs on whatever the controller is.
EMULATE = """#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/qemu
exec "$root/%s/ld-linux-x86-64.so.2" --library-path "$root/%s" "$root/%s" \\
    -L "$root/usr/share/seabios" -L "$root/usr/share/qemu" "$@"
""" % (LIBRARIES, LIBRARIES, QEMU)


def _emulator(making, root):
    """Keep the image's QEMU, which may well be newer than the controller's, as a program to run the machines with."""
    for path in (QEMU, LIBRARIES, "usr/share/qemu", "usr/share/seabios"):
        to = os.path.join(making, "qemu", path)
        os.makedirs(os.path.dirname(to), exist_ok=True)
        os.rename(os.path.join(root, path), to)
    _program(os.path.join(making, "emulator"), EMULATE)


def _program(path, text):
    with open(path, "w") as stream:
        stream.write(text)
    os.chmod(path, 0o755)


def _build_root(making, tar, log):
    root = os.path.join(making, "root")
    os.mkdir(root)
    run(["tar", "-C", root, "--exclude=./dev/*", "-xf", tar], 300, log=log)
    _program(os.path.join(making, "python3"), ENTER)


# Ansible starts this in place of an interpreter: the modules then run on the controller's files with the build
# root's programs, and need not know. PATH is reset because the controller's may name programs that hide there.
ENTER = """#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/root
set -- /usr/bin/python3 "$@"
for folder in /*; do
    case " %s " in *" ${folder#/} "*) continue ;; esac
    if [ -L "$folder" ]; then
        set -- --symlink "$(readlink "$folder")" "$folder" "$@"
    elif [ -d "$folder" ]; then
        set -- --bind "$folder" "$folder" "$@"
    fi
done
for file in passwd group hosts resolv.conf gitconfig ssl/certs; do
    set -- --ro-bind-try "/etc/$file" "/etc/$file" "$@"
done
exec bwrap --die-with-parent --bind "$root/usr" /usr --bind "$root/etc" /etc \\
    --symlink usr/bin /bin --symlink usr/sbin /sbin --symlink usr/lib /lib --symlink usr/lib64 /lib64 \\
    --proc /proc --dev /dev --ro-bind /sys /sys \\
    --setenv PATH /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin "$@"
""" % " ".join(OWN_FOLDERS)


def _contents(kind, place):
    if kind == "build_root":
        return {"interpreter": os.path.join(place, "python3")}
    release = None
    if os.path.exists(place):
        with open(os.path.join(place, "kernel_release")) as stream:
            release = stream.read()
    emulator = os.path.join(place, "emulator")
    return {"disk": os.path.join(place, "disk.raw"), "kernel": os.path.join(place, "vmlinuz"),
            "initrd": os.path.join(place, "initrd.img"), "kernel_release": release,
            "emulator": emulator if os.path.exists(emulator) else None}
