# SPDX-License-Identifier: GPL-2.0-or-later
"""Any program, run in all sessions: CPU time, system calls by name, wall time, exit status, output."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Mapping, Sequence

import msgspec

from kmltui.machine.output import abridged
from kmltui.model import Proof, WorkloadSpec
from kmltui.sessions.protocol import Command, Process
from kmltui.workloads.declaration import Context, UsageError, Workload
from kmltui.workloads.localprogram import find_local, is_local
from kmltui.workloads.repetition import repeat

PHASE = "command"


class AnyProgram(Workload):
    name = "command"
    title = "Command"
    description = (
        "Runs a program: one of the image by its name, or one of this machine by a path (./prog), which is copied into "
        "the sessions with the libraries it needs. It is written after two dashes: kmltui run -- sha256sum /bin/sh. "
        "What is piped into kmltui is its standard input; --put FILE brings files along."
    )
    bound = "loops"
    default_loops = 1
    phases = (PHASE,)
    keeps_output = True
    takes_command = True

    def spec(
        self,
        loops: int | None = None,
        duration_s: float | None = None,
        options: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
    ) -> WorkloadSpec:
        if not command:
            raise UsageError("which command? Write it after two dashes: kmltui run -- COMMAND …")
        if is_local(command[0]):
            find_local(command[0])
        return msgspec.structs.replace(
            super().spec(loops, duration_s, options), options={"command": shlex.join(command)}
        )

    async def prepare(self, ctx: Context) -> None:
        program = shlex.split(ctx.spec.options["command"])[0]
        if is_local(program):
            for told in await find_local(program).put(ctx.session):
                ctx.journal.log(ctx.name, "runner", told, "warning")

    async def run(self, ctx: Context) -> None:
        argv = shlex.split(ctx.spec.options["command"])
        environment: dict[str, str] = {}
        if is_local(argv[0]):
            local = find_local(argv[0])
            argv[0], environment = local.path, local.environment
        statuses = set()

        async def once(before: Sequence[str]) -> float:
            status, ended = await self._once(ctx, [*before, *argv], environment)
            statuses.add(status)
            return ended

        await repeat(ctx, PHASE, once)
        ctx.journal.emit(
            Proof(
                t_ns=ctx.journal.now(),
                session=ctx.name,
                name="exit status",
                subject=argv[0],
                value=" ".join(map(str, sorted(statuses))),
                ok=not any(statuses),
            )
        )

    async def _once(self, ctx: Context, argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, float]:
        """Its exit status, and when it ended, which may be before all its output has been recorded."""
        process = await ctx.session.spawn(Command(argv, env=environment, stdin=ctx.input is not None))
        feeding = asyncio.create_task(self._feed(process, ctx.input))

        async def end() -> tuple[int, float]:
            return await process.wait(), time.monotonic()

        ending = asyncio.create_task(end())
        async for stream, line in abridged(process.lines()):
            ctx.journal.log(ctx.name, "client", line, "warning" if stream == "stderr" else "info")
            await asyncio.sleep(0)
        ended = await ending
        feeding.cancel()  # a program may end without having read all of its input
        return ended

    @staticmethod
    async def _feed(process: Process, data: bytes | None) -> None:
        if data is None:
            return
        if data:
            await process.write(data)
        await process.close_stdin()


WORKLOADS = (AnyProgram(),)
