"""Where in a recording the screen is: at its live end, or at a position that plays, steps and jumps.

The player folds all records of its source as they come, whatever is shown: pausing or going back never stops the
collection. Going back starts from a copy of an earlier state. A place that the fold has not come to is shown at once
all the same, from the landmarks and some minutes of records before it, without what only all records can tell.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from kmltui.live.live import LiveState
from kmltui.live.views import Snapshot
from kmltui.model import Gap, Header, Mark, Phase, Record, Sample

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_CHECKPOINTS = 256
"""At 50 to 100 KB each, packed; one is some minutes from the next in a recording of a day."""
_LANDMARKS = 5000
_JUST_BEHIND_NS = 1_500_000_000
_PART_SAMPLES = 180
"""Of each session, what is read before a place that has not been folded yet: rates need two seconds, charts more."""
_LEAST_PART_NS = 5_000_000_000


class Source(Protocol):
    """A recording, finished or growing, or a stream of one."""

    @property
    def header(self) -> Header: ...

    @property
    def ended(self) -> bool:
        """The run ended in order."""
        ...

    @property
    def live(self) -> bool:
        """More may come."""
        ...

    @property
    def duration_ns(self) -> int: ...

    def poll(self) -> list[Record]:
        """New records since the last call; never blocks."""
        ...

    def records(self, start_ns: int = 0, end_ns: int | None = None) -> Iterator[Record]: ...

    def landmarks(self) -> Sequence[Record]:
        """Of all there is now, what happened, and the samples at boundaries; quick."""
        ...


class Landmark(Struct, frozen=True, order=True):
    """Something to jump to."""

    t_ns: int
    kind: str
    """``phase``, ``mark`` or ``gap``."""
    text: str = ""


class Frame(Struct, frozen=True, kw_only=True):
    """What is to be shown: one message a tick."""

    view: Snapshot
    head: Snapshot
    """The newest state of what was read: the timeline is drawn from it."""
    duration_ns: int
    landmarks: tuple[Landmark, ...]
    live: bool
    """More may come from the source."""
    at_head: bool
    """``view`` is the newest state."""
    paused: bool
    speed: float
    reading: bool = False
    """The source has been read in part only; the timeline is not complete."""
    partial: bool = False
    """``view`` was made from the landmarks and some minutes before it: what is absent is on its way."""
    silent_ns: int = 0
    """How long nothing has come from a source that is live."""
    lost: str = ""
    """Why the source can give no more, though the run had not ended."""


class _Fold:
    """A state on its way through the records that follow it."""

    def __init__(self, state: LiveState, records: Iterator[Record]) -> None:
        self.state = state
        self._records = records
        self._next: Record | None = None
        self.at_ns = state.t_ns
        """The instant it stands for: that of the last record, or the target once it was reached."""

    def advance(self, target_ns: int, late: Callable[[], bool]) -> int:
        """Add the records up to ``target_ns``, or until it is ``late``; returns how many."""
        count = 0
        while True:
            record = self._next if self._next is not None else next(self._records, None)
            self._next = record
            if record is None or (not isinstance(record, Header) and record.t_ns > target_ns):
                self.at_ns = target_ns
                return count
            if late():
                self.at_ns = min(self.state.t_ns, target_ns - 1)  # there may be more of the same instant
                return count
            self.state.add(record)
            self._next = None
            count += 1


class Player:
    """Turns a source and the user's wishes into frames. Time is given to it, so that tests need no clock."""

    def __init__(
        self,
        source: Source,
        *,
        at_ns: int | None = None,
        speed: float = 1.0,
        replay: bool = False,
        clock: Callable[[], int] | None = None,
        slice_ns: int = 30_000_000,
    ) -> None:
        """``replay``: begin at the start (or ``at_ns``) and play; otherwise at the newest state.

        ``clock`` (ns) bounds the work of each step to ``slice_ns``, so that a long recording opens at once.
        """
        self.source = source
        self.speed = speed
        self.paused = False
        self.can_go_back = callable(getattr(source, "records", None))
        self._clock = clock
        self._slice_ns = slice_ns
        self._head = LiveState(source.header)
        self._checkpoints: list[tuple[int, LiveState]] = [(-1, self._head.copy())]
        self._checkpoint_every = max(5_000_000_000, source.duration_ns // _CHECKPOINTS)
        self._landmarks: list[Landmark] = []
        self._reading = True
        self._lost = ""
        self._position: int | None = None
        self._view: _Fold | None = None
        """What is shown at a position; None until there is something."""
        self._coming: _Fold | None = None
        """The exact state of the position, when ``_view`` is not it: of another place still, or partial."""
        self._firsts: dict[str, Sample] = {}
        self._outline: list[Record] | None = None
        """What partial states are made of, while the source is being read."""
        self._part_ns = max(_PART_SAMPLES * source.header.sample_period_ns, _LEAST_PART_NS)
        self._frozen: Snapshot | None = None
        self._last_tick: int | None = None
        self._last_news = 0
        self._snapshots: dict[str, tuple[int, Snapshot]] = {}
        self._count = 0
        if replay or at_ns is not None:
            if clock is not None:
                self._read()  # the sessions' first samples, from which cumulative counters are counted
            self.seek(at_ns or 0)

    @property
    def reading(self) -> bool:
        """There is more to read than one step was given time for."""
        behind = self._view is not None and self._position is not None and self._view.at_ns < self._position
        return not self._lost and (self._reading or self._coming is not None or behind)

    @property
    def partial(self) -> bool:
        """See :attr:`Frame.partial`."""
        return self._position is not None and self._view is not None and self._view.state.partial

    @property
    def position_ns(self) -> int:
        return self._head.t_ns if self._position is None else self._position

    @property
    def duration_ns(self) -> int:
        return max(self._head.t_ns, self.source.duration_ns)

    def tick(self, now_ns: int) -> Frame:
        """Read what has come, move on if playing, and freeze what is to be shown at ``now_ns`` (any steady clock)."""
        before = self._count
        self._read()
        if self._count != before or self._last_tick is None:
            self._last_news = now_ns
        elapsed = now_ns - self._last_tick if self._last_tick is not None else 0
        self._last_tick = now_ns
        if self._position is not None and not self.paused:
            self._play(int(elapsed * self.speed))
        else:
            self._approach()
        return self.frame()

    def read(self) -> None:
        """One step: read what has come, and go on towards the position."""
        self._read()
        self._approach()

    def frame(self) -> Frame:
        head = self._snapshot("head", self._head, None)
        if self._position is not None and self._view is not None:
            view = self._snapshot("view", self._view.state, self._view.at_ns)
        elif self.paused and self._frozen is not None:
            view = self._frozen
        else:
            view = head
        return Frame(
            view=view,
            head=head,
            duration_ns=self.duration_ns,
            landmarks=tuple(self._landmarks),
            live=self.source.live and not self.source.ended,
            at_head=self._position is None and not self.paused,
            paused=self.paused,
            speed=self.speed,
            reading=self._reading,
            partial=self.partial,
            silent_ns=(self._last_tick or 0) - self._last_news,
            lost=self._lost,
        )

    def lose(self, reason: str) -> None:
        """The source gives no more; the first reason counts."""
        self._lost = self._lost or reason
        self._reading = False
        self._coming = None

    def pause(self) -> None:
        """Pause, or go on; at the end of a recording that means from its beginning."""
        self.paused = not self.paused
        if (
            self._position is not None
            and not self.paused
            and self._position >= self.duration_ns
            and not self.source.live
        ):
            self.seek(0)
        self._frozen = self._snapshot("head", self._head, None) if self.paused else None

    def set_speed(self, step: int) -> None:
        """The next faster (1) or slower (-1) speed."""
        at = min(range(len(SPEEDS)), key=lambda i: abs(SPEEDS[i] - self.speed))
        self.speed = SPEEDS[min(max(at + step, 0), len(SPEEDS) - 1)]

    def step(self, delta_ns: int) -> None:
        """Go back or on; on past the end of what is live means back to live."""
        target = self.position_ns + delta_ns
        if target >= self.duration_ns and self.source.live:
            self.go_live()
        elif self._position is not None or delta_ns < 0:
            self.seek(target)

    def go_live(self) -> None:
        """To the newest state; of a finished recording that is its end."""
        if self.source.live and not self.source.ended:
            self._position = self._view = self._coming = None
            self.paused = False
            self._frozen = None
        else:
            self.seek(self.duration_ns)

    def seek(self, t_ns: int) -> None:
        """Show the state at ``t_ns``, clamped to the recording."""
        if not self.can_go_back:
            return
        self._position = target = min(max(t_ns, 0), self.duration_ns)
        start_ns = self._checkpoint()[0]
        exact = self._coming or self._view
        if exact is not None and start_ns <= exact.at_ns <= target:
            start_ns = exact.at_ns
        else:
            self._coming = self._from_checkpoint()
        unread = self._clock is not None and self._reading and target > self._head.t_ns
        far = unread and target - start_ns > self._part_ns
        if far:
            self._coming = self._coming or self._from_checkpoint()
            self._view = self._part()
        else:
            self._approach()

    def jump(self, direction: int) -> Landmark | None:
        """To the next (1) or previous (-1) phase, mark or gap."""
        at = self.position_ns
        times = [landmark.t_ns for landmark in self._landmarks]
        # Going back from just behind a landmark means the one before it, as in a music player: there is time for the
        # next press while it plays.
        just = _JUST_BEHIND_NS * (1 if self.paused else max(self.speed, 1))
        index = bisect_right(times, at) if direction > 0 else bisect_left(times, at - just) - 1
        if not 0 <= index < len(times):
            return None
        self.seek(times[index])
        return self._landmarks[index]

    def _play(self, delta_ns: int) -> None:
        target = self.position_ns + delta_ns
        if target >= self.duration_ns:
            if self.source.live and not self.source.ended:
                self.go_live()
                return
            target = self.duration_ns
            self.paused = True
        self._position = target
        self._approach()

    def _checkpoint(self) -> tuple[int, LiveState]:
        """The last one before the position."""
        return self._checkpoints[bisect_right(self._checkpoints, self.position_ns, key=lambda each: each[0]) - 1]

    def _from_checkpoint(self) -> _Fold:
        checkpoint_ns, state = self._checkpoint()
        return _Fold(state.copy(), iter(self.source.records(checkpoint_ns + 1)))

    def _approach(self) -> None:
        """Bring what is shown to the position, as far as one slice goes."""
        if (position := self._position) is None:
            return
        late = self._slice()
        # The head is on the same way as an exact state to come, and leaves checkpoints.
        if self._coming is None or (self.partial and self._reading and self._head.t_ns < position):
            if self._view is not None and self._view.at_ns < position:
                self._count += self._view.advance(position, late)
            return
        if self._checkpoint()[0] > self._coming.at_ns:
            self._coming = self._from_checkpoint()
        self._count += self._coming.advance(position, late) + 1
        if self._coming.at_ns >= position:
            self._view, self._coming = self._coming, None

    def _part(self) -> _Fold:
        """The state at the position as far as it can be told without reading all that is before it."""
        begin_ns = self.position_ns - self._part_ns
        if self._outline is None:
            self._outline = [*self._firsts.values(), *self.source.landmarks()]
            for record in self._outline:
                self._note(record)
        state = LiveState(self.source.header)
        state.extend(record for record in self._outline if not isinstance(record, Header) and record.t_ns < begin_ns)
        state.leave_out()
        fold = _Fold(state, iter(self.source.records(begin_ns)))
        self._count += fold.advance(self.position_ns, lambda: False) + 1
        return fold

    def _slice(self) -> Callable[[], bool]:
        """Tells when the time of one step is over."""
        clock = self._clock
        if clock is None:
            return lambda: False
        end = clock() + self._slice_ns
        return lambda: clock() > end

    def _read(self) -> None:
        late = self._slice()
        while True:
            try:
                records = self.source.poll()
            except Exception as error:
                self.lose(str(error) or type(error).__name__)
                return
            for record in records:
                self._take(record)
            if not records:
                self._reading = False
                self._outline = None
                return
            if late():
                self._reading = True
                return

    def _take(self, record: Record) -> None:
        if isinstance(record, Header):
            return
        head = self._head
        last_checkpoint = self._checkpoints[-1][0]
        if record.t_ns > head.t_ns and head.t_ns - last_checkpoint >= self._checkpoint_every and self.can_go_back:
            self._checkpoints.append((head.t_ns, head.copy()))
            if len(self._checkpoints) > _CHECKPOINTS:  # every other one goes: they are spread evenly at any length
                self._checkpoints = self._checkpoints[:1] + self._checkpoints[2::2]
                self._checkpoint_every *= 2
        head.add(record)
        self._count += 1
        if isinstance(record, Sample):
            self._firsts.setdefault(record.session, record)
        self._note(record)

    def _note(self, record: Record) -> None:
        landmark = _landmark(record, self.source.header)
        if landmark is not None and len(self._landmarks) < _LANDMARKS:
            at = bisect_left(self._landmarks, landmark)
            if self._landmarks[at : at + 1] != [landmark]:
                self._landmarks.insert(at, landmark)

    def _snapshot(self, name: str, state: LiveState, t_ns: int | None) -> Snapshot:
        """The state frozen, anew only when a record was added or time has passed."""
        key = self._count * 1_000_003 ^ (t_ns or 0)
        cached = self._snapshots.get(name)
        if cached is None or cached[0] != key:
            cached = self._snapshots[name] = (key, state.snapshot(t_ns))
        return cached[1]


def _landmark(record: Record, header: Header) -> Landmark | None:
    if isinstance(record, Mark):
        return Landmark(record.t_ns, "mark", record.note)
    if isinstance(record, Gap):
        return Landmark(record.t_ns, "gap", record.reason)
    if isinstance(record, Phase) and record.event == "begin" and record.session == header.sessions[0].name:
        return Landmark(record.t_ns, "phase", record.name)
    return None
