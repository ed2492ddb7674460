# SPDX-License-Identifier: GPL-2.0-or-later
"""The list of runs: the recordings in kmltui's own directory, and those written elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kmltui import paths
from kmltui.printable import printable
from kmltui.recording import library
from kmltui.runner import registry

_GAP = "  "
_LEAST_NAME = 16
"""Characters of a name that are shown on however narrow a terminal: date and time, as names begin."""


def runs() -> list[library.Entry]:
    """All runs of this user, newest first."""
    found = {entry.path.resolve(): entry for entry in library.scan(paths.runs_dir())}
    for run in registry.entries():
        path = Path(run.recording).resolve()
        if path not in found and path.exists():
            found[path] = library.entry(path)
    return sorted(found.values(), key=lambda entry: entry.created_unix_ns or entry.modified_unix_ns, reverse=True)


def name_of(entry: library.Entry) -> str:
    """What a run is called: as its file in kmltui's own directory, which can be renamed, else as it was started."""
    own = entry.path.parent.resolve() == paths.runs_dir().resolve()
    return entry.name if own or not entry.run else entry.run


def find(name: str, *, in_full: bool = False) -> Path:
    """The recording of the run called ``name``, or, unless that has to be ``in_full``, of the only one whose name
    begins or ends with it.

    Raises LookupError: no such run, or several; the message says which there are.
    """
    own = paths.runs_dir() / f"{name}{library.SUFFIX}"
    if own.is_file():
        return own
    known = {name_of(entry): entry.path for entry in reversed(runs())}  # of two with the same name, the newer
    return known[registry.choose(name, known, in_full=in_full)]


def as_json(entry: library.Entry) -> dict[str, Any]:
    """One run for programs."""
    return {
        "name": name_of(entry),
        "state": entry.state,
        "workload": entry.workload.name if entry.workload else None,
        "sessions": [session.name for session in entry.sessions],
        "created_unix_ns": entry.created_unix_ns,
        "duration_s": entry.duration_ns / 1e9,
        "size_bytes": entry.size_bytes,
        "recording": str(entry.path),
        "title": entry.title,
        "detail": entry.detail,
    }


def table(entries: Sequence[library.Entry], columns: int | None = None) -> str:
    """The runs for people, a line each, aligned.

    ``columns``: how wide a line may be. A title loses its end first, then a name; the other columns are needed to tell
    the runs apart.
    """
    rows = [("RUN", "STATE", "BEGAN", "LASTED", "SIZE", "SESSIONS", "")]
    rows += [_row(entry) for entry in entries]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    if columns is not None:
        widths[0] = min(widths[0], max(columns - sum(widths[1:]) - len(_GAP) * 5, _LEAST_NAME))
    lines = []
    for name, *rest in rows:
        cells = zip((_short(name, widths[0]), *rest), [*widths, 0], strict=True)
        line = _GAP.join(cell.ljust(width) for cell, width in cells).rstrip()
        lines.append(line if columns is None else _short(line, columns))
    return "\n".join(lines)


def _row(entry: library.Entry) -> tuple[str, str, str, str, str, str, str]:
    began = entry.created_unix_ns or entry.modified_unix_ns
    minutes, seconds = divmod(entry.duration_ns // 1_000_000_000, 60)
    reason = entry.title or (entry.detail.splitlines() or [""])[0]
    return (
        printable(name_of(entry)),
        entry.state,
        time.strftime("%Y-%m-%d %H:%M", time.localtime(began / 1e9)),
        f"{minutes}:{seconds:02}",
        _size(entry.size_bytes),
        _short(printable(", ".join(session.name for session in entry.sessions)), 40),
        printable(reason)[:60],
    )


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 100_000 else f"{size_bytes / 1e3:.1f} kB"
