# SPDX-License-Identifier: GPL-2.0-or-later
"""Machine code as the rewriter sees it: functions, their instructions, and copies of instructions elsewhere.

Bytes are taken for instructions only where a function is known to be, decoded from its first byte without a gap: its
first byte and its end are given by unwinding information or, where there is none, by a function's symbol (musl) or Go's
own table. Everything else in an executable segment (padding, tables between functions, code that nothing describes) is
"loose": nothing is rewritten there, and every byte of it that could be a branch counts as one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any, NamedTuple

import capstone
from capstone import x86

from kmltui.kml.rewrite.elf import SHF_EXECINSTR, Elf, SectionType
from kmltui.kml.rewrite.golang import go_functions
from kmltui.kml.rewrite.unwind import Fde, Frames

SYSCALL = b"\x0f\x05"
_FLOW = {
    capstone.CS_GRP_JUMP,
    capstone.CS_GRP_CALL,
    capstone.CS_GRP_RET,
    capstone.CS_GRP_INT,
    capstone.CS_GRP_IRET,
    capstone.CS_GRP_PRIVILEGE,
}
_ENDS = frozenset({"jmp", "notrack jmp", "ret", "repz ret", "bnd jmp", "hlt", "ud2", "int3"})
_CALLS = frozenset({"call", "notrack call", "bnd call", "lcall"})
_JUMPS = frozenset({"jmp", "notrack jmp", "bnd jmp"})
_CONDITION_FLAGS = (
    x86.X86_EFLAGS_TEST_CF
    | x86.X86_EFLAGS_TEST_PF
    | x86.X86_EFLAGS_TEST_ZF
    | x86.X86_EFLAGS_TEST_SF
    | x86.X86_EFLAGS_TEST_OF
)
_READS_FLAGS = frozenset({"pushf", "pushfq", "lahf"})
_WRITES_FLAGS = frozenset({"cmp", "test", "add", "sub", "xor", "and", "or", "neg", "cmpxchg", "xadd"})
_NOT_COPIED = frozenset({"endbr64", "syscall", "sysenter", "hlt", "ud2", "int3", "xbegin", "xabort", "xend"})


class Instruction(NamedTuple):
    address: int
    size: int
    mnemonic: str
    operands: str

    @property
    def end(self) -> int:
        return self.address + self.size

    @property
    def is_branch(self) -> bool:
        """A jump, conditional or not, or a loop instruction; not a call."""
        return "j" in self.mnemonic or self.mnemonic.startswith("loop")

    @property
    def is_call(self) -> bool:
        return self.mnemonic in _CALLS

    @property
    def target(self) -> int | None:
        """Where a direct jump or call goes."""
        if (self.is_branch or self.is_call) and self.operands.startswith("0x"):
            return int(self.operands, 16)
        return None

    @property
    def is_indirect_jump(self) -> bool:
        return self.is_branch and self.target is None

    @property
    def ends_flow(self) -> bool:
        """Whether control never runs on to what follows it."""
        return self.mnemonic in _ENDS

    @property
    def is_padding(self) -> bool:
        """Whether it does nothing and is used as padding."""
        if self.mnemonic == "xchg":
            return self.operands == "ax, ax"
        return self.mnemonic == "int3" or self.mnemonic.endswith("nop")


@dataclass(frozen=True)
class Function:
    """A function, [start, end), and the loose bytes behind it, up to ``limit``, where the next one starts.

    ``instructions`` covers [start, limit) as far as it could be decoded; ``whole``: it covers [start, end). ``fde`` is
    its entry in the unwinding table; None if only a symbol describes it.
    """

    start: int
    end: int
    limit: int
    fde: Fde | None
    instructions: tuple[Instruction, ...]

    @cached_property
    def index(self) -> dict[int, int]:
        """The position in ``instructions`` of the one that starts at an address."""
        return {instruction.address: i for i, instruction in enumerate(self.instructions)}

    def position(self, address: int) -> int:
        """The position in ``instructions`` of the last one that starts at or below an address of the function."""
        return bisect_right(self.instructions, address, key=attrgetter("address")) - 1

    @cached_property
    def whole(self) -> bool:
        return any(i.end >= self.end for i in reversed(self.instructions))

    @cached_property
    def runs_on(self) -> bool:
        """Whether control runs from the last described instruction into the loose bytes behind it.

        This is so where the description ends deliberately around a system call (clone).
        """
        last = next((i for i in reversed(self.instructions) if i.end <= self.end), None)
        return self.whole and last is not None and last.end == self.end and not last.ends_flow


class Code:
    """The functions of a file, decoded when asked for."""

    def __init__(self, elf: Elf, frames: Frames) -> None:
        self.elf, self.frames = elf, frames
        self._quick = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self._full = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self._full.detail = True
        self._functions: dict[int, Function] = {}

    def candidates(self) -> Iterator[int]:
        """Every address of an executable section where the bytes of ``syscall`` are, instruction or not."""
        for section in self.elf.sections:
            if not section.flags & SHF_EXECINSTR or section.type == SectionType.NOBITS:
                continue
            position, end = section.offset, section.offset + section.size
            while (position := self.elf.data.find(SYSCALL, position, end)) >= 0:
                yield position - section.offset + section.addr
                position += 1

    def function(self, address: int) -> Function | None:
        """The function whose code, or the loose bytes behind it, contains ``address``."""
        fde = self.frames.before(address)
        start, end = self._symbol_before(address)
        if fde is not None and (address < fde.end or fde.start >= start):
            start, end = fde.start, fde.end
        else:
            fde = None
        if start < 0:
            return None
        function = self._functions.get(start)
        if function is None:
            segment = next((s for s in self.elf.executable if s.vaddr <= start < s.vaddr + s.filesz), None)
            if segment is None or end > segment.vaddr + segment.filesz:
                return None
            following = self.next_start(start)
            limit = segment.vaddr + segment.filesz
            if following is not None:
                limit = max(min(limit, following), end)
            code = self.elf.read(start, limit - start)
            decoded = tuple(Instruction(*i) for i in self._quick.disasm_lite(code, start))
            function = self._functions[start] = Function(start, end, limit, fde, decoded)
        return function if address < function.limit else None

    def next_start(self, address: int) -> int | None:
        """The first function start above ``address``."""
        index = bisect_right(self._symbols, (address, self.elf.end))
        starts = [self.frames.next_start(address), self._symbols[index][0] if index < len(self._symbols) else None]
        return min((start for start in starts if start is not None), default=None)

    def _symbol_before(self, address: int) -> tuple[int, int]:
        """[start, end) of the last function at or below ``address`` that only its symbol describes; else (-1, -1)."""
        index = bisect_right(self._symbols, (address, self.elf.end)) - 1
        return self._symbols[index] if index >= 0 else (-1, -1)

    @cached_property
    def _symbols(self) -> list[tuple[int, int]]:
        """[start, end) of each function that a symbol describes but no unwinding information. Sorted, without
        overlaps."""
        named = {(s.address, s.address + s.size) for s in self.elf.code_symbols() if s.is_function and s.size}
        # Go's own table includes the padding: where there are symbols as well, theirs are the exact ranges.
        named = named or set(go_functions(self.elf))
        found: list[tuple[int, int]] = []
        reach = -1
        for start, end in sorted(named):
            if start < reach:  # two descriptions that contradict each other: neither is used
                if found and found[-1][1] > start:
                    found.pop()
            elif not self._described(start, end):
                found.append((start, end))
            reach = max(reach, end)
        return found

    def _described(self, start: int, end: int) -> bool:
        """Whether unwinding information describes any part of [start, end)."""
        following = self.frames.next_start(start)
        return self.frames.at(start) is not None or (following is not None and following < end)

    def functions_in(self, low: int, high: int) -> Iterator[Function]:
        """The functions that overlap [low, high), with the loose bytes behind them."""
        at: int | None = low
        while at is not None and at < high:
            function = self.function(at)
            if function is not None:
                yield function
            at = self.next_start(at)

    def straight(self, address: int) -> Iterator[Instruction]:
        """The instructions from ``address`` on, decoded without regard to functions."""
        for segment in self.elf.executable:
            if segment.vaddr <= address < segment.vaddr + segment.filesz:
                size = min(64, segment.vaddr + segment.filesz - address)
                yield from (Instruction(*i) for i in self._quick.disasm_lite(self.elf.read(address, size), address))

    def detail(self, instruction: Instruction) -> Any:
        """capstone's full description of an instruction."""
        code = self.elf.read(instruction.address, instruction.size)
        return next(self._full.disasm(code, instruction.address, 1))

    def absolute_fields(self, instruction: Instruction) -> tuple[int, ...]:
        """The positions of its displacement and its immediate value, unless they are relative to the instruction."""
        if instruction.target is not None:
            return ()
        detail = self.detail(instruction)
        fields = (detail.imm_offset,) if _rip_relative(detail) else (detail.disp_offset, detail.imm_offset)
        return tuple(instruction.address + at for at in fields if at)

    def copied(self, instruction: Instruction, address: int) -> bytes | None:
        """The instruction's bytes for execution at ``address`` with the same effect; None if that is impossible."""
        detail = self.detail(instruction)
        if instruction.mnemonic in _NOT_COPIED or _FLOW & set(detail.groups):
            return None
        code = bytearray(detail.bytes)
        if _rip_relative(detail):
            if detail.disp_size != 4:
                return None
            at = detail.disp_offset
            disp = int.from_bytes(code[at : at + 4], "little", signed=True) + instruction.address - address
            if not -(1 << 31) <= disp < 1 << 31:
                return None
            code[at : at + 4] = disp.to_bytes(4, "little", signed=True)
        return bytes(code)

    def flags_dead(self, address: int) -> bool:
        """Whether the arithmetic flags are written before they are read from ``address`` on, whatever the path.

        A call, a return or an indirect jump ends the search: by the ABI, none of them passes flags on.
        """
        seen: set[int] = set()
        todo = [address]
        while todo:
            at = todo.pop()
            while at not in seen:
                seen.add(at)
                function = self.function(at)
                if function is None or at not in function.index:
                    return False
                instruction = function.instructions[function.index[at]]
                if instruction.mnemonic in _JUMPS:
                    if instruction.target is not None:
                        todo.append(instruction.target)
                    break
                if instruction.ends_flow or instruction.is_call:
                    break
                if instruction.mnemonic in _READS_FLAGS or self.detail(instruction).eflags & _CONDITION_FLAGS:
                    return False
                if instruction.mnemonic.removeprefix("lock ") in _WRITES_FLAGS:
                    break
                at = instruction.end
        return True


def _rip_relative(detail: Any) -> bool:
    return any(o.type == x86.X86_OP_MEM and o.mem.base in (x86.X86_REG_RIP, x86.X86_REG_EIP) for o in detail.operands)
