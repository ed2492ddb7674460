# SPDX-License-Identifier: GPL-2.0-or-later
"""Where in a recording the screen is: at its live end, or at a position that plays, steps and jumps.

The player reads all records of its source as they come, whatever is shown: pausing or going back never stops the
reading. What is shown is the state of the run at the position, a query to :class:`kmltui.live.store.Store`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct, structs

from kmltui.live.place import Recording
from kmltui.live.store import Store
from kmltui.live.views import Landmark, Snapshot
from kmltui.model import Header, Mark, Phase, Record, Sample
from kmltui.tui import tour as tours

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_JUST_BEHIND_NS = 1_500_000_000
_BEFORE_WORK_NS = 1_500_000_000


class Source(Recording, Protocol):
    """A recording, finished or growing."""

    @property
    def header(self) -> Header: ...

    @property
    def ended(self) -> bool:
        """The run ended properly."""
        ...

    @property
    def live(self) -> bool:
        """More may come."""
        ...

    def poll(self) -> list[Record]:
        """New records since the last call; never blocks."""
        ...


class Frame(Struct, frozen=True, kw_only=True):
    """What is to be shown: one message per tick."""

    view: Snapshot
    head: Snapshot
    """The newest state that was read; the timeline is drawn from it."""
    duration_ns: int
    landmarks: tuple[Landmark, ...]
    live: bool
    """More may come from the source."""
    at_head: bool
    """``view`` is the newest state."""
    paused: bool
    speed: float
    reading: bool = False
    """Only a part of the source has been read; the timeline is incomplete."""
    silent_ns: int = 0
    """How long a live source has sent nothing."""
    remote: bool = False
    """The source is a connection: silence may be due to the connection as well as to the run."""
    lost: str = ""
    """Why the source can give no more, though the run had not ended."""
    subtitle: str = ""
    """In a tour: the note of the last mark."""


class Player:
    """Turns a source and the user's requests into frames. The time is passed in, so that tests need no clock."""

    def __init__(
        self,
        source: Source,
        *,
        at_ns: int | None = None,
        speed: float = 1.0,
        replay: bool = False,
        clock: Callable[[], int] | None = None,
        slice_ns: int = 30_000_000,
        remote: bool = False,
        tour: bool = False,
    ) -> None:
        """``replay``: begin a moment before the work does (or at ``at_ns``) and play; otherwise at the newest state.

        ``clock`` (ns) bounds the reading of each step to ``slice_ns``, so that a long recording opens at once.
        ``remote``: the source is filled by a connection. ``tour``: play from mark to mark, with notes as subtitles.
        """
        self.source = source
        self.remote = remote
        self._tour = tours.Tour() if tour else None
        self.speed = speed
        self.paused = False
        self._clock = clock
        self._slice_ns = slice_ns
        self._store = Store(source.header, source)
        self._reading = True
        self._lost = ""
        self._position: int | None = None
        self._frozen: Snapshot | None = None
        self._last_tick: int | None = None
        self._last_news = 0
        self._shown: tuple[tuple[int, int | None], Snapshot] | None = None
        self._head: tuple[int, Snapshot] | None = None
        if replay or at_ns is not None:
            if clock is not None and self._store.watched:
                self.read()  # the first samples, which totals are counted from
            self.seek(self._opening_ns() if at_ns is None else at_ns)

    @property
    def reading(self) -> bool:
        """There is more to read than one step was given time for."""
        return self._reading and not self._lost

    @property
    def at_rest(self) -> bool:
        """Nothing will change until the user does something: no tick is needed before that."""
        more = self.source.live and not self.source.ended and not self._lost
        return not more and not self.reading and (self._position is None or self.paused)

    def wake(self, now_ns: int) -> None:
        """End a rest at ``now_ns``: the time that has passed in it is not made up for."""
        if self._last_tick is not None:
            self._last_tick = now_ns

    @property
    def incomplete(self) -> bool:
        """What is shown is incomplete, because it depends on records that have not been read yet."""
        return self.reading and self._store.is_ahead(self.position_ns)

    @property
    def position_ns(self) -> int:
        return self.duration_ns if self._position is None else self._position

    @property
    def duration_ns(self) -> int:
        return max(self._store.t_ns, self.source.duration_ns)

    def tick(self, now_ns: int) -> Frame:
        """Read what has come, advance if playing, and freeze what is to be shown at ``now_ns`` (of any monotonic
        clock)."""
        before = self._store.version
        # The first picture comes before a slice of reading, if that slice would not change what it shows.
        if self._clock is None or self._last_tick is not None or not self.incomplete:
            self.read()
        if self._store.version != before or self._last_tick is None:
            self._last_news = now_ns
        elapsed = now_ns - self._last_tick if self._last_tick is not None else 0
        self._last_tick = now_ns
        if self._position is not None and not self.paused:
            self._play(self._target(self._position, elapsed))
        return self.frame()

    def read(self) -> None:
        """Add what has come to the store, as much as one step has time for."""
        clock = self._clock
        end = clock() + self._slice_ns if clock is not None else None
        self._reading = True
        while not self._lost:
            try:
                records = self.source.poll()
            except Exception as error:
                self.lose(str(error) or type(error).__name__)
                return
            self._store.extend(records)
            if not records:
                self._reading = False
                return
            if clock is not None and end is not None and clock() > end:
                return

    def frame(self) -> Frame:
        view = self._frozen if self._position is None and self._frozen is not None else self._view()
        silent_ns = (self._last_tick or 0) - self._last_news
        if not self.remote and self.source.live and self._position is None and not self.paused and view.starting:
            # While guests boot, records come seldom; the time that passes is shown all the same.
            view = structs.replace(view, t_ns=view.t_ns + silent_ns)
        if self._lost or not (self.source.live or self.reading or self._newest().status):
            view = structs.replace(view, abandoned=True)
        return Frame(
            view=view,
            head=self._newest(),
            duration_ns=self.duration_ns,
            landmarks=self._store.landmarks,
            live=self.source.live and not self.source.ended,
            at_head=self._position is None and not self.paused,
            paused=self.paused,
            speed=self.speed,
            reading=self.reading,
            silent_ns=silent_ns,
            remote=self.remote,
            lost=self._lost,
            subtitle=tours.subtitle(self.position_ns, self._store.landmarks) if self._tour is not None else "",
        )

    def lose(self, reason: str) -> None:
        """The source gives no more records; the first reason is kept."""
        self._lost = self._lost or reason

    def pause(self) -> None:
        """Pause, or continue; at the end of a recording, from where its work began."""
        self.paused = not self.paused
        if (
            self._position is not None
            and not self.paused
            and self._position >= self.duration_ns
            and not self.source.live
        ):
            self.seek(self._opening_ns())
        self._frozen = self._view() if self.paused and self._position is None else None

    def set_speed(self, step: int) -> None:
        """The next faster (1) or slower (-1) speed."""
        at = min(range(len(SPEEDS)), key=lambda i: abs(SPEEDS[i] - self.speed))
        self.speed = SPEEDS[min(max(at + step, 0), len(SPEEDS) - 1)]

    def step(self, delta_ns: int) -> None:
        """Go back or forward; forward past the end of a live recording means back to live."""
        target = self.position_ns + delta_ns
        if target >= self.duration_ns and self.source.live:
            self.go_live()
        elif self._position is not None or delta_ns < 0:
            self.seek(target)

    def go_live(self) -> None:
        """To the newest state; in a finished recording, to its end."""
        if self.source.live and not self.source.ended:
            self._position = None
            self.paused = False
            self._frozen = None
        else:
            self.seek(self.duration_ns)

    def seek(self, t_ns: int) -> None:
        """Show the state at ``t_ns``, clamped to the recording."""
        self._position = min(max(t_ns, 0), self.duration_ns)

    def jump(self, direction: int) -> Landmark | None:
        """Go to the next (1) or previous (-1) phase, mark or gap."""
        at = self.position_ns
        landmarks = self._store.landmarks
        times = [landmark.t_ns for landmark in landmarks]
        # Going back from just behind a landmark goes to the one before it, as in a music player: this leaves time for
        # the next press during playback.
        just = _JUST_BEHIND_NS * (1 if self.paused else max(self.speed, 1))
        index = bisect_right(times, at) if direction > 0 else bisect_left(times, at - just) - 1
        if not 0 <= index < len(times):
            return None
        self.seek(times[index])
        return landmarks[index]

    def _opening_ns(self) -> int:
        """Where a replay begins: a moment before the work, since guests may have taken minutes to boot.

        The work begins with its first phase or, where there are no phases, with the samples that begin the measurement.
        """
        try:
            landmarks = self.source.landmarks()
        except Exception:
            return 0  # whatever is wrong with the source, reading it says so
        phases = [each.t_ns for each in landmarks if isinstance(each, Phase) and each.event == "begin"]
        starts = [each.t_ns for each in landmarks if isinstance(each, Sample) and each.mark == "start"]
        picture_ns = max(min(phases or starts, default=0) - _BEFORE_WORK_NS, 0)
        if self._tour is None:
            return picture_ns
        marks = [Landmark(each.t_ns, "mark", each.note) for each in landmarks if isinstance(each, Mark)]
        return tours.opening_ns(marks, picture_ns)

    def _target(self, position_ns: int, elapsed_ns: int) -> int:
        if self._tour is not None:
            return self._tour.move(position_ns, elapsed_ns, self._store.landmarks, self.duration_ns)
        return position_ns + int(elapsed_ns * self.speed)

    def _play(self, target: int) -> None:
        if target >= self.duration_ns:
            if self.source.live and not self.source.ended:
                self.go_live()
                return
            target = self.duration_ns
            self.paused = True
        self._position = target

    def _view(self) -> Snapshot:
        """The state at the position, queried again only if something has changed.

        At the newest state of a recording that is still being read, the position is the recording's end and not how far
        it has been read.
        """
        t_ns = self._position
        if t_ns is None:
            if not self.reading:
                return self._newest()
            t_ns = self.duration_ns
        key = (self._store.version, t_ns)
        if self._shown is None or self._shown[0] != key:
            try:
                self._shown = (key, self._store.at(t_ns))
            except Exception as error:
                self.lose(str(error) or type(error).__name__)
                return self._shown[1] if self._shown is not None else self._newest()
        return self._shown[1]

    def _newest(self) -> Snapshot:
        if self._head is None or self._head[0] != self._store.version:
            self._head = (self._store.version, self._store.at())
        return self._head[1]
