# SPDX-License-Identifier: GPL-2.0-or-later
"""What the host gives a guest: how long its vCPU threads ran and how long they waited for a CPU.

A guest cannot know. With the wall clock it counts the time in which its vCPU waited as CPU time of whatever it was
executing, so a busy host makes all its figures larger.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kmltui.counters import parse_proc_stat
from kmltui.model import Contention

_PROCESSOR_FIELD = 36
"""Of /proc/PID/stat, counted from the one after the name in parentheses: the CPU it last ran on."""


class ContentionFiles:
    """Reads them for one guest. ``proc`` and ``sys`` are /proc and /sys, or copies of them. Not thread-safe."""

    def __init__(self, pid: int, threads: Iterable[int], proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> None:
        """Of the process ``pid`` and those of its threads that run vCPUs."""
        self._proc = proc
        self._cpus = sys / "devices/system/cpu"
        self._threads = [proc / f"{pid}/task/{thread}" for thread in sorted(threads)]

    def read(self) -> Contention | None:
        """The counters as they stand; None where the kernel does not keep them, or the guest is gone."""
        try:
            times = [(thread / "schedstat").read_text().split() for thread in self._threads]
            load = float((self._proc / "loadavg").read_text().split()[0])
            stat = parse_proc_stat((self._proc / "stat").read_text())
        except (OSError, IndexError, ValueError):
            return None
        if not times or any(len(words) < 2 for words in times):
            return None
        return Contention(
            run_ns=sum(int(words[0]) for words in times),
            wait_ns=sum(int(words[1]) for words in times),
            load=load,
            steal_ticks=sum(cpu.steal for cpu in stat.cpus.values()),
            khz=self._khz(),
        )

    def _khz(self) -> int | None:
        """The mean frequency of the CPUs that the vCPUs ran on last."""
        found = []
        for thread in self._threads:
            try:
                number = (thread / "stat").read_text().rpartition(")")[2].split()[_PROCESSOR_FIELD]
                found.append(int((self._cpus / f"cpu{number}/cpufreq/scaling_cur_freq").read_text()))
            except (OSError, IndexError, ValueError):
                return None  # as in most virtual machines
        return round(sum(found) / len(found))
