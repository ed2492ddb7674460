# SPDX-License-Identifier: GPL-2.0-or-later
"""The instants at which an event would do the most harm, each brought about by a debugger that stops the whole guest.

By hand: a debugger takes its time. ``test_kml_engine.py`` has NMIs and machine checks at random.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import struct
import tempfile
from collections import Counter
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import capstone
import pytest

from kmltui.machine.qemu import Vm

from .conftest import Boot, Guest
from .debugger import CS, FLAGS, RBX, RCX, RIP, RSP, TRAP_FLAG, Debugger
from .ring0 import TIMER, WHERE, expect_crashes, install, monitor, place_in, put_module, sh

pytestmark = [pytest.mark.every_kernel, pytest.mark.by_hand]

NMI_ATTEMPTS = 8
NMI_WORK = ("count 1 300 100", "state 60", "faults 1", "step", "vectors ring0", "wild")
PAGE_FAULT = 14
NMI_VECTORS = (0, 3, 6, 13, PAGE_FAULT, TIMER)
NMI_ELSEWHERE = re.compile(
    r"kml_(full_entry|kernel_call|unlinked|trampolines_end|db|user_in_ring0|elevate|(direct_exit|leave_iret)\+0x(?!0$))"
)
"""Where the work may not lead: exit work and the full path, calls of kernel functions, an overflow of the stack, a #DB
in a trampoline, x2APIC, a process that is stepped."""
SLOT = 256
"""Of trampolines.S: the distance between two trampolines."""


async def symbols(guest: Guest, *functions: str) -> dict[str, int]:
    """Addresses of the module's symbols, and of some of the kernel's functions."""
    pattern = "|".join(["kml_.*\t\\[kml\\]", *functions])
    lines = await sh(guest, f"grep -E ' [tT] ({pattern})$' /proc/kallsyms")
    fields = [line.split() for line in lines.splitlines()]
    return {name: int(address, 16) for address, _kind, name, *_module in fields}


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A directory that QEMU, which may be another user, can write to."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o777)
        yield Path(directory)


async def instructions(debugger: Debugger, first: int, end: int) -> dict[int, str]:
    """The addresses of the instructions there, as they are in the guest's memory, and their text; without padding."""
    code = await debugger.read(first, end - first)
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    found = {one.address: f"{one.mnemonic} {one.op_str}".strip() for one in decoder.disasm(code, first)}
    return {address: text for address, text in found.items() if text not in ("nop", "int3") and "nop" not in text}


def slots(at: dict[str, int], vectors: Sequence[int]) -> list[tuple[int, int]]:
    """Where the trampolines of these vectors begin and end."""
    return [(at["kml_trampolines"] + vector * SLOT, at["kml_trampolines"] + (vector + 1) * SLOT) for vector in vectors]


def label(at: dict[str, int], address: int) -> str:
    """An address in words; the same for all trampolines."""
    if 0 <= (offset := address - at["kml_trampolines"]) < 256 * SLOT:
        return f"slot+{offset % SLOT:#x}"
    start, name = max(((start, name) for name, start in at.items() if start <= address), default=(0, "program"))
    return f"{name}+{address - start:#x}"


async def interrupt_each(debugger: Debugger, vm: Vm, wanted: set[int], handler: int, work: Awaitable[None]) -> set[int]:
    """Send an NMI before each of the instructions at ``wanted`` that is executed during ``work``.

    Returns those that the CPU has told its handler it was about to execute.
    """
    hit: set[int] = set()
    passed: Counter[int] = Counter()
    again: list[int] = []
    for address in wanted:
        await debugger.stop_at(address)
    working = asyncio.ensure_future(work)
    under_way = False
    while not working.done():
        stop = asyncio.create_task(debugger.resume())
        await asyncio.wait([stop, working], return_when=asyncio.FIRST_COMPLETED)
        if not stop.done():
            await debugger.interrupt()
            await stop
            break
        address = stop.result()
        await debugger.clear(address)
        if address == handler:
            hit.add((await debugger.stack(1))[0])
            under_way = False
            for passed_by in again:
                if passed_by not in hit and passed[passed_by] < NMI_ATTEMPTS:
                    await debugger.stop_at(passed_by)
            again.clear()
        else:
            # If another is being handled (its handler raises a page fault), this one will come only after that.
            again.append(address)
            passed[address] += 1
            if not under_way:
                await debugger.stop_at(handler)
                await vm.execute("inject-nmi")
                under_way = True
    await working
    return hit & wanted


