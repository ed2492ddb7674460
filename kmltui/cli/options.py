# SPDX-License-Identifier: GPL-2.0-or-later
"""The options that several commands share, each described once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kmltui.cli import completing
from kmltui.model import ClockKind

Flag = Parameter(negative="")
Json = Annotated[bool, Parameter(name="--json", negative="")]
Format = Literal["text", "markdown", "json", "html"]
Clock = Annotated[
    ClockKind | None,
    Parameter(
        help="What a second of a session is: instructions (10⁹ of its own) or wall (the host's); default: instructions "
        "if the sessions are emulated with one virtual CPU, else wall."
    ),
]

Recording = Annotated[str, Parameter(completer=completing.recordings)]
"""A file, or the name of a run or of a sample."""
OwnRecording = Annotated[str, Parameter(completer=completing.own_recordings)]
"""The same, for what changes or deletes it."""
LiveRun = Annotated[str, Parameter(completer=completing.live_runs)]

Program = Annotated[str, Parameter(completer=completing.nothing)]
"""A program or one of its arguments, where options of a workload may come instead."""
Setting = Annotated[str, Parameter(completer=completing.settings)]

Put = Annotated[
    tuple[Path, ...],
    Parameter(
        negative="",
        help="A file of this machine to put into the directory in which the sessions' programs run; may be given "
        "several times.",
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class WorkloadOptions:
    workload: Annotated[str | None, Parameter(alias="-w", completer=completing.workloads)] = None
    """What to run (default: wisconsin). A workload's own settings follow as options, e.g. ``--engine innodb``."""

    loops: Annotated[int | None, Parameter(alias="-n")] = None
    """How often the workload repeats its statements (default: the workload's)."""

    duration: Annotated[str | None, Parameter(alias="-t")] = None
    """Run for this long instead (in a bench, each repetition), e.g. 90s or 5m, by the sessions' clock."""

    put: Put = ()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class GuestOptions:
    cpus: int | None = None
    """Virtual CPUs of each session (default: 1; under KVM, except for demo, 2 if this machine has 4 CPUs or
    more)."""

    accel: str = "auto"
    """auto, kvm or tcg; auto uses KVM if a guest really starts under it."""

    clock: Clock = None

    image: str = ""
    """The guest image, as listed by ``kmltui guest info`` (default: the one for this machine)."""

    memory: str | None = None
    """Memory of each guest, e.g. 512M or 2G (default: 1G, or what the image needs)."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RecordingOptions:
    sample_rate: float | None = None
    """Samples per second, per session (default: 2; for a monitor, 1)."""

    out: Annotated[Path | None, Parameter(alias="-o")] = None
    """Where to write the recording (default: kmltui's own directory, see ``kmltui ls``)."""

    name: str | None = None
    """The run's name (default: built from date and workload)."""

    title: str = ""
    """A line of your own, shown with the recording."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class WatchingOptions:
    headless: Annotated[bool, Flag] = False
    """No screen: a line for each phase, and exit status 0 only if the run and its checks succeeded. For a command, its
    output, and its exit status if that is the same in all sessions."""

    detach: Annotated[bool, Flag] = False
    """Start the run in the background, print its name and return."""

    prometheus: str | None = None
    """Serve the run's counters for Prometheus at this PORT of this machine, or at HOST:PORT, while the run lasts."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FormatOptions:
    format: Format | None = None
    """Format of the report: text (the default), markdown, json or html (one self-contained file)."""

    as_json: Json = False
    """The same as ``--format json``."""


WORKLOAD, GUEST, RECORDING, WATCHING, FORMAT = (
    WorkloadOptions(),
    GuestOptions(),
    RecordingOptions(),
    WatchingOptions(),
    FormatOptions(),
)
"""None of these options given."""


def flags() -> list[str]:
    """The options of the commands that start a run, as they are written."""
    shared = (WorkloadOptions, GuestOptions, RecordingOptions, WatchingOptions, FormatOptions)
    names = [field.name for each in shared for field in fields(each)]
    names = [name.removeprefix("as_").replace("_", "-") for name in [*names, "arms", "left", "right", "pairs", "exact"]]
    return [f"--{name}" for name in names]
