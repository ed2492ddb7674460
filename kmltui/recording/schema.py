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


def decode_header(payload: bytes) -> Header | None:
    """The header record of a HEADER frame, or None if it is not one that this version understands."""
    try:
        return older.current_header(msgspec.json.decode(payload, type=_HeaderFrame).header)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


class _HeaderFrame(msgspec.Struct):
    header: Header
