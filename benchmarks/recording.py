# SPDX-License-Identifier: GPL-2.0-or-later
"""What a recording costs: size, opening, seeking, memory, writing, for a synthetic run of 24 hours; and showing it.

    python benchmarks/recording.py [--hours H] [--cpus N]

Two sessions with one sample per second each, counters that grow like a busy database server's, with realistic noise,
progress and server status every second, latencies every thirty. Measured once without marks, and once with a mark every
half minute, so that something happens in every chunk. Prints the figures beside the targets.
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from hdrh.histogram import HdrHistogram

from kmltui.model import (
    AgentCost,
    CpuTicks,
    End,
    GroupCpu,
    Header,
    KmlCounters,
    Latency,
    Mark,
    Progress,
    Record,
    Sample,
    SessionSpec,
    Status,
    WorkloadSpec,
)
from kmltui.recording import Reader, Writer
from kmltui.tui.player import Player

SECOND = 1_000_000_000

CALLS = {44: 60_000, 45: 36_000, 7: 12_000, 17: 5_000, 0: 1_000, 1: 300, 202: 100, 9: 20, 11: 20, 10: 5, 257: 1, 3: 1}
"""Calls per second by number, as for a server that answers point selects."""


class Session:
    """The growing counters of one session."""

    def __init__(self, name: str, cpus: int, kml: bool, rng: random.Random) -> None:
        self._name, self._cpus, self._kml, self._rng = name, cpus, kml, rng
        self._totals: dict[str, int] = {}

    def _grow(self, key: str, mean: float, spread: float | None = None) -> int:
        step = self._rng.gauss(mean, mean**0.5 * 3 if spread is None else spread)
        self._totals[key] = self._totals.get(key, 0) + max(0, round(step))
        return self._totals[key]

    def second(self, number: int) -> Iterator[Record]:
        t_ns = number * SECOND + self._rng.randint(0, 400_000)
        cpus = {}
        for cpu in range(self._cpus):
            user, system = self._rng.randint(50, 62), self._rng.randint(15, 25)
            ticks = (user, system, 100 - user - system)
            values = [self._grow(f"tick{cpu}.{i}", value, 0) for i, value in enumerate(ticks)]
            cpus[cpu] = CpuTicks(values[0], 0, values[1], values[2], 0, 0, self._grow(f"soft{cpu}", 0.2, 0.4), 0)
        groups = {}
        for group, usage in (("server", 5e6), ("client", 2e6)):
            user_us, system_us = self._grow(f"{group}u", usage * 0.8, 3e4), self._grow(f"{group}s", usage * 0.2, 2e4)
            groups[group] = GroupCpu(user_us + system_us, user_us, system_us)
        yield Sample(
            t_ns=t_ns,
            session=self._name,
            mono_ns=t_ns + 8_123_456_789 + self._rng.randint(0, 100_000),
            cpus=cpus,
            interrupts=self._grow("intr", 3000),
            context_switches=self._grow("ctxt", 80_000),
            groups=groups,
            kml=self._counters(),
            agent=AgentCost(self._grow("agent", 400_000, 20_000), self._grow("own", 9, 0)),
        )
        queries = self._grow("queries", 20_000)
        yield Progress(
            t_ns=t_ns + 5_000_000,
            session=self._name,
            phase="select",
            statement=number // 600 % 10 + 1,
            loop=queries,
            queries=queries,
            rows=self._grow("rows", 400_000),
            fraction=number / 86_400,
        )
        names = {"Queries": 20_000, "Questions": 20_000, "Com_select": 20_000, "Bytes_sent": 2e7, "Bytes_received": 4e5}
        fixed = {"Threads_running": 3, "Threads_connected": 4, "Slow_queries": 0, "Uptime": number}
        counters = {name: self._grow(name, mean) for name, mean in names.items()} | fixed
        yield Status(t_ns=t_ns + 9_000_000, session=self._name, counters=counters, own={"Queries": number})
        if number % 30 == 29:
            histogram = HdrHistogram(1, 3_600_000_000, 3)
            for _ in range(300):
                histogram.record_value(max(1, round(self._rng.lognormvariate(6, 0.3))), self._rng.randint(1, 700))
            yield Latency(t_ns=t_ns + 9_500_000, session=self._name, hdr=histogram.encode())

    def _counters(self) -> KmlCounters:
        direct = {nr: self._grow(f"d{nr}", mean) for nr, mean in CALLS.items()} if self._kml else {}
        scale = 0.001 if self._kml else 1
        return KmlCounters(
            trap_nr={nr: self._grow(f"t{nr}", mean * scale) for nr, mean in CALLS.items()},
            direct_nr=direct,
            trap_cpu={cpu: self._grow(f"tc{cpu}", 14_000 * scale) for cpu in range(self._cpus)},
            direct_cpu={cpu: self._grow(f"dc{cpu}", 14_000) if self._kml else 0 for cpu in range(self._cpus)},
            elevations_cpu={cpu: self._grow(f"e{cpu}", 260) if self._kml else 0 for cpu in range(self._cpus)},
            demotions_vector={vector: self._grow(f"v{vector}", 250) for vector in (14, 236, 251)} if self._kml else {},
            attached=2 if self._kml else 0,
        )


def record(path: Path, hours: float, cpus: int, marks: bool) -> tuple[float, int]:
    """Write the recording; returns the time it took (seconds) and its size before it was closed (bytes)."""
    rng = random.Random(1)
    specs = [SessionSpec(name="stock", vcpus=cpus), SessionSpec(name="kml", arm="kml", vcpus=cpus)]
    sessions = [Session(spec.name, cpus, spec.arm == "kml", rng) for spec in specs]
    writer = Writer.create(
        path, Header(workload=WorkloadSpec(name="synthetic"), sessions=specs, sample_period_ns=SECOND)
    )
    spent = 0.0
    seconds = int(hours * 3600)
    for number in range(seconds):
        records: list[Record] = [item for session in sessions for item in session.second(number)]
        if marks and number % 30 == 15:
            records.append(Mark(t_ns=number * SECOND + SECOND // 2, note=f"mark {number // 30}", author="benchmark"))
        begin = time.perf_counter()
        for item in records:
            writer.append(item)
        spent += time.perf_counter() - begin
    writer.append(End(t_ns=seconds * SECOND, status="done"))
    live_bytes = path.stat().st_size
    begin = time.perf_counter()
    writer.close()
    print(f"writing   {1e6 * spent / seconds:8.0f} us per second of it; closing {time.perf_counter() - begin:.2f} s")
    return spent, live_bytes


def measure(path: Path) -> None:
    """Open, seek and read in this process, which has done nothing else, so that its memory is the reader's."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    reader = Reader.open(path)
    print(f"open      {1e3 * (time.perf_counter() - begin):8.1f} ms        (promised: at most 100)")
    rng = random.Random(2)
    seeks = []
    for _ in range(50):
        t_ns = rng.randrange(reader.duration_ns)
        begin = time.perf_counter()
        next(reader.records(t_ns))
        seeks.append(time.perf_counter() - begin)
    seeks.sort()
    print(f"seek      {1e3 * seeks[25]:8.1f} ms median, {1e3 * seeks[-1]:.1f} ms worst of 50   (promised: at most 50)")
    begin = time.perf_counter()
    reader.landmarks()
    print(f"landmarks {1e3 * (time.perf_counter() - begin):8.1f} ms")
    begin = time.perf_counter()
    count = sum(1 for _ in reader.records())
    elapsed = time.perf_counter() - begin
    print(f"read all  {elapsed:8.1f} s, {count:,} records, {1e6 * elapsed / count:.0f} us each")
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"memory    {after / 1024:8.1f} MiB, {(after - before) / 1024:.1f} of them for reading all of it")


