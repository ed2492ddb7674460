# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the running kernel keeps a field of one of its structures, read from its own description of its types.

Source of the format: the kernel's ``Documentation/bpf/btf.rst``.
"""

from __future__ import annotations

import functools
import struct
from pathlib import Path

KERNEL = Path("/sys/kernel/btf/vmlinux")

_MAGIC = 0xEB9F
_STRUCT, _UNION = 4, 5
_BYTES_EACH = {_STRUCT: 12, _UNION: 12, 6: 8, 13: 8, 15: 12, 19: 12}
"""Bytes that follow a type, for each of its members, values or parameters, by kind."""
_BYTES_ONCE = {1: 4, 3: 12, 14: 4, 17: 4}
"""Bytes that follow a type of this kind."""


@functools.cache
def field_offset(structure: str, field: str, path: Path = KERNEL) -> int:
    """Return the offset of a field, in bytes from the structure's beginning.

    A field of an unnamed structure within it counts as its own. Raises OSError: the kernel does not describe its types;
    ValueError: it has no such field, or the description is not understood.
    """
    data = path.read_bytes()
    try:
        return _offset(data, structure, field)
    except (struct.error, IndexError) as error:
        raise ValueError(f"{path}: cannot be understood: {error}") from error


def _offset(data: bytes, structure: str, field: str) -> int:
    magic, _, _, header, types, length, strings, _ = struct.unpack_from("<HBBIIIII", data)
    if magic != _MAGIC:
        raise ValueError("no description of types")
    strings += header

    def name(at: int) -> bytes:
        return data[strings + at : data.index(b"\0", strings + at)]

    wanted = structure.encode()
    places: list[int] = [0]
    """Where each type is described, by its number; there is no type 0."""
    found = None
    at, end = header + types, header + types + length
    while at < end:
        called, info, _ = struct.unpack_from("<III", data, at)
        kind, count = info >> 24 & 0x1F, info & 0xFFFF
        if kind == _STRUCT and count and name(called) == wanted:
            found = at
        places.append(at)
        at += 12 + _BYTES_ONCE.get(kind, 0) + _BYTES_EACH.get(kind, 0) * count

    def bits(place: int) -> int | None:
        info: int = struct.unpack_from("<III", data, place)[1]
        for index in range(info & 0xFFFF):
            called, kind, packed = struct.unpack_from("<III", data, place + 12 + 12 * index)
            offset: int = packed & 0xFFFFFF if info >> 31 else packed  # the upper bits are a bit field's width
            if called and name(called) == field.encode():
                return offset
            if not called and (within := bits(places[kind])) is not None:
                return offset + within
        return None

    if found is None or (offset := bits(found)) is None:
        raise ValueError(f"the kernel has no {structure}.{field}")
    return offset // 8
