"""The demonstration of ``kmltui demo``: a few seconds of single system calls, then the Wisconsin benchmark, warm.

The figures of the run are Wisconsin's: its own ``start`` sample begins after the system calls have been shown.
"""

from __future__ import annotations

import dataclasses

from msgspec.structs import replace

from kmltui.model import START
from kmltui.workloads.declaration import Context
from kmltui.workloads.syscalls import Syscalls
from kmltui.workloads.wisconsin import Wisconsin

CALLS_S = 20.0
"""How long single calls are shown: long enough to read the bars, short enough for a minute's demonstration."""

WARM_UP_LOOPS = 30
"""Not measured. Software emulation translates code when it first runs, and what runs in both rings twice: in forty cold
loops 52,000 blocks with KML and 32,000 without."""


class Demo(Wisconsin):
    name = "demo"
    title = "Demonstration: single system calls, then Wisconsin"
    description = "Twenty seconds of single system calls, trap against direct call, then the Wisconsin benchmark."
    default_loops = 100
    # A demonstration has a minute; the tables of the image are there already.
    options = tuple(
        dataclasses.replace(option, default="ready") if option.name == "tables" else option
        for option in Wisconsin.options
    )
    phases = (*Syscalls.phases, *Wisconsin.phases)
    timing_phases = Syscalls.timing_phases

    async def run(self, ctx: Context) -> None:
        calls = replace(ctx.spec, loops=None, duration_s=CALLS_S)
        await Syscalls().run(dataclasses.replace(ctx, spec=calls))
        ctx.journal.log(ctx.name, "runner", f"warming up: {WARM_UP_LOOPS} loops, not measured")
        unrecorded = dataclasses.replace(ctx.journal, emit=lambda _: None)
        warm_up = replace(ctx.spec, loops=WARM_UP_LOOPS, duration_s=None)
        await super().run(dataclasses.replace(ctx, spec=warm_up, journal=unrecorded))
        await ctx.session.sample(START)
        await super().run(ctx)


WORKLOADS = (Demo(),)
