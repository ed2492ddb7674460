# SPDX-License-Identifier: GPL-2.0-or-later
"""A tour of a recording: plays it from mark to mark, and pauses at each for as long as reading its note aloud takes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from kmltui.live.views import Landmark

LONGEST_GAP_S = 6.0
"""The longest time between two marks; what is farther apart is played faster."""

LEAST_STAY_S = 4.0
CHARACTERS_A_SECOND = 14.0
"""For a note that is read aloud at an easy pace."""


class Tour:
    """Decides how far to play. After a manual jump it continues from there."""

    def __init__(self) -> None:
        self._stays_ns = 0
        self._stayed_at: int | None = None

    def move(self, position_ns: int, elapsed_ns: int, landmarks: Sequence[Landmark], end_ns: int) -> int:
        """The new position after ``elapsed_ns``."""
        notes = [landmark for landmark in landmarks if landmark.kind == "mark" and landmark.text]
        times = [note.t_ns for note in notes]
        here = bisect_left(times, position_ns)
        if here < len(notes) and times[here] == position_ns and self._stayed_at != position_ns:
            self._stayed_at, self._stays_ns = position_ns, _stay_ns(notes[here].text)
        if self._stays_ns > 0:
            self._stays_ns -= elapsed_ns
            return position_ns
        ahead = bisect_right(times, position_ns)
        target = times[ahead] if ahead < len(times) else end_ns
        before = times[ahead - 1] if ahead else 0
        speed = max(1.0, (target - before) / (LONGEST_GAP_S * 1e9))
        return min(position_ns + int(elapsed_ns * speed), target)


def _stay_ns(note: str) -> int:
    return int(max(LEAST_STAY_S, len(note) / CHARACTERS_A_SECOND) * 1e9)


def subtitle(position_ns: int, landmarks: Sequence[Landmark]) -> str:
    """The note of the last mark up to here."""
    notes = [mark.text for mark in landmarks if mark.kind == "mark" and mark.text and mark.t_ns <= position_ns]
    return notes[-1] if notes else ""
