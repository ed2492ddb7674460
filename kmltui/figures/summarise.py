# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns the records of a run into its figures, in one pass and bounded memory."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from kmltui.figures import stats
from kmltui.figures.calls import timed_calls, true_unit
from kmltui.figures.charts import charts
from kmltui.figures.compare import compare, decide, primary_figure
from kmltui.figures.environment import environment, tick_hz
from kmltui.figures.estimate import estimate
from kmltui.figures.figures import CpuSeconds, Figures, direct_share, figures, merged_latency
from kmltui.figures.intervals import Intervals, Repetition
from kmltui.figures.judging import any_emulated, common_clock, own_ways
from kmltui.figures.means import mean
from kmltui.figures.repeat import repeat_command
from kmltui.figures.servercost import average_cost
from kmltui.figures.summary import Bounds, Checksums, Fractions, RunFacts, SessionFigures, Summary, TickBias
from kmltui.figures.verdict import verdict
from kmltui.live.events import brief
from kmltui.live.store import Store
from kmltui.model import (
    FORMAT_VERSION,
    ClockKind,
    End,
    Gap,
    Header,
    Log,
    Mark,
    Measure,
    Proof,
    Record,
    State,
    session_clock,
)

_MOST = 1000
"""Of marks, gaps, proofs: the rest is left out."""

_MOST_WARNINGS = 50
_MOST_OUTPUT = 40


def summarise(records: Iterable[Record]) -> Summary:
    """Fold the records of a run, from its header on, into a Summary. Raises ValueError if there is no header."""
    iterator = iter(records)
    header = next(iterator, None)
    if not isinstance(header, Header):
        raise ValueError("the records of a run begin with its header")
    fold = _Fold(header)
    for record in iterator:
        fold.add(record)
    return fold.summary()


