# SPDX-License-Identifier: GPL-2.0-or-later
"""``kmltui estimate``: what a run's direct calls would save on this machine's processor."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kmltui.cli import common, screen, starting, waiting
from kmltui.cli.common import DONE, RUN_FAILED, fail, say
from kmltui.cli.options import Json, Recording

if TYPE_CHECKING:
    from pathlib import Path

    from kmltui.figures.estimate import TrapCost
    from kmltui.figures.summary import Summary
    from kmltui.model import Header, WorkloadSpec


def estimate(which: Recording | None = None, *, as_json: Json = False) -> int:
    """Estimate what a run's direct calls would save on this machine's own processor. An estimate, not a measurement.

    Times a trap here and runs the same workload on this machine itself, outside any guest, to measure its CPU
    time. The number of calls comes from the given run. The new run is recorded too.

    Parameters
    ----------
    which:
        A run of this machine, by name or recording (default: the newest run).
    as_json:
        Print the estimate as JSON.
    """
    from kmltui.figures.estimate import estimate as made
    from kmltui.figures.estimate import native_seconds, notes, sentence

    path = common.find_recording(which)
    header, summary = _read(path)
    summary.environment["host"] |= _cost(path, header).facts()
    if made(summary) is None:
        fail(f"{path}: nothing can be estimated from it. {summary.verdict}")
    _, local = _read(_run_here(header.workload))
    native = native_seconds(local)
    if native is None:
        fail(f"the run on this machine gave no CPU time: {local.verdict}", RUN_FAILED)
    found = made(summary, native)
    assert found is not None
    if as_json:
        common.print_json(found)
    else:
        say("\n".join([sentence(found), *(f"  {note}" for note in notes(found))]))
    return DONE


def _read(path: Path) -> tuple[Header, Summary]:
    from kmltui.figures.summarise import summarise

    with screen.opened(path) as reader:
        return reader.header, summarise(waiting.records(reader, "reading"))


def _cost(path: Path, header: Header) -> TrapCost:
    """Of a trap on this processor, which has to be the one that the run was recorded on."""
    from kmltui.machine import trapcost
    from kmltui.runner import registry
    from kmltui.sessions import host

    own = host.facts()
    recorded, here = header.host.get("cpu", ""), own.get("cpu", "")
    if recorded and here and recorded != here:
        fail(f"{path}: was recorded on another processor ({recorded}); this one is {here}")
    if busy := [entry.name for entry in registry.entries() if entry.alive]:
        fail(f"a run is going on ({busy[0]}), and a trap can only be timed on a quiet machine")
    try:
        return trapcost.measure(here, own.get("mitigations", ""), "virtual" in own.get("accelerator", ""))
    except trapcost.TimingError as error:
        fail(f"a trap cannot be timed here: {error}", common.MISSING)


def _run_here(workload: WorkloadSpec) -> Path:
    """Run the workload on this machine itself; returns the recording."""
    from msgspec.structs import replace

    from kmltui.model import SessionSpec
    from kmltui.runner import registry
    from kmltui.runner.launch import succeeded
    from kmltui.runner.plan import Plan

    if workload.name == "demo":  # it measures Wisconsin; the rest is only for show
        workload = replace(workload, name="wisconsin")
    name = registry.new_name("native")
    plan = Plan(
        workload=workload,
        sessions=[SessionSpec(name="local", kind="local")],
        name=name,
        title=f"{workload.name} on this machine itself, for an estimate",
    )
    say("running the same work on this machine itself", file=sys.stderr)
    starting.say_how_long(plan)
    outcome = starting.execute(plan)
    if not succeeded(outcome, plan):
        fail(f"the run on this machine did not finish: {outcome.recording}", RUN_FAILED)
    return outcome.recording
