"""The command ``bench``: repeated runs in turn, and what may be concluded from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from msgspec.structs import replace

from kmltui.cli import common, runs, screen, starting, waiting
from kmltui.cli.common import DONE, MISSING, fail
from kmltui.model import ClockKind

Flag = Parameter(negative="")
Format = Literal["text", "markdown", "json", "html"]
PAIRS = 10
EXACT_PAIRS = 3
"""Exact counts hardly differ from run to run; three show by how much."""
MAX_PAIRS = 1000


def bench(
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    workload: Annotated[str | None, Parameter(alias="-w")] = None,
    pairs: int | None = None,
    arms: str = "stock,kml",
    exact: Annotated[bool, Flag] = False,
    loops: Annotated[int | None, Parameter(alias="-n")] = None,
    duration: Annotated[str | None, Parameter(alias="-t")] = None,
    cpus: int | None = None,
    accel: str = "auto",
    clock: ClockKind | None = None,
    image: str = "",
    sample_rate: float = 2.0,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    name: str | None = None,
    title: str = "",
    headless: Annotated[bool, Flag] = False,
    detach: Annotated[bool, Flag] = False,
    compare: Annotated[tuple[str, str] | None, Parameter(negative="")] = None,
    format: Format = "text",
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    **options: str,
) -> int:
    """Repeat a workload in turn on two or more arms, and say what is shown: intervals, effect, verdict.

    The sessions are booted once and work one at a time, in the order A B, B A, A B, …; a first repetition of each
    is not counted. All repetitions are in one recording: ``kmltui report`` prints the result.

    Parameters
    ----------
    command:
        After ``--``: a program to run instead of a workload.
    workload:
        What to run (default: wisconsin). A workload's own settings follow as options, e.g. ``--engine innodb``.
    pairs:
        Repetitions of each arm that count (default: 10, with --exact 3).
    arms:
        What to compare, the baseline first: of stock, stock+libc, stock+idt, kml. Twice the same one is a control:
        its verdict must be that there is no difference.
    exact:
        Count instructions instead of time, user and kernel apart: emulated, one vCPU, hardly anything left to chance.
    loops:
        How often the workload repeats its statements (default: the workload's).
    duration:
        Run each repetition for this long instead, e.g. 90s or 5m.
    cpus:
        Virtual CPUs of each session (default: 1, or 2 under KVM where this machine has 4 CPUs or more).
    accel:
        auto, kvm or tcg; auto uses KVM where a guest really starts under it.
    clock:
        What a second of a session is: instructions (10⁹ of its own) or wall (the host's); default: instructions where
        the sessions are emulated with one virtual CPU, else wall.
    image:
        The guest image, as ``kmltui guest info`` lists them.
    sample_rate:
        Samples a second and session.
    out:
        Where to write the recording; with --compare, the report.
    name:
        The run's name (default: made from date and workload).
    title:
        A line of your own, shown with the recording.
    headless:
        No screen: a line for each phase.
    detach:
        Start it, print its name and return.
    compare:
        Run nothing, but compare two recordings: what differs in their environments, then their figures.
    format:
        With --compare: text, markdown, json or html.
    as_json:
        The same as --format json.
    options:
        The workload's settings; ``kmltui workloads`` lists them.
    """
    if compare is not None:
        return _compare(*compare, "json" if as_json else format, out)
    count = pairs if pairs is not None else EXACT_PAIRS if exact else PAIRS
    if not 1 <= count <= MAX_PAIRS:
        fail(f"--pairs {count}: must be between 1 and {MAX_PAIRS}")
    if exact and (cpus not in (None, 1) or accel == "kvm" or clock == "wall"):
        fail("--exact counts the instructions of one emulated vCPU; leave out --cpus, --accel kvm and --clock wall")
    specs = runs.session_specs(arms, None, None, cpus, accel, "instructions" if exact else clock, image, "--arms")
    if len(specs) < 2:
        fail(f"--arms {arms}: a bench compares at least two arms, e.g. stock,kml")
    specs = [replace(spec, exact=exact) for spec in specs]
    plan = runs.make_plan(command, workload, loops, duration, specs, sample_rate, out, name, title, options)
    if reason := common.no_guest_reason():
        fail(f"no guest can run here: {reason}; 'kmltui doctor' says more", MISSING)
    from kmltui.runner.plan import Bench

    plan = dataclasses.replace(plan, how=Bench(count))
    return starting.start(plan, headless=headless, watch=None if detach else screen.watch_run)


def _compare(first: str, second: str, format: Format, out: Path | None) -> int:
    from kmltui.figures.summarise import summarise
    from kmltui.figures.versus import compare_recordings
    from kmltui.recording import Reader, RecordingError
    from kmltui.report import render_versus

    summaries = []
    for which in (first, second):
        path = common.find_recording(which)
        try:
            with Reader.open(path) as reader:
                summaries.append(summarise(waiting.records(reader, "reading")))
        except (RecordingError, ValueError) as error:
            fail(f"{path}: {error}")
    with common.output(out) as write:
        write(render_versus(compare_recordings(*summaries), format))
    return DONE
