# SPDX-License-Identifier: GPL-2.0-or-later
"""Workloads in real guests: their results, their proofs, and counts that are exact."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram

from kmltui import workloads
from kmltui.build.builder import ensure_image
from kmltui.counters.kml import parse_kml_counters
from kmltui.figures.summarise import summarise
from kmltui.figures.summary import Summary
from kmltui.images.image import Image
from kmltui.images.spec import make_spec
from kmltui.machine import plugin
from kmltui.model import (
    Arm,
    ClockKind,
    Latency,
    Log,
    Measure,
    Phase,
    Proof,
    Record,
    Sample,
    SessionSpec,
    StatementCount,
)
from kmltui.runner.activity import activity_for
from kmltui.runner.plan import Bench, Once, Plan
from kmltui.runner.run import Run
from kmltui.sessions.exact import ExactGuestSession
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import Command
from kmltui.workloads import demo

from .conftest import Guest

USER_TOLERANCE = 0.001
KERNEL_TOLERANCE = 0.005
"""How well exact counts of the same work repeat, largest minus smallest over the mean. What is left is chance in the
guest's kernel: ticks, wake-ups, what the random number generator gave."""
SERVER_TOLERANCE = 0.02
"""The same for the user instructions of 400 queries, the server's own threads included."""

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no compiler")


def build(source: Path, out: Path, *flags: str) -> None:
    subprocess.run(["gcc", str(source), "-o", str(out), *flags], check=True)


class Done:
    """A run that has ended well: what it recorded, and its summary."""

    def __init__(self, records: list[Record]) -> None:
        self.records = records

    def of(self, kind: type[Any], session: str = "") -> list[Any]:
        return [r for r in self.records if isinstance(r, kind) and session in ("", r.session)]

    @property
    def summary(self) -> Summary:
        return summarise(self.records)


@pytest.fixture
def do(image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a workload in guests of this test's own: ``await do("wisconsin", loops=1)``."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    async def run(
        name: str,
        arms: tuple[Arm, ...] = ("stock", "kml"),
        *,
        pairs: int = 0,
        exact: bool = False,
        clock: ClockKind = "wall",
        on: Image = image,
        **spec: Any,
    ) -> Done:
        accel = "tcg" if exact or clock == "instructions" else "auto"
        plan = Plan(
            workload=workloads.get(name).spec(**spec),
            sessions=[
                SessionSpec(name=arm, arm=arm, image=on.name, exact=exact, clock=clock, accel=accel) for arm in arms
            ],
            out=tmp_path / f"{name}.kmlrec",
            how=Bench(pairs) if pairs else Once(),
        )
        records: list[Record] = []
        outcome = await Run(plan, activity_for(plan), [records.append]).execute()
        assert outcome.status == "done", outcome.reason
        return Done(records)

    return run


@pytest.mark.by_hand  # test_runs.py has a complete run of it
async def test_wisconsin_gives_the_same_right_results_in_both_rings(do: Any) -> None:
    done = await do("wisconsin", loops=2)
    for name, ring in (("stock", 3), ("kml", 0)):
        session = done.summary.sessions[name]
        assert session.rings == {"sysbench": ring, "mariadbd": ring}
        assert [p.name for p in done.of(Phase, name) if p.event == "end"] == [
            "create", "insert", "delete", "select", "change",
        ]  # fmt: skip
        assert len([p for p in done.of(Proof, name) if p.name == "checksum"]) == 11
        assert [p.ok for p in done.of(Proof, name) if p.name == "reads"] == [True], (
            "its client reads as the article's did"
        )
        assert session.rows == 2 * 15_202
        assert latencies(done.of(Latency, name)) == dict.fromkeys(range(1, 11), 2) | dict.fromkeys(range(11, 25), 1)
    assert done.summary.checksums is not None and done.summary.checksums.equal
    stock, kml = (done.summary.sessions[name].syscalls for name in ("stock", "kml"))
    assert stock is not None and stock.direct == 0
    assert kml is not None and kml.direct > 10 * kml.trap


async def test_the_demonstration_measures_wisconsin_when_it_is_warm(do: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "DD_COPIES", 1)
    monkeypatch.setattr(demo, "CALL_ROUNDS", 2)
    done = await do("demo", loops=10, clock="instructions")
    for name in ("stock", "kml"):
        assert [p.name for p in done.of(Phase, name) if p.event == "end"] == ["dd", "calls", "select", "change"]
        executed = dict.fromkeys(range(1, 11), 10) | dict.fromkeys(range(11, 25), 1)
        assert latencies(done.of(Latency, name)) == executed
        assert done.of(Measure, name)
        marks = [sample.mark for sample in done.of(Sample, name) if sample.mark in ("start", "phase:select", "end")]
        assert marks == ["start", "phase:select", "start", "phase:select", "end"], "what is measured begins after it"
        # Whatever else this machine has to do: the clock counts what the session executes.
        assert done.summary.sessions[name].clock == "instructions"
        assert any(sample.contention for sample in done.of(Sample, name))
    assert done.summary.saved is not None and done.summary.saved.total is not None
    assert done.summary.saved.total > 0
    stock, kml = ({c.statement: c for c in done.of(StatementCount, name)} for name in ("stock", "kml"))
    assert {statement: count.queries for statement, count in stock.items()} == executed
    read = 0  # its number
    for statement, count in stock.items():
        assert not count.direct
        # Two reads a packet in the client, and two or more in the server; the agent's few come with its samples.
        assert count.trap[read] == pytest.approx(kml[statement].direct[read], abs=8, rel=0.01), statement
        assert kml[statement].trap.get(read, 0) <= 8 + count.trap[read] / 100, statement
    assert sum(count.trap[read] for count in stock.values()) > 280_000


