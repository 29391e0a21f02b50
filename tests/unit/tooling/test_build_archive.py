# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Six hosts and two runs want one build archive at the same time: it is fetched once, and arrives everywhere."""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import subprocess
import sys

import pytest
from ansible.errors import AnsibleActionFail
from ansible.utils.hashing import checksum
from ansible_collections.netmap.ptnet.plugins.plugin_utils import fetched

HOSTS = ["hv%d.example.net" % number for number in range(1, 7)]
PLAY = """
- hosts: fleet
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: netmap.ptnet.build_archive}
    - ansible.builtin.assert: {that: build_archive_here == build_archive_folder ~ '/netmap-1.tar.gz'}
"""


def ask(cache, source, log):
    """What the process of one host does."""
    def fetch(draft):
        with open(log, "a") as stream:
            stream.write("fetched\n")
        pathlib.Path(draft).write_bytes(pathlib.Path(source).read_bytes())

    return fetched.obtain(cache, checksum(source), source, fetch)


def test_processes_that_come_together_fetch_once(tmp_path):
    source, log = tmp_path / "netmap-1.tar.gz", tmp_path / "log"
    source.write_bytes(os.urandom(1 << 20))
    with concurrent.futures.ProcessPoolExecutor(6, multiprocessing.get_context("fork")) as processes:
        asked = [processes.submit(ask, str(tmp_path / "cache"), str(source), str(log)) for _host in HOSTS]
        paths = {one.result() for one in asked}
    assert log.read_text() == "fetched\n"
    assert [pathlib.Path(path).read_bytes() for path in paths] == [source.read_bytes()]


@pytest.mark.parametrize("left", [b"", b"half of i"])
def test_what_is_cut_short_is_fetched_again(tmp_path, left):
    source = tmp_path / "netmap-1.tar.gz"
    source.write_bytes(b"half of it, and the rest")
    path = pathlib.Path(fetched.place(str(tmp_path / "cache"), checksum(str(source)), str(source)))
    path.parent.mkdir(parents=True)
    path.write_bytes(left)
    ask(str(tmp_path / "cache"), str(source), str(tmp_path / "log"))
    assert path.read_bytes() == source.read_bytes()


def test_another_content_gets_no_name(tmp_path):
    with pytest.raises(AnsibleActionFail, match="did not arrive whole"):
        fetched.obtain(str(tmp_path), "0" * 40, "netmap-1.tar.gz",
                       lambda draft: pathlib.Path(draft).write_bytes(b"other"))
    assert not os.path.exists(fetched.place(str(tmp_path), "0" * 40, "netmap-1.tar.gz"))


def test_a_name_stays_below_its_folder():
    assert fetched.place("/cache", "0a", "/var/../../etc/x.tar.gz") == "/cache/0a/x.tar.gz"


def playbook(folder, *arguments):
    """Start the play for six hosts and a build host that are all this machine (Popen)."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = {"all": {"hosts": {"builder": local}, "children": {"fleet": {
        "hosts": {name: dict(local, build_archive_folder=str(folder / name)) for name in HOSTS},
        "vars": {"build_archive_path": str(folder / "netmap-1.tar.gz"), "build_archive_host": "builder",
                 "build_archive_cache": str(folder / "cache")}}}}}
    (folder / "inventory.json").write_text(json.dumps(inventory))
    (folder / "play.yml").write_text(PLAY)
    environment = dict(os.environ, ANSIBLE_FORKS="6", ANSIBLE_LOCAL_TEMP=str(folder / "tmp"), HOME=str(folder),
                       ANSIBLE_NOCOLOR="1", ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default")
    return subprocess.Popen(
        [os.path.join(sys.prefix, "bin/ansible-playbook"), "-i", folder / "inventory.json", folder / "play.yml",
         *arguments], env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def changed(process):
    """The number of changes on each host (set of int) of a play that ends well."""
    said = process.communicate()[0]
    assert process.returncode == 0, said
    return {int(line.split("changed=")[1].split()[0]) for line in said.splitlines() if line.startswith("hv")}


def test_six_hosts_of_two_runs_have_it_and_check_mode_foretold_that(tmp_path):
    assert changed(playbook(tmp_path, "--check", "--limit", HOSTS[0])) == {1}
    assert not (tmp_path / "cache").exists()
    (tmp_path / "netmap-1.tar.gz").write_bytes(os.urandom(1 << 22))
    half, other = playbook(tmp_path, "--limit", ",".join(HOSTS[:3])), playbook(tmp_path, "--limit", ",".join(HOSTS[3:]))
    assert changed(half) | changed(other) == {1}
    arrived = {(tmp_path / name / "netmap-1.tar.gz").read_bytes() for name in HOSTS}
    assert arrived == {(tmp_path / "netmap-1.tar.gz").read_bytes()}