async def test_nmis_between_any_two_instructions(
    boot: Boot, programs: dict[str, bytes], tmp_path: Path, sockets: Path
) -> None:
    """A debugger stops the CPU before each instruction of the entries and trampolines in turn, and an NMI is the
    next thing that happens. Its handler raises a page fault, whose trampoline would overwrite an unprotected frame.
    """
    guest = await boot("kml", period_ns=10**12)
    await expect_crashes(guest)
    await put_module(guest, "events", tmp_path)
    await sh(guest, "insmod /tmp/events.ko")
    await install(guest, programs, *(command.split()[0] for command in NMI_WORK))
    at = await symbols(guest)
    first = at["kml_trampolines"]
    vm = guest.session._vm
    assert vm is not None
    debugger = await Debugger.attach(vm, sockets)
    text: dict[int, str] = {}
    for start, end in [(at["kml_direct_entry"], first), *slots(at, NMI_VECTORS), (first + 256 * SLOT, at["kml_nmi"])]:
        text |= await instructions(debugger, start, end)

    async def work() -> None:
        for command in NMI_WORK:
            output = await guest.check(f"{WHERE}/{command}".split(), elevated=False)
            assert command.startswith(("count", "vectors")) or "all right" in output

    hit = await interrupt_each(debugger, vm, set(text), at["kml_nmi"], work())
    await debugger.detach()
    await sh(guest, "rmmod events")

    # What one vector's trampoline has passed through need not be passed through by another's.
    labels = {label(at, address) for address in hit}
    missed = {label(at, address): text[address] for address in text if label(at, address) not in labels}
    print(f"{len(hit)} instructions of {len(text)}; not before:", *missed.items(), sep="\n")
    assert not [name for name in missed if not NMI_ELSEWHERE.match(name)]


def around_call(program: bytes) -> list[int]:
    """Where ``state`` is about to make a direct call, and where it comes back to."""
    start, offset = place_in(program, "call_with_state")
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    code = list(decoder.disasm(program[offset : offset + 1024], start))
    [call] = [number for number, one in enumerate(code) if one.mnemonic == "syscall"]
    return [code[call - 1].address, code[call + 1].address]


EVENTS = ("nmi", "db", "mc")
"""What comes at any instruction, by the names of their entries. Each has a stack of its own."""
IST_SIZE, IST_TOP, FRAME = 8192, 8192 - 64, 9 * 8
"""Of kml.h and trampolines.S: the trampolines' stack, where it begins, and how much of it a trampoline uses."""
SURVIVED = "mce 0 1 0xb000100000000000 0x7 0 0"
"""A machine check that a kernel survives: the CPU reports an error that nobody has used yet, and may go on."""


class Lost(AssertionError):
    """Something was not as it had been before it was interrupted."""


@dataclass(frozen=True)
class Interrupted:
    """What an event finds: the registers as they were at its first instruction, or are now."""

    registers: tuple[int, ...]
    kept: bytes
    """What a trampoline keeps on its stack."""


