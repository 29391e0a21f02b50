# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of git repositories, and the secrets that users write into them. Pure. Private to netmap.ptnet.

What stands in an argument vector is shown to every user of the machine, and git hands the address on to a program of
its own (git-remote-https). So a token goes as a header of the request, by the environment, and every other place,
errors, results and names of files, knows the address without it.
"""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<who>[^/?#]*)@(?P<rest>[^@/?#]*(?:[/?#].*)?)", re.DOTALL)
_WEB = ("http", "https")


def split(address):
    """The address without its secret, and the secret (str, and str or None).

    Of a web address whatever stands before the host is secret, since a token may stand there as a user; of others what
    follows the user (ssh has no use for it).
    """
    found = _URL.fullmatch(address)
    if not found:
        return address, None
    user, colon, password = found["who"].partition(":")
    if found["scheme"].lower() in _WEB:
        return "%s://%s" % (found["scheme"], found["rest"]), found["who"]
    return "%s://%s@%s" % (found["scheme"], user, found["rest"]), password if colon else None


def plain(address):
    """The address as it may be shown and stored (str)."""
    return split(address)[0]


def settings(address):
    """What git has to be told for the secret of an address, as configuration: name to value (dict)."""
    clean, secret = split(address)
    if not secret or clean.partition(":")[0].lower() not in _WEB:
        return {}
    user, _colon, password = secret.partition(":")
    word = base64.b64encode(("%s:%s" % (unquote(user), unquote(password))).encode()).decode()
    return {"http.%s.extraHeader" % clean: "Authorization: Basic " + word}


def secrets(params):
    """What a module must never return: the secrets in its options (set of str)."""
    words = list(params)
    if isinstance(params, dict):
        words = [*params, *params.values()]
    found = set()
    for word in words:
        if isinstance(word, (dict, list, tuple)):
            found |= secrets(word)
        elif isinstance(word, str) and split(word)[1]:
            found |= {one for one in (split(word)[1], split(word)[1].partition(":")[2]) if one}
    return found
