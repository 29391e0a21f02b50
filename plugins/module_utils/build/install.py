# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Installed builds: links from their places into a tree of the store, and the record of them. Private to netmap.ptnet.

Places that the manifest lists as ``copied`` are regular files instead: a kernel module must load before /var may be
mounted, and SELinux loads none that is labelled as data.

The record is one JSON file per kind: slot (what can be installed side by side: a kernel release, a prefix) to
``identity``, ``previous`` (kept for going back), ``kinship``, ``places`` and ``copied`` (we made), ``directories``
(we made) and ``complete`` (false while a switch is under way, so that the next run finishes it).
"""

from __future__ import annotations

import os
import shutil

from .. import files
from ..errors import PtnetError
from .archive import MANIFEST, ROOT, damaged, flaws, read_manifest, unpack
from .identity import digest_file
from .store import read_json, write_json


class Installed:
    """The installed builds of one kind in one store."""

    def __init__(self, store):
        self.store = store
        self.path = store.path(store.kind, "installed.json")
        self.slots = read_json(self.path) or {}
        self._flaws = {}

    def slot(self, name):
        return self.slots.get(name) or {}

    def manifest(self, identity):
        """The manifest of a tree in the store (dict); None when there is none, or it is damaged."""
        try:
            return read_json(os.path.join(self.store.tree(identity), MANIFEST))
        except PtnetError:
            return None

    def flaws(self, identity):
        """Damaged files of a tree (list); None when there is no tree."""
        if identity not in self._flaws:
            manifest = self.manifest(identity)
            if manifest:
                self._flaws[identity] = flaws(manifest, self.root(identity))
            else:
                self._flaws[identity] = [MANIFEST] if os.path.isdir(self.store.tree(identity)) else None
        return self._flaws[identity]

    def root(self, identity):
        return os.path.join(self.store.tree(identity), ROOT)

    # -- read and decide ------------------------------------------------------------------------------------------

    def ours(self, place):
        """Whether a place is a link into our trees or a copy that we made (bool)."""
        if os.path.islink(place):
            return os.readlink(place).startswith(self.store.path(self.store.kind) + os.sep)
        return os.path.isfile(place) and any(place in record["copied"] for record in self.slots.values())

    def targets(self, slot, manifest, place):
        """What a place may link to: our tree, or that of another slot whose build differs only in the kernel."""
        yield self.root(manifest["identity"]) + place
        for name, other in self.slots.items():
            if name != slot and other["kinship"] == manifest["kinship"] and place in other["places"]:
                yield self.root(other["identity"]) + place

    def wrong(self, slot, manifest):
        """Places that are not as they should be yet (list of str).

        :raises PtnetError: something that we did not make is in the way
        """
        places = []
        for place, entry in sorted(manifest["files"].items()):
            if place in manifest["copied"]:
                right = os.path.isfile(place) and not os.path.islink(place) and digest_file(place) == entry["sha256"]
            else:
                right = os.path.islink(place) and os.readlink(place) in self.targets(slot, manifest, place)
            if right and os.path.exists(place):
                continue
            if os.path.lexists(place) and not self.ours(place):
                raise PtnetError("%s is in the way" % place, found="a file that this collection did not install",
                                 remedy="remove it (a hand-made install has its own way), or choose another prefix")
            places.append(place)
        return places

    def superfluous(self, slot, manifest):
        """Places of the slot's earlier build that this one does not have (list of str)."""
        return [place for place in self.slot(slot).get("places", []) if place not in manifest["files"]]

    # -- act ------------------------------------------------------------------------------------------------------

    def add_tree(self, archive, kind, folders):
        """Unpack a build archive into the store; appears by rename, whole and verified.

        :param folders: where its files may be installed (list of paths)
        """
        manifest = read_manifest(archive, kind, folders)
        fresh = self.store.scratch("tree")
        unpack(archive, fresh, {MANIFEST} | {ROOT + place for place in manifest["files"]})
        broken = flaws(manifest, os.path.join(fresh, ROOT))
        if broken:
            raise damaged(archive, "wrong content: " + ", ".join(broken[:3]))
        tree = self.store.tree(manifest["identity"])
        if os.path.lexists(tree):
            os.rename(tree, self.store.path("tmp", "damaged"))
        # The archive as well: the next run needs it when the power fails before the record is whole.
        files.flush(archive)
        files.flush_tree(fresh)
        os.rename(fresh, tree)
        files.flush(os.path.dirname(tree))
        self._flaws[manifest["identity"]] = []
        return manifest

    def switch(self, slot, manifest, settle):
        """Point every place at the build; ``settle()`` follows before the record says that it is complete."""
        todo = self.wrong(slot, manifest)
        record = dict(self.slot(slot) or {"previous": None, "places": [], "copied": [], "directories": []})
        if record.get("identity") != manifest["identity"]:
            record["previous"] = record.get("identity")
        stale = self.superfluous(slot, manifest)
        record.update(identity=manifest["identity"], kinship=manifest["kinship"], complete=False)
        for name, more in (("places", manifest["files"]), ("copied", manifest["copied"]),
                           ("directories", _missing_directories(todo))):
            record[name] = sorted(set(record[name]) | set(more))
        self._save(slot, record)
        for place in todo:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            self._place(self.root(manifest["identity"]) + place, place, place in manifest["copied"])
        for place in stale:
            self._drop(slot, place)
        left = self.wrong(slot, manifest)
        if left:
            raise PtnetError("%s was installed and is not there" % left[0], remedy="look for what removes it")
        settle()
        for folder in sorted({os.path.dirname(place) for place in todo}):
            files.flush(folder)
        record.update(complete=True, places=sorted(manifest["files"]), copied=sorted(manifest["copied"]))
        self._save(slot, record)
        self.prune()

    def remove(self, slot, settle):
        """Take away exactly what the record of the slot names."""
        record = self.slot(slot)
        self._save(slot, dict(record, complete=False))
        for place in record["places"]:
            self._drop(slot, place)
        heirs = [other for name, other in self.slots.items() if name != slot]
        for path in sorted(record["directories"], key=len, reverse=True):
            if os.path.isdir(path) and not os.path.islink(path) and not os.listdir(path):
                os.rmdir(path)
            for other in heirs:
                if any(place.startswith(path + os.sep) for place in other["places"]):
                    other["directories"] = sorted(set(other["directories"]) | {path})
        settle()
        self._save(slot, None)
        kept = self.prune()
        for identity in (record["identity"], record["previous"]):
            if identity and identity not in kept and os.path.exists(self.store.archive(identity)):
                os.unlink(self.store.archive(identity))

    def prune(self):
        """Remove the trees that no slot uses or could go back to; returns the others (set of identities)."""
        kept = {slot[name] for slot in self.slots.values() for name in ("identity", "previous") if slot[name]}
        top = self.store.path(self.store.kind)
        for name in os.listdir(top):
            if name not in kept and os.path.isdir(os.path.join(top, name)):
                shutil.rmtree(os.path.join(top, name))
        return kept

    def _save(self, slot, record):
        if record is None:
            self.slots.pop(slot, None)
        else:
            self.slots[slot] = record
        write_json(self.path, self.slots)

    @staticmethod
    def _place(target, place, copied):
        fresh = place + ".netmap-ptnet"
        if os.path.lexists(fresh):
            os.unlink(fresh)
        if copied:
            shutil.copyfile(target, fresh)
            files.flush(fresh)
        else:
            os.symlink(target, fresh)
        os.replace(fresh, place)

    def _drop(self, slot, place):
        """Unlink a place, or hand it to another slot that has it too; what is not ours stays."""
        if not self.ours(place):
            return
        for name, other in self.slots.items():
            if name != slot and place in other["places"]:
                self._place(self.root(other["identity"]) + place, place, place in other["copied"])
                return
        os.unlink(place)


def _missing_directories(places):
    missing = set()
    for place in places:
        path = os.path.dirname(place)
        while path not in missing and not os.path.isdir(path):
            missing.add(path)
            path = os.path.dirname(path)
    return missing
