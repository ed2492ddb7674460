# SPDX-License-Identifier: GPL-2.0-or-later
"""A run's counters for Prometheus, as they are in the recording: cumulative, by session, with bounded labels."""

from __future__ import annotations

import re
import socket
import threading
from bisect import bisect_left
from collections.abc import Iterator
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from kmltui.counters import syscalls
from kmltui.live.latencies import Latencies
from kmltui.model import Environment, Header, Latency, Progress, Record, Sample, Status

MOST_CALLS = 100
"""System calls that have a name of their own in a session, the first that were made; the others are ``other``."""

BUCKETS_US = (100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 10_000_000)
"""Upper bounds of the latency histogram's buckets; the last one is infinite."""

_FACTS = ("kernel", "accelerator", "cpu", "vcpus", "mariadb", "clock")
_QUERIES = "Queries"
_RANGE = re.compile(r"[\d.]+ to (?P<most>[\d.]+)")


def parse_address(text: str) -> tuple[str, int]:
    """``PORT``, ``HOST:PORT`` or ``[HOST]:PORT``; without a host it is this machine alone. Raises ValueError."""
    match = re.fullmatch(r"(?:(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]+)?:)?(?P<port>\d{1,5})", text)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise ValueError(f"{text!r} is no address: write PORT or HOST:PORT, e.g. 9464 or 0.0.0.0:9464")
    return (match["host"] or "127.0.0.1").strip("[]"), int(match["port"])


def check_address(text: str) -> None:
    """Raises ValueError for what is no address, OSError for one that cannot be listened at."""
    host, port = parse_address(text)
    family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(place)


class _Session:
    """What is known of one session."""

    def __init__(self, arm: str) -> None:
        self.arm = arm
        self.sample: Sample | None = None
        self.progress: Progress | None = None
        self.status: Status | None = None
        self.facts: dict[str, str] = {}
        self.buckets = [0] * (len(BUCKETS_US) + 1)
        self.latency_us = 0.0
        self.named: dict[int, str] = {}
        """The names of system calls, fixed once given."""

    def call(self, number: int) -> str:
        if number not in self.named:
            self.named[number] = syscalls.name(number) if len(self.named) < MOST_CALLS else "other"
        return self.named[number]


