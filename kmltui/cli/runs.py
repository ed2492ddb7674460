# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about runs: start one, watch it, list, stop and mark runs, stream one to another machine."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kmltui.cli import common, completing, planning, screen, starting, view
from kmltui.cli.common import DONE, MISSING, RUN_FAILED, fail, on_terminal, say
from kmltui.cli.options import (
    GUEST,
    RECORDING,
    WATCHING,
    WORKLOAD,
    Flag,
    FormatOptions,
    GuestOptions,
    Json,
    LiveRun,
    Program,
    RecordingOptions,
    Setting,
    WatchingOptions,
    WorkloadOptions,
)
from kmltui.printable import did_you_mean

DEMO = "demo"
DEMO_LOOPS = 50
"""Less than a minute of Wisconsin for two emulated guests on two CPUs. More would add nothing: instructions repeat."""


def demo(
    *,
    loops: int = DEMO_LOOPS,
    guest: GuestOptions = GUEST,
    headless: Annotated[bool, Flag] = False,
    as_json: Json = False,
) -> int:
    """Check the machine, build the guest image, run Wisconsin on stock and on KML, and watch.

    Without a terminal it is headless and ends with the report. If no guest can run, it replays the
    recording that ships with kmltui.

    Parameters
    ----------
    loops:
        How often each of Wisconsin's selects is repeated.
    headless:
        No screen: a line for each phase, and the report at the end.
    as_json:
        No screen either, and the report as JSON.
    """
    form = FormatOptions(as_json=as_json)
    reason = common.no_guest_reason()
    if reason is not None:
        say(f"kmltui: no guest can run here ({reason}); showing the recording that ships with kmltui", file=sys.stderr)
        sample = common.find_recording(None, shipped=common.SAMPLE)
        status = view.report(str(sample), form=form) if as_json else view.replay_or_report(sample)
        if on_terminal() and not as_json:  # the screen has covered the earlier message
            say(f"kmltui: that was a recording; no guest can run here: {reason}", file=sys.stderr)
        return status
    workload = WorkloadOptions(workload=DEMO, loops=loops)
    # Whether guests come up under KVM may only be known when they start, and an emulated one counts its instructions
    # with one CPU only.
    guest = dataclasses.replace(guest, cpus=1 if guest.cpus is None else guest.cpus)
    if on_terminal() and not (headless or as_json):
        return run(workload=workload, guest=guest)
    from kmltui.runner import registry

    recording = RecordingOptions(name=registry.new_name(DEMO))
    status = run(workload=workload, guest=guest, recording=recording, watching=WatchingOptions(headless=True))
    view.report(recording.name, form=form)
    return status


def run(
    *command: Program,
    workload: WorkloadOptions = WORKLOAD,
    arms: str | None = None,
    sessions: Annotated[str | None, Parameter(show=False)] = None,
    left: str | None = None,
    right: str | None = None,
    guest: GuestOptions = GUEST,
    recording: RecordingOptions = RECORDING,
    watching: WatchingOptions = WATCHING,
    as_json: Json = False,
    **options: Setting,
) -> int:
    """Run a workload in a stock and a KML session at once, record it, and watch it.

    The run has its own process: closing the screen or losing the connection does not end it.

    Parameters
    ----------
    command:
        After ``--``: a program of the guest image, with arguments, to run instead of a workload.
    arms:
        What to run side by side: of stock, stock+libc, stock+idt, kml (default: stock,kml). The same arm twice shows
        how far apart equal sessions are.
    sessions:
        The former name of ``--arms``.
    left:
        Instead of ``--arms``: the left session, e.g. ``stock,kernel=6.12,cpus=4`` or ``local`` (this machine itself).
        Settings: kernel, suite, image, cpus, memory, accel, name (default: stock).
    right:
        The right session, written the same way (default: kml).
    as_json:
        No screen; print as JSON, as ``kmltui ls --json`` does, what was recorded: at the end, or at once with --detach.
        What a command writes then goes to standard error.
    options:
        The workload's settings; ``kmltui workloads`` lists them.
    """
    specs = planning.sessions_of(arms, sessions, left, right, guest)
    plan = planning.make_plan(
        command, workload, specs, recording, options, ask=starting.may_ask(watching, as_json=as_json)
    )
    reason = common.no_guest_reason() if any(spec.kind == "guest" for spec in specs) else None
    if reason is not None:
        fail(f"no guest can run here: {reason}; 'kmltui doctor' tells more, 'kmltui replay' shows a recording", MISSING)
    common.check_memory(plan.sessions)
    return starting.start(plan, watching, screen.watch_run, as_json=as_json)


