# SPDX-License-Identifier: GPL-2.0-or-later
"""sysbench's own workloads, and a bare ``SELECT 1``: small queries, of which system calls are a large part."""

from __future__ import annotations

import math
from typing import ClassVar

from kmltui.model import WorkloadSpec, session_clock
from kmltui.sessions.protocol import Command
from kmltui.workloads.client import ProgressMessage
from kmltui.workloads.declaration import Bound, Context, Option, Workload, WorkloadError
from kmltui.workloads.sysbench import DIRECTORY, client_command, command_line, put_scripts, run_script

SCRIPT = "oltp.lua"
TABLE_ROWS = 10_000
FLUSH = "FLUSH TABLES sbtest1 FOR EXPORT; UNLOCK TABLES"
WARM_UP = 300
"""Warm-up events before those whose instructions are counted."""

QUERY_S = 1e-4

THREADS = Option("threads", "1", "concurrent connections", minimum=1, maximum=64)
ENGINE = Option("engine", "InnoDB", "storage engine of the table", choices=("InnoDB", "MyISAM"))


class SysbenchScript(Workload):
    """An unmodified sysbench script. A loop is one event of the script, that is, one transaction."""

    bound: ClassVar[Bound] = "either"
    default_duration_s: ClassVar[float | None] = 20.0
    phases = ("run",)
    script: ClassVar[str]
    """Its name, or the file name of one of our own scripts."""
    queries_per_event: ClassVar[int] = 1

    def cost_s(self, spec: WorkloadSpec) -> float | None:
        return QUERY_S * self.queries_per_event * (spec.loops or 0)

    def server_settings(self, spec: WorkloadSpec) -> tuple[str, ...]:
        # The table is made again for every run of a bench. A server thread would recalculate its statistics seconds
        # later, in the middle of some runs and not of others. No query here needs them for planning.
        return ("--innodb-stats-auto-recalc=0",)

    def _path(self) -> str:
        return f"{DIRECTORY}/{self.script}" if self.script.endswith(".lua") else self.script

    def _table(self, spec: WorkloadSpec) -> list[str]:
        engine = spec.options.get("engine")
        return ["--tables=1", f"--table-size={TABLE_ROWS}", f"--mysql-storage-engine={engine}"] if engine else []

    async def prepare(self, ctx: Context) -> None:
        own = [self.script] if self.script.endswith(".lua") else []
        await put_scripts(ctx, SCRIPT, *own)
        if not self._table(ctx.spec):
            return
        steps = {  # a bench prepares the table for every repetition
            "sysbench cannot drop its table": command_line(ctx, self._path(), "cleanup", self._table(ctx.spec)),
            "sysbench cannot make its table": command_line(ctx, self._path(), "prepare", self._table(ctx.spec)),
            # Otherwise a server thread writes the new pages later, in the middle of some runs.
            "the new table cannot be written to the disk": client_command(ctx, FLUSH),
        }
        for failure, argv in steps.items():
            process = await ctx.session.spawn(Command(argv))
            lines = [line async for _, line in process.lines()]
            if await process.wait() != 0:
                raise WorkloadError(f"{ctx.name}: {failure}: {' '.join(lines[-3:])}")

    async def run(self, ctx: Context) -> None:
        spec = ctx.spec
        if spec.loops:
            bound = [f"--events={spec.loops}", "--time=0"]
        else:
            bound = [f"--time={math.ceil(spec.duration_s or 1)}", "--events=0"]
        # The same random numbers in all sessions; with one connection the work is then identical.
        options = [*self._table(spec), *bound, f"--threads={spec.options['threads']}", "--rand-seed=1"]

        def fraction(message: ProgressMessage) -> float | None:
            return min(1.0, message.loop / spec.loops) if spec.loops else message.fraction

        env = {"KMLTUI_SCRIPT": self._path(), "KMLTUI_QUERIES": str(self.queries_per_event)}
        if not spec.loops:
            env["KMLTUI_SECONDS"] = str(math.ceil(spec.duration_s or 1))
        if session_clock(ctx.session.spec, {}) == "instructions":
            env["KMLTUI_WARM_UP"] = str(WARM_UP)
        output = await run_script(ctx, SCRIPT, "run", options, fraction, env)
        expected = (spec.loops or 0) * self.queries_per_event
        if spec.loops and (output.statements or 0) < expected:
            raise WorkloadError(f"{ctx.name}: {output.statements} queries were executed, not {expected}")


class PointSelect(SysbenchScript):
    name = "oltp_point_select"
    title = "Point selects"
    description = "sysbench's oltp_point_select: one row by its key, by a prepared statement. A loop is one query."
    script = name
    options = (THREADS, ENGINE)


class ReadOnly(SysbenchScript):
    name = "oltp_read_only"
    title = "Read-only transactions"
    description = "sysbench's oltp_read_only: ten point selects and four ranges in a transaction, which is one loop."
    script = name
    queries_per_event = 16
    options = (THREADS, ENGINE)


class ReadWrite(SysbenchScript):
    name = "oltp_read_write"
    title = "Read-write transactions"
    description = "sysbench's oltp_read_write: fourteen selects, two updates, a delete and an insert; one loop."
    script = name
    queries_per_event = 20
    options = (THREADS, ENGINE)


class SelectOne(SysbenchScript):
    name = "select1"
    title = "SELECT 1"
    description = "The smallest query there is: almost nothing but parsing, sending and receiving. A loop is one query."
    script = "select1.lua"
    options = (THREADS,)


WORKLOADS = (PointSelect(), ReadOnly(), ReadWrite(), SelectOne())