class Nesting:
    """Two events, the second at an instruction of the first's entry, wherever the guest is."""

    def __init__(self, debugger: Debugger, vm: Vm, at: dict[str, int], tail: int) -> None:
        """``tail`` is a trampoline's last instruction, which it executes when it has left its stack, as an offset."""
        self._debugger = debugger
        self._vm = vm
        self._at = at
        self._tail = tail

    async def passed(self, places: Iterable[int]) -> list[int]:
        """Which of these the guest's work comes by."""
        left = set(places)
        for place in left:
            await self._debugger.stop_at(place)
        while left:
            stop = asyncio.create_task(self._debugger.resume())
            await asyncio.wait([stop], timeout=PASSED_BY_S)
            if not stop.done():
                await self._debugger.interrupt()
                await stop
                break
            left.discard(stop.result())
            await self._debugger.clear(stop.result())
        for place in left:
            await self._debugger.clear(place)
        return [place for place in places if place not in left]

    async def reach(self, place: int, ring: int | None = None) -> bool:
        """Let the guest run until it is there, in that ring; in vain if the work has not come by for long."""
        while True:
            stop = asyncio.create_task(self._stop(place))
            await asyncio.wait([stop], timeout=PASSED_BY_S)
            if not stop.done():
                await self._debugger.interrupt()
            if await stop != place:
                return False
            if ring is None or await self._debugger.register(CS) & 3 == ring:
                return True
            await self._debugger.step()

    async def both(self, first: str, second: str, steps: int) -> int | None:
        """Have both come, the second when ``steps`` instructions of the first's entry have been executed.

        Returns before which instruction that was; None if the entry has fewer. Raises :class:`Lost` if what the first
        has interrupted does not go on as it was.
        """
        await self._cause(first)
        await self._entered(first)
        found = await self._interrupted(await self._debugger.register(RSP))
        where = self._at[f"kml_{first}"]
        for step in range(steps):
            if second == "db" and step == steps - 1:
                await self._cause(second)
                await self._entered(second)
                [where] = await self._debugger.stack(1)
            else:
                where = await self._debugger.step()
            if not self._at["kml_db"] <= where < self._at["kml_df"]:
                await self._returned(first, found)
                return None
        if second != "db":
            await self._cause(second)
            await self._entered(second)
            assert (await self._debugger.stack(1))[0] == where
        await self._handled(first, second)
        await self._returned(first, found)
        return where

    async def breakpoint(self, first: str) -> None:
        """The same with #DB as the second, by a breakpoint that there must be at the first's entry."""
        await self._cause(first)
        await self._entered("db")
        where, _cs, _flags, stack = await self._debugger.stack(4)
        assert where == self._at[f"kml_{first}"]
        found = await self._interrupted(stack)
        await self._handled(first, "db")
        await self._returned(first, found)

    async def _handled(self, first: str, second: str) -> None:
        """The second's entry has been reached; see to it that there is a page fault before its handler returns."""
        if second == "mc":
            await self._stop(self._at["exc_machine_check"])
            await self._cause("db" if first == "nmi" else "nmi")

    async def _returned(self, first: str, found: Interrupted) -> None:
        """Run until what the first has interrupted goes on."""
        rip, rsp, again = self._resumed(first, found)
        while await self._stop(rip) != rip or await self._debugger.register(RSP) != rsp:
            await self._debugger.step()
        now = await self._debugger.registers()
        lost = [
            number
            for number in (*range(RIP), FLAGS)
            if (now[number] ^ found.registers[number]) & ~PASSING_FLAGS
            and number != RSP
            and not (again and number == RBX)
        ]
        if lost:
            raise Lost(f"registers {lost}: {found.registers}, {now}")
        if await self._kept(found.registers[RIP], found.registers[RSP]) != found.kept:
            raise Lost("what a trampoline keeps on its stack")

    def _resumed(self, first: str, found: Interrupted) -> tuple[int, int, bool]:
        """Where it goes on and with which stack pointer, and whether it is some instructions earlier."""
        rip, rsp = found.registers[RIP], found.registers[RSP]
        offset = rip - self._at["kml_trampolines"]
        if rip == self._at["kml_direct_entry"] and (first == "db" or not found.registers[CS] & 3):
            return found.registers[RCX] - 2, rsp, False
        if 0 <= offset < 256 * SLOT and offset % SLOT < self._tail:
            return rip - offset % SLOT, rsp, True
        if self._at["kml_leave_reset"] <= rip < self._at["kml_leave_iret"]:
            return self._at["kml_leave_reset"], rsp, True
        if rip == self._at["kml_leave_iret"]:
            return self._at["kml_leave_reset"], rsp + 5 * 8, True
        return rip, rsp, False

    async def _interrupted(self, stack: int) -> Interrupted:
        registers = list(await self._debugger.registers())
        rip, cs, flags, rsp = struct.unpack("<4Q", await self._debugger.read(stack, 32))
        registers[RIP], registers[CS], registers[FLAGS], registers[RSP] = rip, cs, flags, rsp
        return Interrupted(tuple(registers), await self._kept(rip, rsp))

    async def _kept(self, rip: int, rsp: int) -> bytes:
        if not self._at["kml_trampolines"] <= rip < self._at["kml_trampolines_end"]:
            return b""
        if rip < self._at["kml_trampolines"] + 256 * SLOT and rip % SLOT == self._tail:
            return b""
        # At its last instructions it has raised RSP above what it still needs.
        return await self._debugger.read(rsp - FRAME, (rsp & -IST_SIZE) + IST_TOP - (rsp - FRAME))

    async def _cause(self, event: str) -> None:
        if event == "nmi":
            await self._vm.execute("inject-nmi")
        elif event == "mc":
            await monitor(self._vm, SURVIVED)
        else:
            await self._debugger.trap_after_next()

    async def _entered(self, event: str) -> None:
        entry = self._at[f"kml_{event}"]
        assert await self._stop(entry) == entry

    async def _stop(self, address: int) -> int:
        await self._debugger.stop_at(address)
        where = await self._debugger.resume()
        await self._debugger.clear(address)
        return where


