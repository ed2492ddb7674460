# SPDX-License-Identifier: GPL-2.0-or-later
"""Appends a segment to an ELF file: code, and the unwinding tables that go with it.

The program headers stay where they are, right behind the ELF header, because many readers expect them there: strip and
objcopy, the kernel when it notes build-ids, ld.so for itself. The new segment's header replaces PT_GNU_PROPERTY, which
repeats what a PT_NOTE says, or PT_PAX_FLAGS, which Go writes and no Debian kernel reads. In files without either, the
notes behind the headers move up into the space of the symbols' hash table (and of the symbol table, if that is not
enough), which moves into the new segment. Static programs have no PT_GNU_EH_FRAME: they register .eh_frame with the
unwinder, which looks for that header only at an address that nobody has registered. They get one, for their thunks, in
place of a PT_NOTE that is merged with the next.

Kernels before 6.6 clear the .bss of a program's interpreter only up to the end of its last segment, whichever that is.
So a loader gets its .bss as zeros in the file, up to the end of the page (ld.so hands out the rest of the page as
zeroed memory), and what followed in the file moves behind the new segment, which fills its last page for the same
reason. A loader's added code goes into the last page of its own code if there is room: ld.so takes the symbol ``_end``
for its own end, so ``_dl_find_object``, and hence the unwinder, would not find code behind it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile

from kmltui.kml.rewrite.elf import (
    PAGE,
    PHDR_SIZE,
    SHF_ALLOC,
    SHF_EXECINSTR,
    Elf,
    ElfError,
    Flag,
    Section,
    SectionType,
    Segment,
    SegmentType,
    Tag,
)

TEXT_SECTION = ".kml.text"
_TAIL_ALIGN = 64
_SHF_TLS = 0x400
_SHOFF, _PHNUM, _SHNUM = 40, 56, 60
_TABLE_TAGS: dict[int, int] = {
    SectionType.HASH: Tag.HASH,
    SectionType.GNU_HASH: Tag.GNU_HASH,
    SectionType.DYNSYM: Tag.SYMTAB,
}


@dataclass(frozen=True)
class Tables:
    """Unwinding tables of the added code; empty where the file has none."""

    eh_frame_hdr: bytes = b""
    eh_frame: bytes = b""
    debug_frame: bytes = b""


class Appended:
    """A copy of ``elf`` that gets one more segment: patch it, then close it with the code and tables to add."""

    def __init__(self, elf: Elf, *, unwinding: bool) -> None:
        """``unwinding``: there will be tables."""
        self._elf = elf
        self._out = bytearray(elf.data)
        self._segments = [replace(s) for s in elf.segments]
        self._sections = [replace(s) for s in elf.sections]
        self._address = _up(elf.end)
        self._moved = self._make_room()
        if unwinding and not any(s.type == SegmentType.GNU_EH_FRAME for s in self._segments):
            self._join_notes()
            self._segments.append(Segment(SegmentType.GNU_EH_FRAME, Flag.R, 0, 0, 0, 0, 0, 4))
        self._free = self._address + _up(sum(_up(s.size, 8) for s in self._moved), 64)

    def patch(self, address: int, code: bytes) -> None:
        """Overwrite what the file holds at ``address``."""
        offset = self._elf.offset(address)
        if offset is None or self._elf.offset(address + len(code) - 1) != offset + len(code) - 1:
            raise ElfError(f"a patch at {address:#x} is outside the file")
        self._out[offset : offset + len(code)] = code

    def places(self) -> list[tuple[int, int]]:
        """(address, room in bytes) of the places where the code may go, best first; the last has unlimited room."""
        places = [(self._free, 1 << 31)]
        if self._elf.is_loader:
            segment = self._elf.executable[-1]
            start = _up(segment.vaddr + segment.filesz, 16)
            end = _up(segment.vaddr + segment.filesz)
            offset = start - segment.vaddr + segment.offset
            unused = not any(self._elf.data[offset : offset + end - start])
            others = (s.offset for s in self._elf.sections if s.flags & SHF_ALLOC and s.offset >= offset)
            if unused and min(others, default=0) >= offset + end - start:
                places.insert(0, (start, end - start))
        return places

    def tables(self, text: int, size: int) -> int:
        """The address of the tables if ``size`` bytes of code are at ``text``."""
        return _up(text + size if text == self._free else self._free, 8)

    def close(self, text: int, code: bytes, tables: Tables) -> bytes:
        """The new file: ``code`` at the address ``text``, one of ``places``, and the tables, if any, each aligned to 8
        bytes."""
        tail = self._fill_bss() if self._elf.is_loader else bytearray()
        self._out += bytes(-len(self._out) % PAGE)
        start = len(self._out)
        delta = self._address - start
        for section in self._moved:
            self._move(section, delta)
        self._out += bytes(self._free - delta - len(self._out))
        if text == self._free:
            self._add(TEXT_SECTION, SHF_ALLOC | SHF_EXECINSTR, code, delta)
        else:
            self._fill_code(text, code)
        eh_frame = tables.eh_frame
        if tables.eh_frame_hdr:
            header = self._add(".kml.eh_frame_hdr", SHF_ALLOC, tables.eh_frame_hdr, delta)
            for segment in self._segments:
                if segment.type == SegmentType.GNU_EH_FRAME:
                    _place(segment, header, delta, len(tables.eh_frame_hdr))
        if self._elf.is_loader:
            self._out += bytes(-len(self._out) % 8)
            eh_frame += bytes(-(len(self._out) + len(eh_frame)) % PAGE)
        if eh_frame:
            self._add(".kml.eh_frame", SHF_ALLOC, eh_frame, delta)
        self._write_segments(start, delta)
        if tail:
            self._append_tail(tail)
        if tables.debug_frame and all(s.name != ".debug_frame" for s in self._sections):
            self._add(".debug_frame", 0, tables.debug_frame, 0)
        self._write_sections()
        return bytes(self._out)

    def _make_room(self) -> list[Section]:
        """Make room for one more program header; returns the sections that have to move into the new segment for it."""
        for segment in self._segments:
            notes = (s for s in self._segments if s.type == SegmentType.NOTE)
            repeats = segment.type == SegmentType.GNU_PROPERTY and any(n.offset == segment.offset for n in notes)
            if repeats or segment.type == SegmentType.PAX_FLAGS:
                self._segments.remove(segment)
                return []
        room = self._elf.program_headers + len(self._segments) * PHDR_SIZE
        first = min((s.offset for s in self._sections if s.flags & SHF_ALLOC), default=room)
        if first >= room + PHDR_SIZE:
            return []
        return self._shift_notes(room)

    def _join_notes(self) -> None:
        """Merge two adjacent segments of notes, which makes room for a program header."""
        notes = sorted((s for s in self._segments if s.type == SegmentType.NOTE), key=lambda s: s.vaddr)
        for first, second in pairwise(notes):
            # Readers use the segment's alignment, so it must make no difference to the notes of the first.
            alike = list(self._elf.notes(first, first.align)) == list(self._elf.notes(first, second.align))
            if first.vaddr + first.filesz == second.vaddr and first.filesz % max(second.align, 4) == 0 and alike:
                first.filesz = first.memsz = first.filesz + second.filesz
                first.align = second.align
                self._segments.remove(second)
                return
        raise ElfError("there is no room for a program header of its unwinding table")

    def _shift_notes(self, start: int) -> list[Section]:
        """Move the notes at ``start`` up by the size of a program header, over the tables behind them."""
        allocated = sorted((s for s in self._sections if s.flags & SHF_ALLOC), key=lambda s: s.offset)
        notes = list(takewhile(lambda s: s.type == SectionType.NOTE or s.name == ".interp", allocated))
        end = max([start, *(s.offset + s.size for s in notes)])
        tables: list[Section] = []
        for table in allocated[len(notes) :]:
            if end + PHDR_SIZE <= table.offset:
                break
            if _TABLE_TAGS.get(table.type) not in self._elf.dynamic:
                raise ElfError("there is no room for another program header")
            tables.append(table)
        content = self._out[start:end]
        self._out[start:end] = bytes(end - start)
        self._out[start + PHDR_SIZE : end + PHDR_SIZE] = content
        for section in notes:
            section.offset += PHDR_SIZE
            section.addr += PHDR_SIZE
        for segment in self._segments:
            if segment.type in (SegmentType.NOTE, SegmentType.INTERP) and start <= segment.offset < end:
                _place(segment, segment.offset + PHDR_SIZE, segment.vaddr - segment.offset, segment.filesz)
        return tables

    def _move(self, table: Section, delta: int) -> None:
        """Put a table that had to make room into the new segment, and update the dynamic section."""
        content = self._elf.data[table.offset : table.offset + table.size]
        self._out += bytes(-len(self._out) % 8)
        table.offset = len(self._out)
        table.addr = table.offset + delta
        self._out += content
        struct.pack_into("<Q", self._out, self._elf.dynamic_places[_TABLE_TAGS[table.type]], table.addr)

    def _add(self, name: str, flags: int, content: bytes, delta: int) -> int:
        """Append a section, if loaded ``delta`` further in memory than in the file; returns its offset."""
        self._out += bytes(-len(self._out) % 8)
        at = len(self._out)
        align = 16 if flags & SHF_EXECINSTR else 8
        address = at + delta if flags & SHF_ALLOC else 0
        self._sections.append(Section(0, SectionType.PROGBITS, flags, address, at, len(content), 0, 0, align, 0, name))
        self._out += content
        return at

    def _fill_code(self, text: int, code: bytes) -> None:
        """Put ``code`` behind the last code segment, in the same page."""
        segment = next(s for s in reversed(self._segments) if s.type == SegmentType.LOAD and s.flags & Flag.X)
        at = text - segment.vaddr + segment.offset
        self._out[at : at + len(code)] = code
        segment.filesz = segment.memsz = at + len(code) - segment.offset
        flags = SHF_ALLOC | SHF_EXECINSTR
        self._sections.append(Section(0, SectionType.PROGBITS, flags, text, at, len(code), 0, 0, 16, 0, TEXT_SECTION))

    def _fill_bss(self) -> bytearray:
        """Make .bss a part of the file, up to the end of its page; returns what was behind it, to be put elsewhere."""
        data = max((s for s in self._segments if s.type == SegmentType.LOAD), key=lambda s: s.vaddr)
        self._tail = data.offset + data.filesz
        if any(s.offset < self._tail < s.offset + s.filesz for s in self._segments if s is not data):
            raise ElfError("segments overlap where its .bss begins")
        tail = self._out[self._tail :]
        del self._out[self._tail :]
        end = _up(data.vaddr + data.memsz)
        data.filesz = data.memsz = end - data.vaddr
        self._out += bytes(data.offset + data.filesz - self._tail)
        for section in self._sections:
            if section.type == SectionType.NOBITS and not section.flags & _SHF_TLS and section.addr >= data.vaddr:
                section.type = SectionType.PROGBITS
                section.offset = section.addr - data.vaddr + data.offset
                section.size = end - section.addr
        return tail

    def _append_tail(self, tail: bytearray) -> None:
        """Put what was behind .bss, none of it loaded, at the end of the file."""
        self._out += bytes((self._tail - len(self._out)) % _TAIL_ALIGN)
        moved_by = len(self._out) - self._tail
        for section in self._sections:
            if not section.flags & SHF_ALLOC and section.offset >= self._tail:
                section.offset += moved_by
        self._out += tail

    def _write_segments(self, start: int, delta: int) -> None:
        new = Segment(SegmentType.LOAD, Flag.R | Flag.X, 0, 0, 0, 0, 0, PAGE)
        _place(new, start, delta, len(self._out) - start)
        last = max(i for i, s in enumerate(self._segments) if s.type == SegmentType.LOAD)
        self._segments.insert(last + 1, new)
        at = self._elf.program_headers
        size = len(self._segments) * PHDR_SIZE
        for segment in self._segments:
            if segment.type == SegmentType.PHDR:
                segment.filesz = segment.memsz = size
        self._out[at : at + size] = b"".join(s.pack() for s in self._segments)
        struct.pack_into("<H", self._out, _PHNUM, len(self._segments))

    def _write_sections(self) -> None:
        """Write section names and headers at the very end."""
        names = bytearray(b"\0")
        for section in self._sections:
            section.name_offset = 0
            if section.name:
                section.name_offset = len(names)
                names += section.name.encode("utf-8", "surrogateescape") + b"\0"
        strings = self._sections[self._elf.section_names]
        strings.offset, strings.size = len(self._out), len(names)
        self._out += names
        self._out += bytes(-len(self._out) % 8)
        struct.pack_into("<Q", self._out, _SHOFF, len(self._out))
        struct.pack_into("<H", self._out, _SHNUM, len(self._sections))
        for section in self._sections:
            self._out += section.pack()


def _up(value: int, to: int = PAGE) -> int:
    return -(-value // to) * to


def _place(segment: Segment, offset: int, delta: int, size: int) -> None:
    segment.offset = offset
    segment.vaddr = segment.paddr = offset + delta
    segment.filesz = segment.memsz = size
