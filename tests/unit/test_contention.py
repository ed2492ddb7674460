# SPDX-License-Identifier: GPL-2.0-or-later
"""What the host lets a guest's vCPUs run is read from the host's own files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kmltui.machine.contention import ContentionFiles
from kmltui.model import Contention


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """/proc and /sys of a machine with a guest of two vCPU threads, 11 on CPU 0 and 12 on CPU 3."""
    for thread, cpu, times in ((11, 0, "500 40 7\n"), (12, 3, "300 60 9\n")):
        directory = tmp_path / f"proc/10/task/{thread}"
        directory.mkdir(parents=True)
        (directory / "schedstat").write_text(times)
        numbers = [str(n) for n in range(4, 39)]
        (directory / "stat").write_text(f"{thread} (CPU 0/TCG) (x)) S {' '.join(numbers)} {cpu} 0 0\n")
    (tmp_path / "proc/loadavg").write_text("1.25 0.63 0.44 1/94 12296\n")
    (tmp_path / "proc/stat").write_text("cpu 1 2 3 4 5 6 7 30\ncpu0 1 2 3 4 5 6 7 10\ncpu3 1 2 3 4 5 6 7 20\n")
    return tmp_path


def contention(machine: Path, threads: tuple[int, ...] = (11, 12)) -> Contention | None:
    return ContentionFiles(10, threads, machine / "proc", machine / "sys").read()


def test_times_are_those_of_all_vcpus_together(machine: Path) -> None:
    assert contention(machine) == Contention(run_ns=800, wait_ns=100, load=1.25, steal_ticks=30)


def test_the_frequency_is_that_of_the_cpus_they_run_on(machine: Path) -> None:
    for cpu, khz in ((0, 2_000_000), (1, 5), (3, 3_000_000)):
        directory = machine / f"sys/devices/system/cpu/cpu{cpu}/cpufreq"
        directory.mkdir(parents=True)
        (directory / "scaling_cur_freq").write_text(f"{khz}\n")
    found = contention(machine)
    assert found is not None and found.khz == 2_500_000


def test_a_kernel_that_keeps_no_such_times_gives_none(machine: Path) -> None:
    (machine / "proc/10/task/12/schedstat").write_text("\n")
    assert contention(machine) is None
    assert contention(machine, (11, 99)) is None, "a guest that is gone"


def test_a_thread_that_computes_has_run() -> None:
    own = ContentionFiles(os.getpid(), [os.getpid()])
    before = own.read()
    if before is None:
        pytest.skip("this kernel keeps no scheduler statistics")
    sum(range(10**6))
    after = own.read()
    assert after is not None and after.run_ns > before.run_ns and after.wait_ns >= before.wait_ns
