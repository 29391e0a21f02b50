# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs ansible-test sanity on a throw-away copy of the checkout, with the ansible-core of .venv.

All tests run with the environment's own Python; what must work on managed machines is also compiled and imported with
every other Python found here that this ansible-core supports. Usage: tests/sanity [ARGUMENT OF ansible-test sanity ...]
"""

from __future__ import annotations

import contextlib
import glob
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = ROOT / os.environ.get("VENV", ".venv")
OLDEST = (3, 9)
# ansible-test fetches get-pip to make the environments of its tests. Where its server cannot be reached, the pip that
# comes with each Python does the same, but for two options that only get-pip knows. Debian keeps the wheel elsewhere.
BUNDLED_PIP = '''import ensurepip, glob, os, runpy, sys, sysconfig
folders = [os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"),
           sysconfig.get_config_var("WHEEL_PKG_DIR") or "/usr/share/python-wheels"]
wheel = [path for folder in folders for path in glob.glob(os.path.join(folder, "pip-*.whl"))][0]
sys.path.insert(0, wheel)
sys.argv[1:] = ["install"] + [one for one in sys.argv[1:] if one not in ("--no-setuptools", "--no-wheel")]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
'''


def say(text):
    print(text, flush=True)


def output(*command):
    """What a command prints (str); it runs in the checkout and must end well."""
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def copy(target):
    """What git tracks or would track, as a repository of its own: without one ansible-test skips everything."""
    listed = output("git", "ls-files", "-coz", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        # A file can be deleted, or be a link to nowhere, while others work in the checkout.
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name, follow_symlinks=False)
    subprocess.run(["git", "init", "--quiet"], cwd=target, check=True)


def interpreter(version):
    """A Python of this version, such as 3.9, that works here (path), or None. A name in PATH may be an empty shim."""
    for place in [*os.environ["PATH"].split(os.pathsep), *glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin"))]:
        path = os.path.join(place, "python" + version)
        if os.access(path, os.X_OK) and subprocess.run([path, "-c", "import venv, ensurepip"], check=False,
                                                       capture_output=True).returncode == 0:
            return path
    return None


def pythons():
    """The interpreters that ansible-core supports on managed machines and that work here.

    :returns: path of each version such as 3.9 (dict); the environment's own comes first
    """
    own, *supported = output(
        VENV / "bin/python", "-c", "import sys; from ansible_test._util.target.common import constants as c; "
        "print('%d.%d' % sys.version_info[:2], *c.REMOTE_ONLY_PYTHON_VERSIONS, *c.CONTROLLER_PYTHON_VERSIONS)").split()
    found = {own: str(VENV / "bin/python")}
    for version in supported:
        path = interpreter(version) if tuple(map(int, version.split("."))) >= OLDEST and version != own else None
        if path:
            found[version] = path
    return found


@contextlib.contextmanager
def get_pip():
    """Put our own get-pip where ansible-test looks for it, as long as it runs, if the real one cannot be fetched."""
    program = "import ansible_test; print(*ansible_test.__path__)"
    where = pathlib.Path(output(VENV / "bin/python", "-c", program).strip())
    version = re.search(r"\bpip='([\d.]+)'", (where / "_internal/python_requirements.py").read_text())[1]
    fetching = (where / "_util/target/setup/requirements.py").read_text()
    address = re.search(r"https://\S+/get-pip-%s\.py", fetching)[0] % version
    cached = pathlib.Path("~/.ansible/test/cache/get_pip_%s.py" % version.replace(".", "_")).expanduser()
    if cached.exists():
        yield
        return
    try:
        with urllib.request.urlopen(address, timeout=10):
            pass
    except OSError as error:
        say("get-pip cannot be fetched (%s); the pip that comes with Python is used instead." % error)
    else:
        yield
        return
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_text(BUNDLED_PIP, encoding="utf-8")
    try:
        yield
    finally:
        cached.unlink()
        shutil.rmtree(cached.parent / "__pycache__", ignore_errors=True)


def run(arguments, folder):
    """ansible-test sanity; returns whether it passed and tested something."""
    command = ["ansible-test", "sanity", "--color", "no", *arguments]
    say("$ " + " ".join(command))
    begin = time.monotonic()
    tested = False
    process = subprocess.Popen([VENV / "bin" / command[0], *command[1:]], cwd=folder, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for line in process.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        tested = tested or line.startswith("Running sanity test")
    code = process.wait()
    if code == 0 and not tested:
        # It ends with 0 when it found nothing to test.
        say("sanity: nothing was tested; that is no pass")
        code = 1
    say("sanity: %s, %.0f s" % ("FAILED" if code else "passed", time.monotonic() - begin))
    return code == 0


def main(arguments):
    own, *others = pythons().items()
    say("ansible-core's Python: %s; also compiled and imported with: %s" % (
        own[0], ", ".join(version for version, _path in others) or "no other"))
    targets = ["--controller", "origin:python=%s@%s" % own]
    for version, _path in [own, *others]:
        targets += ["--target-python", version]
    with tempfile.TemporaryDirectory(prefix="ptnet-sanity-") as place:
        folder = pathlib.Path(place) / "ansible_collections/netmap/ptnet"
        copy(folder)
        # ansible-test takes the first name in PATH, which may be a shim with nothing behind it.
        interpreters = pathlib.Path(place) / "bin"
        interpreters.mkdir()
        for version, path in [own, *others]:
            (interpreters / ("python" + version)).symlink_to(path)
        os.environ["PATH"] = os.pathsep.join([str(interpreters), os.environ["PATH"]])
        with get_pip():
            return not run([*targets, *arguments], folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
