# SPDX-License-Identifier: GPL-2.0-or-later
"""How far off the kernel's split of CPU time is in a session, measured with a loop whose split is known."""

from __future__ import annotations

from kmltui.sessions.protocol import Command
from kmltui.workloads.client import ClientOutput
from kmltui.workloads.declaration import Context

PROGRAM = "/usr/bin/kml-tickbias"
SECONDS = 2.0


async def measure_tick_bias(ctx: Context) -> None:
    """Emit a Measure with the ``exact`` share of system time and the one ``by ticks``. Raises ``WorkloadError``."""
    output = ClientOutput(ctx, "kml-tickbias")
    await output.follow(await ctx.session.spawn(Command([PROGRAM, str(SECONDS)])))
