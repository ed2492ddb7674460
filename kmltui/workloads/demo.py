# SPDX-License-Identifier: GPL-2.0-or-later
"""The demonstration of ``kmltui demo``: some seconds of dd, then of single system calls, then the Wisconsin benchmark,
warm.

The figures of the run are Wisconsin's: the ``start`` sample is taken after dd and the system calls have been shown.
"""

from __future__ import annotations

import dataclasses

from msgspec.structs import replace

from kmltui.model import START, Measure, Progress, Record, WorkloadSpec, session_clock
from kmltui.workloads.declaration import Context
from kmltui.workloads.peers import Dd
from kmltui.workloads.syscalls import Syscalls
from kmltui.workloads.wisconsin import Wisconsin

CALL_ROUNDS = 25
"""How often single calls are timed: about ten seconds, long enough to read the bars."""

DD_COPIES = 10
"""Of 100,000 bytes each: under emulation ten seconds at most, unless the machine is busy with something else."""
_COPY_S = 1.0

DD_SHARE, CALLS_SHARE = 0.15, 0.15
"""About these fractions of the total time."""

WARM_UP_LOOPS = {"wall": 30, "instructions": 1}
"""Not measured. Software emulation translates code when it first runs, and twice if it runs in both rings: in forty
cold loops 52,000 blocks with KML and 32,000 without. The clock that counts instructions does not see that."""


class _Opening(Dd):
    phases = ("dd",)


class Demo(Wisconsin):
    name = "demo"
    title = "Demonstration: dd, single system calls, Wisconsin"
    description = (
        "dd copying single bytes, where KML saves most; then single system calls, trap against direct call; then the "
        "Wisconsin benchmark, whose figures are those of the run."
    )
    default_loops = 50
    # A demonstration has a minute; the image's ready tables save time.
    options = tuple(
        dataclasses.replace(option, default="ready") if option.name == "tables" else option
        for option in Wisconsin.options
    )
    phases = (*_Opening.phases, *Syscalls.phases, *Wisconsin.phases)
    timing_phases = Syscalls.timing_phases

    def cost_s(self, spec: WorkloadSpec) -> float | None:
        wisconsin_s = super().cost_s(spec) or 0.0
        calls_s = Syscalls().cost_s(replace(spec, loops=CALL_ROUNDS)) or 0.0
        return DD_COPIES * _COPY_S + calls_s + wisconsin_s

    async def run(self, ctx: Context) -> None:
        await self._dd(ctx)
        calls = replace(ctx.spec, loops=CALL_ROUNDS, duration_s=None)
        await Syscalls().run(_part(ctx, calls, DD_SHARE, DD_SHARE + CALLS_SHARE))
        loops = WARM_UP_LOOPS[session_clock(ctx.session.spec, {})]
        ctx.journal.log(ctx.name, "runner", f"warming up: {loops} loop{'s' * (loops > 1)}, not measured")
        unrecorded = dataclasses.replace(ctx.journal, emit=lambda _: None)
        warm_up = replace(ctx.spec, loops=loops, duration_s=None)
        await super().run(dataclasses.replace(ctx, spec=warm_up, journal=unrecorded))
        await self.prepare(ctx)
        await ctx.session.sample(START)
        await super().run(_part(ctx, ctx.spec, DD_SHARE + CALLS_SHARE, 1.0))

    async def _dd(self, ctx: Context) -> None:
        dd = _Opening()
        part = _part(ctx, dd.spec(DD_COPIES), 0.0, DD_SHARE)

        def emit(record: Record) -> None:
            # How long dd takes is not a result of this run.
            if not isinstance(record, Measure):
                part.journal.emit(record)

        await dd.run(dataclasses.replace(part, journal=dataclasses.replace(part.journal, emit=emit)))


def _part(ctx: Context, spec: WorkloadSpec, begin: float, end: float) -> Context:
    """The context of a part of the demonstration, which spans the whole's progress from one fraction to another."""

    def emit(record: Record) -> None:
        if isinstance(record, Progress) and record.fraction is not None:
            record = replace(record, fraction=begin + record.fraction * (end - begin))
        ctx.journal.emit(record)

    return dataclasses.replace(ctx, spec=spec, journal=dataclasses.replace(ctx.journal, emit=emit))


WORKLOADS = (Demo(),)
