# SPDX-License-Identifier: GPL-2.0-or-later
"""Appends a segment to an ELF file: the program headers (one more than before), code, unwinding tables.

The new segment is the last in memory, behind .bss, and stands in the file as far from the first segment as it does
in memory. ld.so relies on that for its own program headers, kernels before 5.18 for everyone's (AT_PHDR is the load
address plus e_phoff), and it costs no more than .bss as zeros in the file.

Kernels before 6.6 clear the .bss of a program's interpreter only up to the end of its last segment, whichever that
is: a loader gets its .bss as zeros in the file, up to the end of the page (ld.so hands out that rest as zeroed
memory), and what followed in the file moves behind the new segment.
"""

from __future__ import annotations

import struct
from dataclasses import replace

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
)

TEXT_SECTION = ".kml.text"
_LARGEST_GAP = 64 << 20
_MOVED_ALIGN = 64
_SHF_TLS = 0x400
_PHOFF, _SHOFF, _PHNUM, _SHNUM = 32, 40, 56, 60


def _up(value: int, to: int = PAGE) -> int:
    return -(-value // to) * to


class Appended:
    """A copy of `elf` that grows a segment: patch it, add code, add tables, close it."""

    def __init__(self, elf: Elf) -> None:
        self._elf = elf
        self._out = bytearray(elf.data)
        self._segments = [replace(s) for s in elf.segments]
        self._sections = [replace(s) for s in elf.sections]
        self._bias = elf.loads[0].vaddr - elf.loads[0].offset
        address = max(_up(elf.end), _up(self._bias + len(elf.data)))
        self._start = address - self._bias
        if self._start - len(elf.data) > _LARGEST_GAP:
            raise ElfError("its .bss is too large to stand in the file")
        self.text = address + _up((len(elf.segments) + 1) * PHDR_SIZE, 64)
        """The address at which the added code begins."""

    def patch(self, address: int, code: bytes) -> None:
        """Overwrite what the file holds at `address`; to be done before anything is added."""
        offset = self._elf.offset(address)
        if offset is None or self._elf.offset(address + len(code) - 1) != offset + len(code) - 1:
            raise ElfError(f"a patch at {address:#x} is outside the file")
        self._out[offset : offset + len(code)] = code

    def close(self, text: bytes, eh_frame_hdr: bytes, eh_frame: bytes) -> bytes:
        """The new file, with `text` at its address and the tables, if any, behind it, each on 8 bytes."""
        tail = self._fill_bss() if self._elf.is_loader else bytearray()
        self._out += bytes(self.text - self._bias - len(self._out))
        self._add(TEXT_SECTION, SHF_ALLOC | SHF_EXECINSTR, text)
        if eh_frame_hdr:
            header = self._add(".kml.eh_frame_hdr", SHF_ALLOC, eh_frame_hdr)
            self._add(".kml.eh_frame", SHF_ALLOC, eh_frame)
            for segment in self._segments:
                if segment.type == SegmentType.GNU_EH_FRAME:
                    self._place(segment, header, len(eh_frame_hdr))
        if self._elf.is_loader:
            self._out += bytes(-len(self._out) % PAGE)
        self._write_segments()
        if tail:
            self._append_tail(tail)
        self._write_sections()
        return bytes(self._out)

    def _place(self, segment: Segment, offset: int, size: int) -> None:
        segment.offset = offset
        segment.vaddr = segment.paddr = offset + self._bias
        segment.filesz = segment.memsz = size

    def _add(self, name: str, flags: int, content: bytes) -> int:
        """Append a section; its place in the file."""
        self._out += bytes(-len(self._out) % 8)
        at = len(self._out)
        align = 16 if flags & SHF_EXECINSTR else 8
        self._sections.append(
            Section(0, SectionType.PROGBITS, flags, at + self._bias, at, len(content), 0, 0, align, 0, name)
        )
        self._out += content
        return at

    def _fill_bss(self) -> bytearray:
        """Make .bss a part of the file, up to the end of its page; what stood behind it, to be put elsewhere."""
        data = max((s for s in self._segments if s.type == SegmentType.LOAD), key=lambda s: s.vaddr)
        self._tail = data.offset + data.filesz
        if any(s.offset < self._tail < s.offset + s.filesz for s in self._segments if s is not data):
            raise ElfError("segments overlap where its .bss begins")
        tail = self._out[self._tail :]
        del self._out[self._tail :]
        end = _up(data.vaddr + data.memsz)
        data.filesz = data.memsz = end - data.vaddr
        for section in self._sections:
            if section.type == SectionType.NOBITS and not section.flags & _SHF_TLS and section.addr >= data.vaddr:
                section.type = SectionType.PROGBITS
                section.offset = section.addr - data.vaddr + data.offset
        return tail

    def _append_tail(self, tail: bytearray) -> None:
        """Put what stood behind .bss, none of it loaded, at the end of the file."""
        self._out += bytes((self._tail - len(self._out)) % _MOVED_ALIGN)
        delta = len(self._out) - self._tail
        for section in self._sections:
            if not section.flags & SHF_ALLOC and section.offset >= self._tail:
                section.offset += delta
        self._out += tail

    def _write_segments(self) -> None:
        new = Segment(SegmentType.LOAD, Flag.R | Flag.X, 0, 0, 0, 0, 0, PAGE)
        self._place(new, self._start, len(self._out) - self._start)
        last = max(i for i, s in enumerate(self._segments) if s.type == SegmentType.LOAD)
        self._segments.insert(last + 1, new)
        size = len(self._segments) * PHDR_SIZE
        for segment in self._segments:
            if segment.type == SegmentType.PHDR:
                self._place(segment, self._start, size)
        self._out[self._start : self._start + size] = b"".join(s.pack() for s in self._segments)
        struct.pack_into("<Q", self._out, _PHOFF, self._start)
        struct.pack_into("<H", self._out, _PHNUM, len(self._segments))

    def _write_sections(self) -> None:
        """Section names and headers, at the very end."""
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
