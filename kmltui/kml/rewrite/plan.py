# SPDX-License-Identifier: GPL-2.0-or-later
"""Decides for every ``syscall`` of a file whether and how it can be redirected, and proves that this is safe.

The two bytes of the instruction always stay: a restarted system call, a jump straight to it and the thunk's own slow
path all execute it. Only a run of whole instructions right before it is replaced; they move into the thunk. That is
sound if

* the run lies in straight-line code of a function that decodes completely and is described by unwinding information or,
  where there is none, by a symbol with a size;
* nothing arrives in the middle of the run (see ``targets``); control may arrive at its first byte and at the
  ``syscall``;
* each instruction has the same effect elsewhere: no branch, and RIP-relative operands can be moved;
* the flags are dead after the ``syscall``, since a direct call does not preserve them;
* nothing recognises the place by its bytes (signal return) or by its address. glibc 2.41's thread cancellation, for
  example, checks whether a thread is between two labels; that keeps working only if the thunk is between the labels
  too, so the whole function is moved.

rcx and r11 need no proof: the thunk sets them last, and the ``syscall`` that it replaces destroys both.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property

from capstone import x86

from kmltui.kml.rewrite.code import Code, Function, Instruction
from kmltui.kml.rewrite.elf import Elf, FileType, Symbol
from kmltui.kml.rewrite.report import Method
from kmltui.kml.rewrite.targets import Kind, Targets
from kmltui.kml.rewrite.unwind import rules_at

JUMP_SIZE = 5
SHORT_JUMP_SIZE = 2
_SIGRETURN = 15
_OUTSIDE = "neither unwinding information nor a symbol describes the code around it"
_CALLED = (Kind.BRANCH, Kind.START)
"""The ways in which control may arrive at the beginning of a moved function: the jump to its new place serves them."""
_LONGEST_RUN = 16
"""How many instructions before a site are searched for the call's number."""


@dataclass
class SitePlan:
    """What to do about the site at ``address``. ``run`` is what its thunk executes in place of the replaced bytes."""

    address: int
    function: Function | None
    method: Method = "left alone"
    reason: str = ""
    number: int | None = None
    run: tuple[Instruction, ...] = ()
    hole: int | None = None
    """The address of the 5-byte jump that a short one leads to."""
    labels: list[int] = field(default_factory=list)
    """Of a moved function: places of words that hold an address within it and have to be adjusted."""
    bypasses: list[int] = field(default_factory=list)

    @property
    def start(self) -> int:
        return self.run[0].address if self.run else self.address


