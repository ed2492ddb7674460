# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan of a run, as data: made by the command line, sent to the runner's process, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from msgspec import Struct

from kmltui.model import RunKind, SessionSpec, WorkloadSpec
from kmltui.sessions.mysql import Login


class Once(Struct, frozen=True, tag_field="kind", tag="run"):
    """The workload once, in all sessions at the same time."""

    kind: ClassVar[RunKind] = "run"


class Bench(Struct, frozen=True, tag_field="kind", tag="bench"):
    """The workload again and again, one session at a time; ``pairs`` repetitions of each session count."""

    kind: ClassVar[RunKind] = "bench"
    pairs: int


class Monitor(Struct, frozen=True, tag_field="kind", tag="monitor"):
    """No workload: this machine is watched, and the server behind ``login`` if there is one."""

    kind: ClassVar[RunKind] = "monitor"
    login: Login | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run, how, where, and where to write it."""

    workload: WorkloadSpec
    sessions: Sequence[SessionSpec]
    how: Once | Bench | Monitor = field(default_factory=Once)
    name: str = ""
    """The run's name; empty: made from the date and the workload when it begins."""
    out: Path | None = None
    """Where to write the recording; None: the user's own directory of runs."""
    sample_period_ns: int = 500_000_000
    title: str = ""
    files: tuple[Path, ...] = ()
    """Files of this machine that are put into the working directory of every session's programs."""
    prometheus: str = ""
    """Where to serve its counters for Prometheus, ``HOST:PORT``; empty: nowhere."""
    input: bytes | None = None
    """The standard input of a workload that takes a command. Not recorded."""
