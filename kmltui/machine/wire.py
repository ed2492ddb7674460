# SPDX-License-Identifier: GPL-2.0-or-later
"""What travels between the host and the guest, byte for byte: the host's end of ``guestd/wire.h``."""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag

PROTOCOL_VERSION = 1
FRAME_MAX = 65536
TAKEN_ALL = 0xFFFFFFFF
SAMPLE_MAGIC = 0x534C4D4B
SAMPLE_MAX = 1 << 20
MARK_MAX = 256
"""With the byte that ends a mark in the agent."""


class FrameType(IntEnum):
    """What a frame on guestd's port is; ``wire.h`` says what each holds."""

    SPAWN = 1
    STDIN = 2
    KILL = 3
    RESIZE = 4
    PUT = 5
    DATA = 6
    GET = 7
    POWEROFF = 8
    HELLO = 64
    STARTED = 65
    STDOUT = 66
    STDERR = 67
    EXIT = 68
    RESULT = 69
    CONTENT = 70
    TAKEN = 71


class SpawnFlag(IntFlag):
    """How a program is started."""

    NONE = 0
    STDIN = 1
    TERMINAL = 2


LAYOUTS: dict[str, dict[str, str]] = {
    "frame_header": {"size": "I", "type": "I", "id": "I"},
    "window_size": {"rows": "H", "columns": "H"},
    "spawn_header": {"flags": "B", "zero": "B", "rows": "H", "columns": "H", "argc": "H", "envc": "H"},
    "sample_header": {
        "magic": "I",
        "size": "I",
        "mono_ns": "Q",
        "late_ns": "Q",
        "cpu_ns": "Q",
        "calls": "Q",
        "mark_size": "I",
    },
}
"""The fields of each structure in their order, as :mod:`struct` writes their types."""


def _struct(name: str) -> struct.Struct:
    return struct.Struct("<" + "".join(LAYOUTS[name].values()))


FRAME_HEADER = _struct("frame_header")
WINDOW_SIZE = _struct("window_size")
SPAWN_HEADER = _struct("spawn_header")
SAMPLE_HEADER = _struct("sample_header")
NUMBER = struct.Struct("<I")
"""A payload, or the size of a text, that is one number."""
