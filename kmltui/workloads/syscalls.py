"""Single system calls timed by trap and by direct call: what the whole matter is about, in a minute."""

from __future__ import annotations

from kmltui.sessions.protocol import Command
from kmltui.workloads.client import ClientOutput
from kmltui.workloads.declaration import Context, Workload

PROGRAM = "/usr/bin/kml-syscalls"


class Syscalls(Workload):
    name = "syscalls"
    title = "Single system calls"
    description = (
        "Times getppid, reading and writing a byte, stat, open and close, futex, poll, sched_yield and the round trip "
        "of a pipe, by the SYSCALL instruction and, in a KML session, by direct call. A loop is one round of them all."
    )
    bound = "either"
    default_duration_s = 20.0
    phases = ("calls",)
    timing_phases = phases

    async def run(self, ctx: Context) -> None:
        spec = ctx.spec
        bound = ["--rounds", str(spec.loops)] if spec.loops else ["--seconds", f"{spec.duration_s}"]
        output = ClientOutput(ctx, "kml-syscalls", fraction=lambda m: m.loop / m.loops if m.loops else None)
        await output.follow(await ctx.session.spawn(Command([PROGRAM, *bound], stdin=True)))


WORKLOADS = (Syscalls(),)
