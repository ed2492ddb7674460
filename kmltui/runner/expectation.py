# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a run will take on this machine, and how much of it is left.

Both are rough, and labelled so. An emulated processor's speed is known from the last run here.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from kmltui import files, paths, workloads
from kmltui.images.errors import GuestError
from kmltui.images.image import chosen_spec
from kmltui.images.store import read_manifest
from kmltui.machine.accel import emulated
from kmltui.model import END, START, End, Environment, Header, Record, Sample, SessionSpec, session_clock
from kmltui.runner.plan import Bench, Monitor, Plan

WORTH_SAYING_S = 60.0
"""A run that takes longer announces it before it begins."""

EMULATED_PACE = 0.2
"""10⁹ instructions a second: of an emulated processor, where no run has told yet."""
NATIVE_PACE = 3.0
START_S = {True: 20.0, False: 5.0}
"""From nothing to a workload that is ready to begin, emulated and not; the image is there."""


_LEAST_NS = 5_000_000_000


class _Known(Struct, frozen=True):
    pace: float


class Expected(Struct, frozen=True):
    """Seconds until a run has come to its end, once the image is there."""

    seconds: float
    without_kvm: float
    """The same if KVM turns out not to work; differs only where it has not been tried yet."""

    def __add__(self, other: Expected) -> Expected:
        return Expected(self.seconds + other.seconds, self.without_kvm + other.without_kvm)

    def __str__(self) -> str:
        if self.seconds == self.without_kvm:
            return f"about {words(self.seconds)} here"
        return f"about {words(self.seconds)} if KVM works here, else about {words(self.without_kvm)}"


def expected(plan: Plan) -> Expected | None:
    """How long a run will take; None where it cannot be told."""
    if isinstance(plan.how, Monitor):
        return None
    known = [emulated(spec.accel) for spec in plan.sessions if spec.kind == "guest"]
    seconds = _expected_s(plan, emulated=True in known)
    slow = _expected_s(plan, emulated=True in known or None in known)
    return None if seconds is None or slow is None else Expected(seconds, slow)


def unknown(plan: Plan) -> str:
    """What to say of a run of which :func:`expected` knows nothing; empty for a monitor, which its user ends."""
    if isinstance(plan.how, Monitor):
        return ""
    text = "how long this takes depends on the program"
    if not isinstance(plan.how, Bench):
        return f"{text}, which runs in all sessions at once"
    return (
        f"{text}: it runs {plan.how.pairs + 1} times in each session, and after the first turn the time left is shown"
    )


def _expected_s(plan: Plan, *, emulated: bool) -> float | None:
    pace = _pace() if emulated else NATIVE_PACE
    workload = plan.workload
    if workload.duration_s is not None:
        by_instructions = emulated and all(session_clock(spec, {}) == "instructions" for spec in plan.sessions)
        each = workload.duration_s / pace if by_instructions else workload.duration_s
    else:
        cost_s = workloads.of(workload).cost_s(workload)
        if cost_s is None:
            return None
        each = cost_s / pace
    # Side by side as far as there are CPUs; a bench lets one session work at a time.
    at_once = max(1.0, len(plan.sessions) / (os.cpu_count() or 1))
    return START_S[emulated] * at_once + each * (turns(plan) if isinstance(plan.how, Bench) else at_once)


def builds_an_image(plan: Plan) -> bool:
    """Whether a guest image has to be built first, which takes minutes."""
    if isinstance(plan.how, Monitor):
        return False
    names = {spec.image for spec in plan.sessions if spec.kind != "local-kml"}  # this machine runs an image's programs
    with contextlib.suppress(GuestError):
        return any(read_manifest(chosen_spec(name)) is None for name in names)
    return False


def turns(plan: Plan) -> int:
    """How often the workload is run in succession: in a bench, in each session, and once more to warm up."""
    return (plan.how.pairs + 1) * len(plan.sessions) if isinstance(plan.how, Bench) else 1


def words(seconds: float) -> str:
    """About how long that is: ``40 s``, ``5 min``, ``2.5 h``."""
    if seconds < 120:
        return f"{max(5 * round(seconds / 5), 5)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _file() -> Path:
    return paths.state_dir() / "pace.json"


def _pace() -> float:
    known = files.remembered(_file(), _Known)
    return max(known.pace, 0.001) if known else EMULATED_PACE


class PaceMeter:
    """Listens to a run and remembers, when it has finished, how fast its guests were emulated."""

    def __init__(self) -> None:
        self._specs: dict[str, SessionSpec] = {}
        self._begun: dict[str, Sample] = {}
        self._slowest: float | None = None

    def hear(self, record: Record) -> None:
        """Take the next record of the run."""
        match record:
            case Header():
                self._specs = {spec.name: spec for spec in record.sessions if not spec.exact}
            case Environment(session=name) if name in self._specs:
                if session_clock(self._specs[name], record.facts) != "instructions":
                    del self._specs[name]
            case Sample(mark=mark, session=name) if name in self._specs:
                if mark == START:
                    self._begun[name] = record
                elif mark == END and name in self._begun:
                    self._measure(self._begun.pop(name), record)
            case End(status="done") if self._slowest is not None:
                _remember(self._slowest)
            case _:
                pass

    def _measure(self, begin: Sample, end: Sample) -> None:
        if (real_ns := end.t_ns - begin.t_ns) > _LEAST_NS:
            pace = (end.mono_ns - begin.mono_ns) / real_ns
            self._slowest = min(pace, self._slowest or pace)


def _remember(pace: float) -> None:
    # If it fails, the next estimate is a little worse.
    with contextlib.suppress(OSError), files.replacing(_file()) as stream:
        stream.write(msgspec.json.encode(_Known(pace)))