def latencies(records: list[Latency]) -> Counter[int]:
    """How many were recorded of each statement."""
    counts: Counter[int] = Counter()
    for record in records:
        counts[record.statement] += HdrHistogram.decode(record.hdr).get_total_count()
    return counts


@pytest.mark.parametrize(
    ("name", "threads"),
    [("oltp_point_select", 1), pytest.param("oltp_read_write", 2, marks=pytest.mark.by_hand), ("select1", 2)],
)
async def test_sysbench_does_the_queries_it_was_asked_for(do: Any, name: str, threads: int) -> None:
    done = await do(name, loops=200, options={"threads": str(threads)})
    each = {"oltp_read_write": 20}.get(name, 1)
    for session in done.summary.sessions.values():
        assert session.queries is not None and session.queries >= 200 * each
        assert session.latency is not None and session.latency.count >= 200


@pytest.mark.parametrize(
    ("workload", "kinds", "count", "shortest"),
    [
        ("syscalls", ("", "inline "), 10, "getppid"),
        pytest.param("lebench", ("",), 15, "getpid", marks=pytest.mark.by_hand),
    ],
)
async def test_single_calls_are_timed_like_against_like(
    do: Any, workload: str, kinds: tuple[str, ...], count: int, shortest: str
) -> None:
    done = await do(workload, loops=2, clock="instructions")
    for name, way in (("stock", "trap"), ("kml", "direct")):
        ways = {f"{kind}{way}" for kind in kinds}
        measures = {m.name: m.values for m in done.of(Measure, name)}
        assert len(measures) == count
        assert all(set(values) == ways and min(values.values()) > 0 for values in measures.values())
    call = next(call for call in done.summary.timed_calls if call.name == shortest)
    assert call.ratio > 1.2
    assert (call.inline.ratio > 1.2) if call.inline is not None else len(kinds) == 1
    kml = done.summary.sessions["kml"].syscalls
    assert kml is not None and kml.direct > 10 * kml.trap


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dd", {"bytes": "5000"}),
        pytest.param("files", {}, marks=pytest.mark.by_hand),
        ("processes", {"count": "50"}),
    ],
)
async def test_programs_that_make_many_calls_are_right_in_both_rings(
    do: Any, name: str, options: dict[str, str]
) -> None:
    done = await do(name, loops=1, options=options)
    assert done.summary.checksums is not None and done.summary.checksums.equal
    stock, kml = (done.summary.sessions[session].syscalls for session in ("stock", "kml"))
    assert stock is not None and stock.direct == 0
    assert kml is not None and kml.direct > 4 * kml.trap


@pytest.fixture(scope="module")
def with_servers(kernel: str) -> Image:
    """An image with packages of the user's: a server, its client, and a program that works alone."""
    label = f"tests-{kernel.replace('.', '-').replace('/', '-')}"
    return ensure_image(
        make_spec(kernel=kernel.partition("/")[0], label=label, tools=True, extra=("redis-server", "sqlite3"))
    )


@pytest.mark.parametrize(
    ("name", "options", "programs"),
    [
        ("redis", {"requests": "300", "clients": "10"}, {"redis-server", "redis-benchmark"}),
        ("sqlite", {}, {"sqlite3"}),
    ],
)
@pytest.mark.by_hand
async def test_programs_of_added_packages_are_right_and_direct_in_ring_0(
    do: Any, with_servers: Image, name: str, options: dict[str, str], programs: set[str]
) -> None:
    done = await do(name, loops=1, options=options, on=with_servers)
    assert done.summary.checksums is not None and done.summary.checksums.equal
    found = done.summary.sessions["kml"].programs or {}
    assert programs <= found.keys(), found
    assert all((found[program].direct_share or 0.0) > 0.95 for program in programs), found


async def test_a_program_of_the_image_runs_in_both_sessions(do: Any) -> None:
    done = await do("command", command=["sh", "-c", "echo out; echo err >&2; exit 7"], loops=2)
    for name in ("stock", "kml"):
        assert Counter(r.text for r in done.of(Log, name) if r.source == "client") == {"out": 2, "err": 2}
        (proof,) = [p for p in done.of(Proof, name) if p.name == "exit status"]
        assert proof.value == "7" and not proof.ok


