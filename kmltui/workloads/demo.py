# SPDX-License-Identifier: GPL-2.0-or-later
"""The demonstration of ``kmltui demo``: a few seconds of single system calls, then the Wisconsin benchmark, warm.

The figures of the run are Wisconsin's: the ``start`` sample is taken after the system calls have been shown.
"""

from __future__ import annotations

import dataclasses

from msgspec.structs import replace

from kmltui.model import START, Progress, Record, WorkloadSpec, session_clock
from kmltui.workloads.declaration import Context
from kmltui.workloads.syscalls import ROUND_S, Syscalls
from kmltui.workloads.wisconsin import Wisconsin

CALL_ROUNDS = 25
"""How often single calls are timed: about ten seconds, long enough to read the bars."""

CALLS_SHARE = 0.2
"""About this fraction of the total time."""

WARM_UP_LOOPS = {"wall": 30, "instructions": 1}
"""Not measured. Software emulation translates code when it first runs, and twice if it runs in both rings: in forty
cold loops 52,000 blocks with KML and 32,000 without. The clock that counts instructions does not see that."""


class Demo(Wisconsin):
    name = "demo"
    title = "Demonstration: single system calls, then Wisconsin"
    description = "Single system calls for some seconds, trap against direct call, then the Wisconsin benchmark."
    default_loops = 50
    # A demonstration has a minute; the image's ready tables save time.
    options = tuple(
        dataclasses.replace(option, default="ready") if option.name == "tables" else option
        for option in Wisconsin.options
    )
    phases = (*Syscalls.phases, *Wisconsin.phases)
    timing_phases = Syscalls.timing_phases

    def cost_s(self, spec: WorkloadSpec) -> float | None:
        wisconsin_s = super().cost_s(spec) or 0.0
        return wisconsin_s + CALL_ROUNDS * ROUND_S

    async def run(self, ctx: Context) -> None:
        calls = replace(ctx.spec, loops=CALL_ROUNDS, duration_s=None)
        await Syscalls().run(_part(ctx, calls, 0.0, CALLS_SHARE))
        loops = WARM_UP_LOOPS[session_clock(ctx.session.spec, {})]
        ctx.journal.log(ctx.name, "runner", f"warming up: {loops} loop{'s' * (loops > 1)}, not measured")
        unrecorded = dataclasses.replace(ctx.journal, emit=lambda _: None)
        warm_up = replace(ctx.spec, loops=loops, duration_s=None)
        await super().run(dataclasses.replace(ctx, spec=warm_up, journal=unrecorded))
        await self.prepare(ctx)
        await ctx.session.sample(START)
        await super().run(_part(ctx, ctx.spec, CALLS_SHARE, 1.0))


def _part(ctx: Context, spec: WorkloadSpec, begin: float, end: float) -> Context:
    """The context of a part of the demonstration, which spans the whole's progress from one fraction to another."""

    def emit(record: Record) -> None:
        if isinstance(record, Progress) and record.fraction is not None:
            record = replace(record, fraction=begin + record.fraction * (end - begin))
        ctx.journal.emit(record)

    return dataclasses.replace(ctx, spec=spec, journal=dataclasses.replace(ctx.journal, emit=emit))


WORKLOADS = (Demo(),)
