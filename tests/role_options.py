# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds each role's meta/argument_specs.yml and defaults/main.yml equal, and its inner variables to itself: nobody else
reads or sets what begins with ``__<role>_``. Usage: python tests/role_options.py [ROLES [PLAYBOOKS]]
"""

from __future__ import annotations

import pathlib
import re
import sys

import yaml


def differences(role, defaults, specs):
    """What differs, one line each.

    :param role: the role's name, which every option begins with (str)
    :param defaults: defaults/main.yml (dict)
    :param specs: the ``argument_specs`` of the role, by entry point (dict)
    """
    options = {}
    for entry in specs.values():
        options.update((entry or {}).get("options") or {})
    defaults = {name: value for name, value in defaults.items() if not name.startswith("__")}
    for name in sorted({*options, *defaults}):
        option = options.get(name)
        if not name.startswith(role + "_"):
            yield "%s does not begin with %s_" % (name, role)
        if option is None:
            yield "%s has a default and is not in meta/argument_specs.yml" % name
        elif "default" in option and name not in defaults:
            yield "%s has the default %r in meta/argument_specs.yml alone" % (name, option["default"])
        elif "default" not in option and name in defaults:
            yield "%s has the default %r in defaults/main.yml alone" % (name, defaults[name])
        elif name in defaults and option["default"] != defaults[name]:
            yield "%s has two defaults: %r in meta/argument_specs.yml, %r in defaults/main.yml" % (
                name, option["default"], defaults[name])


def strangers(text, roles, own=None):
    """The inner variables of roles that a text mentions and does not define itself (sorted list of str).

    :param text: of a file (str)
    :param roles: names of all roles (list of str)
    :param own: the role that the file belongs to (str), None for a playbook's
    """
    others = "|".join(sorted(set(roles) - {own}, key=len, reverse=True))
    found = set(re.findall(r"\b__(?:%s)_\w+" % others, text))
    return sorted(found - set(re.findall(r"^ *(__\w+):(?= |$)", text, re.M)) if own is None else found)


def read(path):
    """A YAML file (dict), empty when the file is empty or missing."""
    return (yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None) or {}


def main(folder, playbooks="playbooks"):
    roles = sorted(path for path in pathlib.Path(folder).iterdir() if (path / "tasks").is_dir())
    names = [role.name for role in roles]
    found = []
    for path, own in [(path, role.name) for role in roles for path in sorted(role.rglob("*"))] + [
            (path, None) for path in sorted(pathlib.Path(playbooks).rglob("*.yml"))]:
        if path.suffix in (".yml", ".j2"):
            found += ["%s: %s belongs to another role" % (path, name)
                      for name in strangers(path.read_text(encoding="utf-8"), names, own)]
    for role in roles:
        specs = read(role / "meta" / "argument_specs.yml").get("argument_specs")
        if specs is None:
            found.append("%s: meta/argument_specs.yml is missing" % role)
            continue
        defaults = read(role / "defaults" / "main.yml")
        found += ["%s: %s" % (role, line) for line in differences(role.name, defaults, specs)]
    print("\n".join(found) or "%d roles: options and defaults are equal, inner variables stay inside" % len(roles))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:] or ["roles"]))