class Planner:
    """The plans of one file."""

    def __init__(self, elf: Elf, code: Code) -> None:
        self.elf, self.code = elf, code

    @cached_property
    def sites(self) -> list[tuple[int, Function | None]]:
        """Every genuine ``syscall`` instruction, with its function if one is described."""
        found: list[tuple[int, Function | None]] = []
        for address in self.code.candidates():
            function = self.code.function(address)
            if function is None:
                found.append((address, None))
            elif address in function.index:
                if function.instructions[function.index[address]].mnemonic == "syscall":
                    found.append((address, function if self._described(function, address) else None))
            elif not function.whole and address < function.end:
                found.append((address, None))
        return found

    @staticmethod
    def _described(function: Function, address: int) -> bool:
        """Whether ``address`` is in the function proper, or in the bytes behind it into which control runs on."""
        if address < function.end:
            return function.whole
        behind = function.instructions[: function.index[address]]
        return function.runs_on and not any(i.ends_flow for i in behind if i.address >= function.end)

    @cached_property
    def targets(self) -> Targets:
        near = [(f.start, f.limit) for _, f in self.sites if f is not None]
        return Targets(self.code, [*near, (self.elf.entry, self.elf.entry)])

    def plans(self) -> list[SitePlan]:
        """A plan for every site of the file."""
        plans = [self._plan(address, function) for address, function in self.sites]
        holes = _Holes(self, plans)
        for plan in plans:
            if plan.method == "short jump":
                plan.hole = holes.take(plan)
                if plan.hole is None:
                    plan.method = "left alone"
                    plan.reason = "too few bytes before it can be moved, and there is no room for a jump within reach"
                    plan.run = ()
        return plans

    def _plan(self, address: int, function: Function | None) -> SitePlan:
        plan = SitePlan(address, function)
        if function is None:
            plan.reason = _OUTSIDE
            return plan
        if function.fde is not None and b"S" in function.fde.cie.augmentation:
            plan.reason = "signal return: unwinders recognise its bytes"
            return plan
        if self.targets.out_of_step(function):
            plan.reason = "something jumps into the middle of an instruction of its function"
            return plan
        plan.number = self._number(function, address)
        plan.bypasses = sorted(a.source for a in self.targets.at(address) if a.kind is Kind.BRANCH)
        behind = address + 2
        if plan.number == _SIGRETURN:
            plan.reason = "signal return: unwinders recognise its bytes"
        elif not self.code.flags_dead(behind):
            plan.reason = "the flags may be used after it"
        elif any(a.kind in (Kind.ADDRESS, Kind.RELOCATION, Kind.WORD) for a in self.targets.at(behind)):
            self._plan_move(plan, function)
        elif self.targets.takes_addresses(function):
            plan.reason = "an address within its function is taken"
        elif self._caught(function, address):
            plan.reason = "an exception table covers it"
        else:
            self._plan_run(plan, function)
        return plan

    def _plan_run(self, plan: SitePlan, function: Function) -> None:
        """The shortest run of at least 5 bytes, else one of at least 2."""
        at = function.index[plan.address]
        start = at
        stop = "its function begins right before it"
        while start > 0 and plan.address - function.instructions[start].address < JUMP_SIZE:
            if start < at and self.targets.at(function.instructions[start].address):
                stop = "something jumps to an instruction right before it"
                break
            before = function.instructions[start - 1]
            if self.targets.inside(before.address, before.end) or self.code.copied(before, before.address) is None:
                stop = "the instruction before it cannot be moved"
                break
            start -= 1
        plan.run = function.instructions[start:at]
        size = plan.address - plan.start
        if size >= JUMP_SIZE:
            plan.method = "jump"
        elif size >= SHORT_JUMP_SIZE:
            plan.method = "short jump"
        else:
            plan.run = ()
            plan.reason = stop

    def _plan_move(self, plan: SitePlan, function: Function) -> None:
        """Move the whole function with its labels, if it is straight-line code and is entered only at its start."""
        plan.reason = "its address is compared with the instruction pointer in a way that cannot be followed"
        if self.elf.type is not FileType.DYN or plan.address >= function.end:
            return
        run = tuple(i for i in function.instructions if i.address < function.end)
        if run[-1].end != function.end or not run[-1].ends_flow:
            return
        if function.start + JUMP_SIZE > plan.address or self.targets.inside(function.start, function.start + JUMP_SIZE):
            return
        for instruction in run:
            target = instruction.target
            inside = target is not None and function.start <= target < function.limit
            outside = target is not None and not inside and instruction.size >= JUMP_SIZE
            plain = instruction.mnemonic in ("syscall", "ret") or self.code.copied(instruction, instruction.address)
            if not (outside or plain) or (instruction.mnemonic == "syscall" and instruction.address != plan.address):
                return
        labels = []
        for address in range(function.start, function.end):
            for arrival in self.targets.at(address):
                if arrival.kind is Kind.RELOCATION:
                    labels.append(arrival.source)
                elif arrival.kind is not Kind.SYMBOL and (address != function.start or arrival.kind not in _CALLED):
                    return
        plan.run, plan.labels, plan.method, plan.reason = run, labels, "moved", ""

    def _caught(self, function: Function, address: int) -> bool:
        """Whether an exception that passes through the site would be handled in any way but passed on.

        A place without an entry in its function's exception table passes exceptions on in C; in C++ an exception there
        ends the program, which a thunk without a table of its own would not do.
        """
        if function.fde is None or function.fde.lsda is None:
            return False
        return any(a <= address < b and landing for a, b, landing in self.code.frames.call_sites(function.fde))

    def _number(self, function: Function, address: int) -> int | None:
        """The constant in eax, if the straight-line code right before the site puts one there."""
        at = function.index[address]
        register = "eax"
        for instruction in reversed(function.instructions[max(0, at - _LONGEST_RUN) : at]):
            if instruction.is_branch or instruction.is_call or instruction.ends_flow:
                return None
            detail = self.code.detail(instruction)
            written = {detail.reg_name(r) for r in detail.regs_access()[1]}
            if written & _same(register):
                ops = detail.operands
                if instruction.mnemonic == "xor" and ops[0].reg == ops[1].reg:
                    return 0
                if instruction.mnemonic == "mov" and ops[1].type == x86.X86_OP_IMM:
                    return int(ops[1].imm)
                if instruction.mnemonic != "mov" or ops[1].type != x86.X86_OP_REG:
                    return None
                register = str(detail.reg_name(ops[1].reg))
            if self.targets.at(instruction.address):
                return None
        return None


