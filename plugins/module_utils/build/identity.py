# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes two builds the same. Pure. Private to netmap.ptnet."""

from __future__ import annotations

import hashlib
import json
import re

#: Raised when the layout of archives or the way of building changes, so that old builds are not taken for new ones.
FORMAT = 1

#: Inputs that only concern files below /lib/modules/<release>; two builds that differ in nothing else share the rest.
KERNEL_INPUTS = ("kernel_release",)


def identity(inputs):
    """Digest of everything that decides the result of a build (str, 20 hexadecimal digits).

    :param inputs: source content id, options, kernel release, architecture, compiler version (JSON-able dict);
        where the order of a list means nothing, the list comes sorted and without repetition
    """
    text = json.dumps({"format": FORMAT, "inputs": inputs}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def kinship(inputs):
    """Identity without the kernel: equal for builds whose files outside /lib/modules can stand in for each other."""
    return identity({name: value for name, value in inputs.items() if name not in KERNEL_INPUTS})


def is_identity(text):
    """Whether a text could be an identity, and so is safe as a file name (bool)."""
    return bool(re.match(r"[0-9a-f]{20}\Z", str(text)))


def unordered(names):
    """A list whose order and repetitions mean nothing, in its one normal form (list of str)."""
    return sorted(set(names or ()))


def digest_file(path):
    """SHA-256 of a file's content (str)."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
