# SPDX-License-Identifier: GPL-2.0-or-later
"""The one phase of a workload that is a command, run again and again."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Literal

from kmltui.model import Measure, Phase, Progress, phase_mark, session_clock
from kmltui.workloads.declaration import Context


async def repeat(ctx: Context, phase: str, once: Callable[[], Awaitable[float]]) -> None:
    """Run ``once`` as often as the run's specification says, as the phase ``phase``.

    ``once`` returns when the command ended, by :func:`time.monotonic`: reading its output may take longer. The wall
    time of a session that counts instructions would be the emulator's, so it is only measured by the wall clock.
    """
    loops = ctx.spec.loops or 1
    _emit(ctx, phase, "begin")
    await ctx.session.sample(phase_mark(phase))
    wall_s = 0.0
    for loop in range(1, loops + 1):
        began = time.monotonic()
        wall_s += await once() - began
        ctx.journal.emit(
            Progress(
                t_ns=ctx.journal.now(), session=ctx.name, phase=phase, loop=loop, loops=loops, fraction=loop / loops
            )
        )
    _emit(ctx, phase, "end")
    if session_clock(ctx.session.spec, {}) == "wall":
        values = {"each": wall_s / loops}
        ctx.journal.emit(Measure(t_ns=ctx.journal.now(), session=ctx.name, name="wall time", unit="s", values=values))


def _emit(ctx: Context, phase: str, event: Literal["begin", "end"]) -> None:
    ctx.journal.emit(Phase(t_ns=ctx.journal.now(), session=ctx.name, name=phase, event=event))
