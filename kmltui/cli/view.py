# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about recordings: replay, report, export, cut, rename, remove."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kmltui.cli import common, completing, planning, screen, waiting
from kmltui.cli.common import DONE, fail, say
from kmltui.cli.options import FORMAT, FormatOptions, Json, OwnRecording, Recording


def replay(
    file: Recording | None = None, *, at: str | None = None, speed: float = 1.0, fps: float | None = None
) -> int:
    """Replay a recording on the screen.

    Parameters
    ----------
    file:
        A recording or a run's name (default: the sample that ships with kmltui).
    at:
        Where to begin, e.g. 90s or 1:30 (default: a moment before the workload's first phase; 0 is the boot).
    speed:
        0.25 to 64 times real time.
    fps:
        Frames per second at most (default: adapts to the terminal).
    """
    _check_speed(speed)
    common.check_fps(fps)
    at_ns = round(common.seconds(at, "--at") * 1e9) if at is not None else None
    path = common.find_recording(file, shipped=common.SAMPLE)
    return screen.replay(path, at_ns=at_ns, speed=speed, fps=fps)


def tour(file: Recording | None = None) -> int:
    """Replay a recording, with the notes of its marks as subtitles, at a pace that suits a talk.

    ``kmltui mark RUN NOTE`` puts marks into a live run; so does the key m.

    Parameters
    ----------
    file:
        A recording or a run's name (default: a sample that ships with kmltui, with notes that explain it).
    """
    from kmltui.model import Mark

    path = common.find_recording(file, shipped="tour")
    with screen.opened(path) as reader:
        if not any(isinstance(record, Mark) and record.note for record in reader.landmarks()):
            fail(f"{path}: has no marks with notes to follow; 'kmltui replay' shows it")
    return screen.replay(path, tour=True)


def report(
    file: Recording | None = None,
    *,
    compare: Annotated[str | None, Parameter(name="--compare", completer=completing.recordings)] = None,
    form: FormatOptions = FORMAT,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
) -> int:
    """Print the article's tables for a run: what was saved, where each figure comes from, how far it can be trusted.

    Beside a page that plays the same recording (``kmltui export --format html``), a report in HTML links to it.

    Parameters
    ----------
    file:
        A recording or a run's name (default: the newest run).
    compare:
        Another one, compared with the first: the differences in their environments, then their figures.
    out:
        Write to this file, which must not exist yet, instead of standard output.
    """
    from kmltui.figures.summarise import summarise
    from kmltui.report import render

    format = planning.chosen_format(form)
    if compare is not None:
        return compare_two(file, compare, format, out)
    with screen.opened(common.find_recording(file)) as reader, common.output(out) as write:
        summary = summarise(waiting.records(reader, "reading"))
        plays = ""
        if format == "html" and out is not None:
            from kmltui.report import playable

            plays = playable.beside(out, summary)
        write(render(summary, format, plays=plays))
    return DONE


def compare_two(first: str | None, second: str, format: str, out: Path | None) -> int:
    """The report of two recordings side by side. Raises Failure."""
    from kmltui.figures.summarise import summarise
    from kmltui.figures.versus import compare_recordings
    from kmltui.recording import Reader, RecordingError
    from kmltui.report import render_versus

    with common.output(out) as write:
        summaries = []
        for which in (first, second):
            path = common.find_recording(which)
            try:
                with Reader.open(path) as reader:
                    summaries.append(summarise(waiting.records(reader, "reading")))
            except (RecordingError, ValueError) as error:
                fail(f"{path}: {error}")
        write(render_versus(compare_recordings(*summaries), format))
    return DONE


