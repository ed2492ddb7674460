# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine code that rewriting adds for the sites of a file: one thunk for each.

A thunk executes the instructions that were replaced at its site, loads the address behind the site's ``syscall`` into
rcx, as the instruction itself would, and jumps through the word at ``PAGE_ADDRESS``. In an attached process the word is
the kernel's entry; in any other it leads to the slow code (entry.S) that jumps to rcx - 2, the site's own ``syscall``.
Nothing is pushed (the red zone below rsp may be in use), and only rcx and r11 change, which a ``syscall`` destroys as
well.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from kmltui.kml.rewrite.code import Code, Instruction
from kmltui.kml.rewrite.elf import ElfError
from kmltui.kml.rewrite.plan import JUMP_SIZE, SHORT_JUMP_SIZE, SitePlan
from kmltui.kml.rewrite.unwind import Frame, copied_frame

PAGE_ADDRESS = 0x10000
"""The address of a page in every process that runs rewritten code: the lowest that an unprivileged process may map."""

_ALIGN = 16
_INT3 = b"\xcc"
_JMP_SLOT = b"\xff\x24\x25" + struct.pack("<I", PAGE_ADDRESS)  # jmp *0x10000
_SLOT_SIGN = b"\x80\x3c\x25" + struct.pack("<I", PAGE_ADDRESS + 7) + b"\0"  # cmpb $0,0x10007
_JNS_OVER_JMP = b"\x79" + bytes([len(_JMP_SLOT)])  # jns past a jump through the slot


def relative(opcode: bytes, address: int, target: int) -> bytes:
    """An instruction at ``address`` that ends in a 32-bit displacement to ``target``."""
    return opcode + struct.pack("<i", target - address - len(opcode) - 4)


def jump(address: int, target: int) -> bytes:
    """``jmp target``, 5 bytes."""
    return relative(b"\xe9", address, target)


def short_jump(address: int, target: int) -> bytes:
    """``jmp target``, 2 bytes."""
    return b"\xeb" + struct.pack("<b", target - address - SHORT_JUMP_SIZE)


def _load_return(address: int, behind: int) -> bytes:
    """``lea behind(%rip),%rcx``."""
    return relative(b"\x48\x8d\x0d", address, behind)


@dataclass
class Thunks:
    """The code to append at address ``base``, and what changes elsewhere in the file because of it."""

    code: Code
    base: int
    text: bytearray = field(default_factory=bytearray)
    _runs: list[tuple[int, bytes]] = field(default_factory=list)
    _holes: list[tuple[int, bytes]] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    """The unwinding entries that the code needs."""

    @property
    def patches(self) -> list[tuple[int, bytes]]:
        """(address, bytes) to overwrite, in this order, because some holes are in the remains of replaced runs."""
        return self._runs + self._holes

    @property
    def here(self) -> int:
        return self.base + len(self.text)

    def align(self) -> None:
        self.text += _INT3 * (-len(self.text) % _ALIGN)

    def _copy(self, instruction: Instruction) -> None:
        copied = self.code.copied(instruction, self.here)
        if copied is None:
            raise ElfError(f"the instruction at {instruction.address:#x} is out of reach of the appended code")
        self.text += copied

    def add(self, plan: SitePlan) -> None:
        """Add the thunk of a planned site, and the jump to it."""
        self.align()
        start = self.here
        fde = plan.function.fde if plan.function else None
        if plan.method == "moved":
            pairs = self._move(plan)
            self.replace(plan.start, plan.start + JUMP_SIZE, jump(plan.start, start))
            described = self.here
        else:
            pairs = self._detour(plan)
            described = self.here
            if plan.function and plan.address >= plan.function.end:
                described = pairs[-1][0]
            if plan.hole is None:
                self.replace(plan.start, plan.address, jump(plan.start, start))
            else:
                self.replace(plan.start, plan.address, short_jump(plan.start, plan.hole))
                self._holes.append((plan.hole, jump(plan.hole, start)))
                if fde and self.code.frames.at(plan.hole) is None:
                    rules = [(plan.hole, plan.start)]
                    self.frames.append(copied_frame(fde, plan.hole, plan.hole + JUMP_SIZE, rules))
        if fde:
            self.frames.append(copied_frame(fde, start, described, pairs))

    def replace(self, start: int, end: int, code: bytes) -> None:
        """What the new bytes leave over is never executed; a breakpoint there makes it noticed if it is."""
        self._runs.append((start, code.ljust(end - start, _INT3)))

    def _detour(self, plan: SitePlan) -> list[tuple[int, int]]:
        pairs = []
        for instruction in plan.run:
            pairs.append((self.here, instruction.address))
            self._copy(instruction)
        pairs.append((self.here, plan.address))
        self.text += _load_return(self.here, plan.address + 2)
        self.text += _JMP_SLOT
        return pairs

    def _move(self, plan: SitePlan) -> list[tuple[int, int]]:
        """The whole function, with the direct call before its ``syscall``.

        Its labels enclose the direct call, and the slow path falls through to the ``syscall`` here instead of going
        through the page, so that a thread that has not yet entered the kernel is always seen between them.
        """
        pairs = []
        moved = {}
        for instruction in plan.run:
            pairs.append((self.here, instruction.address))
            moved[instruction.address] = self.here
            if instruction.address == plan.address:
                behind = self.here + 7 + len(_SLOT_SIGN) + len(_JNS_OVER_JMP) + len(_JMP_SLOT) + 2
                self.text += _load_return(self.here, behind) + _SLOT_SIGN + _JNS_OVER_JMP + _JMP_SLOT
                moved[instruction.address + 2] = behind
                pairs.append((self.here, plan.address))
                self.text += b"\x0f\x05"
            elif instruction.target is not None:
                opcode = self.code.elf.read(instruction.address, instruction.size - 4)
                self.text += relative(opcode, self.here, instruction.target)
            elif instruction.mnemonic == "ret":
                self.text += self.code.elf.read(instruction.address, instruction.size)
            else:
                self._copy(instruction)
        values = dict(self.code.elf.relocated_words())
        for place in plan.labels:
            self._runs.append((place, struct.pack("<Q", moved[values[place]])))
        return pairs
