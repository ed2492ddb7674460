# SPDX-License-Identifier: GPL-2.0-or-later
"""Records and recordings to test with."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from kmltui.model import (
    Contention,
    CpuTicks,
    End,
    GroupCpu,
    HardwareCounts,
    Header,
    KmlCounters,
    Latency,
    Log,
    Mark,
    Phase,
    Progress,
    Record,
    Sample,
    SessionSpec,
    State,
    Status,
    WorkloadSpec,
)
from kmltui.recording import Writer

SECOND = 1_000_000_000

HEADER = Header(
    run="20261123-171200-wisconsin",
    workload=WorkloadSpec(name="wisconsin", loops=100, phases=["create", "select"], statements=["1 row"]),
    sessions=[SessionSpec(name="stock"), SessionSpec(name="kml", arm="kml")],
    kind="run",
)

int64 = st.integers(-(1 << 63), (1 << 63) - 1)
count = st.integers(0, 1 << 40)
name = st.sampled_from(["stock", "kml"])
text = st.text(max_size=30)
nr = st.integers(-1, 500)

samples = st.builds(
    Sample,
    t_ns=count,
    session=name,
    mono_ns=int64,
    mark=st.sampled_from(["", "start", "end", "phase:select"]),
    cpus=st.dictionaries(st.integers(0, 300), st.builds(CpuTicks, *[int64] * 8), max_size=4),
    interrupts=st.none() | int64,
    groups=st.dictionaries(text, st.builds(GroupCpu, count, count, count), max_size=2),
    kml=st.none()
    | st.builds(
        KmlCounters,
        trap_nr=st.dictionaries(nr, int64, max_size=5),
        direct_nr=st.dictionaries(nr, int64, max_size=5),
        rewinds=count,
    ),
    instructions=st.none() | st.dictionaries(text, st.tuples(count, count), max_size=2),
    contention=st.none()
    | st.builds(Contention, count, count, st.floats(0, 1e4), count, st.none() | st.integers(1, 10**8)),
    hardware=st.dictionaries(text, st.builds(HardwareCounts, count, st.none() | count, st.none() | count), max_size=2),
)
records = st.one_of(
    samples,
    st.builds(Status, t_ns=count, session=name, counters=st.dictionaries(text, int64, max_size=4)),
    st.builds(
        Progress,
        t_ns=count,
        session=name,
        phase=text,
        queries=count,
        fraction=st.none() | st.floats(allow_nan=False),
    ),
    st.builds(Latency, t_ns=count, session=name, statement=st.integers(0, 24), hdr=st.binary(max_size=50)),
    st.builds(Log, t_ns=count, session=text, source=st.sampled_from(["console", "server"]), text=text),
    st.builds(Mark, t_ns=count, note=text, author=text),
    st.builds(Phase, t_ns=count, session=name, name=text, event=st.sampled_from(["begin", "end"])),
    st.builds(State, t_ns=count, session=name, state=st.sampled_from(["booting", "failed"]), detail=text),
)


def a_run(seconds: int = 150, end: bool = True) -> list[Record]:
    """The records of a plausible run of two sessions at 1 Hz, in order, with the things that happen in runs."""
    run: list[Record] = []
    for second in range(seconds):
        t_ns = second * SECOND
        for number, session in enumerate(("stock", "kml")):
            t_ns += 1_000_000
            done = second * 20_000 + second % 7 * 31
            mark = {10: "start", 20: "phase:select", seconds - 5: "end"}.get(second, "")
            if second == 20:
                run.append(Phase(t_ns=t_ns, session=session, name="select", event="begin"))
            run.append(
                Sample(
                    t_ns=t_ns,
                    session=session,
                    mono_ns=t_ns + 5 * SECOND + second % 3,
                    mark=mark,
                    cpus={cpu: CpuTicks(second * 60, 0, second * 30 - number, second * 10) for cpu in range(2)},
                    groups={"server": GroupCpu(done, done // 2, done // 2)},
                    kml=KmlCounters(trap_nr={0: done, 44: 3 * done}, direct_nr={44: done * number}),
                )
            )
            run.append(Progress(t_ns=t_ns, session=session, phase="select", queries=done, fraction=second / seconds))
        if second % 40 == 39:
            run.append(Mark(t_ns=t_ns, note=f"second {second}"))
            run.append(Log(t_ns=t_ns, session="kml", source="console", text=f"line {second}"))
    if end:
        run.append(End(t_ns=seconds * SECOND, status="done"))
    return run


def write(path: Path, run: list[Record], header: Header = HEADER, close: bool = True) -> Writer:
    """Write a recording."""
    writer = Writer.create(path, header)
    for record in run:
        writer.append(record)
    if close:
        writer.close()
    return writer
