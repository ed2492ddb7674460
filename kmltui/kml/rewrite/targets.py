# SPDX-License-Identifier: GPL-2.0-or-later
"""Where control can arrive from elsewhere: every way to reach a code address other than from the instruction before it.

The proof that a run of instructions may be replaced rests on this: nothing may arrive in its middle. Arrivals are
collected for the neighbourhoods that matter, from the whole file, and always err on the side of too many:

* 32-bit relative jumps and calls: every byte of every executable segment that could begin one counts, unless it is
  the middle of an instruction of a decoded function;
* 8-bit relative jumps: those of every decoded function in reach; in loose bytes, every byte that could begin one
  and leads to the beginning of an instruction;
* addresses taken: every RIP-relative ``lea``, again at every byte; every word that the loader relocates; in files at
  fixed addresses, every operand and every 4 bytes of data that equal the address;
* jump tables: any 32-bit words behind any address that is taken, as long as they lead into code relative to it,
  unless that is the middle of an instruction;
* symbols, function starts of the unwinding table, landing pads of exception tables.

This misses only addresses that are computed from one of these by arithmetic, as in hand-written jump ladders;
``takes_addresses`` identifies the functions that have an address in their middle taken at all.
"""

from __future__ import annotations

import re
import struct
from collections import defaultdict
from collections.abc import Iterable, Set
from dataclasses import dataclass
from enum import StrEnum

from kmltui.kml.rewrite.code import Code, Function
from kmltui.kml.rewrite.elf import FileType, Flag
from kmltui.kml.rewrite.unwind import UnwindError

REACH = 128 + 16
"""How far from an address an 8-bit jump to it can begin, with some margin."""

_BUCKET = 6
_NEAR = re.compile(rb"[\xe8\xe9]")
_NEAR_IF = re.compile(rb"\x0f[\x80-\x8f]|\xc7\xf8")
_LEA = re.compile(rb"\x8d[\x05\x0d\x15\x1d\x25\x2d\x35\x3d]")
_SHORT = frozenset({*range(0x70, 0x80), *range(0xE0, 0xE4), 0xEB})
_REL32 = struct.Struct("<i")
_TABLE_LIMIT = 4096
_MOST_PREFIXES = 4
_UNWINDING = frozenset({".eh_frame", ".eh_frame_hdr", ".gcc_except_table"})


