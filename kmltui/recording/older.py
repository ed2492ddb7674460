# SPDX-License-Identifier: GPL-2.0-or-later
"""Brings records of older versions into today's form, so that nothing above this knows about the past."""

from __future__ import annotations

from typing import Any

import msgspec

from kmltui.counters import CounterError, parse_trap_sites
from kmltui.model import MONITOR, Header

_DECLARED: dict[str, dict[str, Any]] = {
    "wisconsin": {"article": True},
    "demo": {"article": True, "timing_phases": ["calls"]},
    "syscalls": {"timing_phases": ["calls"]},
    "command": {"keeps_output": True},
}
"""What today's recordings say about their workload themselves, by its name."""

_TRAPPED = "trapped: "


def current_header(header: Header) -> Header:
    """The header, completed with everything that older writers left out."""
    if header.kind is not None:
        return header
    name = header.workload.name
    workload = msgspec.structs.replace(header.workload, **_DECLARED.get(name, {}))
    return msgspec.structs.replace(header, kind="monitor" if name == MONITOR else "run", workload=workload)


def current_record(value: dict[str, Any]) -> dict[str, Any]:
    """A record, as a map, in the form that it has today."""
    if value.get("type") != "log" or value.get("source") != "agent":
        return value
    # The places where calls trapped used to be one line of text each.
    text = str(value.get("text", ""))
    try:
        if text.startswith(_TRAPPED):
            sites = parse_trap_sites(text.removeprefix(_TRAPPED))
            at: dict[str, Any] = {key: value[key] for key in ("t_ns", "session") if key in value}
            return at | {"type": "trap-sites", "sites": [[site.file, site.offset, site.count] for site in sites]}
    except CounterError:
        pass
    return value | {"source": "runner"}
