# SPDX-License-Identifier: GPL-2.0-or-later
"""The only phase of a workload that runs a command repeatedly."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from kmltui.model import Measure, Phase, Progress, phase_mark, session_clock
from kmltui.workloads.declaration import Context, CountsInstructions

REPEAT = "kml-repeat"
"""In the session: see ``repeat.c``."""


async def repeat(ctx: Context, phase: str, once: Callable[[Sequence[str]], Awaitable[float]]) -> None:
    """Run a command as often as the run's specification says, as the phase ``phase``.

    ``once`` runs it, prefixed with the words that it is given, and returns the time at which it ended, by
    :func:`time.monotonic`: reading its output may take longer. If instructions are counted, a program in the session
    repeats the command between two marks, so that nothing that the runner does is counted. Wall time is only measured
    by the wall clock: in a session that counts instructions it would be the emulator's.
    """
    loops = ctx.spec.loops or 1
    counts = ctx.session if isinstance(ctx.session, CountsInstructions) else None
    ctx.journal.emit(Phase(t_ns=ctx.journal.now(), session=ctx.name, name=phase, event="begin"))
    await ctx.session.sample(phase_mark(phase))
    wall_s = 0.0
    for loop in range(1, loops + 1) if counts is None else (loops,):
        began = time.monotonic()
        wall_s += await once(() if counts is None else (REPEAT, str(loops))) - began
        ctx.journal.emit(
            Progress(
                t_ns=ctx.journal.now(), session=ctx.name, phase=phase, loop=loop, loops=loops, fraction=loop / loops
            )
        )
    instructions = counts.marked_instructions() if counts is not None else None
    ctx.journal.emit(
        Phase(t_ns=ctx.journal.now(), session=ctx.name, name=phase, event="end", instructions=instructions)
    )
    if session_clock(ctx.session.spec, {}) == "wall":
        values = {"each": wall_s / loops}
        ctx.journal.emit(Measure(t_ns=ctx.journal.now(), session=ctx.name, name="wall time", unit="s", values=values))
