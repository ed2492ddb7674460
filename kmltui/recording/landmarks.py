"""Which records a reader wants wherever it looks at a run."""

from __future__ import annotations

from kmltui.model import End, Environment, Mark, Phase, Proof, Repeat, Sample, State
from kmltui.recording.schema import Timed


def is_landmark(record: Timed) -> bool:
    """Whether the record tells what happened, as opposed to how it went on: these are few, and reports rest on them."""
    if isinstance(record, Sample):
        return bool(record.mark)
    return isinstance(record, Environment | Phase | Mark | Repeat | State | Proof | End)
