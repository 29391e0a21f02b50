# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine on a double: a recipe that builds a program and a kernel module from a tiny tree."""

from __future__ import annotations

import fcntl
import json
import os
import tarfile

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.build import engine
from ansible_collections.netmap.ptnet.plugins.module_utils.build import store as stores
from ansible_collections.netmap.ptnet.plugins.module_utils.build.archive import flaws, pack, read_manifest, unpack
from ansible_collections.netmap.ptnet.plugins.module_utils.build.install import Installed
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError

CONFIGURE = """#!/bin/sh
echo "checking" > config.log
[ -e "$(dirname "$0")/broken" ] && { echo "no compiler" >> config.log; exit 3; }
cp "$(dirname "$0")/Makefile" .
echo "SRC=$(dirname "$0")" > config.mak
"""
MAKEFILE = """include config.mak
all:
\tcp $(SRC)/words tool
install:
\tmkdir -p $(DESTDIR)$(BIN) $(DESTDIR)$(LIB)
\tcp tool $(DESTDIR)$(BIN)/tool
\tcp tool $(DESTDIR)$(LIB)/thing.ko
"""


class Thing:
    kind = "thing"
    commands = {"make": "make", "gcc": "gcc"}
    submodules = ()
    failure_logs = ("config.log",)

    def __init__(self, top, slot="k1"):
        self.top, self.slot = str(top), slot
        self.settled = 0
        self.program = self.top + "/bin/tool"
        self.module = "%s/lib/%s/thing.ko" % (self.top, slot)

    def options(self):
        return {"kernel_release": self.slot}

    def awaited(self):
        return None

    def preflight(self):
        pass

    def build(self, work):
        work.run(work.source + "/configure")
        work.make()
        work.make("install", "DESTDIR=" + work.stage, "BIN=%s/bin" % self.top, "LIB=" + os.path.dirname(self.module))
        return {"copied": [self.module]}

    def folders(self):
        return [self.top]

    def fits(self, manifest):
        if manifest["slot"] != self.slot:
            raise PtnetError("the build is for another slot")

    def settle(self, manifest):
        self.settled += 1

    def result(self, manifest):
        return {}


@pytest.fixture
def lab(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "configure").write_text(CONFIGURE)
    (source / "configure").chmod(0o755)
    (source / "Makefile").write_text(MAKEFILE)
    (source / "words").write_text("one\n")
    (tmp_path / "root").mkdir()
    return Lab(tmp_path)


class Lab:
    def __init__(self, path):
        self.path = path
        self.words = path / "source/words"
        self.root = path / "root"
        self.store = path / "store"

    def run(self, recipe=None, check=False, **given):
        params = {"state": "present", "source": str(self.path / "source"), "commit": "", "archive": None,
                  "identity": None, "jobs": 1, "store": str(self.store)}
        params.update(given)
        return engine.act(recipe or Thing(self.root), params, check)

    def tree(self):
        """Everything on the machine below the root and the store: path to content."""
        found = {}
        for top in (self.root, self.store):
            for path in sorted(top.rglob("*")):
                found[str(path)] = os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes()
        return found


def test_present_builds_once(lab):
    recipe = Thing(lab.root)
    predicted = lab.run(recipe, check=True)
    assert lab.tree() == {}
    made = lab.run(recipe)
    assert predicted["changed"]
    assert predicted["diff"] == made["diff"]
    assert made["installed"]
    assert made["files"] == [recipe.program, recipe.module]
    assert recipe.settled == 1
    assert os.path.islink(recipe.program)
    assert not os.path.islink(recipe.module)
    with open(recipe.module) as stream:
        assert stream.read() == "one\n"
    before = lab.tree()
    again = lab.run(recipe)
    assert not again["changed"]
    assert again["identity"] == made["identity"]
    assert again["seconds"] == 0
    assert recipe.settled == 1
    assert {path: text for path, text in lab.tree().items() if not path.endswith("/lock")} == {
        path: text for path, text in before.items() if not path.endswith("/lock")}
    assert os.listdir(lab.store / "tmp") == []


def test_built_installs_nothing_and_the_archive_installs_elsewhere(lab):
    made = lab.run(state="built")
    assert made["changed"]
    assert not made["installed"]
    assert list(lab.root.iterdir()) == []
    assert not lab.run(state="built")["changed"]
    elsewhere = str(lab.path / "elsewhere")
    assert lab.run(store=elsewhere, identity=made["identity"], archive="/no/archive", check=True)["changed"]
    with pytest.raises(PtnetError, match="not on this machine"):
        lab.run(store=elsewhere, identity=made["identity"], archive="/no/archive")
    put = lab.run(store=elsewhere, archive=made["archive"], source="/no/source")
    assert (put["changed"], put["installed"]) == (True, True)
    assert not lab.run(store=elsewhere, identity=made["identity"], archive="/no/archive")["changed"]
    with pytest.raises(PtnetError, match="another build"):
        lab.run(store=str(lab.path / "third"), identity="0" * 20, archive=made["archive"])


