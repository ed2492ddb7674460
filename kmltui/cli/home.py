# SPDX-License-Identifier: GPL-2.0-or-later
"""The list of runs, and doing what is chosen from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kmltui.cli import common, runs, screen
from kmltui.cli.common import DONE
from kmltui.cli.options import WorkloadOptions

if TYPE_CHECKING:
    from kmltui.tui.controls import Choice, RunRow


class RunLibrary:
    """The recordings of this machine, for the picker."""

    def list_runs(self) -> Sequence[RunRow]:
        from kmltui.runner import listing
        from kmltui.tui.controls import RunRow

        return [
            RunRow(
                path=entry.path,
                name=listing.name_of(entry),
                created_unix_ns=entry.created_unix_ns or entry.modified_unix_ns,
                workload=entry.workload.name if entry.workload else "",
                sessions=", ".join(session.name for session in entry.sessions),
                result=entry.state,
                duration_ns=entry.duration_ns,
                size_bytes=entry.size_bytes,
            )
            for entry in listing.runs()
        ]

    def workloads(self) -> Sequence[tuple[str, str]]:
        from kmltui import workloads

        if common.no_guest_reason() is not None:
            return []
        known = [workloads.get(name) for name in workloads.names()]
        return [(workload.name, workload.title) for workload in known if not workload.takes_command]

    def rename(self, path: Path, name: str) -> Path:
        from kmltui.recording import library

        return library.rename(path, name)

    def delete(self, path: Path) -> None:
        from kmltui.recording import library

        library.remove(path)

    def report_text(self, path: Path, width: int, progress: Callable[[float], object]) -> str:
        from kmltui.tui.pages.report import make_report

        with screen.opened(path) as reader:
            return make_report(reader, width, progress)


def pick() -> int:
    """The list of runs, again after each thing chosen from it, until the user leaves."""
    from kmltui.tui.app import run_picker

    while (choice := run_picker(RunLibrary())) is not None:
        status = _do(choice)
        if choice.action == "start":
            return status
    return DONE


def _do(choice: Choice) -> int:
    match choice.action:
        case "watch" if choice.path:
            return screen.watch_path(choice.path)
        case "replay" | "report" if choice.path:
            return screen.replay(choice.path)
        case "start":
            return runs.run(workload=WorkloadOptions(workload=choice.workload, loops=choice.loops))
    return DONE
