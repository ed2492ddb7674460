# SPDX-License-Identifier: GPL-2.0-or-later
"""How far the reading of a recording is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from kmltui.model import Gap, Header, Record

_EVERY = 256


def with_progress(records: Iterable[Record], duration_ns: int, progress: Callable[[float], object]) -> Iterator[Record]:
    """The same records; ``progress`` hears which fraction of the recording's time they have passed."""
    for number, record in enumerate(records):
        if number % _EVERY == 0 and not isinstance(record, Header | Gap):
            progress(min(record.t_ns / max(duration_ns, 1), 1.0))
        yield record
