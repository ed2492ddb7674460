# SPDX-License-Identifier: GPL-2.0-or-later
"""Single system calls timed by trap and by direct call: what KML is about, in a minute."""

from __future__ import annotations

from kmltui.model import WorkloadSpec
from kmltui.sessions.protocol import Command
from kmltui.workloads.client import ClientOutput
from kmltui.workloads.declaration import Context, Workload

PROGRAM = "/usr/bin/kml-syscalls"
ROUND_S = 0.12
"""Mostly the pauses between batches."""


class Syscalls(Workload):
    name = "syscalls"
    title = "Single system calls"
    description = (
        "Times getppid, reading and writing a byte, stat, open and close, futex, poll, sched_yield and the round trip "
        "of a pipe, through the C library and written in line: by trap, in a KML session by direct call. A loop is one "
        "round of them all."
    )
    bound = "either"
    default_loops = 20
    phases = ("calls",)
    timing_phases = phases

    def cost_s(self, spec: WorkloadSpec) -> float | None:
        return ROUND_S * (spec.loops or 0)

    async def run(self, ctx: Context) -> None:
        spec = ctx.spec
        bound = ["--rounds", str(spec.loops)] if spec.loops else ["--seconds", f"{spec.duration_s}"]
        output = ClientOutput(ctx, "kml-syscalls")
        await output.follow(await ctx.session.spawn(Command([PROGRAM, *bound], stdin=True)))


WORKLOADS = (Syscalls(),)
