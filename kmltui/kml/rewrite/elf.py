# SPDX-License-Identifier: GPL-2.0-or-later
"""An x86-64 ELF file as the rewriter reads it: headers, what is loaded where, symbols, relocations.

Addresses are the file's own virtual addresses (what ``objdump`` shows), offsets are positions in the file.
Source: the System V ABI, its AMD64 supplement, and the generic-ABI text of SHT_RELR.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from functools import cached_property
from typing import Self

PAGE = 4096


class ElfError(Exception):
    """The file is not an ELF file that can be rewritten; the message says why."""


MALFORMED = (struct.error, ValueError, IndexError, KeyError, OverflowError)
"""What reading an inconsistent file may raise, wherever the inconsistency shows."""


class FileType(IntEnum):
    EXEC = 2
    DYN = 3


class SegmentType(IntEnum):
    LOAD = 1
    DYNAMIC = 2
    INTERP = 3
    NOTE = 4
    PHDR = 6
    GNU_EH_FRAME = 0x6474E550
    GNU_PROPERTY = 0x6474E553
    PAX_FLAGS = 0x65041580


class Flag(IntFlag):
    """Segment permissions."""

    X = 1
    W = 2
    R = 4


class SectionType(IntEnum):
    PROGBITS = 1
    SYMTAB = 2
    STRTAB = 3
    HASH = 5
    NOTE = 7
    NOBITS = 8
    DYNSYM = 11
    GNU_HASH = 0x6FFFFFF6


class Tag(IntEnum):
    """Entries of the dynamic section."""

    PLTRELSZ = 2
    HASH = 4
    STRTAB = 5
    SYMTAB = 6
    RELA = 7
    RELASZ = 8
    SONAME = 14
    JMPREL = 23
    RELRSZ = 35
    RELR = 36
    GNU_HASH = 0x6FFFFEF5
    FLAGS_1 = 0x6FFFFFFB


DF_1_PIE = 0x08000000
SHF_ALLOC = 2
SHF_EXECINSTR = 4

_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_PHDR = struct.Struct("<IIQQQQQQ")
_SHDR = struct.Struct("<IIQQQQIIQQ")
_SYM = struct.Struct("<IBBHQQ")
_RELA = struct.Struct("<QQq")
_NOTE = struct.Struct("<III")

_EM_X86_64 = 62
_R_X86_64_RELATIVE, _R_X86_64_IRELATIVE = 8, 37
_ADDEND = 16
_NT_GNU_BUILD_ID = 3
_STT_FUNC = 2
PHDR_SIZE = _PHDR.size


@dataclass(slots=True)
class Segment:
    """A program header."""

    type: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    align: int

    def pack(self) -> bytes:
        return _PHDR.pack(
            self.type, self.flags, self.offset, self.vaddr, self.paddr, self.filesz, self.memsz, self.align
        )


@dataclass(slots=True)
class Section:
    """A section header; ``name`` is resolved, ``name_offset`` is its position in the section-name table."""

    name_offset: int
    type: int
    flags: int
    addr: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entsize: int
    name: str = ""

    def pack(self) -> bytes:
        return _SHDR.pack(
            self.name_offset,
            self.type,
            self.flags,
            self.addr,
            self.offset,
            self.size,
            self.link,
            self.info,
            self.align,
            self.entsize,
        )


@dataclass(frozen=True, slots=True)
class Symbol:
    name: str
    address: int
    size: int
    exported: bool
    is_function: bool


@dataclass
class Elf:
    """A parsed file. ``data`` is the file as it was read and is never changed."""

    data: bytes
    type: FileType
    entry: int
    program_headers: int
    """The offset of the program headers in the file."""
    section_names: int
    segments: list[Segment]
    sections: list[Section]
    dynamic: dict[int, int] = field(default_factory=dict)
    """The dynamic section; of a tag that occurs more than once, the last value."""
    dynamic_places: dict[int, int] = field(default_factory=dict)
    """The offset in the file of each value of the dynamic section."""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse ``data``; ElfError if it is not a 64-bit x86 program or shared object with section headers."""
        if data[:6] != b"\x7fELF\x02\x01":
            raise ElfError("not a little-endian 64-bit ELF file")
        try:
            (_, kind, machine, _, entry, phoff, shoff, _, _, phentsize, phnum, shentsize, shnum, shstrndx) = (
                _EHDR.unpack_from(data)
            )
            if machine != _EM_X86_64 or kind not in (FileType.EXEC, FileType.DYN):
                raise ElfError("not a program or shared object for x86-64")
            if not shnum or shentsize != _SHDR.size or phentsize != _PHDR.size or shstrndx >= shnum:
                raise ElfError("its program or section headers are missing or of an unknown shape")
            segments = [Segment(*_PHDR.unpack_from(data, phoff + i * _PHDR.size)) for i in range(phnum)]
            sections = [Section(*_SHDR.unpack_from(data, shoff + i * _SHDR.size)) for i in range(shnum)]
            elf = cls(data, FileType(kind), entry, phoff, shstrndx, segments, sections)
            names = elf.sections[shstrndx]
            for section in sections:
                section.name = _string(data, names.offset + section.name_offset)
            if not elf.loads:
                raise ElfError("nothing in it is loaded")
            for segment in segments:
                if segment.type == SegmentType.DYNAMIC:
                    elf._read_dynamic(segment)
        except MALFORMED as error:
            raise ElfError(f"malformed: {error}") from error
        return elf

    def _read_dynamic(self, segment: Segment) -> None:
        for position in range(segment.offset, segment.offset + segment.filesz, 16):
            tag, value = struct.unpack_from("<QQ", self.data, position)
            if tag == 0:
                return
            self.dynamic[tag] = value
            self.dynamic_places[tag] = position + 8

    # What is where in memory and in the file

    @cached_property
    def loads(self) -> list[Segment]:
        return [s for s in self.segments if s.type == SegmentType.LOAD]

    @cached_property
    def executable(self) -> list[Segment]:
        return [s for s in self.loads if s.flags & Flag.X]

    @property
    def end(self) -> int:
        """The first address behind everything that is loaded, .bss included."""
        return max(s.vaddr + s.memsz for s in self.loads)

    def offset(self, address: int) -> int | None:
        """Where the byte at ``address`` is in the file; None if it is not loaded from it."""
        for s in self.loads:
            if s.vaddr <= address < s.vaddr + s.filesz:
                return address - s.vaddr + s.offset
        return None

    def in_text(self, address: int) -> bool:
        return any(s.vaddr <= address < s.vaddr + s.filesz for s in self.executable)

    def read(self, address: int, size: int) -> bytes:
        """``size`` bytes at ``address``; ElfError if they are not all in the file."""
        offset, last = self.offset(address), self.offset(address + size - 1)
        if offset is None or last is None or last - offset != size - 1:
            raise ElfError(f"malformed: {size} bytes at {address:#x} are not in the file")
        return self.data[offset : offset + size]

    # What kind of file it is

    @property
    def interpreter(self) -> str | None:
        for s in self.segments:
            if s.type == SegmentType.INTERP:
                return _string(self.data, s.offset)
        return None

    @property
    def soname(self) -> str | None:
        if Tag.SONAME not in self.dynamic or Tag.STRTAB not in self.dynamic:
            return None
        offset = self.offset(self.dynamic[Tag.STRTAB])
        return None if offset is None else _string(self.data, offset + self.dynamic[Tag.SONAME])

    @cached_property
    def is_loader(self) -> bool:
        """Whether the kernel starts it as the interpreter of other programs (ld.so). glibc's is recognised by its name;
        musl's, which is also its C library, by the symbol at its first instruction."""
        if self.interpreter is not None or self.type is not FileType.DYN:
            return False
        named = (self.soname or "").startswith("ld-linux")
        return named or any(s.name == "_dlstart" and s.address == self.entry for s in self.code_symbols())

    @property
    def is_static_program(self) -> bool:
        """Whether it is a program that starts without an interpreter."""
        if self.interpreter is not None or self.is_loader:
            return False
        return self.type is FileType.EXEC or bool(self.dynamic.get(Tag.FLAGS_1, 0) & DF_1_PIE)

    @property
    def starts_programs(self) -> bool:
        """Whether it contains a program's first instruction: then it must make sure of the page that thunks use."""
        return self.is_loader or self.is_static_program

    @property
    def build_id(self) -> str | None:
        for s in self.segments:
            if s.type == SegmentType.NOTE:
                for kind, name, desc in self.notes(s, s.align):
                    if kind == _NT_GNU_BUILD_ID and name == b"GNU\0":
                        return desc.hex()
        return None

    def notes(self, segment: Segment, align: int) -> Iterator[tuple[int, bytes, bytes]]:
        """(type, name, description) of every note of a segment. Descriptions and notes begin at multiples of ``align``,
        at least 4, from the segment's beginning."""
        data, align, position = self.data[segment.offset : segment.offset + segment.filesz], max(align, 4), 0
        while position + _NOTE.size <= len(data):
            namesz, descsz, kind = _NOTE.unpack_from(data, position)
            name = position + _NOTE.size
            desc = -(-(name + namesz) // align) * align
            yield kind, data[name : name + namesz], data[desc : desc + descsz]
            position = -(-(desc + descsz) // align) * align

    def code_symbols(self) -> Iterator[Symbol]:
        """Every defined symbol of the symbol tables that lies in code."""
        for section in self.sections:
            if section.type not in (SectionType.SYMTAB, SectionType.DYNSYM):
                continue
            strings = self.sections[section.link].offset
            table = self.data[section.offset : section.offset + section.size]
            for name, info, _, index, value, size in _SYM.iter_unpack(table):
                if index and self.in_text(value):
                    exported = section.type == SectionType.DYNSYM
                    yield Symbol(_string(self.data, strings + name), value, size, exported, info & 15 == _STT_FUNC)

    def relocated_words(self) -> Iterator[tuple[int, int]]:
        """(place, value) of every 8-byte word that the loader turns into an address within this very file.

        ``place`` is the virtual address at which the file holds the value: that of the relocated word itself, or one
        within the relocation's entry.
        Symbolic relocations are left out: they resolve to the start of a symbol.
        """
        for tag, size in ((Tag.RELA, Tag.RELASZ), (Tag.JMPREL, Tag.PLTRELSZ)):
            if tag in self.dynamic and self.dynamic.get(size, 0):
                table = self.read(self.dynamic[tag], self.dynamic[size])
                for i, (_, info, addend) in enumerate(_RELA.iter_unpack(table)):
                    if info & 0xFFFFFFFF in (_R_X86_64_RELATIVE, _R_X86_64_IRELATIVE):
                        yield self.dynamic[tag] + i * _RELA.size + _ADDEND, addend
        if Tag.RELR in self.dynamic and self.dynamic.get(Tag.RELRSZ, 0):
            for slot in self._relr_slots():
                yield slot, int.from_bytes(self.read(slot, 8), "little")

    def _relr_slots(self) -> Iterator[int]:
        where = 0
        for (entry,) in struct.iter_unpack("<Q", self.read(self.dynamic[Tag.RELR], self.dynamic[Tag.RELRSZ])):
            if not entry & 1:
                yield entry
                where = entry + 8
                continue
            for bit in range(63):
                if entry >> (bit + 1) & 1:
                    yield where + 8 * bit
            where += 8 * 63


def _string(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode("utf-8", "surrogateescape")
