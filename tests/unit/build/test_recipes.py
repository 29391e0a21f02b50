# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils.build import engine, netmap, qemu
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.modules import netmap_build, qemu_build


def parameters(module, **given):
    params = {name: option.get("default") for name, option in module.ARGUMENT_SPEC.items()}
    params.update(given)
    return params


@pytest.fixture
def headers(tmp_path):
    """The headers of a kernel 6.1-test, good enough for the preflight."""
    path = tmp_path / "headers"
    (path / "include/generated").mkdir(parents=True)
    (path / "Makefile").write_text("")
    (path / "include/generated/utsrelease.h").write_text('#define UTS_RELEASE "6.1-test"\n')
    return path


def a_netmap(headers, **given):
    return netmap.Netmap(parameters(netmap_build, kernel_release="6.1-test", kernel_dir=str(headers), **given))


def test_netmap_arguments_by_default(headers):
    recipe = a_netmap(headers)
    recipe.preflight()
    assert recipe.arguments() == [
        "--kernel-dir=%s" % headers, "--prefix=/usr/local", "--no-utils", "--no-drivers",
        "--apps=lb,pkt-gen,vale-ctl", "--enable-vale", "--enable-pipe", "--enable-monitor", "--enable-generic",
        "--enable-ptnetmap", "--disable-sink", "--disable-extmem", "--enable-null"]


def test_netmap_drivers_must_not_fail_silently(headers):
    arguments = a_netmap(headers, drivers=["veth.c", "ixgbe"], apps=[], kernel_sources="/usr/src/linux").arguments()
    assert "--drivers=ixgbe,veth.c" in arguments
    assert "--fail-on-driver-errors" in arguments
    assert "--no-drivers" not in arguments
    assert "--no-apps" in arguments
    assert "--kernel-sources=/usr/src/linux" in arguments


def test_netmap_never_passes_kernel_version(headers):
    # netmap's LINUX/configure: a later --kernel-version= overwrites --kernel-dir=.
    assert not [option for option in a_netmap(headers).arguments() if option.startswith("--kernel-version")]


def test_netmap_order_of_lists_is_no_option(headers):
    one = a_netmap(headers, apps=["lb", "pkt-gen"], drivers=["igb", "ice"]).options()
    assert one == a_netmap(headers, apps=["pkt-gen", "lb", "lb"], drivers=["ice", "igb"]).options()
    assert one != a_netmap(headers, apps=["pkt-gen", "lb"], drivers=["ice"]).options()


SUM = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # of the letter x


class Asked:
    """What a build is done with; its configure knows two vendors' drivers."""

    def __init__(self, path):
        self.source, self.path = str(path / "source"), path

    def read(self, _configure, option):
        return "ixgbe mlx5" if option == "--show-ext-drivers" else "ixgbe mlx5 veth.c"

    def scratch(self, name):
        (self.path / name).mkdir()
        return str(self.path / name)


def test_netmap_downloads_no_driver(headers, tmp_path):
    archive = tmp_path / "v5.15.2.zip"
    archive.write_text("x")
    given = [{"driver": "ixgbe", "archive": str(archive), "checksum": SUM}]
    with pytest.raises(PtnetError, match="would download ixgbe.*driver_archives"):
        a_netmap(headers, drivers=["ixgbe", "veth.c"])._give_vendor(Asked(tmp_path), "configure")
    recipe = a_netmap(headers, drivers=["ixgbe", "veth.c"], driver_archives=given)
    assert recipe._give_vendor(Asked(tmp_path), "configure") == ["--no-ext-drivers=mlx5"]
    for place in ("v5.15.2.zip", "ixgbe/v5.15.2.zip"):
        assert (tmp_path / "source/LINUX/ext-drivers" / place).read_text() == "x"
    # From the kernel's own sources nothing is downloaded either.
    built = a_netmap(headers, drivers=["ixgbe"], kernel_sources="/usr/src/linux")
    assert built._give_vendor(Asked(tmp_path), "configure") == ["--no-ext-drivers=ixgbe,mlx5"]
    assert a_netmap(headers, drivers=["ixgbe"]).options() != a_netmap(
        headers, drivers=["ixgbe"], driver_archives=given).options()
    archive.write_text("y")
    with pytest.raises(PtnetError, match="not the archive of ixgbe that was meant"):
        recipe._give_vendor(Asked(tmp_path), "configure")


@pytest.mark.parametrize(("more", "text"), [
    ({"driver": "igb"}, "not in drivers"), ({"checksum": "md5:1"}, "the checksum of ixgbe"),
    ({"checksum": SUM + "0"}, "the checksum of ixgbe")])
def test_netmap_archives_of_drivers_that_are_refused(headers, more, text):
    with pytest.raises(PtnetError, match=text):
        a_netmap(headers, drivers=["ixgbe"], driver_archives=[
            dict({"driver": "ixgbe", "archive": "/x", "checksum": SUM}, **more)])


