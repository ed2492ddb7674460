# SPDX-License-Identifier: GPL-2.0-or-later
"""Unwinding tables: read those of a file, write those of its thunks.

The read side gives what the proofs need: the exact range of every function that has an entry, and the landing pads. The
write side gives code that was copied elsewhere the same unwinding rules, instruction by instruction: call-frame
instructions are copied as bytes and only the address steps between them are rewritten, so that expressions and vendor
extensions need not be understood.

Source: DWARF 4 section 6.4, the Linux Standard Base's chapter on .eh_frame, and its exception tables.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kmltui.kml.rewrite.elf import MALFORMED, SHF_ALLOC, Elf, SegmentType

_PCREL, _DATAREL, _OMIT = 0x10, 0x30, 0xFF
_ULEB, _UDATA2, _UDATA4, _UDATA8, _SLEB, _SDATA2, _SDATA4, _SDATA8 = 1, 2, 3, 4, 9, 10, 11, 12
_ABSOLUTE, _PCREL_SDATA4 = 0, _PCREL | _SDATA4
_TABLE_ENCODING = _DATAREL | _SDATA4
_FIXED = {0: "<Q", _UDATA2: "<H", _UDATA4: "<I", _UDATA8: "<Q", _SDATA2: "<h", _SDATA4: "<i", _SDATA8: "<q"}


class UnwindError(Exception):
    """The file's unwinding information cannot be used; the message says why."""


