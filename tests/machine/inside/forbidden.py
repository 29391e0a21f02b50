# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In the machine, on the double only: a call that crashes the real netmap, past all our doors."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import sys

NIOCCTRL, VALE_LIST = 0xC0586997, 5


def main():
    if not os.path.exists("/sys/module/netmap/parameters/double"):
        sys.exit("this is not the double")
    body = ctypes.create_string_buffer(struct.pack("=H2xI", 0, 1 << 31))
    header = bytearray(struct.pack("=HHI64sQQ", 14, VALE_LIST, 0, b"", 0, ctypes.addressof(body)))
    descriptor = os.open("/dev/netmap", os.O_RDWR)
    try:
        fcntl.ioctl(descriptor, NIOCCTRL, header, True)
    except OSError:
        return
    finally:
        os.close(descriptor)
    sys.exit("the double answered")


if __name__ == "__main__":
    main()
