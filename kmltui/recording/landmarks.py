# SPDX-License-Identifier: GPL-2.0-or-later
"""Which records a reader needs wherever in a run it is."""

from __future__ import annotations

from kmltui.model import End, Environment, Mark, Phase, Proof, Repeat, Sample, State
from kmltui.recording.schema import Timed
from kmltui.recording.shapes import Shape

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
