# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole runs with round numbers, to make summaries and reports of."""

from __future__ import annotations

from typing import Any

from recording_samples import HEADER, SECOND

from kmltui.counters.syscalls import NUMBERS
from kmltui.model import (
    CpuTicks,
    End,
    Environment,
    GroupCpu,
    Header,
    KmlCounters,
    Phase,
    Progress,
    Proof,
    Record,
    Repeat,
    RunStatus,
    Sample,
    SessionSpec,
    State,
    Status,
    WorkloadSpec,
)


def sample(
    session: str, t: float, mark: str = "", cpu: float = 0, calls: int = 0, boot_ns: int = 0, **more: Any
) -> Sample:
    """A sample with round numbers: ``cpu`` server seconds (a quarter of it system), half as much for the client."""
    us = round(cpu * 1e6)
    trap, direct = (calls, 0) if session == "stock" else (calls // 100, calls - calls // 100)
    return Sample(
        t_ns=round(t * SECOND),
        session=session,
        mono_ns=round(t * SECOND) + 7 * SECOND - boot_ns,
        mark=mark,
        cpus={0: CpuTicks(round(cpu * 100), 5, round(cpu * 30), round(t * 10), 1, 2, 3, 4)},
        groups={"server": GroupCpu(us, us * 3 // 4, us // 4), "client": GroupCpu(us // 2, us // 4, us // 4)},
        kml=KmlCounters(
            trap_nr={NUMBERS["recvfrom"]: 50 + trap, NUMBERS["mmap"]: 9},
            direct_nr={NUMBERS["recvfrom"]: direct} if direct else {},
            elevations_cpu={0: calls // 10 if session == "kml" else 0},
            demotions_vector={14: 2, 236: calls // 10} if session == "kml" else {},
        ),
        **more,
    )


def two_sessions(kml_cpu: float = 90, status: str = "done") -> list[Record]:
    """A complete run: stock takes 100 server seconds for its work, kml ``kml_cpu``."""
    run: list[Record] = []
    for session, cpu in (("stock", 100.0), ("kml", kml_cpu)):
        ring = "3" if session == "stock" else "0"
        run += [
            Environment(t_ns=1, session=session, facts={"kernel": "6.1", "accelerator": "KVM", "arm": session}),
            Proof(t_ns=2, session=session, name="ring", subject="mariadbd", value=f"{ring} in 100 of 100 reads"),
            Proof(t_ns=3, session=session, name="checksum", subject="statement 1", value="b90e (100 rows)"),
            sample(session, 1, cpu=5, calls=1000),
            Status(t_ns=2 * SECOND, session=session, counters={"Questions": 10, "Bytes_sent": 5}, own={"Questions": 1}),
            sample(session, 3, "start", cpu=10, calls=2000),
            Phase(t_ns=4 * SECOND, session=session, name="insert", event="begin"),
            Progress(t_ns=4 * SECOND, session=session, phase="insert", queries=0),
            sample(session, 4, "phase:insert", cpu=10, calls=2000),
            Progress(t_ns=40 * SECOND, session=session, phase="insert", queries=31_000),
            sample(session, 50, "phase:select", cpu=10 + cpu / 2, calls=40_000),
            Progress(t_ns=51 * SECOND, session=session, phase="select", queries=31_010),
            Progress(t_ns=95 * SECOND, session=session, phase="select", queries=41_010, rows=9_000),
            sample(session, 103, "end", cpu=10 + cpu, calls=102_000),
            Status(
                t_ns=104 * SECOND,
                session=session,
                counters={"Questions": 41_025, "Bytes_sent": 9},
                own={"Questions": 6},
            ),
            sample(session, 110, cpu=500, calls=900_000),
            State(t_ns=111 * SECOND, session=session, state="done"),
        ]
    return [HEADER, *run, End(t_ns=112 * SECOND, status=status)]  # type: ignore[arg-type]


def bench(
    pairs: int, kml: float = 0.97, noise: float = 0.001, arms: tuple[str, ...] = ("stock", "kml")
) -> list[Record]:
    specs = [SessionSpec(name=arm, arm=arm) for arm in arms]  # type: ignore[arg-type]
    run: list[Record] = [Header(workload=WorkloadSpec(name="wisconsin", loops=10), sessions=specs)]
    t = 0.0
    for pair in range(pairs + 1):
        for order, arm in enumerate(arms):
            cpu = 10 * (1 if arm == "stock" else kml) * (1 + noise * (pair * 7 % 5 - 2)) + (99 if pair == 0 else 0)
            run += [
                Repeat(t_ns=round(t * SECOND), session=arm, pair=pair, event="begin", order=order),
                sample(arm, t + 1, "start", cpu=t, calls=0),
                Progress(t_ns=round((t + 2) * SECOND), session=arm, phase="select", queries=500),
                sample(arm, t + 9, "end", cpu=t + cpu, calls=1000),
                Repeat(t_ns=round((t + 9) * SECOND), session=arm, pair=pair, event="end", order=order),
            ]
            t += 200
    return [*run, End(t_ns=round(t * SECOND), status="done")]


OF_PROCESSES = "exact, of the session's processes, by the tracepoint sys_enter"
MONITORED = Header(
    run="m",
    workload=WorkloadSpec(name="monitor", duration_s=86_400.0),
    sessions=[SessionSpec(name="local", kind="local", vcpus=2)],
    kind="monitor",
    host={"trap_ns": "100.0 to 200.0", "trap_cycles": "250 to 500", "call_ns": "1.00"},
)


def watched(seconds: int = 20, *, found_s: int = 1, status: RunStatus = "stopped") -> list[Record]:
    """400 calls and 50 queries a second, 0.3 of a CPU. The server's process is found after the first sample, as always:
    nothing of it was counted by then."""
    records: list[Record] = [
        MONITORED,
        Environment(t_ns=0, session="local", facts={"calls": OF_PROCESSES}),
        State(t_ns=0, session="local", state="running"),
        Sample(t_ns=0, session="local", mono_ns=0, mark="start"),
    ]
    for second in range(1, seconds + 1):
        at = max(second - found_s, 0)
        calls = KmlCounters(trap_nr={NUMBERS["read"]: 300 * at, NUMBERS["write"]: 100 * at}) if at else None
        records += [
            Sample(
                t_ns=second * SECOND,
                session="local",
                mono_ns=second * SECOND,
                mark="end" if second == seconds else "",
                kml=calls,
                groups={"server": GroupCpu(300_000 * at, 200_000 * at, 100_000 * at)} if at else {},
            ),
            Status(t_ns=second * SECOND, session="local", counters={"Queries": 1000 + 50 * second}),
        ]
    return [
        *records,
        State(t_ns=seconds * SECOND, session="local", state="stopped" if status == "stopped" else "done"),
        End(t_ns=seconds * SECOND, status=status),
    ]