def workloads(
    name: Annotated[str | None, Parameter(completer=completing.workloads)] = None, *, as_json: Json = False
) -> int:
    """List the workloads and their settings.

    Parameters
    ----------
    name:
        Only this one.
    as_json:
        Print the list as JSON.
    """
    from kmltui import workloads as known

    try:
        chosen = [known.get(found) for found in ([name] if name else known.names())]
    except known.UsageError as error:
        fail(str(error))
    if as_json:
        common.print_json(
            [
                {
                    "name": workload.name,
                    "title": workload.title,
                    "description": workload.description,
                    "bound": workload.bound,
                    "packages": workload.packages,
                    "reported": workload.reported,
                    "options": [
                        {"flag": option.flag, "default": option.default, "choices": option.choices, "help": option.help}
                        for option in workload.options
                    ],
                }
                for workload in chosen
            ]
        )
        return DONE
    for workload in chosen:
        say(f"{workload.name}: {workload.title}\n  {workload.description}")
        if workload.packages:
            say(f"  Needs an image with {', '.join(workload.packages)}.")
        if workload.reported:
            say(f"  Reported by others: {workload.reported}.")
        for option in workload.options:
            choices = f" ({', '.join(option.choices)})" if option.choices else ""
            say(f"  {option.flag:<20} {option.help}{choices} [default: {option.default or 'none'}]")
    return DONE


def watch(
    which: Annotated[str | None, Parameter(allow_leading_hyphen=True, completer=completing.recordings)] = None,
    *,
    left: str | None = None,
    right: str | None = None,
    fps: float | None = None,
) -> int:
    """Watch a run: live while it lasts, or from its recording. Any number of viewers can watch the same run.

    With ``--left`` and ``--right``, show a session of one run beside a session of another, aligned at the start of
    their workloads: two machines, or yesterday and today.

    Parameters
    ----------
    which:
        A run's name, a recording, or ``-`` for a stream on standard input
        (``ssh HOST kmltui stream RUN | kmltui watch -``). Default: the newest run.
    left:
        A run, a recording, or a pipe with a stream (``--left <(ssh HOST kmltui stream RUN)``); append ``:SESSION`` to
        choose the session (default: the first one).
    right:
        The same (default: the last session).
    fps:
        Frames per second at most (default: adapts to the terminal).
    """
    common.check_fps(fps)
    if left is not None or right is not None:
        if which is not None or left is None or right is None:
            fail("watch takes one run, or both --left and --right")
        return screen.watch_beside(left, right, fps=fps)
    if which == "-":
        return screen.watch_stream(fps=fps)
    if which is not None and which.startswith("-"):
        fail(f"watch: there is no option {which}{did_you_mean(which, ('--which', '--left', '--right', '--fps'))}")
    return screen.watch_path(common.find_recording(which), fps=fps)


def ls(*, as_json: Json = False) -> int:
    """List the runs: live, done, failed, and lost (whose runner was killed). Lines are cut off only for a terminal.

    Parameters
    ----------
    as_json:
        Print the list as JSON.
    """
    from kmltui.runner import listing, registry

    registry.tidy()  # what killed runners have left behind
    rows = listing.runs()
    if as_json:
        common.print_json([listing.as_json(row) for row in rows])
        return DONE
    if not rows:
        say("no runs yet; 'kmltui demo' or 'kmltui run' starts one")
        return DONE
    columns = shutil.get_terminal_size().columns if common.is_terminal(sys.stdout) else None
    say(listing.table(rows, columns))
    return DONE


def stop(run: LiveRun, *, as_json: Json = False) -> int:
    """Stop a live run cleanly; returns when its guests are gone and its recording is closed.

    Parameters
    ----------
    run:
        The run's name, in full.
    as_json:
        Print as JSON, as ``kmltui ls --json`` does, what was recorded.
    """
    from kmltui.runner import control

    entry = common.find_run(run)
    if not entry.alive:
        fail(f"{entry.name}: is not running")
    try:
        asyncio.run(control.request(entry.socket, "stop"))
    except control.ControlError as error:
        fail(str(error), RUN_FAILED)
    if not common.wait_for_end(entry):
        fail(f"{entry.name}: is still stopping; 'kmltui ls' shows when it has ended", RUN_FAILED)
    if as_json:
        common.print_recording(Path(entry.recording))
    return DONE


def mark(run: LiveRun, note: str = "", *, as_json: Json = False) -> int:
    """Put a mark into a live run's recording.

    Parameters
    ----------
    run:
        The run's name, in full.
    note:
        What to remember about this moment.
    as_json:
        Print as JSON where the mark is: the run and the time since its beginning.
    """
    from kmltui.paths import user_name
    from kmltui.runner import control

    entry = common.find_run(run)
    try:
        answer = asyncio.run(control.request(entry.socket, "mark", note=note, author=user_name()))
    except control.ControlError as error:
        fail(str(error), RUN_FAILED)
    if as_json:
        common.print_json({"run": entry.name, "t_ns": answer["t_ns"], "note": note})
    return DONE


def stream(which: LiveRun | None = None, *, follow: Annotated[bool, Flag] = False) -> int:
    """Stream a run to standard output, for ``kmltui watch -`` at the other end of a connection.

    Parameters
    ----------
    which:
        A run's name or a recording (default: the newest run).
    follow:
        Begin with what happens from now on instead of the run's start.
    """
    from kmltui.recording import RecordingError, copy_stream

    if sys.stdout.isatty():
        fail("stream writes binary data; pipe it: ssh HOST kmltui stream RUN | kmltui watch -")
    try:
        copy_stream(common.find_recording(which), sys.stdout.buffer, from_now=follow)
    except RecordingError as error:
        fail(str(error))
    return DONE