def screen(path: Path) -> None:
    """The same for what the screen shows: the state at a time."""
    gc.freeze()  # as the screen does
    begin, begin_cpu = time.perf_counter(), time.process_time()
    reader = Reader.open(path)
    middle = reader.duration_ns // 2
    player = Player(reader, at_ns=middle, replay=True, clock=time.monotonic_ns)
    player.paused = True
    player.tick(0)
    elapsed, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
    print(f"screen    {1e3 * elapsed:8.1f} ms to its first picture, in the middle; {1e3 * cpu:.1f} of CPU", end="")
    print("   (promised: at most 100)")
    rng = random.Random(3)
    _seeks(player, [rng.randrange(middle, reader.duration_ns) for _ in range(50)], "before all is read")
    begin, longest = time.perf_counter(), 0.0
    while player.reading:
        step = time.perf_counter()
        player.read()
        longest = max(longest, time.perf_counter() - step)
    print(f"read on   {time.perf_counter() - begin:8.1f} s in the background, a step {1e3 * longest:.0f} ms at most")
    _seeks(player, [rng.randrange(reader.duration_ns) for _ in range(50)], "after")
    print(f"memory    {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:8.1f} MiB")


def _seeks(player: Player, times: list[int], when: str) -> None:
    """Seek, and freeze what is to be drawn."""
    elapsed, cpu = [], []
    for t_ns in times:
        begin, begin_cpu = time.perf_counter(), time.process_time()
        player.seek(t_ns)
        player.frame()
        elapsed.append(time.perf_counter() - begin)
        cpu.append(time.process_time() - begin_cpu)
    for name, seconds, promise in (("a jump", elapsed, "   (promised: at most 35)"), ("  CPU", cpu, "")):
        median, worst = sorted(seconds)[len(seconds) // 2], max(seconds)
        print(f"  {name:<7} {1e3 * median:8.1f} ms median, {1e3 * worst:.1f} ms worst, {when}{promise}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--cpus", type=int, default=8)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--screen", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure or options.screen:
        measure(options.measure) if options.measure else screen(options.screen)
        return
    for marks in (False, True):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "synthetic.kmlrec"
            kind = "with a mark every half minute" if marks else "without marks"
            print(f"{options.hours:g} h of two sessions with {options.cpus} CPUs at 1 Hz, {kind}")
            _, live_bytes = record(path, options.hours, options.cpus, marks)
            size = path.stat().st_size
            for what, count in (("closed", size), ("live", live_bytes)):
                promise = "   (promised: at most 1)" if what == "closed" else ""
                print(f"size      {count / options.hours / 1e6:8.3f} MB an hour {what}{promise}")
            sys.stdout.flush()
            for what in ("--measure", "--screen"):
                subprocess.run([sys.executable, __file__, what, str(path)], check=True)


if __name__ == "__main__":
    main()
