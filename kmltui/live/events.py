# SPDX-License-Identifier: GPL-2.0-or-later
"""Looks up what happened in a run by its time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable
from typing import Generic, TypeVar

import msgspec

from kmltui.model import Log, Mark

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
W = TypeVar("W", Log, Mark)

KEPT = 10_000
"""Events of one kind that are kept: the newest."""

MOST_CHARACTERS = 4_000
"""Of a kept log line or note. A recording may hold longer ones, and ten thousand of those would fill the memory."""


def brief(record: W) -> W:
    """The record with its text cut to :data:`MOST_CHARACTERS`."""
    if isinstance(record, Log) and len(record.text) > MOST_CHARACTERS:
        return msgspec.structs.replace(record, text=record.text[:MOST_CHARACTERS])
    if isinstance(record, Mark) and len(record.note) > MOST_CHARACTERS:
        return msgspec.structs.replace(record, note=record.note[:MOST_CHARACTERS])
    return record


class Events(Generic[T]):
    """Things of one kind with their times, in order; simultaneous ones in their order of arrival."""

    __slots__ = ("_items", "_kept", "_times", "forgotten_ns")

    def __init__(self, kept: int | None = KEPT) -> None:
        """``kept`` None: all of them."""
        self._kept = kept
        self._times: list[int] = []
        self._items: list[T] = []
        self.forgotten_ns = -1
        """Time of the last one that is no longer kept."""

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> T:
        return self._items[index]

    def add(self, t_ns: int, item: T) -> int:
        """Add one; returns its place among the others."""
        times = self._times
        place = bisect_right(times, t_ns) if times and t_ns < times[-1] else len(times)
        times.insert(place, t_ns)
        self._items.insert(place, item)
        if self._kept is not None and len(times) > self._kept:
            dropped = max(self._kept // 4, 1)
            self.forgotten_ns = times[dropped - 1]
            del times[:dropped], self._items[:dropped]
            place -= dropped
        return place

    def count(self, t_ns: int) -> int:
        """How many there are up to ``t_ns``."""
        return bisect_right(self._times, t_ns)

    def until(self, t_ns: int, most: int | None = None) -> tuple[T, ...]:
        """Those up to ``t_ns``, at most the last ``most``."""
        count = self.count(t_ns)
        return tuple(self._items[0 if most is None else max(count - most, 0) : count])

    def last(self, t_ns: int) -> T | None:
        """The last one up to ``t_ns``."""
        count = self.count(t_ns)
        return self._items[count - 1] if count else None

    def last_time(self, t_ns: int) -> int:
        """When the last one up to ``t_ns`` was; 0 if there is none."""
        count = self.count(t_ns)
        return self._times[count - 1] if count else 0


class Latest(Generic[K, T]):
    """Things of which a later one replaces an earlier one of the same name."""

    __slots__ = ("_by_name", "_most")

    def __init__(self, most: int = 1000) -> None:
        """``most``: how many names are kept; further ones are left out."""
        self._most = most
        self._by_name: dict[K, Events[T]] = {}

    def add(self, t_ns: int, name: K, item: T) -> None:
        if name not in self._by_name:
            if len(self._by_name) >= self._most:
                return
            self._by_name[name] = Events(kept=64)
        self._by_name[name].add(t_ns, item)

    def until(self, t_ns: int) -> tuple[T, ...]:
        """The latest of each name at ``t_ns``; names in their order of arrival."""
        return tuple(item for events in self._by_name.values() if (item := events.last(t_ns)) is not None)
