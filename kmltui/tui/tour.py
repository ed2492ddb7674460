# SPDX-License-Identifier: GPL-2.0-or-later
"""A tour of a recording: plays it from mark to mark, each part for at least as long as reading its note aloud takes.

The note of a mark speaks of what follows it. So the picture never stands still at a mark, where nothing of that has
happened yet, but goes on under the note: at the recording's pace until there is something to see, then as slowly as the
note needs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from kmltui.live.views import Landmark

LONGEST_PART_S = 6.0
"""The longest time for what lies between two marks, unless the note takes longer; more is played faster."""

LEAD_NS = 1_200_000_000
"""How much of a part is never played slower than it was: two samples of every session, the first picture of it."""

LEAST_STAY_S = 4.0
CHARACTERS_A_SECOND = 14.0
"""For a note that is read aloud at an easy pace."""


class Tour:
    """Decides how far to play. After a manual jump it continues from there."""

    def __init__(self) -> None:
        self._part: tuple[int, int] | None = None
        """Begin and end of what is being played under one note."""
        self._reached_ns: int | None = None

    def move(self, position_ns: int, elapsed_ns: int, landmarks: Sequence[Landmark], end_ns: int) -> int:
        """The new position after ``elapsed_ns``."""
        notes = _notes(landmarks)
        ahead = bisect_right([note.t_ns for note in notes], position_ns)
        target = notes[ahead].t_ns if ahead < len(notes) else end_ns
        if self._part is None or self._part[1] != target or self._reached_ns != position_ns:
            self._part = position_ns, target
        begin, _ = self._part
        # The picture of the last part stays anyway, since that is where the tour ends.
        note = notes[ahead - 1].text if 0 < ahead < len(notes) else ""
        step = round(elapsed_ns * _speed(position_ns - begin, target - begin, _stay_ns(note)))
        self._reached_ns = min(position_ns + step, target)
        return self._reached_ns


def opening_ns(landmarks: Sequence[Landmark], first_picture_ns: int) -> int:
    """Where a tour begins: at its first picture, but without passing over more than the beginning of the first part."""
    times = [note.t_ns for note in _notes(landmarks)]
    return first_picture_ns if bisect_right(times, first_picture_ns) < 2 else times[0]


def _speed(played_ns: int, part_ns: int, stay_ns: int) -> float:
    """The pace, as a multiple of the recording's, after ``played_ns`` of a part whose note takes ``stay_ns``."""
    if part_ns >= stay_ns:
        return max(1.0, part_ns / max(stay_ns, LONGEST_PART_S * 1e9))
    lead_ns = min(LEAD_NS, part_ns // 2)
    return 1.0 if played_ns < lead_ns else (part_ns - lead_ns) / (stay_ns - lead_ns)


def _stay_ns(note: str) -> int:
    return int(max(LEAST_STAY_S, len(note) / CHARACTERS_A_SECOND) * 1e9) if note else 0


def _notes(landmarks: Sequence[Landmark]) -> list[Landmark]:
    return [landmark for landmark in landmarks if landmark.kind == "mark" and landmark.text]


def subtitle(position_ns: int, landmarks: Sequence[Landmark]) -> str:
    """The note of the last mark up to here."""
    notes = [note.text for note in _notes(landmarks) if note.t_ns <= position_ns]
    return notes[-1] if notes else ""
