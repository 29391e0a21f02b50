# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source to build archive to install, for whatever a recipe describes. Private to netmap.ptnet.

A recipe is an object with:

- ``kind`` (str), ``commands`` (programs a build needs: name to Debian package), ``slot`` (str, see install.py)
- ``options()``: what decides the result beside source, machine and compiler (dict), and ``submodules`` (paths)
- ``awaited()``: what the options need and another build brings, so that a check run may come before it (str or None)
- ``preflight()``: refuse what can be refused without the source
- ``build(work)``: run every step from ``work.source`` to ``work.stage``; returns facts for the manifest (dict)
- ``failure_logs``: files in the build directory whose ends explain a failure
- ``folders()``: where the files of a build may be installed (list of paths)
- ``fits(manifest)``: refuse a build archive that is not for this machine
- ``settle(manifest)``: what makes an install or a removal take effect
- ``result(manifest)``: what a module returns beyond the engine's own values (dict)
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import time

from ..change import Change
from ..command import run, tail
from ..errors import PtnetError
from ..places import STORE
from . import archive as archives
from .identity import FORMAT, identity, is_identity, kinship
from .install import Installed
from .source import open_source
from .store import Store

# What every module on this engine takes; documented in doc_fragments/build.py.
OPTIONS = {
    "state": {"type": "str", "choices": ["present", "built", "absent"], "default": "present"},
    "archive": {"type": "path"},
    "identity": {"type": "str"},
    "jobs": {"type": "int"},
    "store": {"type": "path", "default": STORE},
}
#: Stands for an identity in a check run that cannot know it.
UNFORESEEN = "unforeseen"
CONFIGURE_SECONDS = 3600
MAKE_SECONDS = 6 * 3600


class Work:
    """One build under way: fresh directories, and programs that run with their output in the log."""

    def __init__(self, store, log, jobs):
        self.source = store.scratch("source")
        self.build = store.scratch("build")
        self.stage = os.path.join(store.scratch("archive"), archives.ROOT)
        os.mkdir(self.stage)
        self.scratch = store.scratch
        self.step = store.step
        self.jobs = str(jobs or os.cpu_count())
        self._log = log

    def run(self, *argv, **options):
        return run(list(argv), options.pop("timeout", CONFIGURE_SECONDS), cwd=options.pop("cwd", self.build),
                   log=self._log, **options)

    def make(self, *arguments, **options):
        return self.run("make", "-j" + self.jobs, *arguments, timeout=MAKE_SECONDS, **options)

    def read(self, *argv, **options):
        """Output of a program that only answers (str)."""
        return run(list(argv), options.pop("timeout", 120), cwd=self.build, **options)[1]


def act(recipe, params, check_mode):
    """Bring a build into its wanted state; returns what the module returns (dict)."""
    store = Store(params["store"], recipe.kind)
    if params["jobs"] is not None and params["jobs"] < 1:
        raise PtnetError("jobs is too small", found=params["jobs"], expected="1 or more")
    try:
        if check_mode or (params["state"] == "absent" and not os.path.isdir(store.path(recipe.kind))):
            return _act(recipe, params, store, True)
        with store.locked():
            return _act(recipe, params, store, False)
    except OSError as error:
        raise PtnetError("%s_build cannot read or write %s" % (recipe.kind, error.filename or store.root),
                         found=error.strerror or error,
                         remedy="check rights and free space, and run again: the next run finishes the work") from error


def _act(recipe, params, store, dry):
    installed = Installed(store)
    change = Change()
    if params["state"] == "absent":
        return _remove(recipe, installed, change, dry)
    wanted = _wanted(recipe, params, store, installed, dry)
    name, slot, manifest = wanted["identity"], wanted["slot"], wanted["manifest"]
    record = installed.slot(slot)
    present = params["state"] == "present"
    broken = installed.flaws(name) if present else None
    have_archive = os.path.isfile(store.archive(name))
    warnings = ["not here yet: %s; foretold as if it were" % recipe.awaited()] if name == UNFORESEEN else []
    result = {"identity": name, "seconds": 0, "log": store.log(name) if os.path.isfile(store.log(name)) else None}
    build = not have_archive and not wanted["archive"] and (not present or broken is None or bool(broken))
    if build and not wanted["source"]:
        raise PtnetError("build %s is not on this machine" % name, found=params["archive"] or "no archive",
                         remedy="pass the archive that state=built made, or leave identity out to build here")
    if not present:
        change.note("archive", None if build else store.archive(name), store.archive(name))
    else:
        change.note("identity", record.get("identity"), name)
        wrong = installed.wrong(slot, manifest) if manifest else []
        if record.get("identity") == name:
            wrong = wrong or (["gone"] if broken is None else broken) or ([] if record["complete"] else ["interrupted"])
            change.note("files", "wrong: " + ", ".join(wrong[:5]) if wrong else "right", "right")
    if build:
        recipe.preflight()
    if change.changed and not dry:
        if build:
            begin = time.monotonic()
            manifest = _build(recipe, params, store, wanted)
            result.update(seconds=round(time.monotonic() - begin), log=store.log(name))
        if present:
            if installed.flaws(name) != []:
                try:
                    manifest = installed.add_tree(wanted["archive"] or store.archive(name), recipe.kind,
                                                  recipe.folders())
                except PtnetError:
                    if build or not wanted["source"]:
                        raise
                    manifest = _build(recipe, params, store, wanted)
                    installed.add_tree(store.archive(name), recipe.kind, recipe.folders())
            recipe.fits(manifest)
            with store.step("install"):
                installed.switch(slot, manifest, lambda: recipe.settle(manifest))
    record = installed.slot(slot)
    path = next((path for path in (store.archive(name), wanted["archive"]) if path and os.path.isfile(path)), None)
    manifest = manifest or (archives.read_manifest(path, recipe.kind) if path else None)
    result.update(
        archive=path if path or dry is False else store.archive(name), installed=record.get("identity") == name,
        previous=record.get("previous"), commit=(manifest or wanted)["commit"],
        files=sorted(manifest["files"]) if manifest else [])
    result.update(recipe.result(manifest))
    result.update(change.result())
    warnings = warnings + result.get("warnings", [])
    return dict(result, warnings=warnings) if warnings else result


