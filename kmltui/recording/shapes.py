# SPDX-License-Identifier: GPL-2.0-or-later
"""A record as a shape and its numbers.

The *shape* of a record is the record with every integer set to 0, every float to 0.0 and every byte string emptied;
what was taken out, in the order of the record, are its *leaves*. Two samples of the same session taken a second apart
have the same shape, and their leaves differ by little: that is what makes a recording small. Booleans, texts, None
and the keys of maps belong to the shape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from kmltui.recording.errors import Damage

INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1

MAX_SHAPE_BYTES = 1 << 18
"""A longer shape is not a record's: it bounds what damage can ask for."""

_MAX_DEPTH = 16


Builder = Callable[[Iterator[int], Iterator[float], Iterator[bytes]], Any]


@dataclass(slots=True)
class Leaves:
    """The numbers of one record: integers, floats, byte strings, each in order of appearance."""

    ints: list[int]
    floats: list[float]
    blobs: list[bytes]


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape, parsed, and how many leaves of each kind it takes."""

    ints: int
    floats: int
    blobs: int
    time: int | None
    """Which of the integers is the record's ``t_ns``."""
    type: str
    """The record's type."""
    marked: bool
    """It has a text under ``mark``."""
    build: Builder
    """Makes the record of an iterator over each kind of leaves."""


def split(value: dict[str, Any]) -> tuple[bytes, Leaves]:
    """Shape (MessagePack) and leaves of a record given as builtins.

    Raises ValueError for an integer beyond 64 bits and for a record that is too large to be read back.
    """
    leaves = Leaves([], [], [])
    template = _take(value, leaves)
    try:
        shape = msgspec.msgpack.encode(template)
    except UnicodeEncodeError:
        shape = msgspec.msgpack.encode(encodable(template))
    if len(shape) > MAX_SHAPE_BYTES:
        raise ValueError(f"a record of type {value.get('type')} is too large: {len(shape)} bytes without its numbers")
    return shape, leaves


def encodable(value: Any) -> Any:
    """The same with lone surrogates, which stand for bytes that are no text and which UTF-8 cannot hold, spelt out."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {encodable(key): encodable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [encodable(item) for item in value]
    return value


def _take(value: Any, leaves: Leaves) -> Any:
    kind = type(value)
    if kind is int:
        if not INT_MIN <= value <= INT_MAX:
            raise ValueError(f"{value} does not fit in 64 bits")
        leaves.ints.append(value)
        return 0
    if kind is dict:
        return {key: _take(item, leaves) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [_take(item, leaves) for item in value]
    if kind is float:
        leaves.floats.append(value)
        return 0.0
    if kind is bytes:
        leaves.blobs.append(value)
        return b""
    return value


def parse(data: bytes) -> Shape:
    """A shape from its MessagePack form. Raises Damage if it is none, or larger than any record's."""
    if len(data) > MAX_SHAPE_BYTES:
        raise Damage("a shape is too long")
    try:
        template = msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, TypeError) as error:
        raise Damage(f"a shape cannot be decoded: {error}") from error
    counts = Counter[type]()
    _count(template, counts, 0)
    if not isinstance(template, dict) or not isinstance(template.get("type"), str):
        raise Damage("a shape is not a record's")
    return Shape(
        counts[int],
        counts[float],
        counts[bytes],
        _time_index(template),
        template["type"],
        bool(template.get("mark")),
        _builder(template),
    )


def _time_index(template: dict[str, Any]) -> int | None:
    counts = Counter[type]()
    for key, value in template.items():
        if key == "t_ns" and type(value) is int:
            return counts[int]
        _count(value, counts, 0)
    return None


def _count(value: Any, counts: Counter[type], depth: int) -> None:
    """Add the kinds of the innermost values of ``value`` to ``counts``."""
    if depth > _MAX_DEPTH:
        raise Damage("a shape is nested too deeply")
    kind = type(value)
    if kind is dict or kind is list:
        for item in value.values() if kind is dict else value:
            _count(item, counts, depth + 1)
    else:
        counts[kind] += 1


def of_type(record: type[msgspec.Struct]) -> Callable[[Shape], bool]:
    """Tells the shapes of records of one type."""
    tag = record.__struct_config__.tag
    return lambda shape: shape.type == tag


def join(shape: Shape, leaves: Leaves) -> dict[str, Any]:
    """The record, as builtins, that ``shape`` and ``leaves`` make. The leaves must be as many as the shape takes."""
    record: dict[str, Any] = shape.build(iter(leaves.ints), iter(leaves.floats), iter(leaves.blobs))
    return record


_LEAVES: dict[type, Builder] = {
    int: lambda ints, _floats, _blobs: next(ints),
    float: lambda _ints, floats, _blobs: next(floats),
    bytes: lambda _ints, _floats, blobs: next(blobs),
}


def _builder(template: Any) -> Builder:
    """Fills a template. Made once for a shape and used for each of its rows, of which a recording has many."""
    kind = type(template)
    if kind in _LEAVES:
        return _LEAVES[kind]
    if kind is dict:
        return _map_builder(template)
    if kind is list:
        count = len(template)
        if _only_integers(template):
            return lambda ints, _floats, _blobs: list(islice(ints, count))
        items = [_builder(item) for item in template]
        return lambda ints, floats, blobs: [build(ints, floats, blobs) for build in items]
    return lambda _ints, _floats, _blobs: template


def _map_builder(template: dict[Any, Any]) -> Builder:
    keys = tuple(template)
    items = list(template.values())
    if _only_integers(items):
        return lambda ints, _floats, _blobs: dict(zip(keys, ints, strict=False))
    if (count := _common_length(items)) is not None:
        # Such as the ticks of each CPU. The same iterator so many times deals out as many numbers to each key.
        return lambda ints, _floats, _blobs: dict(zip(keys, zip(*[ints] * count, strict=False), strict=False))
    constants = {key: item for key, item in template.items() if type(item) not in (int, float, bytes, dict, list)}
    parts = [(key, _builder(item)) for key, item in template.items() if key not in constants]

    def build(ints: Iterator[int], floats: Iterator[float], blobs: Iterator[bytes]) -> dict[Any, Any]:
        record = constants.copy()
        for key, part in parts:
            record[key] = part(ints, floats, blobs)
        return record

    return build


def _only_integers(items: list[Any]) -> bool:
    return all(type(item) is int for item in items)


def _common_length(items: list[Any]) -> int | None:
    """How many integers each of the items is a list of, if all of them are and have as many."""
    lengths = {len(item) if type(item) is list and item and _only_integers(item) else None for item in items}
    return lengths.pop() if len(lengths) == 1 else None
