# SPDX-License-Identifier: GPL-2.0-or-later
"""A bench: the sessions repeat the workload in turn, so that disturbances affect all of them alike.

All sessions are booted once and stay up; only one of them works at a time. The first repetition of each is a warm-up.
The order alternates from pair to pair (A B, B A, A B, …), so that drift of the machine cancels out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

from kmltui.model import Repeat
from kmltui.runner.work import Work, Workplace
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import Session
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
    """Lets the sessions work one after the other, according to the schedule."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns = turns
        self._over = [asyncio.Event() for _ in turns]

    def of(self, session: str) -> list[Turn]:
        return [turn for turn in self._turns if turn.session == session]

    @contextlib.asynccontextmanager
    async def take(self, turn: Turn) -> AsyncIterator[None]:
        """Wait until the previous turn is over; this one ends with the block."""
        if turn.order:
            await self._over[turn.order - 1].wait()
        yield
        self._over[turn.order].set()


@dataclass(frozen=True)
class InTurn:
    """A workload in turn: a warm-up of each session, then ``pairs`` repetitions of each."""

    work: Work
    pairs: int

    def session(self, name: str) -> Session | None:
        return self.work.up.get(name)

    async def perform(self, journal: Journal) -> None:
        specs = self.work.plan.sessions
        turns = Turns(schedule([spec.name for spec in specs], self.pairs))
        barrier = asyncio.Barrier(len(specs))

        async def drive(place: Workplace) -> None:
            place.state("ready", "waiting for its turn")
            await barrier.wait()
            for turn in turns.of(place.spec.name):
                async with turns.take(turn):
                    await self._repetition(place, turn)
            await place.check()

        await self.work.everywhere(journal, drive)

    async def _repetition(self, place: Workplace, turn: Turn) -> None:
        spec, context = place.spec, place.context
        if turn.pair == 0 and spec.kind == "guest" and not spec.exact:
            place.state("loading", "measuring how wrong its split of CPU time is")
            await measure_tick_bias(context)
        what = f"pair {turn.pair} of {self.pairs}" if turn.pair else "warm-up"
        place.state("running", what)
        await place.prepare()
        await place.settle()
        self._boundary(context.journal, turn, "begin")
        await place.measure()
        self._boundary(context.journal, turn, "end")
        place.state("ready", f"{what} is done")

    def _boundary(self, journal: Journal, turn: Turn, event: Literal["begin", "end"]) -> None:
        t_ns, pairs = journal.now(), self.pairs
        journal.emit(
            Repeat(t_ns=t_ns, session=turn.session, pair=turn.pair, event=event, order=turn.order, pairs=pairs)
        )