class Exporter(Collector):
    """Listens to a run's records and serves the newest counters. Both may happen in different threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[str, _Session] = {}
        self._run: dict[str, str] = {}
        self._trap_s: float | None = None
        self._server: WSGIServer | None = None

    def serve(self, address: str) -> None:
        """Serve at ``address`` from now on. Raises OSError, ValueError."""
        host, port = parse_address(address)
        registry = CollectorRegistry()
        registry.register(self)
        self._server, _ = start_http_server(port, host, registry)

    def close(self) -> None:
        """Stop serving. Idempotent."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def hear(self, record: Record) -> None:
        """Take the next record of the run."""
        with self._lock:
            if isinstance(record, Header):
                self._begin(record)
                return
            session = self._sessions.get(getattr(record, "session", ""))
            if session is None:
                return
            match record:
                case Sample():
                    session.sample = record
                case Progress():
                    session.progress = record
                case Status():
                    session.status = record
                case Environment():
                    session.facts.update(record.facts)
                case Latency():
                    _count(session, record)
                case _:
                    pass

    def _begin(self, header: Header) -> None:
        self._sessions = {spec.name: _Session(spec.arm) for spec in header.sessions}
        self._run = {"run": header.run, "workload": header.workload.name, "version": header.kmltui_version}
        # The slower timing: an upper bound of what all traps cost.
        if match := _RANGE.fullmatch(header.host.get("trap_ns", "")):
            self._trap_s = float(match["most"]) / 1e9

    def collect(self) -> Iterator[Metric]:
        """All metrics as they stand."""
        with self._lock:
            yield from self._metrics()

    def _metrics(self) -> Iterator[Metric]:
        run = InfoMetricFamily("kmltui_run", "The run whose counters these are.")
        run.add_metric([], self._run)
        yield run
        info = InfoMetricFamily("kmltui_session", "What each session of the run is.", labels=["session"])
        for name, session in self._sessions.items():
            facts = {key: session.facts[key] for key in _FACTS if session.facts.get(key)}
            info.add_metric([name], {"arm": session.arm, **facts})
        yield info
        yield from self._calls()
        yield from self._cpu()
        yield from self._queries()

    def _calls(self) -> Iterator[Metric]:
        labels = ["session", "call", "way"]
        calls = CounterMetricFamily("kmltui_system_calls", "System calls, by trap or direct.", labels=labels)
        elevations = CounterMetricFamily(
            "kmltui_elevations", "Returns to ring 0 after an interrupt or exception.", labels=["session"]
        )
        cost = CounterMetricFamily(
            "kmltui_trap_cost_bound_seconds",
            "At most: what the traps would have cost this machine's processor, at the slower timing of a trap.",
            labels=["session"],
        )
        for name, session in self._sessions.items():
            kml = session.sample.kml if session.sample else None
            if kml is None:
                continue
            counts: dict[tuple[str, str], int] = {}
            for way, by_number in (("trap", kml.trap_nr), ("direct", kml.direct_nr)):
                for number, count in by_number.items():
                    key = session.call(number), way
                    counts[key] = counts.get(key, 0) + count
            for (call, way), count in counts.items():
                calls.add_metric([name, call, way], count)
            elevations.add_metric([name], sum(kml.elevations_cpu.values()))
            if self._trap_s is not None:
                cost.add_metric([name], sum(kml.trap_nr.values()) * self._trap_s)
        yield calls
        yield elevations
        if self._trap_s is not None:
            yield cost

    def _cpu(self) -> Iterator[Metric]:
        labels = ["session", "group"]
        total = CounterMetricFamily("kmltui_cpu_seconds", "CPU time of server and client.", labels=labels)
        split = CounterMetricFamily(
            "kmltui_cpu_mode_seconds",
            "The same, split by the kernel's ticks, which are biased around system calls.",
            labels=[*labels, "mode"],
        )
        for name, session in self._sessions.items():
            for group, used in (session.sample.groups if session.sample else {}).items():
                total.add_metric([name, group], used.usage_us / 1e6)
                split.add_metric([name, group, "user"], used.user_us / 1e6)
                split.add_metric([name, group, "system"], used.system_us / 1e6)
        yield total
        yield split

    def _queries(self) -> Iterator[Metric]:
        queries = CounterMetricFamily("kmltui_queries", "Queries, the observer's own left out.", labels=["session"])
        latency = HistogramMetricFamily(
            "kmltui_query_duration_seconds", "How long queries took, as their client saw it.", labels=["session"]
        )
        for name, session in self._sessions.items():
            if session.progress is not None:
                queries.add_metric([name], session.progress.queries)
            elif session.status is not None and _QUERIES in session.status.counters:
                status = session.status
                queries.add_metric([name], status.counters[_QUERIES] - status.own.get(_QUERIES, 0))
            if any(session.buckets):
                buckets, below = [], 0
                bounds = [*(str(us / 1e6) for us in BUCKETS_US), "+Inf"]
                for bound, count in zip(bounds, session.buckets, strict=True):
                    below += count
                    buckets.append((bound, float(below)))
                latency.add_metric([name], buckets, session.latency_us / 1e6)
        yield queries
        yield latency


def _count(session: _Session, record: Latency) -> None:
    """Add an interval's latencies to the histogram. They are of the workload as a whole, or of each statement."""
    found = Latencies()
    try:
        found.add(record.hdr)
    except ValueError:
        return
    for value_us, count in found.counts():
        session.buckets[bisect_left(BUCKETS_US, value_us)] += count
        session.latency_us += value_us * count
