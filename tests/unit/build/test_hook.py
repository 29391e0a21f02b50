# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import zipfile

import pytest
from ansible_collections.netmap.ptnet.plugins.module_utils import bundle
from ansible_collections.netmap.ptnet.plugins.module_utils.build import engine, hook, unattended
from ansible_collections.netmap.ptnet.plugins.module_utils.build.store import write_json
from ansible_collections.netmap.ptnet.plugins.module_utils.errors import PtnetError
from ansible_collections.netmap.ptnet.plugins.modules import netmap_build

RELEASE = "6.1.0-99-amd64"


class Host:
    """A host below a folder of its own, whose builds and installs always work."""

    def __init__(self, folder):
        self.root = str(folder)
        self.store = self.root + "/store"
        self.copy = self.root + self.store + "/build.pyz"
        self.source = folder / "source"
        os.makedirs(self.root + hook.FOLDER)
        self.source.mkdir()

    def act(self, check=False, **given):
        params = {name: option.get("default") for name, option in netmap_build.ARGUMENT_SPEC.items()}
        params.update({"store": self.store, "source": str(self.source)}, **given)
        return hook.act(params, check, self.root)

    def scripts(self):
        return [path for path in hook.SCRIPTS if os.path.exists(self.root + path)]

    def run(self, release=RELEASE, kernel=True):
        """Run the script as a package does, of a kernel that is there, or of headers alone."""
        modules = self.root + "/modules"
        if kernel:
            os.makedirs("%s/%s" % (modules, RELEASE), exist_ok=True)
            open("%s/%s/modules.builtin" % (modules, RELEASE), "w").close()
        with open(self.root + hook.SCRIPTS[0]) as stream:
            text = stream.read().replace("/lib/modules", modules)
        text = text.replace(self.store + "/build.pyz", self.root + "/stand-in.py")
        with open(self.root + "/logger", "w") as stream:
            stream.write('#!/bin/sh\necho "$@" >> %s/logged\n' % self.root)
        os.chmod(self.root + "/logger", 0o755)
        return subprocess.run(["sh", "-s", release], input=text, capture_output=True, text=True, check=False,
                              env=dict(os.environ, PATH="%s:%s" % (self.root, os.environ["PATH"]), said="by others"))


@pytest.fixture
def host(tmp_path, monkeypatch):
    host = Host(tmp_path)
    host.acted = []

    def built(_recipe, params, _check_mode):
        host.acted.append(params["state"])
        return {"changed": False, "diff": {"before": {}, "after": {}}, "identity": "x"}

    monkeypatch.setattr(engine, "act", built)
    monkeypatch.setattr(engine, "need", lambda commands: None)
    return host


def test_four_runs(host):
    predicted = host.act(check=True, kernel_hook="warn")
    assert host.scripts() == []
    result = host.act(kernel_hook="warn")
    assert result == predicted
    assert (result["changed"], result["kernel_hook"]) == (True, "warn")
    assert result["diff"]["after"] == {"kernel hook": "warn"}
    assert host.scripts() == [hook.SCRIPTS[0]]
    assert os.stat(host.root + hook.SCRIPTS[0]).st_mode & 0o777 == 0o755
    for check in (True, False):
        assert not host.act(check=check, kernel_hook="warn")["changed"]
    assert host.act()["kernel_hook"] == "warn"
    assert "kernel_hook" not in host.act(state="built", kernel_hook="build")


def test_the_hook_goes_over_and_goes(host):
    host.act(kernel_hook="warn")
    predicted = host.act(check=True, kernel_hook="build")
    assert host.act(kernel_hook="build") == predicted
    assert predicted["diff"] == {"before": {"kernel hook": "warn"}, "after": {"kernel hook": "build"}}
    assert (host.scripts(), os.path.exists(host.copy)) == (list(hook.SCRIPTS), True)
    assert not host.act(kernel_hook="build")["changed"]
    assert host.act(kernel_hook="build", drivers=["ixgbe"])["diff"]["after"] == {"kernel hook": "build, other files"}
    assert host.act(kernel_hook="none")["changed"]
    assert (host.scripts(), os.path.exists(host.copy)) == ([], False)
    assert not host.act(kernel_hook="none")["changed"]


def test_the_hook_goes_with_the_last_build(host):
    host.act(kernel_hook="warn")
    os.makedirs(host.store + "/netmap")
    slots = {name: {"identity": "a" * 20} for name in ("6.1-one", "6.1-two")}
    write_json(host.store + "/netmap/installed.json", slots)
    host.act(state="absent", kernel_release="6.1-one")
    assert host.scripts()
    del slots["6.1-one"]
    write_json(host.store + "/netmap/installed.json", slots)
    predicted = host.act(check=True, state="absent", kernel_release="6.1-two")
    assert host.act(state="absent", kernel_release="6.1-two") == predicted
    assert (predicted["changed"], host.scripts()) == (True, [])


def test_a_token_in_the_address_is_for_root_alone(host):
    host.act(kernel_hook="build")
    assert os.stat(host.copy).st_mode & 0o777 == 0o600
    assert [os.stat(host.root + script).st_mode & 0o777 for script in hook.SCRIPTS] == [0o755, 0o755]


def test_a_removal_leaves_the_options_of_the_hook(host):
    host.act(kernel_hook="build", drivers=["ixgbe"])
    os.makedirs(host.store + "/netmap")
    write_json(host.store + "/netmap/installed.json", {name: {"identity": "a" * 20} for name in ("6.1-one", "6.1-two")})
    result = host.act(state="absent", kernel_release="6.1-one", kernel_hook="build")
    assert (result["changed"], result["kernel_hook"]) == (False, "build")
    assert not host.act(kernel_hook="build", drivers=["ixgbe"])["changed"]