def _same(register: str) -> set[str]:
    """The names of a register as 32 bits, as 64 bits and as given."""
    if register[0] in "er" and not register[1].isdigit():
        return {"e" + register[1:], "r" + register[1:]}
    base = register.rstrip("d")
    return {base, base + "d"}


class _Holes:
    """Bytes that are never executed, with room for 5-byte jumps: padding, and what is left of replaced runs."""

    def __init__(self, planner: Planner, plans: list[SitePlan]) -> None:
        self._planner = planner
        self._free: dict[int, int] = {}
        self._searched: set[int] = set()
        self._replaced = {a for plan in plans for a in range(plan.start, plan.address)}
        for plan in plans:
            if plan.method == "jump" and plan.address - plan.start >= 2 * JUMP_SIZE:
                self._free[plan.start + JUMP_SIZE] = plan.address

    def take(self, plan: SitePlan) -> int | None:
        """5 bytes within reach of an 8-bit jump at the beginning of ``plan``; they are not given out again."""
        origin = plan.start + SHORT_JUMP_SIZE
        low, high = origin - 128, origin + 127
        for function in self._planner.code.functions_in(low, high):
            if function.start not in self._searched:
                self._searched.add(function.start)
                self._search(function)
        for start, end in self._free.items():
            at = max(start, low)
            if at + JUMP_SIZE <= end and at <= high and self._unwinds(plan, at):
                del self._free[start]
                if at - start >= JUMP_SIZE:
                    self._free[start] = at
                if end - at - JUMP_SIZE >= JUMP_SIZE:
                    self._free[at + JUMP_SIZE] = end
                return at
        return None

    def _unwinds(self, plan: SitePlan, at: int) -> bool:
        """Whether a jump at ``at`` can be unwound as ``plan`` can: nothing describes it yet, or the same rules do."""
        there = self._planner.code.frames.at(at)
        here = plan.function.fde if plan.function is not None else None
        return there is None or (here is not None and rules_at(there, at) == rules_at(here, plan.start))

    def _search(self, function: Function) -> None:
        """The padding behind an instruction that never runs on into it, if nothing arrives at any of its bytes."""
        if not function.whole:
            return
        start: int | None = None
        previous: Instruction | None = None
        for instruction in function.instructions:
            if instruction.is_padding:
                if start is None and previous is not None and previous.ends_flow:
                    start = instruction.address
            elif start is not None:
                self._keep(start, instruction.address)
                start = None
            if not instruction.is_padding:
                previous = instruction
        if start is not None:
            self._keep(start, function.instructions[-1].end)

    def _keep(self, start: int, end: int) -> None:
        taken = any(a in self._replaced or self._planner.targets.at(a) for a in range(start, end))
        if end - start >= JUMP_SIZE and not taken:
            self._free[start] = end


class Names:
    """Names code addresses by the nearest symbol at or below them."""

    def __init__(self, elf: Elf) -> None:
        best: dict[int, Symbol] = {}
        for symbol in elf.code_symbols():
            known = best.get(symbol.address)
            if known is None or _rank(symbol.name) < _rank(known.name):
                best[symbol.address] = symbol
        self._symbols = sorted(best.values(), key=lambda s: s.address)
        self._starts = [s.address for s in self._symbols]

    def name(self, address: int) -> str:
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return ""
        symbol = self._symbols[index]
        return f"{symbol.name}+{address - symbol.address:#x}"


def _rank(name: str) -> tuple[int, int, str]:
    """Public names before reserved ones, short before long."""
    return (len(name) - len(name.lstrip("_")), len(name), name)
