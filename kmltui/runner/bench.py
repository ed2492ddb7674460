"""A bench: the sessions do the workload again and again, in turn, so that what disturbs them disturbs all alike.

All sessions are booted once and stay up; only one of them works at a time. The first repetition of each is a warm-up.
The order is turned round from pair to pair (A B, B A, A B, …), so that a drift of the machine cancels out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

from kmltui import workloads
from kmltui.model import Repeat
from kmltui.runner.run import BOUNDARY_SETTLE_S, Run
from kmltui.runner.server import Server
from kmltui.workloads.calibration import measure_tick_bias


@dataclass(frozen=True)
class Turn:
    """One repetition of one session. ``pair`` 0 is the warm-up; ``order`` counts all turns of the bench from 0."""

    pair: int
    order: int
    session: str


def schedule(sessions: Sequence[str], pairs: int) -> list[Turn]:
    """All turns in their order: a warm-up of each session, then pairs, every other one in reverse."""
    turns: list[Turn] = []
    for pair in range(pairs + 1):
        row = list(sessions) if pair == 0 or pair % 2 else list(reversed(sessions))
        begin = len(turns)
        turns.extend(Turn(pair, begin + position, session) for position, session in enumerate(row))
    return turns


class Turns:
    """Lets the sessions work one after the other, as the schedule says."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns = turns
        self._over = [asyncio.Event() for _ in turns]

    def of(self, session: str) -> list[Turn]:
        return [turn for turn in self._turns if turn.session == session]

    @contextlib.asynccontextmanager
    async def take(self, turn: Turn) -> AsyncIterator[None]:
        """Wait for the turn before this one to be over; after the block, this one is."""
        if turn.order:
            await self._over[turn.order - 1].wait()
        yield
        self._over[turn.order].set()


class Bench(Run):
    """A run whose sessions take turns."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._turns = Turns(schedule([spec.name for spec in self.plan.sessions], self.plan.pairs))

    async def _drive(
        self,
        workload: workloads.Workload,
        context: workloads.Context,
        barrier: asyncio.Barrier,
        server: Server | None = None,
    ) -> None:
        spec = context.session.spec
        self._state(spec, "ready", "waiting for its turn")
        await barrier.wait()
        for turn in self._turns.of(spec.name):
            async with self._turns.take(turn):
                if turn.pair == 0 and spec.kind == "guest" and not spec.exact:
                    self._state(spec, "loading", "measuring how wrong its split of CPU time is")
                    await measure_tick_bias(context)
                what = f"pair {turn.pair} of {self.plan.pairs}" if turn.pair else "warm-up"
                self._state(spec, "running", what)
                await workload.prepare(context)
                await asyncio.sleep(BOUNDARY_SETTLE_S)
                self._repeat(turn, "begin")
                await self._measure(workload, context, server)
                self._repeat(turn, "end")
                self._state(spec, "ready", f"{what} is done")
        await workload.check(context)

    def _repeat(self, turn: Turn, event: Literal["begin", "end"]) -> None:
        t_ns = self.journal.now()
        self.journal.emit(Repeat(t_ns=t_ns, session=turn.session, pair=turn.pair, event=event, order=turn.order))