def test_netmap_the_build_finds_nothing_that_downloads(tmp_path):
    folder = netmap._offline(Asked(tmp_path))
    for program in ("wget", "curl"):
        ended = subprocess.run([folder + "/" + program, "https://x"], capture_output=True, text=True, check=False)
        assert ended.returncode == 1
        assert "wanted to download: https://x" in ended.stderr


def test_netmap_needs_patch_for_drivers(headers):
    assert "patch" in a_netmap(headers, drivers=["ixgbe"]).commands
    assert "patch" not in a_netmap(headers).commands


class Work:
    """The tree of a build, and what was run on it."""

    def __init__(self, folder=""):
        self.ran = []
        self.build, self.stage = folder + "/build", folder + "/stage"

    def run(self, *argv):
        self.ran.append(argv)

    def make(self, *_targets, **_options):
        """All is made already."""


def test_netmap_is_signed_after_it_is_stripped(headers, tmp_path):
    """strip(1) takes a signature away, and a kernel that wants one refuses the module."""
    (headers / ".config").write_text("")
    (tmp_path / "build").mkdir()
    (tmp_path / "build/netmap.ko").write_bytes(b"\0vermagic=6.1-test SMP\0")
    work = Work(str(tmp_path))
    recipe = a_netmap(headers, sign_key="/key", sign_certificate="/certificate", apps=[])
    assert recipe._stage(work, {})["vermagic"] == "6.1-test SMP"
    assert [os.path.basename(argv[0]) for argv in work.ran if argv[-1].endswith("/netmap.ko")] == ["strip", "sign-file"]


def test_netmap_signs_with_the_key_that_is_given(headers, tmp_path):
    key, certificate, sign = tmp_path / "key", tmp_path / "certificate", headers / "scripts/sign-file"
    given = {"sign_key": str(key), "sign_certificate": str(certificate)}
    with pytest.raises(PtnetError, match="sign_certificate cannot be read"):
        a_netmap(headers, **given).options()
    certificate.write_text("one")
    plain, one = a_netmap(headers).options(), a_netmap(headers, **given).options()
    assert "signed_by" not in plain  # The identities of unsigned builds stay.
    with pytest.raises(PtnetError, match="sign_key is not there"):
        a_netmap(headers, **given).preflight()
    key.write_text("secret")
    with pytest.raises(PtnetError, match="sign-file is not there"):
        a_netmap(headers, **given).preflight()
    sign.parent.mkdir()
    sign.touch()
    a_netmap(headers, **given).preflight()
    certificate.write_text("two")
    assert a_netmap(headers, **given).options() not in (plain, one)
    (headers / ".config").write_text('CONFIG_MODULE_SIG_HASH="sha512"\n')
    work = Work()
    a_netmap(headers, **given)._sign(work, "/stage/netmap.ko")
    assert work.ran == [(str(sign), "sha512", str(key), str(certificate), "/stage/netmap.ko")]