PASSING_FLAGS = 0x10000 | TRAP_FLAG
"""RF and TF, which change when an instruction is interrupted or stepped."""
NESTING_WORK = ("state 60", "count 1 300 100", "faults 1")
NESTING_LIMIT_S = 30
NESTING_STRIDE = 8
"""At most places the second comes at every eighth instruction of the first's entry, from one place to the next another:
what an entry does depends on where a trampoline is only at the trampoline's last instructions."""
NESTING_COVERED = 50
"""At how many instructions of an entry the second must have come: an entry has 58 to 78 that the places lead to."""
PASSED_BY_S = 20
"""For how long to wait for the work to come by a place, or by any that it has not been at."""


@pytest.mark.timeout(3600)
async def test_events_during_each_others_entries(
    boot: Boot, programs: dict[str, bytes], tmp_path: Path, sockets: Path
) -> None:
    """NMI, #DB and #MC, each at every instruction of each other's entries, when the other has interrupted a program in
    ring 0, the direct entry, or a trampoline at any of its instructions; again and again, while that gets no further.
    The handlers raise page faults, whose trampoline would overwrite an unprotected frame.
    """
    # It gets no further for longer than the kernel puts up with.
    guest = await boot("kml", period_ns=10**12, append="nowatchdog")
    has_mc = not (await guest.run(["/bin/ls", "/sys/devices/system/machinecheck"], elevated=False)).status
    events = EVENTS if has_mc else EVENTS[:2]
    await put_module(guest, "events", tmp_path)
    await sh(guest, "insmod /tmp/events.ko steps=1")
    await install(guest, programs, *(command.split()[0] for command in NESTING_WORK))
    at = await symbols(guest, *(["exc_machine_check"] if has_mc else []))
    vm = guest.session._vm
    assert vm is not None
    work = "; ".join(f"{WHERE}/{command} >/dev/null || exit 1" for command in NESTING_WORK)
    working = asyncio.create_task(
        guest.check(f"while [ ! -e /tmp/enough ]; do {work}; done", elevated=False, limit_s=3600)
    )

    debugger = await Debugger.attach(vm, sockets)
    tail = [address % SLOT for address in await instructions(debugger, *slots(at, [PAGE_FAULT])[0])][3]
    nesting = Nesting(debugger, vm, at, tail)
    of_program = around_call(programs["state"])
    places = dict.fromkeys(of_program) | await instructions(
        debugger, at["kml_direct_entry"], at["kml_direct_entry"] + 8
    )
    for start, end in [*slots(at, [PAGE_FAULT, TIMER]), (at["kml_slots_end"], at["kml_trampolines_end"])]:
        places |= await instructions(debugger, start, end)
    rings = {place: 0 if place == of_program[1] else None for place in places}
    passed = await nesting.passed(places)
    print(
        f"{len(passed)} places passed; not:", *(label(at, place) for place in places if place not in passed), sep="\n"
    )

    came = {pair: set[int]() for pair in itertools.permutations(events, 2)}
    for number, place in enumerate(passed):
        offset = (place - at["kml_trampolines"]) % SLOT
        last = offset <= tail or at["kml_leave_reset"] <= place <= at["kml_leave_iret"]
        stride = 1 if last or place in of_program else NESTING_STRIDE
        for (first, second), there in came.items():
            steps = number % stride + (second == "db")
            try:
                while await nesting.reach(place, rings[place]):
                    async with asyncio.timeout(NESTING_LIMIT_S):
                        where = await nesting.both(first, second, steps)
                    if where is None:
                        break
                    there.add(where)
                    steps += stride
            except (Lost, TimeoutError) as error:
                pytest.fail(f"{label(at, place)}: {first}, then {second} after {steps} instructions: {error!r}")
    await debugger.detach()

    for first in set(events) - {"db"}:
        await sh(guest, f"echo {at[f'kml_{first}']} > /sys/module/events/parameters/breakpoint")
        debugger = await Debugger.attach(vm, sockets)
        nesting = Nesting(debugger, vm, at, tail)
        for place in passed:
            if await nesting.reach(place, rings[place]):
                async with asyncio.timeout(NESTING_LIMIT_S):
                    await nesting.breakpoint(first)
        await debugger.detach()
    await sh(guest, "echo 0 > /sys/module/events/parameters/breakpoint; touch /tmp/enough")
    await working
    await sh(guest, "rmmod events")
    for (first, second), there in came.items():
        print(f"{second} during {first}:", *sorted(label(at, address) for address in there))
    assert min(map(len, came.values())) > NESTING_COVERED


