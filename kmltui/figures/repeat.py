# SPDX-License-Identifier: GPL-2.0-or-later
"""The command that repeats a recorded run, as far as its header shows it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from kmltui.model import Header, SessionSpec

_DEFAULT = SessionSpec(name="")
_DEFAULT_PERIOD_NS = 500_000_000


def repeat_command(header: Header, pairs: int | None) -> str:
    """For a shell; ``pairs`` are those of a bench. Empty for a monitor, which only watched."""
    if header.kind == "monitor":
        return ""
    is_bench = pairs is not None
    words = ["kmltui", "bench" if is_bench else "run"]
    command = header.workload.options.get("command", "")
    if not command:
        words += ["--workload", header.workload.name]
    if header.workload.loops is not None:
        words += ["--loops", str(header.workload.loops)]
    if header.workload.duration_s is not None:
        words += ["--duration", f"{header.workload.duration_s:g}s"]
    if is_bench:
        words += ["--pairs", str(pairs)]
    words += _sessions(header.sessions)
    if _clock_was_chosen(header.sessions):
        words += ["--clock", "wall"]
    if header.sample_period_ns != _DEFAULT_PERIOD_NS:
        words += ["--sample-rate", f"{1e9 / header.sample_period_ns:g}"]
    if not command:
        for key, value in header.workload.options.items():
            words += [f"--{key.replace('_', '-')}", value]
    text = shlex.join(words)
    return f"{text} -- {command}" if command else text


def _clock_was_chosen(specs: Sequence[SessionSpec]) -> bool:
    """By default such sessions would have got the clock that counts instructions (if they are emulated)."""
    fit = all(spec.kind == "guest" and spec.vcpus == 1 and spec.accel != "kvm" for spec in specs)
    one_way = len({spec.accel for spec in specs}) == 1
    return fit and one_way and not any(spec.exact or spec.clock == "instructions" for spec in specs)


def _sessions(specs: Sequence[SessionSpec]) -> list[str]:
    """Arms with the same settings, or each session separately."""
    setups = {(s.vcpus, s.accel, s.image, s.memory_bytes, s.clock, s.exact, s.kind) for s in specs}
    words: list[str] = []
    first = specs[0]
    if len(setups) == 1 and first.kind == "guest" and first.memory_bytes == _DEFAULT.memory_bytes:
        arms = ",".join(spec.arm for spec in specs)
        words += [] if arms == "stock,kml" else ["--arms", arms]
        if first.exact:
            words.append("--exact")
        else:
            words += ["--cpus", str(first.vcpus)]
            words += [] if first.accel == _DEFAULT.accel else ["--accel", first.accel]
        words += ["--image", first.image] if first.image else []
        return words
    for option, spec in zip(("--left", "--right"), specs, strict=False):
        words += [option, _written(spec)]
    return words


def _written(spec: SessionSpec) -> str:
    """One session as ``--left`` and ``--right`` take it."""
    if spec.kind != "guest":
        return ",".join([spec.kind, *([f"image={spec.image}"] if spec.image else [])])
    parts = [spec.arm, f"cpus={spec.vcpus}"]
    if spec.image:
        parts.append(f"image={spec.image}")
    if spec.memory_bytes != _DEFAULT.memory_bytes:
        parts.append(f"memory={spec.memory_bytes >> 20}M")
    if spec.accel != _DEFAULT.accel:
        parts.append(f"accel={spec.accel}")
    return ",".join(parts)