def test_changed_source_is_another_build_and_the_old_one_is_gone_back_to(lab):
    one = lab.run()
    lab.words.write_text("two\n")
    two = lab.run()
    assert two["changed"]
    assert two["previous"] == one["identity"] != two["identity"]
    assert (lab.root / "bin/tool").read_text() == "two\n"
    back = lab.run(identity=one["identity"])
    assert back["changed"]
    assert back["seconds"] == 0
    assert back["previous"] == two["identity"]
    assert (lab.root / "bin/tool").read_text() == "one\n"
    assert (lab.root / "lib/k1/thing.ko").read_text() == "one\n"
    lab.words.write_text("three\n")
    three = lab.run()
    assert sorted(path.name for path in (lab.store / "thing").iterdir() if path.is_dir()) == sorted(
        [one["identity"], three["identity"]])


def damage_link(lab):
    (lab.root / "bin/tool").unlink()


def damage_copy(lab):
    (lab.root / "lib/k1/thing.ko").write_text("bad")


def damage_tree(lab):
    next(lab.store.glob("thing/*/root")).joinpath(str(lab.root / "bin/tool").lstrip("/")).write_text("bad")


def damage_manifest(lab):
    next(lab.store.glob("thing/*/manifest.json")).write_text("{")


def damage_tree_and_archive(lab):
    damage_tree(lab)
    path = next(lab.store.glob("archive/*"))
    path.write_bytes(path.read_bytes()[:-40])


def interrupt_switch(lab):
    path = lab.store / "thing/installed.json"
    record = json.loads(path.read_text())
    record["k1"]["complete"] = False
    path.write_text(json.dumps(record))


@pytest.mark.parametrize("harm", [damage_link, damage_copy, damage_tree, damage_manifest, damage_tree_and_archive,
                                  interrupt_switch])
def test_harm_is_healed(lab, harm):
    lab.run()
    harm(lab)
    assert lab.run(check=True)["changed"]
    recipe = Thing(lab.root)
    healed = lab.run(recipe)
    assert healed["changed"]
    assert list(healed["diff"]["after"]) == ["files"]
    assert recipe.settled == 1
    assert (lab.root / "bin/tool").read_text() == "one\n"
    assert (lab.root / "lib/k1/thing.ko").read_text() == "one\n"
    assert not lab.run()["changed"]


def test_interrupted_install_is_finished(lab, monkeypatch):
    calls = []

    def cut(target, place, copied):
        calls.append(place)
        if len(calls) == 2:
            raise KeyboardInterrupt
        place_(target, place, copied)

    place_ = Installed._place
    monkeypatch.setattr(Installed, "_place", staticmethod(cut))
    with pytest.raises(KeyboardInterrupt):
        lab.run()
    monkeypatch.undo()
    assert len(calls) == 2
    assert lab.run()["changed"]
    assert not lab.run()["changed"]
    lab.run(state="absent")
    assert list(lab.root.iterdir()) == []


def test_leftovers_of_an_interrupted_build_disappear(lab):
    junk = lab.store / "tmp/source"
    junk.mkdir(parents=True)
    (junk / "half").write_text("")
    lab.run()
    assert os.listdir(lab.store / "tmp") == []


def test_absent_removes_exactly_what_was_installed(lab):
    (lab.root / "bin").mkdir()
    (lab.root / "bin/mine").write_text("mine")
    lab.run()
    assert lab.run(state="absent", check=True)["changed"]
    assert (lab.root / "bin/tool").exists()
    gone = lab.run(state="absent")
    assert gone["changed"]
    assert [str(path.relative_to(lab.root)) for path in sorted(lab.root.rglob("*"))] == ["bin", "bin/mine"]
    assert not list(lab.store.glob("thing/*/root"))
    assert not list(lab.store.glob("archive/*"))
    assert not lab.run(state="absent")["changed"]


def test_absent_on_an_untouched_machine_creates_nothing(lab):
    assert not lab.run(state="absent")["changed"]
    assert not lab.store.exists()


@pytest.mark.parametrize("place", ["bin/tool", "lib/k1/thing.ko"])
def test_foreign_file_is_never_replaced_or_removed(lab, place):
    path = lab.root / place
    path.parent.mkdir(parents=True)
    path.write_text("foreign")
    with pytest.raises(PtnetError, match="is in the way"):
        lab.run()
    lab.run(state="absent")
    assert path.read_text() == "foreign"


