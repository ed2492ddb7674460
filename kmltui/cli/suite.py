# SPDX-License-Identifier: GPL-2.0-or-later
"""``bench --suite``: several benches one after the other, each with its own recording, and one table for all."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING

from kmltui.cli.common import DONE, RUN_FAILED, fail, say

if TYPE_CHECKING:
    from kmltui.figures.summary import Summary
    from kmltui.runner.expectation import Expected
    from kmltui.workloads.suites import Part, Suite


def chosen(name: str) -> Suite:
    """The suite of that name. Raises :class:`Failure`."""
    from kmltui.workloads import UsageError
    from kmltui.workloads.suites import suite

    try:
        return suite(name)
    except UsageError as error:
        fail(f"--suite: {error}")


def run(
    suite: Suite,
    directory: Path,
    format: str,
    bench: Callable[[Part, Path], int],
    expected: Callable[[Part, Path], Expected | None],
) -> int:
    """Let ``bench`` record what is missing, then print the table. The status is 0 if every row could be filled.

    ``expected``: how long a bench will take; None where that cannot be told.

    A complete recording in ``directory`` is not made again, so an interrupted suite continues where it was. An
    incomplete one is kept under another name. A bench that the user stops is the last one.
    """
    from kmltui.figures.suite import suite_row
    from kmltui.report.suite import render_suite

    if directory.exists() and not directory.is_dir():
        fail(f"--out {directory}: a suite has a recording for each workload; name a directory")
    directory.mkdir(parents=True, exist_ok=True)
    _say_how_long([expected(part, path) for part, path in _recordings(suite, directory) if _complete(path) is None])
    rows = []
    for number, (part, path) in enumerate(_recordings(suite, directory), 1):
        found = _complete(path)
        if found is None:
            if path.exists():
                path.replace(path.with_suffix(".unfinished"))
            say(f"kmltui: {number} of {len(suite.parts)}: {part.title}", file=sys.stderr)
            with contextlib.redirect_stdout(sys.stderr):  # each one's card; the output is the table
                bench(part, path)
            found = _read(path)
        if found is not None:
            row = suite_row(found, part.title, _reported(part))
            row.workload = part.name
            rows.append(row)
            if found.run.status == "stopped":
                break  # by the user, who means all of it
    say(render_suite(suite.name, rows, format).rstrip("\n"))
    return DONE if len(rows) == len(suite.parts) and not any(row.problem for row in rows) else RUN_FAILED


def _recordings(suite: Suite, directory: Path) -> list[tuple[Part, Path]]:
    return [(part, directory / f"{suite.name}-{part.name.replace(' ', '')}.kmlrec") for part in suite.parts]


def _say_how_long(missing: list[Expected | None]) -> None:
    """How long what is missing will take as a whole, as far as that can be told."""
    known = [each for each in missing if each is not None]
    if len(missing) < 2:
        return
    if not known:
        say(f"kmltui: how long all {len(missing)} take depends on the programs", file=sys.stderr)
    else:
        more = f", and {len(missing) - len(known)} of them longer" if len(known) < len(missing) else ""
        say(f"kmltui: all {len(missing)} will take {reduce(add, known)}{more}", file=sys.stderr)


def _reported(part: Part) -> str:
    from kmltui import workloads

    return "" if part.label else workloads.get(part.workload).reported


def _complete(path: Path) -> Summary | None:
    found = _read(path) if path.exists() else None
    return found if found is not None and found.run.status == "done" and found.run.complete else None


def _read(path: Path) -> Summary | None:
    """Summarise a recording; None, after a message, for one that cannot be read."""
    from kmltui.figures.summarise import summarise
    from kmltui.recording import Reader, RecordingError

    try:
        with Reader.open(path) as reader:
            return summarise(reader.records())
    except (OSError, RecordingError, ValueError) as error:
        say(f"kmltui: {path}: {error}", file=sys.stderr)
        return None
