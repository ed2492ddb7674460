# SPDX-License-Identifier: GPL-2.0-or-later
"""Records to builtins and back, and the description of the record types that every recording carries."""

from __future__ import annotations

import typing
from typing import Any

import msgspec

from kmltui import model
from kmltui.model import Header
from kmltui.recording import older
from kmltui.recording.shapes import encodable

Timed = (
    model.Environment
    | model.Sample
    | model.Status
    | model.Inside
    | model.Progress
    | model.StatementCount
    | model.Phase
    | model.Latency
    | model.State
    | model.Log
    | model.TrapSites
    | model.Proof
    | model.Measure
    | model.Mark
    | model.Repeat
    | model.Gap
    | model.End
)
"""Every record but the header: those that have a time."""

_TYPES: dict[str, type[msgspec.Struct]] = {
    typing.cast(str, cls.__struct_config__.tag): cls for cls in typing.get_args(Timed)
}


def to_builtins(record: Timed) -> dict[str, Any]:
    """A record as dict, lists, numbers, text and bytes; its type is under ``type``."""
    value: dict[str, Any] = msgspec.to_builtins(record, builtin_types=(bytes,))
    return value


def from_builtins(value: dict[str, Any]) -> Timed | None:
    """The record, or None if its type is unknown here or its fields are not what this version expects."""
    value = older.current_record(value)
    cls = _TYPES.get(value["type"])
    if cls is None:
        return None
    try:
        return typing.cast(Timed, msgspec.convert(value, cls))
    except (msgspec.ValidationError, ValueError, TypeError):
        return None


def describe() -> dict[str, Any]:
    """The fields of every record type and of what they contain, as ``{type: {field: type of value}}``.

    A type under ``arrays`` is stored as an array of its fields in the order given.
    """
    structs = {
        name: cls
        for name, cls in vars(model).items()
        if isinstance(cls, type) and issubclass(cls, msgspec.Struct) and cls is not msgspec.Struct
    }
    tags = {cls: tag for tag, cls in _TYPES.items()} | {Header: "header"}
    description: dict[str, Any] = {"records": {}, "maps": {}, "arrays": {}}
    for name, cls in structs.items():
        kind = "records" if cls in tags else "arrays" if cls.__struct_config__.array_like else "maps"
        description[kind][tags.get(cls, name)] = dict(cls.__annotations__)
    return description


def encode_header(header: Header) -> bytes:
    """The payload of a HEADER frame: JSON with the header record and the description of the record types."""
    content = {"format": "kmltui recording", "header": header, "schema": describe()}
    try:
        return msgspec.json.encode(content)
    except UnicodeEncodeError:
        return msgspec.json.encode(encodable(msgspec.to_builtins(content)))


_MAX_CPUS = 8192
"""More than Linux on x86 can have."""


def decode_header(payload: bytes) -> Header | None:
    """The header record of a HEADER frame, or None if it is not one that this version understands."""
    try:
        header = msgspec.json.decode(payload, type=_HeaderFrame).header
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return older.current_header(header) if _possible(header) else None


def _possible(header: Header) -> bool:
    """Whether some run can have had this header. JSON knows numbers of any size; everything that dates a run, lists its
    CPUs or divides by its rate relies on these.
    """
    return (
        0 <= header.created_unix_ns < 1 << 63
        and 0 < header.sample_period_ns < 1 << 63
        and bool(header.sessions)
        and all(0 <= spec.vcpus <= _MAX_CPUS and 0 <= spec.memory_bytes < 1 << 63 for spec in header.sessions)
        and all(0 <= (number or 0) < 1 << 63 for number in (header.workload.loops, header.workload.units_per_loop))
    )


class _HeaderFrame(msgspec.Struct):
    header: Header