def test_link_that_somebody_replaced_is_left_at_removal(lab):
    lab.run()
    tool = lab.root / "bin/tool"
    tool.unlink()
    tool.write_text("foreign")
    with pytest.raises(PtnetError, match="is in the way"):
        lab.run()
    lab.run(state="absent")
    assert tool.read_text() == "foreign"


def test_two_kernels_share_programs_without_fighting(lab):
    old, new = Thing(lab.root, "k1"), Thing(lab.root, "k2")
    lab.run(old)
    lab.run(new)
    assert not lab.run(old)["changed"]
    assert not lab.run(new)["changed"]
    lab.run(old, state="absent")
    assert (lab.root / "bin/tool").read_text() == "one\n"
    assert not (lab.root / "lib/k1").exists()
    assert not lab.run(new)["changed"]
    lab.run(new, state="absent")
    assert list(lab.root.iterdir()) == []


def test_failure_carries_the_logs_and_changes_nothing(lab):
    lab.run()
    (lab.path / "source/broken").write_text("")
    with pytest.raises(PtnetError) as caught:
        lab.run()
    assert "building thing failed: " in caught.value.message
    assert caught.value.facts["config_log_tail"][-1] == "no compiler"
    assert os.path.isfile(caught.value.facts["log"])
    assert caught.value.facts["log_tail"]
    assert (lab.root / "bin/tool").read_text() == "one\n"
    assert os.listdir(lab.store / "tmp") == []
    assert "failed" in (lab.store / "log/progress-thing.log").read_text()


def test_missing_program_is_named_before_anything_changes(lab):
    recipe = Thing(lab.root)
    recipe.commands = {"make": "make", "no-such-compiler": "gcc-99"}
    with pytest.raises(PtnetError, match="no no-such-compiler.*gcc-99"):
        lab.run(recipe, check=True)
    assert lab.tree() == {}


def test_lock_is_respected(lab):
    lab.run()
    with open(lab.store / "lock", "a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(PtnetError, match="in use"), stores.Store(str(lab.store), "thing").locked(wait=0):
            pass
        assert not lab.run(check=True)["changed"]


@pytest.mark.parametrize("store", ["store", "/", "/a/../b", "/a//b"])
def test_bad_store_is_refused(lab, store):
    with pytest.raises(PtnetError, match="store is no usable directory"):
        lab.run(store=store)


def test_archive_for_another_machine_is_refused(lab):
    made = lab.run(state="built")
    with pytest.raises(PtnetError, match="another slot"):
        lab.run(Thing(lab.root, "k2"), store=str(lab.path / "other"), archive=made["archive"])


def test_archive_is_verified(lab, tmp_path):
    made = lab.run(state="built")
    manifest = read_manifest(made["archive"], "thing")
    work = tmp_path / "work"
    unpack(made["archive"], str(work))
    (work / ("root" + made["files"][0])).write_text("evil")
    assert flaws(manifest, str(work / "root")) == [made["files"][0]]
    pack(manifest, str(work / "root"), str(tmp_path / "evil.tar.gz"))
    with pytest.raises(PtnetError, match="wrong content"):
        lab.run(store=str(tmp_path / "other"), archive=str(tmp_path / "evil.tar.gz"))
    assert list(lab.root.iterdir()) == []


def test_archive_of_something_else_is_refused(lab, tmp_path):
    (tmp_path / "a").write_text("text")
    with tarfile.open(tmp_path / "a.tar", "w") as bundle:
        bundle.add(tmp_path / "a", "a")
    with pytest.raises(PtnetError, match="no build archive"):
        lab.run(archive=str(tmp_path / "a.tar"))
    with pytest.raises(PtnetError, match="no complete archive"):
        lab.run(archive=str(tmp_path / "a"))


def test_equal_builds_are_equal_bytes(lab):
    one = lab.run(state="built")["archive"]
    with open(one, "rb") as stream:
        first = stream.read()
    os.unlink(one)
    with open(lab.run(state="built")["archive"], "rb") as stream:
        assert stream.read() == first


@pytest.mark.parametrize(("lines", "line"), [
    (["*** 'veth.c': sources not found.  Disabling driver.", "*** Exiting because of --fail-on-driver-errors.", "***"],
     "'veth.c': sources not found.  Disabling driver"),
    (["a.c:3:1: error: unknown type", "make: *** [all] Error 2"], "a.c:3:1: error: unknown type"),
    (["ERROR: User requested feature netmap", "       configure was not able to find it.", ""],
     "ERROR: User requested feature netmap"),
    (["working", "***", ""], "working"), ([], None)])
def test_telling_line(lines, line):
    assert engine.telling(lines) == line


@pytest.mark.parametrize("name", ["../../etc", "0982244F431B7B0AFC53", "09"])
def test_malformed_identity_is_refused(lab, name):
    with pytest.raises(PtnetError, match="identity is malformed"):
        lab.run(identity=name, check=True)
