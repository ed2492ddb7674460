"""Where in a recording the screen is: at its live end, or at a position that plays, steps and jumps.

The player folds all records of its source as they come, whatever is shown: pausing or going back never stops the
collection. Going back starts from a copy of an earlier state.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from typing import Protocol

from msgspec import Struct

from kmltui.analysis.live import LiveState
from kmltui.analysis.views import Snapshot
from kmltui.model import Gap, Header, Mark, Phase, Record

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_CHECKPOINTS = 32
_LANDMARKS = 5000


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
    silent_ns: int = 0
    """How long nothing has come from a source that is live."""
    lost: str = ""
    """Why the source can give no more, though the run had not ended."""


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
        slice_ns: int = 40_000_000,
    ) -> None:
        """``replay``: begin at the start (or ``at_ns``) and play; otherwise at the newest state.

        ``clock`` (ns) bounds the work of one tick to ``slice_ns``, so that a long recording opens at once.
        """
        self.source = source
        self.speed = speed
        self.paused = False
        self.can_go_back = callable(getattr(source, "records", None))
        self._clock = clock
        self._slice_ns = slice_ns
        self._head = LiveState(source.header)
        self._checkpoints: list[tuple[int, LiveState]] = [(-1, self._head.copy())]
        self._checkpoint_every = 5_000_000_000
        self._landmarks: list[Landmark] = []
        self._reading = True
        self._lost = ""
        self._position: int | None = None
        self._view = self._head
        self._frozen: Snapshot | None = None
        self._future: Iterator[Record] = iter(())
        self._next: Record | None = None
        self._last_tick: int | None = None
        self._last_news = 0
        self._snapshots: dict[str, tuple[int, Snapshot]] = {}
        self._count = 0
        if replay or at_ns is not None:
            self.seek(at_ns or 0)

    @property
    def reading(self) -> bool:
        """There is more in the source than one tick was given time for."""
        return self._reading

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
        return self.frame()

    def frame(self) -> Frame:
        head = self._snapshot("head", self._head, None)
        if self._position is not None:
            view = self._snapshot("view", self._view, self._position)
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
            silent_ns=(self._last_tick or 0) - self._last_news,
            lost=self._lost,
        )

    def lose(self, reason: str) -> None:
        """The source gives no more; the first reason counts."""
        self._lost = self._lost or reason
        self._reading = False

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
            self._position = None
            self.paused = False
            self._frozen = None
        else:
            self.seek(self.duration_ns)

    def seek(self, t_ns: int) -> None:
        """Show the state at ``t_ns``, clamped to the recording."""
        if not self.can_go_back:
            return
        target = min(max(t_ns, 0), self.duration_ns)
        ahead = self._position is not None and target >= self._position
        at = bisect_right(self._checkpoints, target, key=lambda checkpoint: checkpoint[0]) - 1
        checkpoint_ns, state = self._checkpoints[at]
        if not ahead or checkpoint_ns > (self._position or 0):
            self._view = state.copy()
            self._future = iter(self.source.records(checkpoint_ns + 1))
            self._next = None
        self._position = target
        self._fold_to(target)

    def jump(self, direction: int) -> Landmark | None:
        """To the next (1) or previous (-1) phase, mark or gap."""
        at = self.position_ns
        times = [landmark.t_ns for landmark in self._landmarks]
        # Going back from just behind a landmark means the one before it, as in a music player.
        index = bisect_right(times, at) if direction > 0 else bisect_left(times, at - 500_000_000) - 1
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
        self._fold_to(target)

    def _fold_to(self, target: int) -> None:
        while True:
            record = self._next if self._next is not None else next(self._future, None)
            self._next = None
            if record is None:
                return
            if not isinstance(record, Header) and record.t_ns > target:
                self._next = record
                return
            self._view.add(record)
            self._count += 1

    def _read(self) -> None:
        begin = self._clock() if self._clock else 0
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
                return
            if self._clock and self._clock() - begin > self._slice_ns:
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
        landmark = _landmark(record, self.source.header)
        if landmark is not None and len(self._landmarks) < _LANDMARKS:
            insort(self._landmarks, landmark)

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