def test_depmod_is_for_kernels_that_are_there(headers, tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(netmap, "MODULES", str(tmp_path))
    monkeypatch.setattr(netmap, "run", lambda argv, *_more, **_options: ran.append(argv))
    folder = tmp_path / "6.1-test"
    (folder / "updates").mkdir(parents=True)
    a_netmap(headers).settle({})
    assert ran == []
    (folder / "modules.builtin").write_text("")
    a_netmap(headers).settle({})
    assert ran == [["depmod", "6.1-test"]]


def test_netmap_missing_headers_name_the_package(headers):
    with pytest.raises(PtnetError, match="install the package linux-headers-6.1-test"):
        a_netmap(headers.parent / "nothing").preflight()


def test_netmap_headers_of_another_kernel_are_refused(headers):
    (headers / "include/generated/utsrelease.h").write_text('#define UTS_RELEASE "6.1-other"\n')
    with pytest.raises(PtnetError, match="found: 6.1-other; expected: 6.1-test"):
        a_netmap(headers).preflight()


@pytest.mark.parametrize("given", [
    {"kernel_release": "../../etc"}, {"prefix": "usr"}, {"prefix": "/"}, {"prefix": "/a/../b"}])
def test_netmap_bad_paths_are_refused(given):
    with pytest.raises(PtnetError):
        netmap.Netmap(parameters(netmap_build, **given))


@pytest.mark.parametrize(("field", "value", "what"), [
    ("architecture", "s390x", "another architecture"), ("kernel_release", "6.9", "another kernel release"),
    ("vermagic", "6.9 SMP preempt", "another vermagic"), ("slot", "6.9", "another slot")])
def test_netmap_archive_must_fit(headers, field, value, what):
    good = {"architecture": netmap.platform.machine(), "kernel_release": "6.1-test", "slot": "6.1-test",
            "vermagic": "6.1-test SMP"}
    a_netmap(headers).fits(good)
    with pytest.raises(PtnetError, match=what):
        a_netmap(headers).fits(dict(good, **{field: value}))


def test_vermagic(tmp_path):
    module = tmp_path / "netmap.ko"
    module.write_bytes(b"\x7fELF\0license=GPL\0vermagic=6.1-test SMP preempt mod_unload \0name=netmap\0")
    assert netmap.read_vermagic(str(module)) == "6.1-test SMP preempt mod_unload"
    module.write_bytes(b"\x7fELF")
    with pytest.raises(PtnetError, match="no kernel module"):
        netmap.read_vermagic(str(module))


HELP = """Usage: configure [options]
Standard options:
  --prefix=PREFIX          install in PREFIX [/usr/local]
  --disable-werror         do not use -Werror
Optional features, enabled with --enable-FEATURE and
disabled with --disable-FEATURE, default is enabled if available:

  docs            build documentation
  vhost-net       vhost-net acceleration support
  --with-sdlabi     select preferred SDL ABI
"""


@pytest.mark.parametrize("option", ["--enable-vhost-net", "--disable-docs", "--prefix=/x", "--disable-werror",
                                    "--with-sdlabi=2.0"])
def test_known_options(option):
    assert qemu.unknown_options([option], HELP) == []


@pytest.mark.parametrize("option", ["--enable-ptnetmap", "--enable-vhost", "vhost-net", "--enable-FEATURE", "--werror",
                                    "--disable-support"])
def test_unknown_options(option):
    assert qemu.unknown_options(["--enable-docs", option], HELP) == [option]


@pytest.fixture
def sys_net(tmp_path):
    (tmp_path / "netmap/sys/net").mkdir(parents=True)
    (tmp_path / "netmap/sys/net/netmap.h").write_text("/* 14 */")
    return tmp_path / "netmap"


def a_qemu(**given):
    return qemu.Qemu(parameters(qemu_build, **given))


def test_qemu_arguments(sys_net):
    recipe = a_qemu(netmap=str(sys_net), configure_options=["--enable-ptnetmap", "--enable-vhost-net"])
    arguments = recipe.arguments("/headers")
    assert arguments[:3] == ["--prefix=/opt/ptnet-qemu", "--target-list=x86_64-softmmu", "--extra-cflags=-I/headers"]
    assert {"--enable-kvm", "--enable-netmap", "--python=python3", "--disable-werror"} < set(arguments)
    assert arguments[-1] == "--enable-vhost-net"
    assert "--enable-ptnetmap" not in arguments


def test_qemu_obsolete_option_is_reported_and_no_input(sys_net):
    recipe = a_qemu(netmap=str(sys_net), configure_options=["--enable-ptnetmap"])
    result = recipe.result(None)
    assert result["ignored_options"] == ["--enable-ptnetmap"]
    assert "--enable-ptnetmap is obsolete" in result["warnings"][0]
    assert recipe.options() == a_qemu(netmap=str(sys_net)).options()
    assert "warnings" not in a_qemu(netmap=str(sys_net)).result(None)


def test_qemu_identity_follows_netmaps_headers(sys_net):
    before = a_qemu(netmap=str(sys_net)).options()
    (sys_net / "sys/net/netmap.h").write_text("/* 15 */")
    assert a_qemu(netmap=str(sys_net)).options() != before


def test_qemu_without_headers_says_what_to_do(tmp_path):
    with pytest.raises(PtnetError, match="install netmap first"):
        a_qemu(netmap=str(tmp_path)).headers()


@pytest.mark.parametrize("given", ["netmap-0f3a5b6c7d8e9f001122.tar.gz", ""])
def test_a_check_run_foretells_qemu_before_netmap_is_built(tmp_path, monkeypatch, given):
    monkeypatch.setattr(engine, "need", lambda commands: None)
    monkeypatch.setattr(qemu.Qemu, "preflight", lambda recipe: None)
    recipe = a_qemu(netmap=given and str(tmp_path / given), prefix=str(tmp_path / "opt"))
    places = [str(tmp_path / "none")]
    monkeypatch.setattr(recipe, "_header_places", lambda: places)
    (tmp_path / "source").mkdir()
    params = dict(recipe.params, state="built", store=str(tmp_path / "store"), source=str(tmp_path / "source"))
    built = engine.act(recipe, params, True)
    assert (built["changed"], built["identity"]) == (True, "unforeseen")
    assert "netmap's headers; foretold" in built["warnings"][0]
    put = engine.act(recipe, dict(params, state="present", identity=built["identity"], archive=built["archive"]), True)
    assert put["diff"] == {"before": {"identity": None}, "after": {"identity": "unforeseen"}}
    with pytest.raises(PtnetError, match="headers are not here"):
        engine.act(recipe, params, False)
    with pytest.raises(PtnetError, match="identity is malformed"):
        engine.act(recipe, dict(params, state="present", identity=built["identity"]), False)


def test_drivers_are_foretold_before_the_build():
    assert netmap.Netmap(parameters(netmap_build, drivers=["veth.c", "ixgbe"])).result(None)["native_drivers"] == [
        "ixgbe", "veth"]


def test_version():
    assert qemu.read_version("QEMU emulator version 3.0.94 (v3.1.0-rc4)\nCopyright") == "3.0.94"