def export(
    file: Recording | None = None,
    *,
    format: Literal["csv", "jsonl", "asciicast", "asciicast-v3", "html"],
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    size: str = "120x40",
    speed: float = 1.0,
    pairs: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Convert a recording into a form that other programs read.

    Parameters
    ----------
    file:
        A recording or a run's name (default: the newest run).
    format:
        csv (the samples, one per line), jsonl (every record), html (one page that plays, for any browser),
        asciicast (the screen as a film, for asciinema), or asciicast-v3 (the same for its version 3 and later).
    out:
        Write to this file, which must not exist yet, instead of standard output.
    size:
        Size of the screen in an asciicast, columns x rows.
    speed:
        Speed of an asciicast, as a multiple of real time.
    pairs:
        With csv: instead of the samples, the figures of every session in every pair of a bench, one per line.
    """
    if pairs and format != "csv":
        fail(f"--pairs: goes with --format csv, not {format}")
    _check_speed(speed)
    with screen.opened(common.find_recording(file)) as reader, common.output(out) as write:
        if format in ("asciicast", "asciicast-v3"):
            from kmltui.tui.asciicast import Version, asciicast

            with waiting.bar("exporting") as shown:
                dimensions = common.columns_rows(size)
                version: Version = 3 if format == "asciicast-v3" else 2
                asciicast(reader, write, size=dimensions, speed=speed, progress=shown, version=version)
            return DONE
        if format == "html":
            from kmltui.figures.summarise import summarise
            from kmltui.report import playable

            summary = summarise(waiting.records(reader, "reading"))
            write(playable.render(waiting.records(reader, "drawing"), reader.duration_ns, summary))
            return DONE
        if pairs:
            from kmltui.figures.summarise import summarise
            from kmltui.report.pairs_csv import pairs_csv

            for line in pairs_csv(summarise(waiting.records(reader, "reading"))):
                write(line)
            return DONE
        from kmltui.recording import export as exporting

        if format == "csv":
            cpus = exporting.cpus_seen(waiting.records(reader, "reading"))
            lines = exporting.csv_lines(waiting.records(reader, "exporting"), cpus)
        else:
            lines = exporting.jsonl(waiting.records(reader, "exporting"))
        for line in lines:
            write(line)
    return DONE


def replay_or_report(path: Path) -> int:
    """Show a recording on the screen if possible, otherwise as its report."""
    return screen.replay(path) if common.on_terminal() else report(str(path))


def _check_speed(speed: float) -> None:
    if not 0.25 <= speed <= 64:
        fail(f"--speed {speed}: must be between 0.25 and 64")


def cut(
    file: Recording,
    out: Path,
    *,
    from_: Annotated[str, Parameter(name="--from")] = "0",
    to: str | None = None,
    as_json: Json = False,
) -> int:
    """Cut a part of a recording into a new one.

    Parameters
    ----------
    file:
        A recording or a run's name.
    out:
        The new recording.
    from_:
        Where the part begins, e.g. 90s or 1:30.
    to:
        Where it ends (default: the recording's end).
    as_json:
        Print as JSON, as ``kmltui ls --json`` does, what the new recording is.
    """
    from kmltui.recording import RecordingError
    from kmltui.recording.cutting import cut as cut_out

    begin, end = common.seconds(from_, "--from"), common.seconds(to, "--to") if to is not None else None
    if end is not None and end <= begin:
        fail(f"--to {to}: must come after --from {from_}")
    if not out.parent.is_dir():
        fail(f"{out.parent}: no such directory")
    try:
        with waiting.bar("cutting") as shown:
            source = common.find_recording(file)
            cut_out(source, out, round(begin * 1e9), None if end is None else round(end * 1e9), shown)
    except RecordingError as error:
        fail(str(error))
    if as_json:
        common.print_recording(out)
    return DONE


def merge(*file: Recording, out: Annotated[Path, Parameter(alias="-o")], as_json: Json = False) -> int:
    """Merge benches of the same plan, made on several machines or by a scheduler, into one recording.

    Pairs stay within their machine; the report's intervals are over machines.

    Parameters
    ----------
    file:
        Recordings or runs' names, two or more.
    out:
        The new recording.
    as_json:
        Print as JSON, as ``kmltui ls --json`` does, what the new recording is.
    """
    from kmltui.recording import RecordingError
    from kmltui.recording.merging import merge as merge_all

    try:
        with waiting.bar("merging") as shown:
            merge_all([common.find_recording(each) for each in file], out, shown)
    except RecordingError as error:
        fail(str(error))
    if as_json:
        common.print_recording(out)
    return DONE


def rename(run: OwnRecording, name: str, *, as_json: Json = False) -> int:
    """Rename a finished run's recording.

    Parameters
    ----------
    run:
        A run's name, in full, or a recording.
    name:
        The new name.
    as_json:
        Print as JSON, as ``kmltui ls --json`` does, what the recording now is.
    """
    from kmltui.recording import RecordingError, library

    try:
        renamed = library.rename(common.find_recording(run, in_full=True), name)
    except RecordingError as error:
        fail(str(error))
    if as_json:
        common.print_recording(renamed)
    else:
        say(str(renamed))
    return DONE


def rm(*run: OwnRecording, as_json: Json = False) -> int:
    """Delete recordings of finished runs, and print which files that were.

    Parameters
    ----------
    run:
        Runs' names, in full, or recordings.
    as_json:
        Print the removed files as JSON.
    """
    from kmltui.recording import RecordingError, library
    from kmltui.runner import registry

    if not run:
        fail("rm: name the recordings to delete; 'kmltui ls' lists them")
    paths = [common.find_recording(one, in_full=True) for one in run]  # before the first is gone
    removed: list[str] = []
    try:
        for path in paths:
            library.remove(path)
            removed.append(str(path))
    except RecordingError as error:
        fail(str(error))
    finally:
        registry.tidy()
        if as_json:
            common.print_json({"removed": removed})
        elif removed:
            say("\n".join(f"removed: {path}" for path in removed))
    return DONE
