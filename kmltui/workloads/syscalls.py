# SPDX-License-Identifier: GPL-2.0-or-later
"""Single system calls timed by trap and by direct call: what KML is about, in a minute."""

from __future__ import annotations

from typing import ClassVar

from kmltui.model import WorkloadSpec
from kmltui.sessions.protocol import Command
from kmltui.workloads.client import ClientOutput
from kmltui.workloads.declaration import Context, Workload

PROGRAM = "/usr/bin/kml-syscalls"
_BATCH_S = 0.006
"""Mostly the pause before it."""


class Syscalls(Workload):
    name = "syscalls"
    title = "Single system calls"
    description = (
        "Times getppid, reading and writing a byte, stat, open and close, futex, poll, sched_yield and the round trip "
        "of a pipe, through the C library and inline: by trap, and in a KML session by direct call. A loop is one "
        "round of them all."
    )
    bound = "either"
    default_loops = 20
    phases = ("calls",)
    timing_phases = phases

    batches: ClassVar[int] = 20
    """Of each round."""
    program_options: ClassVar[tuple[str, ...]] = ()

    def cost_s(self, spec: WorkloadSpec) -> float | None:
        return _BATCH_S * self.batches * (spec.loops or 0)

    async def run(self, ctx: Context) -> None:
        spec = ctx.spec
        bound = ["--rounds", str(spec.loops)] if spec.loops else ["--seconds", f"{spec.duration_s}"]
        output = ClientOutput(ctx, "kml-syscalls")
        await output.follow(await ctx.session.spawn(Command([PROGRAM, *bound, *self.program_options], stdin=True)))


class Lebench(Syscalls):
    name = "lebench"
    title = "LEBench's calls"
    description = (
        "Times the calls of the LEBench suite through the C library: getpid, reading, writing, sending and receiving a "
        "byte and a page, select, poll and epoll, mmap, page faults, context switches, new processes and threads. A "
        "loop is one round of them all."
    )
    reported = "UKL (EuroSys 2023) reports the calls of LEBench (SOSP 2019) one by one, with and without its shortcuts"
    batches = 15
    program_options = ("--lebench",)


WORKLOADS = (Syscalls(), Lebench())
