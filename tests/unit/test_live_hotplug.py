# SPDX-License-Identifier: GPL-2.0-or-later
"""CPUs that come and go while a run is under way."""

from itertools import pairwise

from kmltui.live.session import Columns
from kmltui.live.views import BUSY_AND_IDLE, CPU_US, SYSTEM, USER
from kmltui.model import CpuTicks, GroupCpu, Sample

S = 10**9


def sample(second: int, **cpus: tuple[int, int]) -> Sample:
    ticks = {int(name[3:]): CpuTicks(user, 0, 0, idle) for name, (user, idle) in cpus.items()}
    groups = {"server": GroupCpu(second * 1000, second * 600, second * 400)}
    return Sample(t_ns=second * S, session="local", mono_ns=second * S + 5, cpus=ticks, groups=groups)


def test_a_cpu_that_comes_back_is_no_burst_and_one_that_goes_takes_nothing_back() -> None:
    columns = Columns(watched=False, points=100)
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
