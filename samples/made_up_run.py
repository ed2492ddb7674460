# SPDX-License-Identifier: GPL-2.0-or-later
"""A made-up run to look at: every figure is a function of the time, so a picture of it never changes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from hdrh.histogram import HdrHistogram

from kmltui.model import (
    AgentCost,
    CpuTicks,
    End,
    Environment,
    GroupCpu,
    Header,
    KmlCounters,
    Latency,
    Log,
    Phase,
    Progress,
    Proof,
    Record,
    Sample,
    SessionSpec,
    State,
    Status,
    WorkloadSpec,
)

S = 1_000_000_000
PHASES = ["create", "insert", "delete", "select", "modify"]
STATEMENTS = [
    "tenk1: 100 rows by unique2",
    "tenk1: 1,000 rows by unique1",
    "tenk1: 1 row by unique2",
    "tenk1: 100 rows by unique2, again",
    "tenk1 joined with tenk1: 1,000 rows",
    "tenk1 joined with Bprime: 1,000 rows",
    "onek, tenk1, tenk1 joined: 1,000 rows",
    "tenk1: 6 columns of 10,000 rows",
    "onek: all 1,000 rows",
    "tenk1: MIN(unique2)",
]
READ_SHARES = {17: 0.42, 44: 0.17, 45: 0.16, 0: 0.09, 7: 0.05, 202: 0.045, 1: 0.03, 8: 0.02, 228: 0.01, 9: 0.005}
"""pread64, sendto, recvfrom, read, poll, futex, write, lseek, clock_gettime, mmap."""
FACTS = {
    "cpu": "AMD EPYC 7B13",
    "vcpus": "2",
    "memory_bytes": "1073741824",
    "kernel": "6.1.0-56-cloud-amd64",
    "cmdline": "console=ttyS0 pti=off quiet kmltui.name=stock kmltui.arm=stock",
    "mitigations": "meltdown: Vulnerable\nspectre_v2: Mitigation: Retpolines",
    "accelerator": "TCG",
    "qemu": "7.2.22",
    "libc": "2.36-9+deb12u14",
    "mariadb": "10.11.14",
    "sysbench": "1.0.20",
    "clocksource": "tsc",
}


def header(cpus: int = 2, **options: object) -> Header:
    workload = WorkloadSpec(
        name="wisconsin",
        loops=1000,
        options={"engine": "myisam"},
        phases=PHASES,
        statements=STATEMENTS,
        timing_phases=["calls"],
        article=True,
    )
    return Header(
        run="20261123-171200-wisconsin",
        created_unix_ns=1_795_454_000 * S,
        kmltui_version="0.1.0",
        workload=workload,
        sessions=[SessionSpec(name="stock", vcpus=cpus), SessionSpec(name="kml", arm="kml", vcpus=cpus)],
        host={"cpu": "AMD EPYC 7B13", "cores": "2", "kernel": "6.1.0", "os": "Debian 12"},
        **options,  # type: ignore[arg-type]
    )


@dataclass
class Side:
    """How one session behaves."""

    name: str
    speed: float = 1.0
    direct: float = 0.0
    """The share of calls that are made directly."""
    system: float = 0.27
    user: float = 0.62
    cpu_scale: float = 1.0
    cpus: int = 2
    trap_nr: dict[int, int] = field(default_factory=dict)
    direct_nr: dict[int, int] = field(default_factory=dict)
    ticks: dict[int, list[float]] = field(default_factory=dict)
    usage: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    elevations: float = 0.0
    queries: float = 0.0


def sides(cpus: int = 2) -> tuple[Side, Side]:
    return (
        Side("stock", cpus=cpus),
        Side("kml", speed=1.08, direct=0.9989, system=0.21, user=0.63, cpu_scale=0.994, cpus=cpus),
    )


@lru_cache(maxsize=4096)
def histogram(centre_us: int, count: int = 40) -> bytes:
    hist = HdrHistogram(1, 60_000_000, 3)
    for i in range(count):
        hist.record_value(int(centre_us * (0.6 + 1.6 * (i / count) ** 3)))
    return bytes(hist.encode())


def boot(seconds: float = 6.0) -> list[Record]:
    """Both sessions up to the moment at which the workload can begin."""
    records: list[Record] = []
    for name in ("stock", "kml"):
        records.append(State(t_ns=0, session=name, state="waiting"))
        records.append(State(t_ns=S // 10, session=name, state="image", detail="reading", fraction=1.0))
        records.append(State(t_ns=S // 2, session=name, state="booting", detail="starting QEMU"))
        records.append(Log(t_ns=S, session=name, source="console", text="Linux version 6.1.0-56-cloud-amd64"))
        records.append(Log(t_ns=2 * S, session=name, source="console", text=f"kml: loaded, arm={name}"))
        facts = dict(FACTS, arm=name)
        records.append(Environment(t_ns=3 * S, session=name, facts=facts))
        records.append(State(t_ns=3 * S, session=name, state="loading", detail="tables", fraction=0.4))
        records.append(Log(t_ns=4 * S, session=name, source="server", text="mariadbd: ready for connections."))
        ring = "0" if name == "kml" else "3"
        records.append(Proof(t_ns=5 * S, session=name, name="ring", subject="mariadbd", value=ring))
        records.append(Proof(t_ns=5 * S, session=name, name="ring", subject="sysbench", value=ring))
        records.append(State(t_ns=int(seconds * S) - 1, session=name, state="ready"))
    return sorted(records, key=lambda record: record.t_ns)  # type: ignore[union-attr]  # a header is not among them


def run(
    seconds: float = 60.0,
    *,
    cpus: int = 2,
    start: float = 6.0,
    finish: bool = False,
    period: float = 0.5,
    both: Sequence[Side] | None = None,
) -> Iterator[Record]:
    """Boot, then ``seconds`` of the workload.

    With ``finish`` the slower session completes it at the end, the other one earlier; without, four fifths are done.
    """
    yield from boot(start)
    pair = both or sides(cpus)
    yield from _begin(pair, int(start * S))
    steps = int(seconds / period)
    for step in range(1, steps + 1):
        t = start + step * period
        for side in pair:
            share = step / steps * side.speed / (1.0 if finish else 1.25)
            if share - side.speed / steps < 1.0:
                yield from _step(side, t, step, min(share, 1.0), steps, period)
            elif finish:
                yield _sample(side, int(t * S), "")
    if finish:
        yield End(t_ns=int((start + seconds) * S), status="done")


def _begin(pair: Sequence[Side], t: int) -> Iterator[Record]:
    for side in pair:
        side.ticks = {cpu: [400.0, 300.0, 900.0] for cpu in range(side.cpus)}
        yield State(t_ns=t, session=side.name, state="running", detail="wisconsin")
        yield Phase(t_ns=t, session=side.name, name="create", event="begin")
        yield _sample(side, t, "start")
        yield Progress(t_ns=t, session=side.name, phase="create", loops=1000)


def _phase_at(share: float) -> tuple[str, int]:
    """The phase, and the statement of the select phase, when this share of the work is done."""
    if share < 0.02:
        return "create", 0
    if share < 0.12:
        return "insert", 0
    if share < 0.14:
        return "delete", 0
    if share < 0.98:
        return "select", 1 + int((share - 0.14) / 0.84 * 10)
    return "modify", 0


def _step(side: Side, t: float, step: int, share: float, steps: int, period: float) -> Iterator[Record]:
    t_ns = int(t * S)
    last = share >= 1.0
    before = _phase_at(max(share - side.speed / steps, 0.0))[0]
    phase, statement = _phase_at(share)
    if phase != before:
        yield Phase(t_ns=t_ns, session=side.name, name=before, event="end")
        yield Phase(t_ns=t_ns, session=side.name, name=phase, event="begin")
    wave = 1 + 0.08 * math.sin(t / 7) + 0.05 * math.sin(t * 1.7 + side.speed)
    calls = 92_000 * side.speed * wave * period
    for nr, part in READ_SHARES.items():
        count = int(calls * part)
        direct = int(count * side.direct)
        side.trap_nr[nr] = side.trap_nr.get(nr, 0) + count - direct
        if direct:
            side.direct_nr[nr] = side.direct_nr.get(nr, 0) + direct
    side.elevations += 310 * period * wave if side.direct else 0
    for cpu, ticks in side.ticks.items():
        load = wave * (1 if cpu == 0 else 0.55 / cpu)
        user, system = side.user * load, side.system * load
        ticks[0] += 100 * period * user
        ticks[1] += 100 * period * system
        ticks[2] += 100 * period * max(1 - user - system, 0)
    side.usage[1] += 1.18e6 * period * wave * 0.81 * side.cpu_scale * side.speed * (0.995 if side.direct else 1)
    side.usage[2] += 1.18e6 * period * wave * 0.19 * side.cpu_scale * side.speed * (0.88 if side.direct else 1)
    side.usage[0] = side.usage[1] + side.usage[2]
    side.queries = 2031 * share * steps * period
    yield _sample(side, t_ns, "end" if last else "")
    yield Status(
        t_ns=t_ns,
        session=side.name,
        counters={"Queries": 35_000 + int(side.queries) + step, "Rows_sent": int(side.queries * 61)},
        own={"Queries": step},
    )
    yield Progress(
        t_ns=t_ns,
        session=side.name,
        phase=phase,
        statement=statement,
        loop=int(((share - 0.14) / 0.084 % 1) * 1000) if statement else 0,
        loops=1000,
        queries=int(side.queries),
        rows=int(side.queries * 61),
        fraction=share,
    )
    if step % 2 == 0:
        yield Latency(t_ns=t_ns, session=side.name, statement=statement, hdr=histogram(int(480 / side.speed * wave)))
    if last:
        yield Phase(t_ns=t_ns, session=side.name, name=phase, event="end")
        yield State(t_ns=t_ns, session=side.name, state="done")


def _sample(side: Side, t_ns: int, mark: str) -> Sample:
    total_trap, total_direct = sum(side.trap_nr.values()), sum(side.direct_nr.values())
    shares = [1.0] if side.cpus == 1 else [0.6] + [0.4 / (side.cpus - 1)] * (side.cpus - 1)
    return Sample(
        t_ns=t_ns,
        session=side.name,
        mono_ns=t_ns + 5 * S,
        mark=mark,
        cpus={cpu: CpuTicks(int(u), 0, int(s), int(i)) for cpu, (u, s, i) in side.ticks.items()},
        groups={
            "server": GroupCpu(*(int(value * 0.78) for value in side.usage)),
            "client": GroupCpu(*(int(value * 0.22) for value in side.usage)),
        },
        kml=KmlCounters(
            trap_nr=dict(side.trap_nr),
            direct_nr=dict(side.direct_nr),
            trap_cpu={cpu: int(total_trap * part) for cpu, part in enumerate(shares)},
            direct_cpu={cpu: int(total_direct * part) for cpu, part in enumerate(shares)},
            elevations_cpu={cpu: int(side.elevations * part) for cpu, part in enumerate(shares)},
            demotions_vector={236: int(side.elevations * 0.8), 14: int(side.elevations * 0.2)} if side.direct else {},
            attached=2 if side.direct else 0,
        ),
        agent=AgentCost(cpu_ns=int(t_ns * 0.004), syscalls=int(t_ns / S * 20)),
    )
