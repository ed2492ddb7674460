# SPDX-License-Identifier: GPL-2.0-or-later
"""A debugger for the whole guest, through QEMU: stops its only vCPU before any instruction, in whatever state it is.

It speaks as much of GDB's remote protocol as that takes. QEMU's breakpoints are its own: nothing in the guest changes.
"""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Self

from kmltui.machine.qemu import Vm

RSP, RIP = 7, 16
"""Numbers of registers, in GDB's order; each has 8 bytes up to these."""


class Debugger:
    """Connected from :meth:`attach` to :meth:`detach`; the guest stands still unless :meth:`resume` is waiting."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._breakpoints: set[int] = set()

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

    async def resume(self) -> int:
        """Let the guest run until it stops; returns where."""
        await self._send("c")
        stop = await self._receive()
        assert stop.startswith(b"T"), stop
        return await self.register(RIP)

    async def interrupt(self) -> None:
        """Stop the guest, wherever it is: :meth:`resume`, which is waiting, returns."""
        self._writer.write(b"\x03")
        await self._writer.drain()

    async def register(self, number: int) -> int:
        """A general register, by its number in GDB's order."""
        registers = bytes.fromhex((await self._ask("g")).decode())
        return int.from_bytes(registers[8 * number : 8 * number + 8], "little")

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
