# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts a run: in this process with a line per phase, or in a process of its own with the screen on it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from kmltui.cli.common import DONE, RUN_FAILED, fail, on_terminal, print_recording, say

if TYPE_CHECKING:
    from kmltui.cli.options import WatchingOptions
    from kmltui.runner.plan import Plan
    from kmltui.runner.registry import RunEntry
    from kmltui.runner.run import Outcome


MOST_LINES = 10_000
"""How many lines of a command's output are printed."""

_ONLY_CHECKING: ContextVar[bool] = ContextVar("only_checking", default=False)


class Checked(Exception):
    """Nothing was wrong: ``plan`` would have been started."""

    def __init__(self, plan: Plan) -> None:
        super().__init__("checked")
        self.plan = plan


@contextlib.contextmanager
def only_checking() -> Iterator[None]:
    """Inside it, a command does everything it does before a run begins, and then raises :class:`Checked`."""
    token = _ONLY_CHECKING.set(True)
    try:
        yield
    finally:
        _ONLY_CHECKING.reset(token)


def may_ask(watching: WatchingOptions, *, as_json: bool = False) -> bool:
    """Return whether somebody may be there to answer a question: not while a form checks its contents."""
    return not (watching.headless or as_json or _ONLY_CHECKING.get()) and on_terminal()


def start(plan: Plan, watching: WatchingOptions, watch: Callable[[RunEntry], int], *, as_json: bool = False) -> int:
    """Carry out ``plan``.

    Headless, or without a terminal, in this process. Otherwise in a process of its own, shown by ``watch``; detached,
    its name is printed and it is left alone. ``as_json``: no screen, and standard output gets what ``ls`` says of the
    run as JSON, and nothing else.
    """
    if watching.prometheus:
        _check_exporter(watching.prometheus)
        plan = replace(plan, prometheus=watching.prometheus)
    if _ONLY_CHECKING.get():
        raise Checked(plan)
    say_how_long(plan)
    if watching.headless or not (watching.detach or (on_terminal() and not as_json)):
        return _here(plan, as_json=as_json)
    from kmltui.runner.launch import LaunchError, launch

    try:
        # The screen needs the main thread for itself, so the loop that starts the run ends first.
        entry = asyncio.run(launch(plan))
    except LaunchError as error:
        fail(str(error), error.status or RUN_FAILED)
    if not watching.detach:
        return watch(entry)
    if as_json:
        print_recording(Path(entry.recording))
    else:
        say(entry.name, flush=True)  # before the hint, also where both streams are one pipe
    say(f"'kmltui watch {entry.name}' shows it, 'kmltui stop {entry.name}' ends it", file=sys.stderr)
    return DONE


def _check_exporter(address: str) -> None:
    """Raises Failure where counters cannot be served there; found here, before a run is begun."""
    from kmltui.runner.exporter import check_address

    try:
        check_address(address)
    except ValueError as error:
        fail(f"--prometheus {error}")
    except OSError as error:
        fail(f"--prometheus {address}: cannot be listened at: {error.strerror}")


def say_how_long(plan: Plan) -> None:
    """Announce a run of more than a minute, or of a length that nobody can know."""
    from kmltui.runner import expectation

    expected = expectation.expected(plan)
    if expectation.builds_an_image(plan):
        say("kmltui: the guest image is built first, which takes some minutes, once", file=sys.stderr)
    if expected is None:
        if unknown := expectation.unknown(plan):
            say(f"kmltui: {unknown}", file=sys.stderr)
    elif expected.without_kvm > expectation.WORTH_SAYING_S:
        say(f"kmltui: this will take {expected}", file=sys.stderr)


def execute(plan: Plan) -> Outcome:
    """Carry out ``plan`` in this process; what happens is printed to standard error. Raises Failure."""
    from kmltui.recording import RecordingError
    from kmltui.runner.launch import make_run, refusal

    try:
        run = make_run(plan, sys.stderr)
    except OSError as error:
        fail(f"--prometheus {plan.prometheus}: {error.strerror}", RUN_FAILED)
    try:
        return asyncio.run(run.execute())
    except (OSError, RecordingError) as error:
        fail(refusal(run.path, error), RUN_FAILED)


def _here(plan: Plan, *, as_json: bool = False) -> int:
    from kmltui.runner.launch import succeeded
    from kmltui.runner.plan import Once

    outcome = execute(plan)
    once = isinstance(plan.how, Once)
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        status = told_by_command(outcome.recording, output=once) if plan.workload.keeps_output else DONE
        # A bench has nothing to say but its card, which therefore goes to standard output.
        sound = _print_card(outcome.recording, sys.stderr if once else sys.stdout)
    if as_json:
        print_recording(outcome.recording)
    say(f"{outcome.status}: {outcome.recording}", file=sys.stderr)
    if not succeeded(outcome, plan):
        return RUN_FAILED
    return status or (DONE if sound else RUN_FAILED)


def told_by_command(path: Path, *, output: bool = True) -> int:
    """Print the standard output of the run's command, once if all sessions wrote the same, and return its status.

    Without ``output`` only a failure is reported. Its standard error was printed while it ran. The status is 0, or the
    command's if it is the same in all sessions, else 1.
    """
    from kmltui.model import Log, Proof, whole
    from kmltui.printable import printable
    from kmltui.recording import Reader, RecordingError

    written: dict[str, list[str]] = {}
    more: Counter[str] = Counter()
    statuses: dict[str, str] = {}
    try:
        with Reader.open(path) as reader:
            written = {session.name: [] for session in reader.header.sessions}
            for record in reader.records():
                match record:
                    case Log(source="client", level="info") if output:
                        lines = written.setdefault(record.session, [])
                        more[record.session] += len(lines) == MOST_LINES
                        lines += [record.text] if len(lines) < MOST_LINES else []
                    case Proof(name="exit status"):
                        statuses[record.session] = record.value
    except (RecordingError, ValueError):
        return DONE  # its own message matters more
    alike = all(lines == next(iter(written.values())) for lines in written.values())
    for session, lines in list(written.items())[: 1 if alike else None]:
        if not alike:
            say(f"{session}:")
        for line in lines:
            say(printable(line, keep="\t"))
        if more[session]:
            say(f"… and {more[session]:,} more lines, which are in {path}", file=sys.stderr)
    wrong = {session: value for session, value in statuses.items() if value != "0"}
    if not wrong:
        return DONE
    say("kmltui: the command failed: " + ", ".join(f"status {v} in {s}" for s, v in wrong.items()), file=sys.stderr)
    values = set(statuses.values())
    status = whole(values.pop())
    return RUN_FAILED if values or status is None else status


def _print_card(path: Path, where: TextIO) -> bool:
    """Summarise the run in a few lines; the report has the rest. False if a check inside a session failed."""
    from kmltui.figures.program import program_card
    from kmltui.figures.summarise import summarise
    from kmltui.recording import Reader, RecordingError
    from kmltui.report import card_text, program

    try:
        with Reader.open(path) as reader:
            summary = summarise(reader.records())
        text = program.as_text(program_card(summary)) if "command" in summary.run.options else card_text(summary)
    except (RecordingError, ValueError):
        return True  # its own message matters more
    if text:
        say(f"\n{text}", file=where)
    return not any(session.failed_proofs for session in summary.sessions.values())