def _wanted(recipe, params, store, installed, dry):
    """Which build is meant: of an archive, of an identity known here, or of a source."""
    name, path = params["identity"], params["archive"]
    none = {"archive": None, "source": None, "manifest": None, "slot": recipe.slot, "commit": None}
    if name and not is_identity(name) and not (dry and name == UNFORESEEN):
        raise PtnetError("identity is malformed", found=name, expected="20 hexadecimal digits")
    if name and installed.flaws(name) == []:
        manifest = installed.manifest(name)
        recipe.fits(manifest)
        return dict(none, identity=name, manifest=manifest, slot=manifest["slot"])
    if path and os.path.exists(path):
        manifest = archives.read_manifest(path, recipe.kind, recipe.folders())
        if name and manifest["identity"] != name:
            raise PtnetError("%s is another build" % path, found=manifest["identity"], expected=name)
        recipe.fits(manifest)
        return dict(none, identity=manifest["identity"], archive=path, manifest=manifest, slot=manifest["slot"])
    if name:
        if os.path.isfile(store.archive(name)):
            manifest = archives.read_manifest(store.archive(name), recipe.kind, recipe.folders())
            recipe.fits(manifest)
            return dict(none, identity=name, manifest=manifest, slot=manifest["slot"])
        # In check mode the task that would have copied the archive has not run either.
        return dict(none, identity=name, archive=path if dry else None)
    if path:
        raise PtnetError("archive does not exist", found=path, remedy="copy it to this machine first")
    need(recipe.commands)
    source = open_source(params["source"], params["commit"], store)
    if dry and recipe.awaited():
        return dict(none, identity=UNFORESEEN, source=source, commit=source.commit)
    inputs = dict(recipe.options(), source=source.content(), architecture=platform.machine(),
                  compiler=run(["gcc", "-dumpfullversion", "-dumpversion"], 60)[1].strip())
    name = identity(inputs)
    manifest = installed.manifest(name)
    if os.path.isfile(store.archive(name)) and not manifest:
        try:
            manifest = archives.read_manifest(store.archive(name), recipe.kind)
        except PtnetError:
            if not dry:
                os.unlink(store.archive(name))  # cut short by a full disk or a crash; it can be built again
    return dict(none, identity=name, source=source, inputs=inputs, manifest=manifest, commit=source.commit)


def need(commands):
    """Refuse to build without the programs that a build needs.

    :param commands: program to the Debian package that has it (dict)
    """
    missing = sorted(name for name in commands if not shutil.which(name))
    if missing:
        raise PtnetError("building needs programs that are not here", found="no " + ", ".join(missing),
                         remedy="install (Debian names) " + " ".join(sorted({commands[name] for name in missing})))


def _build(recipe, params, store, wanted):
    """Build into an archive in the store; returns its manifest."""
    name = wanted["identity"]
    log = store.log(name)
    for path in (log, store.progress):
        if os.path.exists(path):
            os.unlink(path)
    with store.step("build %s %s" % (recipe.kind, name)):
        work = Work(store, log, params["jobs"])
        with store.step("source"):
            wanted["source"].export(work.source, recipe.submodules, params.get("submodule_rewrites"))
        try:
            facts = recipe.build(work)
        except PtnetError as error:
            for extra in recipe.failure_logs:
                lines = tail(os.path.join(work.build, extra), 40)
                if lines:
                    error.facts[extra.replace(".", "_") + "_tail"] = lines
                    with open(log, "a") as stream:
                        stream.write("\nEnd of %s:\n%s\n" % (extra, "\n".join(lines)))
            if "log_tail" in error.facts:
                error.what = "building %s failed: %s" % (recipe.kind, error.what)
                error.found = telling(error.facts["log_tail"]) or error.found
            error.facts.update(log=log, log_tail=tail(log))
            raise
        manifest = dict(facts, kind=recipe.kind, format=FORMAT, identity=name, kinship=kinship(wanted["inputs"]),
                        slot=recipe.slot, commit=wanted["commit"], inputs=wanted["inputs"],
                        architecture=wanted["inputs"]["architecture"], files=archives.describe_files(work.stage))
        recipe.fits(manifest)
        with store.step("pack"):
            archives.pack(manifest, work.stage, store.archive(name))
    return manifest


def telling(lines):
    """The line of a log's end that says most about a failure (str), or None."""
    words = [line.strip("*.# \t") for line in lines]
    for pattern in (r"(?i)error: |not found|cannot |unable to|no such", r"(?i)\berror\b", r"[A-Za-z]"):
        for line in reversed(words):
            if re.search(pattern, line):
                return line
    return None


def _remove(recipe, installed, change, dry):
    record = installed.slot(recipe.slot)
    change.note("identity", record.get("identity"), None)
    manifest = None
    if record:
        manifest = installed.manifest(record["identity"])
        if not dry:
            installed.remove(recipe.slot, lambda: recipe.settle(None))
    result = {"identity": record.get("identity"), "installed": bool(record) and dry, "previous": record.get("previous"),
              "files": record.get("places", []), "seconds": 0, "log": None, "archive": None, "commit": None}
    result.update(recipe.result(manifest))
    result.update(change.result())
    return result
