# SPDX-License-Identifier: GPL-2.0-or-later
"""The functions of a Go program, from the table that every Go program has, stripped or not.

Go's unwinder relies on that table alone. Source: Go's ``internal/abi`` and ``debug/gosym``, for the table's format
since Go 1.18.
"""

from __future__ import annotations

import struct
from itertools import pairwise

from kmltui.kml.rewrite.elf import MALFORMED, Elf

_SECTIONS = (".gopclntab", ".data.rel.ro.gopclntab")
_MAGICS = (0xFFFFFFF0, 0xFFFFFFF1)
"""Of Go 1.18 and of 1.20."""
_HEADER = struct.Struct("<IHBBQQQQQQQQ")
"""Magic, padding, instruction size quantum, pointer size, number of functions, of files, text start, six offsets."""


def go_functions(elf: Elf) -> list[tuple[int, int]]:
    """[start, end) of every function, padding included, sorted; empty if it is not a Go program or has another
    format."""
    text = next((s for s in elf.sections if s.name == ".text"), None)
    table = next((s for s in elf.sections if s.name in _SECTIONS), None)
    if text is None or table is None:
        return []
    data = elf.data[table.offset : table.offset + table.size]
    try:
        magic, _, _, pointer_size, count, _, text_start, *_, functions = _HEADER.unpack_from(data)
        if magic not in _MAGICS or pointer_size != 8 or text_start not in (0, text.addr):
            return []
        rows = struct.unpack_from(f"<{2 * count + 1}I", data, functions)
    except MALFORMED:
        return []
    # Relative to the text; in a position-independent program its start is filled in by the loader, and 0 in the file.
    starts = [text.addr + offset for offset in rows[::2]]
    return [(start, end) for start, end in pairwise(starts) if text.addr <= start < end <= text.addr + text.size]