@pytest.mark.parametrize("path", ["direct", "full"])
async def test_a_sibling_sets_a_filter_after_the_check(
    boot: Boot, programs: dict[str, bytes], sockets: Path, path: str
) -> None:
    """A thread's call has been found to be nobody's business when another thread sets a seccomp filter for both.

    On the direct path that call is done yet, as one by trap would be that had got as far, and the next is filtered. On
    the full path the filter is asked, and may turn the call into an exec, which must not return to the module.
    """
    guest = await boot("kml", vcpus=2, period_ns=10**12)
    await install(guest, programs, "filtered", "attached")
    at = await symbols(guest, "do_syscall_64", "mutex_lock_killable")
    filter_is_set, _offset = place_in(programs["filtered"], "filter_is_set")
    filter_, _offset = place_in(programs["filtered"], "filter")
    vm = guest.session._vm
    assert vm is not None
    debugger = await Debugger.attach(vm, sockets)
    text = await instructions(debugger, at["kml_direct_entry"], at["kml_kernel_call"])
    if path == "direct":
        [first, *_] = [address for address, words in text.items() if re.match(r"test dword ptr \[rsp", words)]
        after_check = [first]
    else:
        after_check = [address for address, words in text.items() if words.endswith(f" {at['do_syscall_64']:#x}")]
        assert [text[address].split()[0] for address in after_check] == ["call", "jmp"]
    command = [f"{WHERE}/filtered", path, f"{WHERE}/attached"]
    running = asyncio.create_task(guest.check(command, elevated=False))

    async def go_on(cpu: int | None, *addresses: int) -> int:
        for address in addresses:
            await debugger.stop_at(address)
        where = await debugger.resume(cpu)
        for address in addresses:
            await debugger.clear(address)
        return where

    async with asyncio.timeout(120):
        await go_on(None, filter_)
        # The filter is ready and is about to be set for all threads: from here on nothing waits for other CPUs.
        await go_on(None, at["mutex_lock_killable"])
        assert debugger.cpu == 1
        where = await go_on(0, *after_check)
        assert path == "direct" or text[where].startswith("jmp"), "a call that may become an exec returns to the module"
        await go_on(1, filter_is_set)
    await debugger.detach()
    output = await running
    # The new program keeps the filter, so that each of its calls leaves it in ring 3.
    assert output.splitlines() == (["all right"] if path == "direct" else ["ring 3", "all right"])