class _Cursor:
    """Reads DWARF's variable-length values at a position in ``data``, which is at address ``base``."""

    def __init__(self, data: bytes, base: int, position: int = 0) -> None:
        self.data, self.base, self.position = data, base, position

    def fixed(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self.data, self.position)
        self.position += struct.calcsize(form)
        return int(value)

    def byte(self) -> int:
        return self.fixed("<B")

    def uleb(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def sleb(self) -> int:
        start = self.position
        value = self.uleb()
        bits = 7 * (self.position - start)
        return value - (1 << bits) if value >> (bits - 1) & 1 else value

    def string(self) -> bytes:
        end = self.data.index(b"\0", self.position)
        value, self.position = self.data[self.position : end], end + 1
        return value

    def pointer(self, encoding: int, *, datarel: int = 0) -> int | None:
        """An encoded pointer; None if it is omitted or null. For an indirect one, the address of the word that holds
        it."""
        if encoding == _OMIT:
            return None
        here = self.base + self.position
        form = encoding & 0x0F
        value = self.uleb() if form == _ULEB else self.sleb() if form == _SLEB else self.fixed(_FIXED[form])
        if value == 0:
            return None
        if encoding & 0x70 == _PCREL:
            return value + here & (1 << 64) - 1
        if encoding & 0x70 == _DATAREL:
            return value + datarel & (1 << 64) - 1
        if encoding & 0x70:
            raise UnwindError(f"pointer encoding {encoding:#x} is not known")
        return value


@dataclass(frozen=True, slots=True)
class Cie:
    """What a family of functions has in common."""

    version: int
    augmentation: bytes
    code_align: int
    data_align: bytes
    return_register: bytes
    pointer_encoding: int
    lsda_encoding: int
    personality: int | None
    instructions: bytes


@dataclass(frozen=True, slots=True)
class Fde:
    """One function (or the cold part of one): its range [start, end) and how to unwind from within it."""

    start: int
    end: int
    cie: Cie
    lsda: int | None
    instructions: bytes


class Frames:
    """The file's functions as its .eh_frame_hdr lists them, or .eh_frame where there is no such list, as in static
    programs; sorted. ``starts`` are the first addresses."""

    def __init__(self, elf: Elf) -> None:
        self._elf = elf
        self._cies: dict[int, Cie] = {}
        self._fdes: dict[int, Fde] = {}
        self.entries: list[tuple[int, int]] = []
        header = next((s for s in elf.segments if s.type == SegmentType.GNU_EH_FRAME), None)
        self.header = header
        self.eh_frame: int | None = None
        section = next((s for s in elf.sections if s.name == ".eh_frame" and s.flags & SHF_ALLOC), None)
        if header is not None:
            self._read_header(header.vaddr, header.filesz)
        elif section is not None:
            self.eh_frame = section.addr
            self._read_section(section.addr, section.size)
        self.starts = [start for start, _ in self.entries]

    def _read_header(self, address: int, size: int) -> None:
        data = self._elf.read(address, size)
        if data[0] != 1 or data[3] != _TABLE_ENCODING:
            raise UnwindError(".eh_frame_hdr has no binary search table of the usual kind")
        cursor = _Cursor(data, address, 4)
        self.eh_frame = cursor.pointer(data[1], datarel=address)
        count = cursor.pointer(data[2], datarel=address) or 0
        table = data[cursor.position : cursor.position + 8 * count]
        self.entries = [(start + address, fde + address) for start, fde in struct.iter_unpack("<ii", table)]
        if any(a > b for (a, _), (b, _) in zip(self.entries, self.entries[1:], strict=False)):
            raise UnwindError("the table of .eh_frame_hdr is not sorted")

    def _read_section(self, address: int, size: int) -> None:
        """The entries of an .eh_frame without a list, up to the terminator, as a program's own unwinder reads them."""
        end = address + size
        try:
            while address < end and self._elf.read(address, 4) != bytes(4):
                cursor, data = self._record(address)
                if back := cursor.fixed("<I"):
                    start = cursor.pointer(self._cie(address + 4 - back).pointer_encoding)
                    if start is not None:
                        self.entries.append((start, address))
                address += len(data)
        except MALFORMED as error:
            raise UnwindError(f"malformed unwinding information: {error}") from error
        self.entries.sort()

    def at(self, address: int) -> Fde | None:
        """The entry that covers ``address``."""
        fde = self.before(address)
        return fde if fde and address < fde.end else None

    def before(self, address: int) -> Fde | None:
        """The last entry that starts at or below ``address``."""
        index = bisect_right(self.starts, address) - 1
        return self.fde(index) if index >= 0 else None

    def next_start(self, address: int) -> int | None:
        """The first function start above ``address``."""
        index = bisect_right(self.starts, address)
        return self.starts[index] if index < len(self.starts) else None

    def __iter__(self) -> Iterator[Fde]:
        return (self.fde(i) for i in range(len(self.entries)))

    def fde(self, index: int) -> Fde:
        if index not in self._fdes:
            try:
                self._fdes[index] = self._read_fde(*self.entries[index])
            except MALFORMED as error:
                raise UnwindError(f"malformed unwinding information: {error}") from error
        return self._fdes[index]

    def _record(self, address: int) -> tuple[_Cursor, bytes]:
        (length,) = struct.unpack("<I", self._elf.read(address, 4))
        if not 4 <= length < 0xFFFFFFF0:
            raise UnwindError("unwinding information in the 64-bit DWARF format")
        data = self._elf.read(address, 4 + length)
        return _Cursor(data, address, 4), data

    def _read_fde(self, start: int, address: int) -> Fde:
        cursor, data = self._record(address)
        here = address + 4
        cie = self._cie(here - cursor.fixed("<I"))
        begin = cursor.pointer(cie.pointer_encoding)
        length = cursor.fixed(_FIXED[cie.pointer_encoding & 0x0F])
        if begin != start:
            raise UnwindError(f".eh_frame_hdr and .eh_frame disagree about the function at {start:#x}")
        lsda = None
        if cie.augmentation.startswith(b"z"):
            size = cursor.uleb()
            end = cursor.position + size
            if cie.lsda_encoding != _OMIT:
                lsda = cursor.pointer(cie.lsda_encoding)
            cursor.position = end
        return Fde(start, start + length, cie, lsda, data[cursor.position :])

    def _cie(self, address: int) -> Cie:
        if address in self._cies:
            return self._cies[address]
        cursor, data = self._record(address)
        if cursor.fixed("<I") != 0:
            raise UnwindError(f"no CIE at {address:#x}")
        version = cursor.byte()
        augmentation = cursor.string()
        if version not in (1, 3) or augmentation.strip(b"zRPLSB") or (augmentation and augmentation[:1] != b"z"):
            raise UnwindError(f"CIE version {version}, augmentation {augmentation!r} is not known")
        code_align = cursor.uleb()
        mark = cursor.position
        cursor.sleb()
        data_align, mark = data[mark : cursor.position], cursor.position
        if version == 1:
            cursor.byte()
        else:
            cursor.uleb()
        return_register = data[mark : cursor.position]
        pointer_encoding, lsda_encoding, personality = 0, _OMIT, None
        if augmentation:
            size = cursor.uleb()
            end = cursor.position + size
            for letter in augmentation[1:]:
                if letter == ord("R"):
                    pointer_encoding = cursor.byte()
                elif letter == ord("L"):
                    lsda_encoding = cursor.byte()
                elif letter == ord("P"):
                    personality = cursor.pointer(cursor.byte())
            cursor.position = end
        cie = Cie(
            version,
            augmentation,
            code_align,
            data_align,
            return_register,
            pointer_encoding,
            lsda_encoding,
            personality,
            data[cursor.position :],
        )
        self._cies[address] = cie
        return cie

    def call_sites(self, fde: Fde) -> list[tuple[int, int, int | None]]:
        """(start, end, landing pad or None) of each region of the function's exception table."""
        if fde.lsda is None:
            return []
        offset = self._elf.offset(fde.lsda)
        if offset is None:
            raise UnwindError(f"the exception table at {fde.lsda:#x} is not in the file")
        cursor = _Cursor(self._elf.data, fde.lsda - offset, offset)
        landing_base = cursor.pointer(cursor.byte())
        if landing_base is None:
            landing_base = fde.start
        if cursor.byte() != _OMIT:
            cursor.uleb()
        encoding = cursor.byte()
        size = cursor.uleb()
        end = cursor.position + size
        regions = []
        while cursor.position < end:
            start, length, landing = (cursor.pointer(encoding) or 0 for _ in range(3))
            cursor.uleb()
            start += fde.start
            regions.append((start, start + length, landing_base + landing if landing else None))
        return regions


# Call-frame instructions: how many operands of which kind follow an opcode of the extended group.
_OPERANDS = {
    0x00: "",  # nop
    0x05: "uu",  # offset_extended
    0x06: "u",  # restore_extended
    0x07: "u",  # undefined
    0x08: "u",  # same_value
    0x09: "uu",  # register
    0x0A: "",  # remember_state
    0x0B: "",  # restore_state
    0x0C: "uu",  # def_cfa
    0x0D: "u",  # def_cfa_register
    0x0E: "u",  # def_cfa_offset
    0x0F: "b",  # def_cfa_expression
    0x10: "ub",  # expression
    0x11: "us",  # offset_extended_sf
    0x12: "us",  # def_cfa_sf
    0x13: "s",  # def_cfa_offset_sf
    0x14: "uu",  # val_offset
    0x15: "us",  # val_offset_sf
    0x16: "ub",  # val_expression
    0x2E: "u",  # GNU_args_size
    0x2F: "uu",  # GNU_negative_offset_extended
}
_ADVANCE = {0x02: "<B", 0x03: "<H", 0x04: "<I"}


def _rules(fde: Fde) -> Iterator[tuple[int, bytes]]:
    """(address from which it holds, bytes) of every call-frame instruction that is not an address step."""
    cursor = _Cursor(fde.instructions, 0)
    address = fde.start
    while cursor.position < len(fde.instructions):
        start = cursor.position
        opcode = cursor.byte()
        if opcode >> 6 == 1:
            address += (opcode & 0x3F) * fde.cie.code_align
            continue
        if opcode in _ADVANCE:
            address += cursor.fixed(_ADVANCE[opcode]) * fde.cie.code_align
            continue
        if opcode >> 6 == 2:
            cursor.uleb()
        elif opcode >> 6 == 0:
            if opcode not in _OPERANDS:
                raise UnwindError(f"call-frame instruction {opcode:#x} is not known")
            for operand in _OPERANDS[opcode]:
                if operand == "s":
                    cursor.sleb()
                else:
                    value = cursor.uleb()
                    if operand == "b":
                        cursor.position += value
        if opcode:
            yield address, fde.instructions[start : cursor.position]


def rules_at(fde: Fde, address: int) -> tuple[Cie, bytes]:
    """The rules that apply when unwinding from ``address``: equal for places that are unwound in the same way."""
    return fde.cie, b"".join(code for begin, code in _rules(fde) if begin <= address)


@dataclass(frozen=True, slots=True)
class Frame:
    """An entry to write: the code it is for, its CIE without length, id and address encoding, and its rules."""

    start: int
    end: int
    cie_head: bytes
    cie_rules: bytes
    rules: bytes

    def cie(self, encoding: int) -> bytes:
        return self.cie_head + bytes([1, encoding]) + self.cie_rules


def copied_frame(fde: Fde, start: int, end: int, pairs: Sequence[tuple[int, int]]) -> Frame:
    """The entry for code at ``start``..``end`` that replaces code of ``fde``.

    ``pairs``: (address in the copy, address in the original), both ascending; from each address of the copy on, the
    rules of the original address hold. No personality: exceptions pass through.
    """
    rules = list(_rules(fde))
    out = bytearray()
    at, done = start, 0
    for address, original in pairs:
        upto = done
        while upto < len(rules) and rules[upto][0] <= original:
            upto += 1
        if upto > done:
            if address > at:
                out += b"\x04" + struct.pack("<I", address - at)  # DW_CFA_advance_loc4
                at = address
            out += b"".join(code for _, code in rules[done:upto])
            done = upto
    cie = fde.cie
    signal = b"S" if b"S" in cie.augmentation else b""
    head = bytes([cie.version]) + b"zR" + signal + b"\0\x01" + cie.data_align + cie.return_register
    return Frame(start, end, head, cie.instructions, bytes(out))


def slow_frame(start: int, end: int) -> Frame:
    """The entry for code that is about to jump to rcx - 2 and has changed nothing that matters.

    Described as a signal frame, but with nothing on the stack: the caller is at rcx - 2 itself, not behind it, with the
    same stack pointer and registers, and is then unwound by its own rules.
    """
    head = b"\x01zRS\0\x01\x78\x10"
    rules = (
        b"\x0c\x07\x00"  # DW_CFA_def_cfa rsp+0
        b"\x16\x10\x02\x72\x7e"  # DW_CFA_val_expression rip, DW_OP_breg2 (rcx) -2
    )
    return Frame(start, end, head, rules, b"")


def write_frames(frames: Sequence[Frame], address: int) -> tuple[bytes, list[tuple[int, int]]]:
    """An .eh_frame of ``frames`` that will stand at ``address``, and (code start, FDE address) of each entry."""
    out = bytearray()
    cies: dict[bytes, int] = {}
    entries = []
    for frame in frames:
        cie = frame.cie(_PCREL_SDATA4)
        if cie not in cies:
            cies[cie] = len(out)
            out += _padded(struct.pack("<I", 0) + cie)
        at = len(out)
        entries.append((frame.start, address + at))
        begin = frame.start - (address + at + 8)
        fde = struct.pack("<IiI", at + 4 - cies[cie], begin, frame.end - frame.start)
        out += _padded(fde + b"\0" + frame.rules)
    out += struct.pack("<I", 0)
    return bytes(out), entries


def write_debug_frame(frames: Sequence[Frame]) -> bytes:
    """The same as a .debug_frame section, which debuggers read in addition to the file's own .eh_frame."""
    out = bytearray()
    cies: dict[bytes, int] = {}
    for frame in frames:
        cie = frame.cie(_ABSOLUTE)
        if cie not in cies:
            cies[cie] = len(out)
            out += _padded(struct.pack("<I", 0xFFFFFFFF) + cie)
        begin_and_size = struct.pack("<QQ", frame.start, frame.end - frame.start)
        out += _padded(struct.pack("<I", cies[cie]) + begin_and_size + b"\0" + frame.rules)
    return bytes(out)


def _padded(body: bytes) -> bytes:
    body += b"\0" * (-(len(body) + 4) % 8)
    return struct.pack("<I", len(body)) + body


def header_size(count: int) -> int:
    """The size in bytes of an .eh_frame_hdr for ``count`` entries."""
    return 12 + 8 * count


def write_header(entries: Sequence[tuple[int, int]], eh_frame: int, address: int) -> bytes:
    """An .eh_frame_hdr at ``address`` with a search table of ``entries`` (code start, FDE address)."""
    head = struct.pack("<BBBBiI", 1, _PCREL_SDATA4, _UDATA4, _TABLE_ENCODING, eh_frame - address - 4, len(entries))
    return head + b"".join(struct.pack("<ii", start - address, fde - address) for start, fde in sorted(entries))
