"""Commands about runs: start one, watch it, list, stop and mark runs, stream one to another machine."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from kmltui.cli import common, screen, starting
from kmltui.cli.common import DONE, MISSING, RUN_FAILED, fail, on_terminal
from kmltui.model import ClockKind

if TYPE_CHECKING:
    from kmltui.model import SessionSpec, WorkloadSpec
    from kmltui.runner.plan import Plan

Flag = Parameter(negative="")
Json = Annotated[bool, Parameter(name="--json", negative="")]
DEMO_LOOPS = 100
"""About half a minute of Wisconsin for two emulated guests on a small machine."""


def demo(*, loops: int = DEMO_LOOPS, clock: ClockKind | None = None) -> int:
    """Everything from nothing: check the machine, build the guest image, run Wisconsin on stock and on KML, and watch.

    Without a terminal it does the same headless and ends with the report. Where no guest can run, it replays the
    recording that came with kmltui.

    Parameters
    ----------
    loops:
        How often each of Wisconsin's selects is repeated.
    clock:
        What a second of a session is: instructions (10⁹ of its own) or wall (the host's); default: instructions where
        the sessions are emulated with one virtual CPU, else wall.
    """
    reason = common.no_guest_reason()
    if reason is not None:
        print(f"kmltui: no guest can run here ({reason}); showing the recording that came with kmltui", file=sys.stderr)
        return screen.replay_or_report(common.find_recording(None, shipped=True))
    if on_terminal():
        return run(workload="demo", loops=loops, clock=clock)
    from kmltui.cli.view import report
    from kmltui.runner import registry

    name = registry.new_name("demo")
    status = run(workload="demo", loops=loops, clock=clock, name=name, headless=True)
    report(name)
    return status


def run(
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    workload: Annotated[str | None, Parameter(alias="-w")] = None,
    loops: Annotated[int | None, Parameter(alias="-n")] = None,
    duration: Annotated[str | None, Parameter(alias="-t")] = None,
    cpus: int | None = None,
    sessions: str | None = None,
    left: str | None = None,
    right: str | None = None,
    accel: str = "auto",
    clock: ClockKind | None = None,
    image: str = "",
    sample_rate: float = 2.0,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    name: str | None = None,
    title: str = "",
    headless: Annotated[bool, Flag] = False,
    detach: Annotated[bool, Flag] = False,
    **options: str,
) -> int:
    """Run a workload on a stock and on a KML session at once, record it, and watch it.

    The run has a process of its own: closing the screen or losing the connection does not end it.

    Parameters
    ----------
    command:
        After ``--``: a program of the guest image, with arguments, to run instead of a workload.
    workload:
        What to run (default: wisconsin). A workload's own settings follow as options, e.g. ``--engine innodb``.
    loops:
        How often the workload repeats its statements (default: the workload's).
    duration:
        Run for this long instead, e.g. 90s or 5m, by the sessions' clock.
    cpus:
        Virtual CPUs of each session (default: 1, or 2 under KVM where this machine has 4 CPUs or more).
    sessions:
        The arms to run side by side, of stock, stock+libc, stock+idt, kml (default: stock,kml). Twice the same one
        shows how far apart equal sessions are.
    left:
        Instead: the left session, e.g. ``stock,kernel=6.12,cpus=4`` or ``local`` (this machine itself). Settings:
        kernel, suite, image, cpus, memory, accel, name (default: stock).
    right:
        The right session, written in the same way (default: kml).
    accel:
        auto, kvm or tcg; auto uses KVM where a guest really starts under it.
    clock:
        What a second of a session is: instructions (10⁹ of its own) or wall (the host's); default: instructions where
        the sessions are emulated with one virtual CPU, else wall.
    image:
        The guest image, as ``kmltui guest info`` lists them (default: the one for this machine).
    sample_rate:
        Samples a second and session.
    out:
        Where to write the recording (default: kmltui's own directory, see ``kmltui ls``).
    name:
        The run's name (default: made from date and workload).
    title:
        A line of your own, shown with the recording.
    headless:
        No screen: a line for each phase, and exit status 0 only if every session completed the workload.
    detach:
        Start the run, print its name and return.
    options:
        The workload's settings; ``kmltui workloads`` lists them.
    """
    specs = session_specs(sessions, left, right, cpus, accel, clock, image)
    plan = make_plan(command, workload, loops, duration, specs, sample_rate, out, name, title, options)
    reason = common.no_guest_reason() if any(spec.kind == "guest" for spec in specs) else None
    if reason is not None:
        fail(f"no guest can run here: {reason}; 'kmltui doctor' says more, 'kmltui replay' shows a recording", MISSING)
    return starting.start(plan, headless=headless, watch=None if detach else screen.watch_run)


def workloads(name: str | None = None, *, as_json: Json = False) -> int:
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
        print(f"{workload.name}: {workload.title}\n  {workload.description}")
        for option in workload.options:
            choices = f" ({', '.join(option.choices)})" if option.choices else ""
            print(f"  {option.flag:<20} {option.help}{choices} [default: {option.default or 'none'}]")
    return DONE


def make_plan(
    command: tuple[str, ...],
    workload: str | None,
    loops: int | None,
    duration: str | None,
    sessions: list[SessionSpec],
    sample_rate: float,
    out: Path | None,
    name: str | None,
    title: str,
    options: dict[str, str],
) -> Plan:
    """The arguments as a plan; everything that can be wrong with them is found here, before anything is started."""
    from kmltui.runner import registry
    from kmltui.runner.plan import Plan

    common.check_run_options(sample_rate, name, out)
    spec = _workload_spec(command, workload, loops, duration, options)
    return Plan(
        workload=spec,
        sessions=sessions,
        name=name or registry.new_name(spec.name),
        out=out,
        sample_period_ns=round(1e9 / sample_rate),
        title=title,
    )


def _workload_spec(
    command: tuple[str, ...], workload: str | None, loops: int | None, duration: str | None, options: dict[str, str]
) -> WorkloadSpec:
    from kmltui import workloads

    if command and workload not in (None, "command"):
        fail("give either --workload or a command after '--', not both")
    if loops is not None and duration is not None:
        fail("give either --loops or --duration, not both")
    if loops is not None and loops <= 0:
        fail(f"--loops {loops}: must be greater than 0")
    length = common.positive_seconds(duration, "--duration") if duration is not None else None
    chosen = "command" if command else workload or "wisconsin"
    try:
        return workloads.get(chosen).spec(loops=loops, duration_s=length, options=options, command=command)
    except workloads.UsageError as error:
        fail(str(error))


def session_specs(
    arms: str | None,
    left: str | None,
    right: str | None,
    cpus: int | None,
    accel: str,
    clock: ClockKind | None,
    image: str,
    arms_option: str = "--sessions",
) -> list[SessionSpec]:
    from kmltui.cli import sessions
    from kmltui.model import SessionSpec

    if accel not in ("auto", "kvm", "tcg"):
        fail(f"--accel {accel!r}: must be auto, kvm or tcg")
    if image:
        sessions.check_image(image, "--image")
    vcpus = cpus if cpus is not None else 1 if clock == "instructions" else _default_vcpus(accel)
    if not 1 <= vcpus <= 64:
        fail(f"--cpus {vcpus}: must be between 1 and 64")
    defaults = SessionSpec(name="", vcpus=vcpus, accel=accel, image=image)  # type: ignore[arg-type]
    if left is None and right is None:
        specs = sessions.arms("stock,kml" if arms is None else arms, defaults, arms_option)
    elif arms is not None:
        fail("give either --sessions or --left and --right, not both")
    else:
        specs = sessions.pair(left, right, defaults)
    return sessions.with_clock(specs, clock)


def _default_vcpus(accel: str) -> int:
    """Where guests are emulated, one each: only then their clock can count their instructions."""
    import psutil

    from kmltui.machine.accel import surely_emulated

    if (psutil.cpu_count() or 1) < 4 or surely_emulated(accel):  # type: ignore[arg-type]
        return 1
    return 2


def watch(
    which: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None, *, fps: float | None = None
) -> int:
    """Watch a run: live if it goes on, from its recording if it has ended. Any number can watch the same run.

    Parameters
    ----------
    which:
        A run's name, a recording, or ``-`` for a stream on standard input
        (``ssh HOST kmltui stream RUN | kmltui watch -``). Default: the newest run.
    fps:
        Pictures a second at most (default: adapts itself to the terminal).
    """
    common.check_fps(fps)
    if which == "-":
        return screen.watch_stream(fps=fps)
    return screen.watch_path(common.find_recording(which), fps=fps)


def ls(*, as_json: Json = False) -> int:
    """List the runs: live, done, failed, and lost (their runner was killed).

    Parameters
    ----------
    as_json:
        Print the list as JSON.
    """
    from kmltui.runner import listing

    rows = listing.runs()
    if as_json:
        common.print_json([listing.as_json(row) for row in rows])
        return DONE
    if not rows:
        print("no runs yet; 'kmltui demo' or 'kmltui run' makes one")
        return DONE
    print(listing.table(rows))
    return DONE


def stop(run: str) -> int:
    """End a live run in order; returns when its guests are gone and its recording is closed.

    Parameters
    ----------
    run:
        The run's name.
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
        fail(f"{entry.name}: was told to stop and is still ending; 'kmltui ls' shows when it has", RUN_FAILED)
    return DONE


def mark(run: str, note: str = "") -> int:
    """Put a mark into a live run's recording.

    Parameters
    ----------
    run:
        The run's name.
    note:
        What is to be remembered about this moment.
    """
    import getpass

    from kmltui.runner import control

    try:
        asyncio.run(control.request(common.find_run(run).socket, "mark", note=note, author=getpass.getuser()))
    except control.ControlError as error:
        fail(str(error), RUN_FAILED)
    return DONE


def stream(which: str | None = None, *, follow: Annotated[bool, Flag] = False) -> int:
    """Write a run as a stream to standard output, for ``kmltui watch -`` at the other end of a connection.

    Parameters
    ----------
    which:
        A run's name or a recording (default: the newest run).
    follow:
        Begin with what happens from now on instead of with the run's start.
    """
    from kmltui.recording import RecordingError, copy_stream

    if sys.stdout.isatty():
        fail("stream writes binary data; pipe it: ssh HOST kmltui stream RUN | kmltui watch -")
    try:
        copy_stream(common.find_recording(which), sys.stdout.buffer, from_now=follow)
    except RecordingError as error:
        fail(str(error))
    return DONE
