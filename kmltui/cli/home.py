# SPDX-License-Identifier: GPL-2.0-or-later
"""The home screen: this machine's recordings, what can be started on it, and carrying out what was chosen."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kmltui import files, paths
from kmltui.cli import common, screen, starting
from kmltui.cli.common import DONE, Failure, fail, say

if TYPE_CHECKING:
    from kmltui.figures.summary import Summary
    from kmltui.model import Header, SessionSpec
    from kmltui.runner.plan import Plan
    from kmltui.tui.controls import Choice, RunRow
    from kmltui.tui.form import Offer, Problem, Values

_FLAG = re.compile(r"--[a-z][a-z-]*")


Parse = Callable[[Sequence[str]], Callable[[], int]]
"""Parses the words of a command line into a command that is ready to be called. Raises :class:`Failure`."""


class RunLibrary:
    """The recordings of this machine, and what can be started on it, for the home screen."""

    def __init__(self, parse: Parse) -> None:
        self._parse = parse

    def list_runs(self) -> Sequence[RunRow]:
        from kmltui.recording import library
        from kmltui.runner import listing
        from kmltui.tui.controls import RunRow

        def row(entry: library.Entry, name: str, shipped: bool) -> RunRow:
            return RunRow(
                path=entry.path,
                name=name,
                created_unix_ns=entry.created_unix_ns or entry.modified_unix_ns,
                workload=entry.workload.name if entry.workload else "",
                server=entry.workload.options.get("mysql", "") if entry.workload else "",
                sessions=", ".join(session.name for session in entry.sessions),
                result=entry.state,
                duration_ns=entry.duration_ns,
                size_bytes=entry.size_bytes,
                shipped=shipped,
            )

        own = [row(entry, listing.name_of(entry), False) for entry in listing.runs()]
        shipped = [row(entry, entry.name, True) for entry in library.scan(paths.data_dir("recordings"))]
        return own + shipped

    def outcome(self, path: Path) -> str:
        """Read once per state of the file and then cached: a long recording takes seconds."""
        kept = _Outcomes.read()
        status = path.stat()
        key = f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
        if key not in kept.texts:
            from kmltui.figures.summarise import summarise

            with screen.opened(path) as reader:
                kept.texts[key] = _outcome(summarise(reader.records()))
            kept.write()
        return kept.texts[key]

    def rename(self, path: Path, name: str) -> Path:
        from kmltui.recording import library

        return library.rename(path, name)

    def delete(self, path: Path) -> None:
        from kmltui.recording import library

        library.remove(path)

    def export(self, path: Path, target: Path, format: str) -> None:
        from kmltui.cli import view

        if target.exists():
            raise FileExistsError(f"{target} exists already")
        view.export(str(path), format=format, out=target)  # type: ignore[arg-type]

    def cut(self, path: Path, target: Path, from_ns: int, to_ns: int) -> None:
        from kmltui.recording.cutting import cut

        if target.parent == paths.runs_dir():
            files.private_dir(target.parent)
        cut(path, target, from_ns, to_ns, lambda _fraction: None)

    def report_text(self, path: Path, width: int, progress: Callable[[float], object]) -> str:
        from kmltui.tui.pages.report import make_report

        with screen.opened(path) as reader:
            return make_report(reader, width, progress)

    def comparison_text(self, left: Path, right: Path, width: int) -> str:
        from kmltui.figures.summarise import summarise
        from kmltui.figures.versus import compare_recordings
        from kmltui.report import render_versus, text

        summaries = []
        for path in (left, right):
            with screen.opened(path) as reader:
                summaries.append(summarise(reader.records()))
        return render_versus(compare_recordings(*summaries), "text", min(width, text.WIDTH))

    def offers(self) -> Sequence[Offer]:
        from kmltui import workloads
        from kmltui.tui.form import Offer, Setting

        if common.no_guest_reason() is not None:
            return []
        known = [workloads.get(name) for name in workloads.names()]
        return [
            Offer(
                name=workload.name,
                title=workload.title,
                description=workload.description,
                bound=workload.bound,
                loops=workload.default_loops,
                duration_s=workload.default_duration_s,
                takes_command=workload.takes_command,
                settings=tuple(
                    Setting(option.flag, option.default, option.help, option.choices) for option in workload.options
                ),
            )
            for workload in known
        ]

    def check(self, arguments: Sequence[str]) -> Problem | None:
        from kmltui.tui.form import Problem

        try:
            self._plan(arguments)
        except Failure as error:
            flag = _FLAG.search(str(error))
            return Problem(str(error).splitlines()[0], flag[0] if flag else "")
        return None

    def expected(self, arguments: Sequence[str]) -> str:
        from kmltui.runner import expectation

        try:
            plan = self._plan(arguments)
        except Failure:
            return ""
        if plan is None:
            return ""
        expected = expectation.expected(plan)
        said = [f"this will take {expected}"] if expected is not None else [expectation.unknown(plan)]
        if expectation.builds_an_image(plan):
            said.append("the guest image is built first, in some minutes")
        return "; ".join(said)

    def _plan(self, arguments: Sequence[str]) -> Plan | None:
        """What a command would start; None if it starts nothing. Raises :class:`Failure` if it is wrong."""
        try:
            with starting.only_checking():
                self._parse(arguments)()
        except starting.Checked as checked:
            return checked.plan
        return None

    def values_of(self, path: Path) -> Values:
        from kmltui.cli import bench
        from kmltui.model import Repeat

        with screen.opened(path) as reader:
            values = values_of(reader.header)
            if reader.header.kind == "bench":
                first = next((each for each in reader.records(only=Repeat) if isinstance(each, Repeat)), None)
                usual = bench.EXACT_PAIRS if values.how == "exact" else bench.PAIRS
                if first is not None and first.pairs not in (0, usual):
                    values.pairs = str(first.pairs)
            return values

    def remembered(self) -> Values:
        from kmltui import workloads
        from kmltui.tui.form import Values

        return files.remembered(_remembered_path(), Values) or Values(workload=workloads.DEFAULT)

    def remember(self, values: Values) -> None:
        path = _remembered_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(path, files.PRIVATE) as stream:
            stream.write(msgspec.json.encode(values))


def _remembered_path() -> Path:
    return paths.config_dir() / "form.json"


class _Outcomes(msgspec.Struct):
    """What recordings showed, by path, size and time: computed again when one of these changes."""

    version: str = ""
    texts: dict[str, str] = msgspec.field(default_factory=dict)

    @staticmethod
    def _path() -> Path:
        return paths.cache_dir() / "outcomes.json"

    @classmethod
    def read(cls) -> _Outcomes:
        from kmltui import __version__

        kept = files.remembered(cls._path(), cls) or cls()
        return kept if kept.version == __version__ else cls(version=__version__)

    def write(self) -> None:
        self._path().parent.mkdir(parents=True, exist_ok=True)
        for key in [key for key in self.texts if not Path(key.rsplit(" ", 2)[0]).exists()]:
            del self.texts[key]
        with files.replacing(self._path(), files.PRIVATE) as stream:
            stream.write(msgspec.json.encode(self))


def _outcome(summary: Summary) -> str:
    """Say in a few words how many calls became direct, and what that saved if a verdict allows it."""
    from kmltui.figures.verdict import no_verdict_on_time, nothing_concluded, percent, share_text

    parts: list[str] = []
    compared = summary.sessions.get(summary.compared or "")
    if compared is not None and compared.arm == "kml" and compared.direct_share is not None:
        parts.append(f"{share_text(compared.direct_share)} direct")
    judged = nothing_concluded(summary) is None and (summary.exact or no_verdict_on_time(summary) is None)
    if judged and summary.saved is not None and summary.saved.total is not None:
        what = "instructions" if summary.exact else "CPU"
        parts.append(f"{percent(summary.saved.total, 1)} {what} saved")
    return ", ".join(parts)


def values_of(header: Header) -> Values:
    """Fill in the form for a run like the one that ``header`` describes."""
    from kmltui import workloads
    from kmltui.tui.form import Values

    spec = header.workload
    known = workloads.of(spec)
    options = {option.name: option for option in known.options}
    settings = {
        options[name].flag: value
        for name, value in spec.options.items()
        if name in options and value != options[name].default
    }
    first, last = header.sessions[0], header.sessions[-1]
    bench = header.kind == "bench"
    return Values(
        workload=f"{spec.name}.toml" if spec.script else spec.name,
        how="exact" if first.exact else "bench" if bench else "run",
        loops=str(spec.loops) if spec.loops is not None and spec.loops != known.default_loops else "",
        duration=f"{spec.duration_s:g}s" if spec.duration_s is not None else "",
        left=_written(first) if _written(first) != "stock" else "",
        right=_written(last) if _written(last) != "kml" else "",
        settings=settings,
        command=shlex.join(shlex.split(spec.options.get("command", ""))) if known.takes_command else "",
    )


def _written(spec: SessionSpec) -> str:
    """Write a session the way ``--left`` and ``--right`` take it."""
    if spec.kind != "guest":
        return "local"
    parts: list[str] = [spec.arm]
    if spec.vcpus != 1:
        parts.append(f"cpus={spec.vcpus}")
    if spec.accel != "auto" and not spec.exact:
        parts.append(f"accel={spec.accel}")
    if spec.image:
        parts.append(f"image={spec.image}")
    return ",".join(parts)


def show(parse: Parse) -> int:
    """Show the home screen, again after everything chosen from it, until the user leaves."""
    import sys

    from kmltui.printable import printable
    from kmltui.tui.app import run_home
    from kmltui.tui.controls import Place

    place = Place()
    while (choice := run_home(RunLibrary(parse), place)) is not None:
        try:
            _do(choice, parse)
        except Failure as error:
            text = str(error)
            say("kmltui: " + "\n        ".join(printable(line) for line in text.splitlines()), file=sys.stderr)
            try:
                _wait_for_enter()
            except EOFError:
                fail(text)
    return DONE


def _wait_for_enter() -> None:
    """Let the user read what was printed before the home screen covers it. Raises EOFError if nobody can answer."""
    input("Enter goes back. ")


def _do(choice: Choice, parse: Parse) -> int:
    match choice.action:
        case "watch" if choice.path:
            return screen.watch_path(choice.path)
        case "replay" if choice.path:
            return screen.replay(choice.path)
        case "start":
            status = parse(choice.arguments)()
            if choice.arguments[:1] == ("try",):  # its card is printed, not a screen
                with contextlib.suppress(EOFError):
                    _wait_for_enter()
            return status
    return DONE