class Kind(StrEnum):
    BRANCH = "branch"
    ADDRESS = "address taken"
    RELOCATION = "relocated word"
    WORD = "number that reads as the address"
    TABLE = "jump table"
    SYMBOL = "symbol"
    EXPORT = "exported symbol"
    START = "function start"
    LANDING = "landing pad"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One way to reach an address; ``source`` is where the jump, word, table or symbol is."""

    kind: Kind
    source: int


class Targets:
    """The arrivals at addresses within the ranges ``near``, and within reach of 8-bit jumps around them."""

    def __init__(self, code: Code, near: Iterable[tuple[int, int]]) -> None:
        self.code = code
        self.arrivals: defaultdict[int, set[Arrival]] = defaultdict(set)
        near = [(low - 2 * REACH, high + 2 * REACH) for low, high in near]
        self._buckets = {b for low, high in near for b in range(low >> _BUCKET, (high >> _BUCKET) + 1)}
        self._relative()
        self._words()
        self._named()
        self._short(near)
        if code.elf.type is FileType.EXEC:
            self._absolute()

    def at(self, address: int) -> set[Arrival]:
        return self.arrivals.get(address, set())

    def inside(self, start: int, end: int) -> bool:
        """Whether anything arrives strictly between ``start`` and ``end``, at any byte."""
        return any(a in self.arrivals for a in range(start + 1, end))

    def takes_addresses(self, function: Function) -> bool:
        """Whether any code takes an address in the function's middle, to compute a jump from it or to compare with it.

        A number in data does not start a computation: if anything, it is a jump target.
        """
        inner = (a for a in range(function.start + 1, function.end) if a in self.arrivals and a in function.index)
        return any(self._taken(arrival) for address in inner for arrival in self.at(address))

    def _taken(self, arrival: Arrival) -> bool:
        if arrival.kind is Kind.WORD:
            return self.code.elf.in_text(arrival.source)
        return arrival.kind in (Kind.ADDRESS, Kind.RELOCATION)

    def out_of_step(self, function: Function) -> bool:
        """Whether anything arrives between the instructions of the function as decoded: then the decoding is wrong.

        glibc's signal return is described from one byte before its first instruction on. Jumps past the lock prefix of
        an instruction do not count: code that knows that it has a single thread does that. Nor do mere numbers, some of
        which will equal any given address.
        """
        return any(
            a not in function.index
            and any(arrival.kind is not Kind.WORD for arrival in self.at(a))
            and not self._past_lock(function, a)
            for a in range(function.start, function.end)
            if a in self.arrivals
        )

    @staticmethod
    def _past_lock(function: Function, address: int) -> bool:
        at = function.index.get(address - 1)
        return at is not None and function.instructions[at].mnemonic.startswith("lock ")

    def _add(self, address: int, kind: Kind, source: int) -> None:
        if address >> _BUCKET in self._buckets:
            self.arrivals[address].add(Arrival(kind, source))

    def _is_middle(self, address: int) -> bool:
        """Whether ``address`` is provably not where an instruction begins."""
        function = self.code.function(address)
        return function is not None and function.whole and address < function.end and address not in function.index

    def _may_be_instruction(self, source: int, end: int) -> bool:
        """Whether bytes at ``source``..``end`` can be an instruction, or the last bytes of one that has prefixes."""
        function = self.code.function(source)
        if function is None or not self._is_middle(source):
            return True
        starts = (function.index.get(source - prefixes) for prefixes in range(1, _MOST_PREFIXES + 1))
        return any(function.instructions[at].end == end for at in starts if at is not None)

    def _proven(self, address: int) -> bool:
        """Whether an instruction is known to begin at ``address``."""
        function = self.code.function(address)
        return function is not None and function.whole and address < function.end and address in function.index

    def _relative(self) -> None:
        elf, buckets = self.code.elf, self._buckets
        tables = set()
        for segment in elf.executable:
            data = elf.data[segment.offset : segment.offset + segment.filesz]
            base = segment.vaddr
            last = len(data) - 4
            for pattern, size in ((_NEAR, 1), (_NEAR_IF, 2), (_LEA, 2)):
                for match in pattern.finditer(data):
                    at = match.start() + size
                    if at > last:
                        continue
                    target = base + at + 4 + _REL32.unpack_from(data, at)[0]
                    if pattern is _LEA:
                        tables.add(target)
                    if target >> _BUCKET not in buckets:
                        continue
                    source = base + match.start()
                    if not self._may_be_instruction(source, base + at + 4):
                        continue
                    if pattern is _LEA:
                        self._add(target, Kind.ADDRESS, source)
                    elif self._proven(source) or not self._is_middle(target):
                        self._add(target, Kind.BRANCH, source)
        for table in tables:
            self._table(table)

    def _table(self, table: int) -> None:
        elf = self.code.elf
        segment = next((s for s in elf.loads if s.vaddr <= table < s.vaddr + s.filesz), None)
        if segment is None or segment.flags & Flag.X:
            return
        position = table - segment.vaddr + segment.offset
        for _ in range(_TABLE_LIMIT):
            if position + 4 > segment.offset + segment.filesz:
                return
            target = table + _REL32.unpack_from(elf.data, position)[0]
            if not elf.in_text(target):
                return
            if target >> _BUCKET in self._buckets and not self._is_middle(target):
                self._add(target, Kind.TABLE, table)
            position += 4

    def _words(self) -> None:
        for slot, value in self.code.elf.relocated_words():
            self._add(value, Kind.RELOCATION, slot)

    def _named(self) -> None:
        for symbol in self.code.elf.code_symbols():
            self._add(symbol.address, Kind.EXPORT if symbol.exported else Kind.SYMBOL, symbol.address)
        if self.code.elf.entry:
            self._add(self.code.elf.entry, Kind.EXPORT, self.code.elf.entry)
        for start in self.code.frames.starts:
            self._add(start, Kind.START, start)
        for fde in self.code.frames:
            for _, _, landing in self.code.frames.call_sites(fde):
                if landing is not None:
                    self._add(landing, Kind.LANDING, fde.start)

    def _short(self, near: Iterable[tuple[int, int]]) -> None:
        """Collects 8-bit jumps (and, decoded properly this time, all direct ones) of the code in ``near``."""
        done = set()
        for low, high in near:
            for function in self.code.functions_in(low, high):
                if function.start not in done:
                    done.add(function.start)
                    self._short_of(function)
        for segment in self.code.elf.executable:
            first = self.code.next_start(segment.vaddr - 1) or segment.vaddr
            end = min(first, segment.vaddr + segment.filesz)
            self._loose(segment.vaddr, end, frozenset())

    def _short_of(self, function: Function) -> None:
        covered = function.start
        for instruction in function.instructions:
            if instruction.target is not None:
                self._add(instruction.target, Kind.BRANCH, instruction.address)
            if instruction.address < function.end:
                covered = instruction.end
        padding = {
            address
            for i in function.instructions
            if i.address >= function.end and i.is_padding
            for address in range(i.address, i.end)
        }
        self._loose(min(covered, function.end), function.limit, padding)

    def _loose(self, start: int, end: int, padding: Set[int]) -> None:
        """The 8-bit jumps that the bytes of [start, end) could be; padding is none."""
        if start >= end:
            return
        data = self.code.elf.read(start, end - start)
        for i in range(len(data) - 1):
            if data[i] in _SHORT and start + i not in padding:
                target = start + i + 2 + int.from_bytes(data[i + 1 : i + 2], "little", signed=True)
                if target >> _BUCKET in self._buckets and not self._is_middle(target):
                    self._add(target, Kind.BRANCH, start + i)

    def _absolute(self) -> None:
        """Addresses as immediate values and in tables, of a file that is loaded at fixed addresses."""
        elf = self.code.elf
        spans = [(s.vaddr, s.vaddr + s.filesz) for s in elf.executable]
        low, high = min(a for a, _ in spans), max(b for _, b in spans)
        if high - low >= 1 << 24 and low >> 24 != high >> 24:
            raise UnwindError("a program at fixed addresses with more than 16 MiB of code")
        for top in range(low >> 16, (high >> 16) + 1):
            pattern = struct.pack("<H", top)
            for segment in elf.loads:
                end = segment.offset + segment.filesz
                position = elf.data.find(pattern, segment.offset + 2, end)
                while position >= 0:
                    place = position - 2 - segment.offset + segment.vaddr
                    value = struct.unpack_from("<I", elf.data, position - 2)[0]
                    if value >> _BUCKET in self._buckets and self._may_be_address(place):
                        self._add(value, Kind.WORD, place)
                    position = elf.data.find(pattern, position + 1, end)

    def _may_be_address(self, place: int) -> bool:
        """Whether the program may use the 4 bytes at ``place`` as an address: not if they are unwinding information,
        and within an instruction only if they are its operand."""
        if any(s.addr <= place < s.addr + s.size for s in self.code.elf.sections if s.name in _UNWINDING):
            return False
        function = self.code.function(place)
        if function is None or not function.whole or place >= function.end:
            return True
        return place in self.code.absolute_fields(function.instructions[function.position(place)])
