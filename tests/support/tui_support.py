# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording in memory and a clock in the test's hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from made_up_run import S, header
from textual.pilot import Pilot

from kmltui.model import End, Gap, Header, Record
from kmltui.recording.landmarks import is_landmark
from kmltui.tui.app import ViewerApp
from kmltui.tui.controls import QueryPlan
from kmltui.tui.glyphs import UNICODE, Glyphs
from kmltui.tui.player import Player

Picture = Callable[..., bool]
"""Compares the screen with its picture; see the fixture of that name."""


async def settled(pilot: Pilot[Any]) -> None:
    """The screen no longer changes: what comes may need a second layout, and on a busy machine that comes late."""
    before, same = "", 0
    for _ in range(100):
        await pilot.pause(0.04)
        shown = pilot.app.export_screenshot()
        same = same + 1 if shown == before else 0
        if same == 3:
            return
        before = shown


class MemorySource:
    """Holds records; those after ``now_s`` have not been written yet."""

    def __init__(self, records: Iterable[Record], *, live: bool = False, now_s: float | None = None) -> None:
        self.header: Header = header()
        self.all = list(records)
        self._live = live
        self._given = 0
        self.fail: Exception | None = None
        """Raised by the next poll."""
        self._written = len(self.all)
        if now_s is not None:
            self.write_until(now_s)

    def write_until(self, now_s: float) -> None:
        self._written = sum(1 for record in self.all if getattr(record, "t_ns", 0) <= now_s * S)

    def close(self) -> None:
        """The writer is gone."""
        self._live = False

    @property
    def ended(self) -> bool:
        return any(isinstance(record, End) for record in self.all[: self._written])

    @property
    def live(self) -> bool:
        return self._live

    @property
    def duration_ns(self) -> int:
        return max((r.t_ns for r in self.all[: self._written] if not isinstance(r, Header | Gap)), default=0)

    def poll(self) -> list[Record]:
        if self.fail is not None:
            raise self.fail
        new = self.all[self._given : self._written]
        self._given = self._written
        return new

    def records(self, start_ns: int = 0, end_ns: int | None = None, only: Any = None) -> Iterator[Record]:
        if start_ns <= 0 and only is None:
            yield self.header
        for record in self.all[: self._written]:
            if isinstance(record, Header):
                continue
            wanted = only is None or isinstance(record, only)
            if wanted and start_ns <= record.t_ns and (end_ns is None or record.t_ns < end_ns):
                yield record

    def landmarks(self) -> list[Record]:
        return [r for r in self.all[: self._written] if not isinstance(r, Header) and is_landmark(r)]


class MockControls:
    can_stop = True
    can_mark = True
    can_explain = True

    def __init__(self, plan: QueryPlan | Exception | None = None) -> None:
        self.marks: list[str] = []
        self.stopped = False
        self.explained: list[tuple[str, str]] = []
        self._plan = plan or QueryPlan(["id", "type"], [["1", "ALL"]])

    async def stop(self) -> None:
        self.stopped = True

    async def mark(self, note: str) -> None:
        self.marks.append(note)

    async def explain(self, digest: str, schema: str) -> QueryPlan:
        self.explained.append((digest, schema))
        if isinstance(self._plan, Exception):
            raise self._plan
        return self._plan


def viewer(
    records: Iterable[Record],
    *,
    live: bool = False,
    now_s: float | None = None,
    at_s: float | None = None,
    controls: MockControls | None = None,
    theme: str | None = "kmltui-dark",
    glyphs: Glyphs = UNICODE,
) -> ViewerApp:
    """A viewer that draws when it is told to: live at ``now_s``, or a replay stopped at ``at_s``."""
    source = MemorySource(records, live=live, now_s=now_s)
    player = Player(source, at_ns=None if at_s is None else int(at_s * S), replay=at_s is not None)
    player.paused = at_s is not None
    return ViewerApp(player, controls, theme=theme, glyph_set=glyphs, threaded=False)