def test_a_system_without_such_hooks_is_warned_of(host):
    os.rmdir(host.root + hook.FOLDER)
    result = host.act(kernel_hook="build")
    assert (result["changed"], result["kernel_hook"]) == (False, None)
    assert hook.FOLDER in result["warnings"][0]


def test_a_key_without_a_certificate(host):
    with pytest.raises(PtnetError, match="belong together"):
        host.act(sign_key="/k")


def test_build_is_refused_without_programs_or_source_before_anything_changes(host, monkeypatch):
    def missing(commands):
        raise PtnetError("building needs programs that are not here", found="no gcc", remedy="install gcc")

    with pytest.raises(PtnetError, match="kernel_hook=build .* source does not exist.*kernel_hook=warn"):
        host.act(kernel_hook="build", source="/nothing/here")
    host.act(kernel_hook="warn", source="/nothing/here")
    del host.acted[:]
    monkeypatch.setattr(engine, "need", missing)
    for check in (True, False):
        with pytest.raises(PtnetError, match="kernel_hook=build .*no gcc.*install gcc, or say kernel_hook=warn"):
            host.act(check=check, kernel_hook="build")
    assert (host.scripts(), host.acted) == ([hook.SCRIPTS[0]], [])


def test_the_warning_is_said_and_never_fails(host, tmp_path):
    host.act(kernel_hook="warn")
    ended = host.run()
    assert (ended.returncode, ended.stdout) == (0, "")
    assert "kernel %s has no netmap" % RELEASE in ended.stderr
    assert "netmap.ptnet.upgrade" in (tmp_path / "logged").read_text()
    module = tmp_path / "modules" / RELEASE / "updates/netmap-ptnet/netmap.ko"
    module.parent.mkdir(parents=True)
    module.touch()
    assert host.run().stderr == ""
    assert host.run(release="").stderr == ""


@pytest.mark.parametrize("kind", ["warn", "build"])
def test_headers_of_a_kernel_that_is_not_there_are_no_new_kernel(host, tmp_path, kind):
    host.act(kernel_hook=kind)
    (tmp_path / "stand-in.py").write_text("print('built')\n")
    ended = host.run(kernel=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "has no netmap" in host.run().stderr


@pytest.mark.parametrize("works", [True, False])
def test_the_build_is_tried_and_a_failure_told(host, tmp_path, works):
    host.act(kernel_hook="build")
    folder = tmp_path / "modules" / RELEASE / "updates/netmap-ptnet"
    (tmp_path / "stand-in.py").write_text(
        "import os, sys\nos.makedirs(%r)\nopen(%r + '/netmap.ko', 'w')\nprint('built for', sys.argv[1])\n" % (
            str(folder), str(folder)) if works else "print('no headers')\nraise SystemExit(1)\n")
    ended = host.run()
    assert ended.returncode == 0
    assert ("built for %s" % RELEASE if works else "no headers") in ended.stderr
    assert ("has no netmap" in ended.stderr) is not works
    assert (host.run().stderr == "") is works


def test_the_copy_holds_exactly_what_it_imports():
    folder = os.path.dirname(os.path.dirname(unattended.__file__))
    seen, left = set(), {"build.unattended"}
    while left:
        name = left.pop()
        seen.add(name)
        with open(os.path.join(folder, *name.split(".")) + ".py") as stream:
            for node in ast.walk(ast.parse(stream.read())):
                if isinstance(node, ast.ImportFrom) and node.level:
                    base = name.split(".")[:-node.level] + ((node.module or "").split(".") if node.module else [])
                    found = [".".join(base)] + [".".join(base + [alias.name]) for alias in node.names]
                    left |= {one for one in found
                             if os.path.isfile(os.path.join(folder, *one.split(".")) + ".py")} - seen
    assert seen == set(unattended.SOURCES)


def test_the_copy_runs_alone(host, tmp_path):
    host.act(kernel_hook="build", drivers=["veth.c"])
    with zipfile.ZipFile(host.copy) as packed:
        options = json.loads(packed.read("%s/%s" % (bundle.PACKAGE, unattended.OPTIONS)))
    assert (options["drivers"], options["store"], options["state"]) == (["veth.c"], host.store, "present")
    for words, status, text in (([], 2, "usage"), (["../x"], 1, "malformed"), ([RELEASE], 1, "netmap was not built")):
        # -S: without site-packages there is no ansible to import.
        ended = subprocess.run([sys.executable, "-I", "-S", host.copy] + words, capture_output=True, text=True,
                               timeout=60, check=False)
        assert (ended.returncode, ended.stderr) == (status, "")
        assert text in ended.stdout


def test_the_hook_builds_with_the_code_of_the_module(tmp_path, monkeypatch, capsys):
    asked, programs = [], []

    def act(recipe, params, check_mode):
        asked.append((recipe.release, params["state"], check_mode))
        return {"changed": True}

    monkeypatch.setattr(engine, "act", act)
    monkeypatch.setattr(unattended, "run", lambda argv, timeout: programs.append(argv))
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/boot/initrd.img-" + RELEASE)
    options = {name: option.get("default") for name, option in netmap_build.ARGUMENT_SPEC.items()}
    assert unattended.build(options, RELEASE) == 0
    assert (asked, programs) == ([(RELEASE, "present", False)], [])
    assert unattended.build(dict(options, drivers=["ixgbe"]), RELEASE) == 0
    assert programs == [["update-initramfs", "-u", "-k", RELEASE]]
    assert "built and installed for kernel " + RELEASE in capsys.readouterr().out