class _Fold:
    def __init__(self, header: Header) -> None:
        self._header = header
        self._store = Store(header, by_cpu=False)
        self._intervals = Intervals()
        self._states: dict[str, State] = {}
        self._proofs: dict[str, list[Proof]] = {}
        self._measures: dict[str, dict[str, Measure]] = {}
        self._output: dict[str, list[str]] = {}
        self._biases: dict[str, TickBias] = {}
        self._marks: list[Mark] = []
        self._gaps: list[Gap] = []
        self._warnings: list[Log] = []
        self._end: End | None = None
        self._last_ns = 0
        self._facts: dict[str, dict[str, str]] = {}

    def add(self, record: Record) -> None:
        if isinstance(record, Header):
            return
        self._last_ns = max(self._last_ns, record.t_ns)
        self._store.add(record)
        self._intervals.add(record)
        match record:
            case State():
                self._states[record.session] = record
            case Proof() if len(proofs := self._proofs.setdefault(record.session, [])) < _MOST:
                proofs.append(record)
            case Measure(name=stats.TICK_BIAS) if record.values.keys() >= {"exact", "by ticks"}:
                bias = TickBias(record.values["exact"] / 100, record.values["by ticks"] / 100)
                self._biases[record.session] = bias
            case Measure() if len(measures := self._measures.setdefault(record.session, {})) < _MOST:
                measures[record.name] = record
            case Mark() if len(self._marks) < _MOST:
                self._marks.append(brief(record))
            case Log(source="client") if self._header.workload.keeps_output:
                if len(output := self._output.setdefault(record.session, [])) < _MOST_OUTPUT:
                    output.append(record.text[:1000])
            case Log() if record.level != "info" and len(self._warnings) < _MOST_WARNINGS:
                self._warnings.append(brief(record))
            case Gap() if len(self._gaps) < _MOST:
                self._gaps.append(record)
            case End():
                self._end = record
            case _:
                pass

    def summary(self) -> Summary:
        view = self._store.at()
        facts = {session.name: dict(session.facts) for session in view.sessions}
        self._facts = facts
        ticks = tick_hz(facts)
        runs = {spec.name: self._intervals.of(spec.name) for spec in self._header.sessions}
        sessions = {
            spec.name: self._session(spec.name, runs[spec.name], facts[spec.name], ticks)
            for spec in self._header.sessions
        }
        is_bench = any(run.pair is not None for repetitions in runs.values() for run in repetitions)
        summary = Summary(
            run=self._run(sessions),
            environment=environment(self._header, facts),
            sessions=sessions,
            per_query=self._header.workload.duration_s is not None or _own_ways(sessions),
            client=self._client(),
            clock=common_clock(self._header.sessions, facts),
            emulated=any_emulated(facts.values()),
            checksums=_checksums([self._proofs.get(name, []) for name in sessions]),
            charts=charts(view, ticks),
        )
        summary.exact = bool(sessions) and all(session.instructions is not None for session in sessions.values())
        summary.primary = primary_figure(summary.exact)
        self._compare(summary, runs, ticks)
        if is_bench:
            summary.pairs = self._pairs(runs)
            summary.run.pairs = len(summary.pairs)
        if self._header.kind == "monitor":
            for name in (name for name in sessions if runs[name]):
                summary.server_cost = average_cost(sessions[name], runs[name][-1].interval, self._header.host)
        if not self._header.different_work:
            summary.run.command = repeat_command(self._header, summary.run.pairs)
            summary.estimate = estimate(summary)
        summary.verdict = verdict(summary)
        return summary

    def _run(self, sessions: dict[str, SessionFigures]) -> RunFacts:
        header, end = self._header, self._end
        started = None
        if header.created_unix_ns > 0:
            moment = datetime.datetime.fromtimestamp(header.created_unix_ns // 10**9, datetime.UTC)
            started = moment.isoformat().replace("+00:00", "Z")
        return RunFacts(
            workload=header.workload.name,
            loops=header.workload.loops,
            started=started,
            duration_s=self._last_ns / 1e9,
            duration_limit_s=header.workload.duration_s,
            options=header.workload.options,
            script=header.workload.script,
            name=header.run,
            title=header.title,
            different_work=header.different_work,
            status=end.status if end else None,
            reason=end.reason if end else "",
            complete=bool(sessions) and all(session.complete for session in sessions.values()),
            unit=header.workload.unit,
            units=header.workload.units_per_loop * (header.workload.loops or 0),
            article=header.workload.article,
            kmltui=header.kmltui_version,
            newer=header.format_version > FORMAT_VERSION,
            sample_period_s=header.sample_period_ns / 1e9,
            marks=[(mark.t_ns / 1e9, mark.note, mark.author) for mark in self._marks],
            warnings=[
                (log.t_ns / 1e9, f"{log.session} {log.source}".strip(), log.text[:1000]) for log in self._warnings
            ],
            gaps=[(gap.t_ns / 1e9, gap.lost_bytes, gap.reason) for gap in self._gaps],
        )

    def _client(self) -> str | None:
        workload = self._header.workload
        # Before there was a choice it read as today's library does.
        return workload.options.get("client", "buffered" if workload.article else None)

    def _figures(self, name: str, run: Repetition) -> Figures:
        spec = next(spec for spec in self._header.sessions if spec.name == name)
        return figures(
            run.interval,
            self._header.workload.statements,
            kind=spec.kind,
            samples_asked_for=session_clock(spec, self._facts.get(name, {})) == "instructions",
        )

    def _session(
        self, name: str, repetitions: Sequence[Repetition], facts: Mapping[str, str], ticks: int
    ) -> SessionFigures:
        spec = next(spec for spec in self._header.sessions if spec.name == name)
        state = self._states.get(name)
        proofs = self._proofs.get(name, [])
        measured = _measured(repetitions)
        found = mean([self._figures(name, run) for run in measured]) if measured else Figures()
        if len(measured) > 1:
            found.latency = merged_latency([run.interval for run in measured])
        rings = _rings(proofs)
        kinds: dict[str, dict[str, str]] = {}
        for proof in proofs:
            kinds.setdefault(proof.name, {})[proof.subject] = proof.value
        return SessionFigures(
            **{name: getattr(found, name) for name in Figures.__struct_fields__},
            arm=spec.arm,
            kind=spec.kind,
            clock=session_clock(spec, facts),
            state=state.state if state else "waiting",
            detail=state.detail if state else "",
            complete=bool(measured) and all(run.interval.complete for run in measured),
            tick_bias=self._biases.get(name),
            clock_wrong=_clock_wrong(session_clock(spec, facts), found),
            tick_error_s=_tick_error_s(found.cpu_s, len(measured), ticks),
            ring=max(rings.values()) if rings else None,
            rings=rings,
            proofs=kinds,
            failed_proofs=[f"{proof.name} {proof.subject}: {proof.value}" for proof in proofs if not proof.ok],
            server_restarts=[t_ns / 1e9 for t_ns in self._intervals.restarts(name)],
            direct_share=direct_share(found.syscalls.trap, found.syscalls.direct)
            if found.syscalls and spec.kind != "local"
            else None,
            calls_source=facts.get("calls")
            or ("exact, of the whole guest, by the KML module" if found.syscalls else ""),
            io_calls_source=facts.get("io_calls", ""),
            measures=self._mean_measures(name, measured, session_clock(spec, facts)),
            output=self._output.get(name, []),
        )

    def _mean_measures(self, name: str, runs: Sequence[Repetition], clock: ClockKind) -> dict[str, dict[str, Any]]:
        """Means over the repetitions; what was measured outside of any stands as it was last."""
        means = {}
        for last in self._measures.get(name, {}).values():
            in_runs = [run.interval.measures[last.name] for run in runs if last.name in run.interval.measures] or [last]
            values = {
                key: sum(measure.values[key] for measure in in_runs) / len(in_runs)
                for key in last.values
                if all(key in measure.values for measure in in_runs)
            }
            means[last.name] = {"unit": true_unit(last.unit, clock), **values}
        return means

    def _measured_in(self, name: str, run: Repetition) -> Mapping[str, Measure]:
        """Of a run that is no bench also what was measured before its interval began."""
        return run.interval.measures if run.pair is not None else self._measures.get(name, {})

    def _compare(self, summary: Summary, runs: dict[str, list[Repetition]], ticks: int) -> None:
        names = list(summary.sessions)
        if len(names) < 2:
            return
        baseline = "stock" if "stock" in names else names[0]
        others = [name for name in names if name != baseline]
        summary.baseline = baseline
        summary.compared = "kml" if "kml" in others else others[-1]
        if self._header.different_work:
            return
        for other in others:
            pairs = _paired(runs[baseline], runs[other])
            if pairs:
                summary.comparisons[other] = compare(
                    [self._figures(baseline, a) for a, _ in pairs],
                    [self._figures(other, b) for _, b in pairs],
                    summary.per_query,
                    ticks,
                    summary.primary,
                    [a.machine for a, _ in pairs],
                )
                if other == summary.compared:
                    summary.timed_calls = timed_calls(
                        [self._measured_in(baseline, a) for a, _ in pairs],
                        [self._measured_in(other, b) for _, b in pairs],
                        summary.clock,
                    )
        decide(summary.comparisons, summary.compared)
        found = summary.comparisons.get(summary.compared, {})
        figure = summary.primary.partition(".")[0]
        parts = [found.get(f"{figure}.{part}") for part in ("total", "user", "system")]
        if any(parts):
            summary.saved = Fractions(*(part.saved if part else None for part in parts))
            summary.intervals = Bounds(*(part.interval if part else None for part in parts))

    def _pairs(self, runs: dict[str, list[Repetition]]) -> list[dict[str, Any]]:
        """Every raw run of a bench, pair by pair; the warm-up is not among them."""
        numbers = sorted({run.pair for repetitions in runs.values() for run in repetitions if run.pair})
        return [
            {
                "pair": number,
                "sessions": {
                    name: {"order": run.order, **_without_none(self._figures(name, run))}
                    for name, repetitions in runs.items()
                    for run in repetitions
                    if run.pair == number
                },
            }
            for number in numbers
        ]


_CLOCK_TOLERANCE = 0.02
_CLOCK_LEAST_S = 5.0
"""In a shorter interval the delay of a sample on its way says more about the ratio than the clocks do."""


def _clock_wrong(clock: ClockKind, found: Figures) -> bool:
    """A clock that counts instructions is no clock of the wall, and not meant to be."""
    if clock != "wall" or found.clock_ratio is None or not found.duration_s:
        return False
    real_s = found.duration_s / found.clock_ratio if found.clock_ratio > 0 else 0.0
    return real_s >= _CLOCK_LEAST_S and abs(found.clock_ratio - 1) > _CLOCK_TOLERANCE


def _tick_error_s(mean: CpuSeconds | None, runs: int, ticks: int) -> float | None:
    """Of a mean over runs: the error of all their ticks together."""
    if mean is None:
        return None
    # The kernel's scaled split may step back a little; a share of ticks cannot be negative.
    user, system = max(0.0, mean.user), max(0.0, mean.system)
    return stats.tick_error_s(user * runs, system * runs, ticks) / runs


def _own_ways(sessions: Mapping[str, SessionFigures]) -> bool:
    measured = [session.measures for session in sessions.values()]
    return own_ways(measured, all(session.queries is not None for session in sessions.values()))


def _measured(repetitions: Sequence[Repetition]) -> list[Repetition]:
    """What counts: of a bench the complete pairs without the warm-up, else the (last) interval."""
    if any(run.pair is not None for run in repetitions):
        return [run for run in repetitions if run.pair and run.interval.complete]
    return list(repetitions[-1:])


def _paired(a: Sequence[Repetition], b: Sequence[Repetition]) -> list[tuple[Repetition, Repetition]]:
    """The runs of two sessions that belong together and are complete."""
    left, right = _measured(a), _measured(b)
    by_pair = {run.pair: run for run in right if run.interval.complete}
    return [(run, by_pair[run.pair]) for run in left if run.interval.complete and run.pair in by_pair]


def _rings(proofs: Sequence[Proof]) -> dict[str, int]:
    """The ring that each process was found in: the value of the proof begins with its number."""
    found = ((proof.subject, proof.value[:1]) for proof in proofs if proof.name == "ring")
    return {subject: int(digit) for subject, digit in found if digit in ("0", "1", "2", "3")}


def _checksums(proofs: Sequence[Sequence[Proof]]) -> Checksums | None:
    """Compare the results of the sessions, by what they are results of."""
    values: dict[str, set[str]] = {}
    seen: dict[str, int] = {}
    for session in proofs:
        own = {proof.subject: proof.value for proof in session if proof.name == "checksum"}
        for subject, value in own.items():
            values.setdefault(subject, set()).add(value)
            seen[subject] = seen.get(subject, 0) + 1
    common = [subject for subject, count in seen.items() if count > 1]
    if not common:
        return None
    differing = [subject for subject in common if len(values[subject]) > 1]
    return Checksums(len(common), not differing, differing)


def _without_none(found: Figures) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return {name: value for name, value in plain.items() if value is not None and name != "statements"}
