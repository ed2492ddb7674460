# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``bench``: repeated runs in turn, and the conclusions they allow."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from msgspec.structs import replace

from kmltui.cli import common, planning, screen, starting, view
from kmltui.cli import suite as suites
from kmltui.cli.common import MISSING, fail
from kmltui.cli.options import (
    FORMAT,
    GUEST,
    RECORDING,
    WATCHING,
    WORKLOAD,
    Flag,
    FormatOptions,
    GuestOptions,
    Program,
    RecordingOptions,
    Setting,
    WatchingOptions,
    WorkloadOptions,
)

if TYPE_CHECKING:
    from pathlib import Path

    from kmltui.model import SessionSpec
    from kmltui.runner.expectation import Expected
    from kmltui.runner.plan import Plan
    from kmltui.workloads.suites import Part

PAIRS = 10
EXACT_PAIRS = 5
"""Exact counts hardly differ from run to run, so five pairs already give a narrow interval."""
MAX_PAIRS = 1000


def bench(
    *command: Program,
    workload: WorkloadOptions = WORKLOAD,
    suite: str | None = None,
    pairs: int | None = None,
    arms: str | None = None,
    left: str | None = None,
    right: str | None = None,
    exact: Annotated[bool, Flag] = False,
    guest: GuestOptions = GUEST,
    recording: RecordingOptions = RECORDING,
    watching: WatchingOptions = WATCHING,
    compare: Annotated[tuple[str, str] | None, Parameter(negative="")] = None,
    form: FormatOptions = FORMAT,
    **options: Setting,
) -> int:
    """Repeat a workload in turn on two or more arms, and report intervals, effect and verdict.

    The sessions are booted once and work one at a time, in the order A B, B A, A B, …; the first repetition of each
    is a warm-up and is not counted. All repetitions go into one recording: ``kmltui report`` prints the result. With
    ``--format`` or ``--json`` there is no screen, and the report follows on standard output.

    Parameters
    ----------
    command:
        After ``--``: a program to run instead of a workload.
    suite:
        Run several workloads one after the other, with one table at the end: ``peers`` has those that others have
        measured. ``--out`` is then a directory; complete recordings already in it are not made again.
    pairs:
        Counted repetitions of each arm (default: 10, with --exact 5).
    arms:
        What to compare, the baseline first: of stock, stock+libc, stock+idt, kml (default: stock,kml). The same arm
        twice is a control: its verdict must be that there is no difference.
    left:
        Instead of ``--arms``: the baseline, e.g. ``kml,kernel=6.1`` (default: stock). Settings as for ``run``.
    right:
        The session compared with it, written the same way (default: kml).
    exact:
        Count instructions instead of time, user and kernel separately: emulated, one vCPU, and hardly anything left
        to chance.
    compare:
        Run nothing, but compare two recordings: the differences in their environments, then their figures. The report
        then goes to ``--out``, in the format given by ``--format``.
    options:
        The workload's settings; ``kmltui workloads`` lists them.
    """
    if compare is not None:
        return view.compare_two(*compare, planning.chosen_format(form), recording.out)
    count = pairs if pairs is not None else EXACT_PAIRS if exact else PAIRS
    if not 1 <= count <= MAX_PAIRS:
        fail(f"--pairs {count}: must be between 1 and {MAX_PAIRS}")
    if exact:
        if guest.cpus not in (None, 1) or guest.accel == "kvm" or guest.clock == "wall":
            fail("--exact counts the instructions of one emulated vCPU; leave out --cpus, --accel kvm and --clock wall")
        guest = dataclasses.replace(guest, clock="instructions")
    specs = planning.sessions_of(arms, None, left, right, guest)
    if len(specs) < 2:
        fail(f"--arms {arms}: a bench compares at least two arms, e.g. stock,kml")
    if any(spec.kind != "guest" for spec in specs) and exact:
        fail("--exact counts the instructions of guests; those of this machine itself cannot be counted")
    specs = [replace(spec, exact=exact) for spec in specs]
    if suite is not None:
        return _suite(suite, command, workload, count, specs, recording, watching, form, options)
    plan = planning.make_plan(command, workload, specs, recording, options, ask=starting.may_ask(watching))
    _check_guests(specs)
    from kmltui.runner.plan import Bench

    plan = dataclasses.replace(plan, how=Bench(count))
    return starting.start(plan, watching, screen.watch_run) if form == FORMAT else _reported(plan, watching, form)


def _reported(plan: Plan, watching: WatchingOptions, form: FormatOptions) -> int:
    """Carry out ``plan`` without a screen, and print its report. Raises Failure."""
    from kmltui.runner import registry

    planning.chosen_format(form)  # two of them are refused before the run, not after it
    if watching.detach:
        fail("--detach: does not wait for a report; leave out --format or --json, and use 'kmltui report' afterwards")
    plan = dataclasses.replace(plan, name=plan.name or registry.new_name(plan.workload.name))
    with contextlib.redirect_stdout(sys.stderr):  # the card; the output is the report
        status = starting.start(plan, dataclasses.replace(watching, headless=True), screen.watch_run)
    view.report(str(plan.out or plan.name), form=form)
    return status


def _check_guests(specs: list[SessionSpec]) -> None:
    """Raises Failure if a guest is needed and none can run."""
    reason = common.no_guest_reason() if any(spec.kind == "guest" for spec in specs) else None
    if reason is not None:
        fail(f"no guest can run here: {reason}; 'kmltui doctor' tells more", MISSING)


def _suite(
    name: str,
    command: tuple[str, ...],
    workload: WorkloadOptions,
    count: int,
    specs: list[SessionSpec],
    recording: RecordingOptions,
    watching: WatchingOptions,
    form: FormatOptions,
    options: dict[str, str],
) -> int:
    """Run every workload of a suite as a bench of its own, without a screen. Raises Failure."""
    from kmltui import paths
    from kmltui.runner import expectation
    from kmltui.runner.plan import Bench

    if command or options or workload != WORKLOAD:
        fail("--suite says itself which workloads are measured, and with which settings; leave out what says it, too")
    if recording.name is not None or watching.detach:
        fail("--suite makes several runs, one after the other; leave out --name and --detach")
    chosen = suites.chosen(name)
    _check_guests(specs)
    specs = planning.with_packages(chosen, specs, ask=starting.may_ask(watching))
    watching = dataclasses.replace(watching, headless=True)

    def planned(part: Part, out: Path) -> Plan:
        asked = WorkloadOptions(workload=part.workload, loops=part.loops)
        made = dataclasses.replace(recording, out=out, title=recording.title or part.title)
        plan = planning.make_plan((), asked, specs, made, part.options)
        return dataclasses.replace(plan, how=Bench(count))

    def measure(part: Part, out: Path) -> int:
        return starting.start(planned(part, out), watching, screen.watch_run)

    def expected(part: Part, out: Path) -> Expected | None:
        return expectation.expected(planned(part, out))

    directory = recording.out or paths.runs_dir() / f"suite-{name}"
    return suites.run(chosen, directory, planning.chosen_format(form), measure, expected)
