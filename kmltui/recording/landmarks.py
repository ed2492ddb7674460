# SPDX-License-Identifier: GPL-2.0-or-later
"""Which records a reader needs wherever in a run it is."""

from __future__ import annotations

import msgspec

from kmltui.model import End, Environment, Mark, Phase, Proof, Repeat, Sample, State
from kmltui.recording.schema import Timed
from kmltui.recording.shapes import Shape

MAX_BYTES = 16 << 20
"""What all landmarks of a recording may take. Readers keep them all, and equal ones compress to nearly nothing, so
without a limit a small file could fill the memory. A bench of a thousand pairs needs a quarter of it.
"""

_OVERHEAD_BYTES = 64
"""What a landmark takes beside its content."""

_TYPES = (Environment, Phase, Mark, Repeat, State, Proof, End)
_NAMES = frozenset(str(each.__struct_config__.tag) for each in _TYPES)


def is_landmark(record: Timed) -> bool:
    """Return whether something happened, as opposed to going on: such records are few, and reports depend on them."""
    if isinstance(record, Sample):
        return bool(record.mark)
    return isinstance(record, _TYPES)


def are_landmarks(shape: Shape) -> bool:
    """Whether records of this shape are such."""
    return shape.type in _NAMES or (shape.type == "sample" and shape.marked)


class Allowance:
    """Counts the landmarks of one recording against :data:`MAX_BYTES`."""

    def __init__(self) -> None:
        self._left = MAX_BYTES

    def covers(self, record: Timed) -> bool:
        """Whether there is room for one more landmark; if so, it is taken. There always is for the end of the run."""
        if isinstance(record, End):
            return True
        size = _size(record)
        if size > self._left:
            return False
        self._left -= size
        return True


def _size(record: Timed) -> int:
    return len(msgspec.msgpack.encode(record)) + _OVERHEAD_BYTES
