# SPDX-License-Identifier: GPL-2.0-or-later
"""A debugger for the whole guest, through QEMU: stops a vCPU before any instruction, in whatever state it is, and all
others with it.

It speaks as much of GDB's remote protocol as that takes. QEMU's breakpoints are its own: nothing in the guest changes.
"""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Self

from kmltui.machine.qemu import Vm

RBX, RCX, RSP, RIP, FLAGS, CS = 1, 2, 7, 16, 17, 18
"""Numbers of registers, in GDB's order: 17 of 8 bytes each, the general ones first, then two of 4."""
TRAP_FLAG = 0x100


class Debugger:
    """Connected from :meth:`attach` to :meth:`detach`; the guest stands still unless :meth:`resume` is waiting."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._breakpoints: set[int] = set()
        self.cpu = 0
        """The vCPU that has come to a breakpoint, whose registers and memory are read."""

    @classmethod
    async def attach(cls, vm: Vm, directory: Path) -> Self:
        """``directory`` is one that QEMU, which may be another user, can write to."""
        path = directory / "debugger"
        await vm.execute("human-monitor-command", {"command-line": f"gdbserver unix:{path},server=on,wait=off"})
        debugger = cls(*await asyncio.open_unix_connection(path))
        # QEMU tells that the guest has stopped, before or after the first answer. To this the answer is empty.
        await debugger._send("vMustReplyEmpty")
        while await debugger._receive():
            pass
        # QEMU writes single registers only for debuggers that have asked what it calls them.
        await debugger._ask("qXfer:features:read:target.xml:0,ffb")
        return debugger

    async def detach(self) -> None:
        """Take all breakpoints away and let the guest run."""
        for address in list(self._breakpoints):
            await self.clear(address)
        await self._ask("D")
        self._writer.close()

    async def stop_at(self, address: int) -> None:
        """Stop before the instruction at ``address``, each time, until :meth:`clear`."""
        if address not in self._breakpoints:
            assert await self._ask(f"Z1,{address:x},1") == b"OK"
            self._breakpoints.add(address)

    async def clear(self, address: int) -> None:
        assert await self._ask(f"z1,{address:x},1") == b"OK"
        self._breakpoints.discard(address)

    async def resume(self, cpu: int | None = None) -> int:
        """Let the guest run, or only that vCPU of it, until it stops; returns where."""
        return await self._go("c" if cpu is None else f"vCont;c:{cpu + 1:x}")

    async def step(self) -> int:
        """Execute one instruction, with interrupts and NMIs held off; returns where the next one is."""
        return await self._go("s")

    async def interrupt(self) -> None:
        """Stop the guest, wherever it is: :meth:`resume`, which is waiting, returns."""
        self._writer.write(b"\x03")
        await self._writer.drain()

    async def registers(self) -> tuple[int, ...]:
        """The general registers, RIP, the flags and CS, by their numbers in GDB's order."""
        return struct.unpack_from("<17QII", bytes.fromhex((await self._ask("g")).decode()))

    async def register(self, number: int) -> int:
        return (await self.registers())[number]

    async def trap_after_next(self) -> None:
        """Have the CPU raise #DB after the next instruction, as it does for single steps."""
        flags = await self.register(FLAGS) | TRAP_FLAG
        assert await self._ask(f"P{FLAGS:x}={flags.to_bytes(4, 'little').hex()}") == b"OK"

    async def stack(self, words: int) -> tuple[int, ...]:
        """The topmost words of the stack, each 8 bytes."""
        return struct.unpack(f"<{words}Q", await self.read(await self.register(RSP), 8 * words))

    async def read(self, address: int, length: int) -> bytes:
        """Memory as the vCPU sees it now."""
        data = b""
        while len(data) < length:
            part = min(length - len(data), 1024)
            data += bytes.fromhex((await self._ask(f"m{address + len(data):x},{part:x}")).decode())
        return data

    async def _go(self, command: str) -> int:
        await self._send(command)
        stop = await self._receive()
        assert stop.startswith(b"T"), stop
        self.cpu = int(stop.partition(b"thread:")[2].partition(b";")[0], 16) - 1
        return await self.register(RIP)

    async def _ask(self, command: str) -> bytes:
        await self._send(command)
        return await self._receive()

    async def _send(self, command: str) -> None:
        self._writer.write(f"${command}#{sum(command.encode()) % 256:02x}".encode())
        await self._writer.drain()

    async def _receive(self) -> bytes:
        await self._reader.readuntil(b"$")
        answer = (await self._reader.readuntil(b"#"))[:-1]
        await self._reader.readexactly(2)
        self._writer.write(b"+")
        return answer
