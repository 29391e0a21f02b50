# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives that somebody else packed: each way out of the folder, and out of the prefix, is refused by its name."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import tarfile

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.build import archive
from ansible_collections.netmap.ptnet.plugins.module_utils.build.identity import FORMAT
from ansible_collections.netmap.ptnet.plugins.module_utils.build.install import Installed
from ansible_collections.netmap.ptnet.plugins.module_utils.build.netmap import Netmap
from ansible_collections.netmap.ptnet.plugins.module_utils.build.qemu import Qemu
from ansible_collections.netmap.ptnet.plugins.module_utils.build.store import Store
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.modules import netmap_build, qemu_build
from hypothesis import given
from hypothesis import strategies as st


def member(name, content=b"x", **more):
    """One member of an archive and what it holds; ``more`` are fields of tarfile.TarInfo."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in dict({"mode": 0o644}, **more).items():
        setattr(info, field, value)
    return info, content


def a_link(name, target, kind=tarfile.SYMTYPE):
    return member(name, b"", type=kind, linkname=target, mode=0o777)


def packed(path, *members):
    with tarfile.open(path, "w:gz") as bundle:
        for info, content in members:
            bundle.addfile(info, io.BytesIO(content))
    return str(path)


WAYS_OUT = [
    ("leads nowhere", [a_link("a", "")]),
    ("lie outside", [member("/etc/cron.d/evil")]),
    ("lie outside", [member("../evil")]),
    ("lie outside", [member("a/../../evil")]),
    ("leads out", [a_link("a", "/etc")]),
    ("leads out", [a_link("a/b", "../../etc")]),
    # The first link leads to where it is allowed to, and the second climbs from there.
    ("leads out", [a_link("a/b/c", "../.."), a_link("d", "a/b/c/../etc")]),
    ("what others lie in", [member("b/file"), a_link("a", "b"), member("a/evil")]),
    ("what others lie in", [member("a/evil"), a_link("a", "b")]),
    ("what others lie in", [a_link(".", "b")]),
    ("comes twice", [a_link("a", "b"), member("a")]),
    ("comes twice", [member("a"), member("./a")]),
    ("second name", [a_link("a", "/etc/shadow", tarfile.LNKTYPE)]),
    ("second name", [a_link("a", "../../etc/shadow", tarfile.LNKTYPE)]),
    ("second name", [a_link("s", "b"), a_link("a", "s", tarfile.LNKTYPE)]),
    # In letters this is etc/shadow, for the kernel it is one above where the first link leads to.
    ("second name", [member("etc/shadow"), a_link("a/x", ".."),
                     a_link("leak", "a/x/../../etc/shadow", tarfile.LNKTYPE)]),
    ("second name", [member("a/b"), a_link("c", "a/../a/b", tarfile.LNKTYPE)]),
    ("device", [member("a", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=1)]),
    ("device", [member("a", b"", type=tarfile.BLKTYPE, devmajor=8, devminor=0)]),
    ("device", [member("a", b"", type=tarfile.FIFOTYPE)]),
    ("rights of its owner", [member("a", mode=0o4755)]),
    ("rights of its owner", [member("a", mode=0o2755)]),
]


@pytest.mark.parametrize(("reason", "members"), WAYS_OUT)
def test_a_way_out_is_refused_and_nothing_is_written(tmp_path, reason, members):
    path = packed(tmp_path / "a.tar.gz", member("harmless"), *members)
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(PtnetError, match="is refused.*" + reason):
        archive.unpack(path, str(into))
    assert os.listdir(into) == []
    assert sorted(os.listdir(tmp_path)) == ["a.tar.gz", "into"]


def test_what_sources_have_is_unpacked(tmp_path):
    path = packed(tmp_path / "a.tar.gz", member("./top", b"", type=tarfile.DIRTYPE, mode=0o2777),
                  member("./top/configure", mode=0o777, uid=1000), a_link("top/sub/link", "../configure"),
                  a_link("top/again", "./top//configure", tarfile.LNKTYPE), a_link("top/to", "sub/link"),
                  a_link("top/dangling", "nothing"))
    archive.unpack(path, str(tmp_path / "into"))
    top = tmp_path / "into/top"
    assert (top / "to").read_text() == (top / "again").read_text() == "x"
    # Nobody but the owner may change what root compiles and runs.
    assert [os.stat(one).st_mode & 0o7777 for one in (top, top / "configure")] == [0o755, 0o755]
    assert os.stat(top / "configure").st_uid == os.getuid()


@given(st.lists(st.tuples(
    st.sampled_from(("file", "link", "name")),
    st.lists(st.sampled_from(("a", "b", "..", ".")), min_size=1, max_size=5).map("/".join),
    st.lists(st.sampled_from(("a", "b", "..", ".", "")), max_size=5).map("/".join)), max_size=4))
def test_whatever_is_not_refused_stays_inside(tmp_path_factory, entries):
    top = tmp_path_factory.mktemp("any")
    (top / "into/deep").mkdir(parents=True)
    (top / "into/b").write_text("not theirs")
    members = [member(name) if kind == "file" else a_link(
        name, target, tarfile.SYMTYPE if kind == "link" else tarfile.LNKTYPE) for kind, name, target in entries]
    with contextlib.suppress(PtnetError):
        archive.unpack(packed(top / "a.tar.gz", *members), str(top / "into/deep"))
    assert sorted(os.listdir(top)) == ["a.tar.gz", "into"]
    assert sorted(os.listdir(top / "into")) == ["b", "deep"]
    assert os.stat(top / "into/b").st_nlink == 1
    inside = os.path.realpath(top / "into/deep")
    for folder, folders, names in os.walk(inside):
        for name in folders + names:
            path = os.path.join(folder, name)
            try:
                os.stat(path)
            except OSError as error:
                if error.errno == errno.ELOOP:  # leads nowhere; realpath() is wrong about doubled slashes
                    continue
            real = os.path.realpath(path)
            assert os.path.commonpath([real, inside]) == inside


class Kind:
    """One kind of build: its recipe, and a manifest of it that is in order."""

    def __init__(self, module, recipe, places, **facts):
        params = {name: option.get("default") for name, option in module.ARGUMENT_SPEC.items()}
        params.update(prefix="/opt/own", **({"kernel_release": "6.1-test"} if recipe is Netmap else {}))
        self.recipe = recipe(params)
        self.places = places
        self.facts = dict({"kind": self.recipe.kind, "format": FORMAT, "identity": "a" * 20, "kinship": "b" * 20,
                           "slot": self.recipe.slot, "commit": None, "copied": [],
                           "architecture": os.uname().machine}, **facts)

    def archive(self, path, places=None, extra=(), **facts):
        """A build archive with these files, each with the one letter x."""
        digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
        files = {place: {"sha256": digest, "mode": "0644"} for place in (places or self.places)}
        manifest = dict(self.facts, files=files)
        manifest.update(facts)
        members = [member("root" + place) for place in files if not isinstance(place, int)]
        return packed(path, member("manifest.json", json.dumps(manifest).encode()), *members, *extra)

    def add(self, tmp_path, path):
        with Store(str(tmp_path / "store"), self.recipe.kind).locked() as store:
            try:
                return Installed(store).add_tree(path, self.recipe.kind, self.recipe.folders())
            finally:
                trees = os.listdir(store.path(self.recipe.kind))
                assert trees in ([], ["a" * 20])
                self.added = bool(trees)


@pytest.fixture(params=["netmap", "qemu"])
def kind(request):
    if request.param == "netmap":
        module = "/lib/modules/6.1-test/updates/netmap-ptnet/netmap.ko"
        return Kind(netmap_build, Netmap, ["/opt/own/bin/pkt-gen", module], kernel_release="6.1-test",
                    vermagic="6.1-test SMP", copied=[module], prefix="/opt/own")
    return Kind(qemu_build, Qemu, ["/opt/own/bin/qemu-system-x86_64"], binary="/opt/own/bin/qemu-system-x86_64",
                prefix="/opt/own")


def test_a_build_below_its_folders_is_taken(kind, tmp_path):
    manifest = kind.add(tmp_path, kind.archive(tmp_path / "a.tar.gz"))
    kind.recipe.fits(manifest)
    assert kind.added


@pytest.mark.parametrize("place", [
    "/etc/cron.d/evil", "/opt/own/../../etc/passwd", "/opt/own//bin/x", "/opt/own", "/opt/ownother/x", "opt/own/x",
    "/lib/modules/6.1-test/kernel/e1000.ko", "/lib/modules/6.1-other/updates/netmap-ptnet/netmap.ko", "", "/"])
def test_a_place_elsewhere_is_refused_whatever_prefix_the_archive_claims(kind, tmp_path, place):
    path = kind.archive(tmp_path / "a.tar.gz", [*kind.places, place], prefix="/etc", slot="/etc")
    with pytest.raises(PtnetError, match="is refused.*below /opt/own"):
        kind.add(tmp_path, path)
    assert not kind.added


@pytest.mark.parametrize("target", ["/etc/shadow", "../../../../etc/shadow", "x/../../../../etc"])
def test_a_link_out_of_the_prefix_is_refused(kind, tmp_path, target):
    files = {"/opt/own/bin/x": {"link": target}}
    with pytest.raises(PtnetError, match="is refused.*a link to"):
        kind.add(tmp_path, kind.archive(tmp_path / "a.tar.gz", files=files, copied=[]))
    assert not kind.added


@pytest.mark.parametrize(("reason", "extra"), [
    ("not in its manifest", [member("root/opt/own/bin/more")]), ("not in its manifest", [member("more")]),
    ("neither a file", [a_link("root/opt/own/bin/again", "root/opt/own/bin/x", tarfile.LNKTYPE)]),
    ("neither a file", [member("root/opt/own/bin/again", b"", type=tarfile.DIRTYPE)]),
    *[way for way in WAYS_OUT if way[0] in ("device", "rights of its owner", "leads out") and len(way[1]) == 1]])
def test_members_that_the_manifest_does_not_tell_of(kind, tmp_path, reason, extra):
    places = [*kind.places, "/opt/own/bin/x"]
    listed = kind.archive(tmp_path / "a.tar.gz", places, extra) if reason != "neither a file" else kind.archive(
        tmp_path / "a.tar.gz", None, [member("root/opt/own/bin/x"), *extra],
        files={place: {"sha256": "0", "mode": "0644"} for place in [*places, "/opt/own/bin/again"]})
    with pytest.raises(PtnetError, match="is refused.*" + reason):
        kind.add(tmp_path, listed)
    assert not kind.added


@pytest.mark.parametrize("facts", [
    {"files": None}, {"files": []}, {"files": {"/opt/own/x": None}}, {"files": {"/opt/own/x": {}}},
    {"files": {"/opt/own/x": {"link": 5}}}, {"copied": None}, {"copied": ["/etc/passwd"]}, {"copied": [[]]}])
def test_a_manifest_that_is_none(kind, tmp_path, facts):
    with pytest.raises(PtnetError, match="no complete archive"):
        kind.add(tmp_path, kind.archive(tmp_path / "a.tar.gz", **facts))
    assert not kind.added


@pytest.mark.parametrize("facts", [{"slot": "/etc"}, {"architecture": None}, {"binary": "/bin/true", "vermagic": None}])
def test_a_build_that_lies_about_what_it_is(kind, tmp_path, facts):
    manifest = archive.read_manifest(kind.archive(tmp_path / "a.tar.gz", **facts), kind.recipe.kind,
                                     kind.recipe.folders())
    with pytest.raises(PtnetError, match="the build is for another"):
        kind.recipe.fits(manifest)
