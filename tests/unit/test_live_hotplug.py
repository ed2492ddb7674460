# SPDX-License-Identifier: GPL-2.0-or-later
"""CPUs that come and go while a run is under way."""

from itertools import pairwise

import msgspec
import pytest

from kmltui.figures.figures import figures
from kmltui.figures.intervals import Intervals
from kmltui.live.session import SampleColumns
from kmltui.live.views import BUSY_AND_IDLE, CPU_US, SYSTEM, USER
from kmltui.model import END, START, CpuTicks, GroupCpu, Sample
from kmltui.report.details import cpu_name

S = 10**9


def sample(second: int, **cpus: tuple[int, int]) -> Sample:
    ticks = {int(name[3:]): CpuTicks(user, 0, 0, idle) for name, (user, idle) in cpus.items()}
    groups = {"server": GroupCpu(second * 1000, second * 600, second * 400)}
    return Sample(t_ns=second * S, session="local", mono_ns=second * S + 5, cpus=ticks, groups=groups)


def test_a_cpu_that_comes_back_is_no_burst_and_one_that_goes_takes_nothing_back() -> None:
    columns = SampleColumns(watched=False, points=100, by_cpu=True)
    for one in (
        sample(0, cpu0=(100, 1000), cpu1=(50_000, 900)),
        sample(1, cpu0=(150, 1050), cpu1=(50_010, 990)),
        sample(2, cpu0=(200, 1100)),
        sample(3, cpu0=(250, 1150), cpu1=(50_020, 1000)),
        sample(4, cpu0=(300, 1200), cpu1=(50_030, 1090)),
    ):
        columns.add(one)
    points = list(columns.samples.series(4 * S))
    busy = [b[USER] - a[USER] for a, b in pairwise(points)]
    total = [b[BUSY_AND_IDLE] - a[BUSY_AND_IDLE] for a, b in pairwise(points)]
    assert busy == [60, 50, 50, 60]
    assert total == [200, 100, 100, 200]
    assert points[-1][SYSTEM] == 0
    assert [point[CPU_US] for point in points] == [0, 1000, 2000, 3000, 4000], "the groups' time is not touched"


def test_the_report_counts_a_cpu_from_where_it_came_to_where_it_went() -> None:
    samples = [
        sample(0, cpu0=(0, 1000), cpu1=(7, 900)),
        sample(30, cpu0=(1000, 3000), cpu1=(107, 2900)),
        sample(60, cpu0=(2000, 5000), cpu2=(50_000, 100)),
        sample(90, cpu0=(3000, 7000), cpu2=(50_500, 2600)),
    ]
    marks = [START, "", "", END]
    found = Intervals()
    for one, mark in zip(samples, marks, strict=True):
        found.add(msgspec.structs.replace(one, mark=mark))
    (repetition,) = found.of("local")
    cpus = figures(repetition.interval, []).per_cpu
    assert cpus is not None
    assert [cpu_name(cpu) for cpu in cpus] == ["cpu0", "cpu1, to 00:30", "cpu2, from 01:00"]
    assert [cpu.user_s for cpu in cpus] == [30.0, 1.0, 5.0], "what a CPU had used before it came is nobody's use"
    assert figures(repetition.interval, []).ticks_seen == pytest.approx(1.0)


def test_what_a_cpu_counted_while_it_was_offline_is_left_out_and_the_report_says_how_long() -> None:
    samples = [
        sample(0, cpu0=(0, 0), cpu1=(0, 0)),
        sample(10, cpu0=(500, 500), cpu1=(200, 800), cpu2=(70_000, 40)),
        # Offline meanwhile: cpu1 twice, its idle time counted on, and cpu2, which begins anew.
        sample(30, cpu0=(1500, 1500)),
        sample(40, cpu0=(2000, 2000), cpu1=(400, 3600)),
        sample(50, cpu0=(2500, 2500), cpu2=(5, 0)),
        sample(60, cpu0=(3000, 3000), cpu1=(450, 3600), cpu2=(105, 900)),
        sample(70, cpu0=(3500, 3500), cpu1=(650, 4400), cpu2=(205, 1800)),
    ]
    marks = [START, *[""] * 5, END]
    found = Intervals()
    for one, mark in zip(samples, marks, strict=True):
        found.add(msgspec.structs.replace(one, mark=mark))
    (repetition,) = found.of("local")
    result = figures(repetition.interval, [])
    assert result.per_cpu is not None
    assert [cpu_name(cpu) for cpu in result.per_cpu] == [
        "cpu0",
        "cpu1, offline for 50.00 s",
        "cpu2, from 00:10, offline for 40.00 s",
    ]
    assert [(cpu.user_s, cpu.idle_s) for cpu in result.per_cpu] == [(35.0, 35.0), (4.0, 16.0), (2.0, 18.0)]
    assert result.ticks_seen == pytest.approx(1.0), "ticks that an offline CPU did not get are not lost"