@needs_gcc
async def test_a_program_of_this_machine_runs_in_ring_0_with_its_library(do: Any, tmp_path: Path) -> None:
    (tmp_path / "ring.c").write_text(
        "#include <unistd.h>\n"
        'int ring(void) { unsigned int cs; getppid(); __asm__ volatile("mov %%cs, %0" : "=r"(cs)); return cs & 3; }\n'
    )
    (tmp_path / "main.c").write_text(
        "#include <stdio.h>\nint ring(void);\n"
        'int main(void) { int n = 0; for (int i = 0; i < 100; i++) n += ring() == 0; puts(n > 50 ? "0" : "3"); }\n'
    )
    library, program = tmp_path / "libring.so", tmp_path / "main"
    build(tmp_path / "ring.c", library, "-shared", "-fPIC")
    build(tmp_path / "main.c", program, f"-L{tmp_path}", "-lring", f"-Wl,-rpath,{tmp_path}")
    done = await do("command", command=[str(program)])
    said = {name: [r.text for r in done.of(Log, name) if r.source == "client"] for name in ("stock", "kml")}
    assert said == {"stock": ["3"], "kml": ["0"]}


COUNTED = """
#define MARK() __asm__ volatile(".byte 0x0f, 0x1f, 0x80; .ascii \\"kml!\\"" ::: "memory")
int main(void)
{
	for (int round = 0; round < 10; round++) {
		MARK();
		__asm__ volatile("mov $1000000, %%ecx; 1: dec %%ecx; jnz 1b" ::: "ecx");
		MARK();
	}
	return 0;
}
"""


@needs_gcc
@pytest.mark.parametrize("arm", ["stock", "kml"])
async def test_user_instructions_are_counted_to_the_last_one(image: Image, tmp_path: Path, arm: Arm) -> None:
    (tmp_path / "counted.c").write_text(COUNTED)
    build(tmp_path / "counted.c", tmp_path / "counted", "-O2")
    session = ExactGuestSession(SessionSpec(name=arm, arm=arm, image=image.name))
    try:
        await session.start(Journal.begin(lambda record: None))
        await session.put("/opt/bin/counted", (tmp_path / "counted").read_bytes(), 0o755)
        process = await session.spawn(Command(["/opt/bin/counted"]))
        assert await process.wait() == 0
        marks = session.marks()
        assert len(marks) == 20
        counts = [plugin.between(*ends)[0][0] for ends in zip(marks[::2], marks[1::2], strict=True)]
        # The loop's two million and one, and the mark at one of the ends. What else runs in the guest is counted, too,
        # but it does not run in every round.
        assert min(counts) == 2_000_002
    finally:
        await session.stop()


def spread(values: Sequence[float]) -> float:
    """Largest less smallest, as a fraction of the mean."""
    return (max(values) - min(values)) / fmean(values)


async def test_exact_counts_repeat(do: Any) -> None:
    done = await do("syscalls", exact=True, pairs=3, loops=6)
    pairs = done.summary.pairs
    assert pairs is not None and len(pairs) == 3
    for name in ("stock", "kml"):
        counts = [pair["sessions"][name]["instructions"] for pair in pairs]
        assert spread([count["user"] for count in counts]) < USER_TOLERANCE
        assert spread([count["system"] for count in counts]) < KERNEL_TOLERANCE


@pytest.mark.by_hand
async def test_exact_counts_show_what_a_direct_call_saves(do: Any) -> None:
    done = await do("oltp_point_select", exact=True, pairs=3, loops=400)
    found = done.summary.comparisons["kml"]["instructions.system"]
    assert found.saved is not None and found.saved > 0.01
    assert found.shown
    pairs = done.summary.pairs
    assert pairs is not None
    for name in ("stock", "kml"):
        assert spread([pair["sessions"][name]["instructions"]["user"] for pair in pairs]) < SERVER_TOLERANCE


CALLS = 20_000
"""Fewer than three rounds of single calls make."""
TRACEPOINT = "/sys/kernel/tracing/events/raw_syscalls/sys_enter"


@pytest.mark.parametrize("arm", ["stock", "kml"])
async def test_traps_and_direct_calls_are_all_that_the_kernels_tracepoint_sees(
    arm: str, stock: Guest, kml: Guest
) -> None:
    guest = kml if arm == "kml" else stock
    await guest.check("[ -d /sys/kernel/tracing/events ] || mount -t tracefs none /sys/kernel/tracing")
    await guest.check(f"echo hist:keys=common_pid > {TRACEPOINT}/trigger")
    try:
        before = parse_kml_counters(await guest.check("cat /proc/kml/counters"))
        await guest.check(["/usr/bin/kml-syscalls", "--rounds", "3"], data=b"go\n")
        after = parse_kml_counters(await guest.check("cat /proc/kml/counters"))
        seen = await guest.check(f"cat {TRACEPOINT}/hist")
    finally:
        await guest.check(f"echo '!hist:keys=common_pid' > {TRACEPOINT}/trigger")
    hits = int(re.search(r"Hits: (\d+)", seen)[1])  # type: ignore[index]
    trap = sum(after.trap_nr.values()) - sum(before.trap_nr.values())
    direct = sum(after.direct_nr.values()) - sum(before.direct_nr.values())
    assert direct == 0 if arm == "stock" else direct > CALLS
    # The histogram was on a little longer than the two readings are apart.
    assert CALLS < trap + direct <= hits < trap + direct + CALLS / 10
