# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU time of groups of processes on a Linux without a cgroup for each: whole processes, added up.

``usage`` is the process's CPU clock (what ``clock_getcpuclockid`` gives): exact to the nanosecond save for what runs
since the last tick, threads that have ended included, and readable by anybody. Added to it are the children that the
process has waited for. The split into user and system is the kernel's own, in ticks of 10 ms (``/proc/PID/stat``). A
process that has ended keeps its share; a child whose parent has not waited for it yet is missing until then.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kmltui.counters import CounterError
from kmltui.counters.proc import USER_HZ
from kmltui.model import GroupCpu

_TICK_US = 1_000_000 // USER_HZ
_CPUCLOCK_SCHED = 2


def process_clock(pid: int) -> int:
    """The id of a process's CPU clock: part of the kernel's interface (``include/linux/posix-timers_types.h``)."""
    return ~pid << 3 | _CPUCLOCK_SCHED


@dataclass(frozen=True, slots=True)
class Times:
    """Ticks from /proc/PID/stat: of the process, and of its children that were waited for."""

    user: int
    system: int
    children_user: int
    children_system: int


def parse_stat(text: str) -> Times:
    """Read /proc/PID/stat. Raises CounterError."""
    # The name in parentheses may hold anything, parentheses and spaces included.
    fields = text.rpartition(")")[2].split()
    try:
        return Times(*(int(word) for word in fields[11:15]))
    except (ValueError, TypeError):
        raise CounterError(f"/proc/PID/stat: cannot understand {text[:80]!r}") from None


def parse_io(text: str) -> int:
    """``syscr`` + ``syscw`` of /proc/PID/io. Raises CounterError."""
    fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    try:
        return int(fields["syscr"]) + int(fields["syscw"])
    except (KeyError, ValueError):
        raise CounterError("/proc/PID/io: there is no syscr or syscw") from None


class _Watched:
    """One process. Its files stay open, so they never refer to another process that gets the same number."""

    def __init__(self, pid: int, proc: Path) -> None:
        self.pid = pid
        self._real = proc == Path("/proc")
        self._stat = os.open(proc / f"{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        self._io: int | None = None
        with suppress(OSError):
            self._io = os.open(proc / f"{pid}/io", os.O_RDONLY | os.O_CLOEXEC)
        self.cpu = (0, 0, 0)
        self.io: int | None = None
        self.base = (0, 0, 0)
        self.base_io = 0

    def read(self) -> int:
        """Bring the counters up to date; returns the number of system calls that took. Raises OSError: it is gone."""
        times = parse_stat(os.pread(self._stat, 4096, 0).decode(errors="replace"))
        children = (times.children_user + times.children_system) * _TICK_US
        if self._real:
            own_us = time.clock_gettime_ns(process_clock(self.pid)) // 1000
        else:
            own_us = (times.user + times.system) * _TICK_US
        user = (times.user + times.children_user) * _TICK_US
        system = (times.system + times.children_system) * _TICK_US
        self.cpu = (own_us + children, user, system)
        if self._io is not None:
            try:
                self.io = parse_io(os.pread(self._io, 4096, 0).decode(errors="replace"))
            except OSError:  # readable only by its owner and root
                self._drop_io()
        return 3

    def _drop_io(self) -> None:
        if self._io is not None:
            os.close(self._io)
            self._io = None

    def close(self) -> None:
        self._drop_io()
        os.close(self._stat)


class Groups:
    """The processes of a session by group (``server``, ``client``). Not thread-safe."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._live: dict[str, dict[int, _Watched]] = {}
        self._ended: dict[str, list[int]] = {}
        self._io_known: set[str] = set()
        self.syscalls = 0
        """Made here so far."""

    @property
    def pids(self) -> list[int]:
        return [pid for group in self._live.values() for pid in group]

    def add(self, group: str, pid: int) -> None:
        """Watch a process, not counting what it has used so far. Raises OSError if it does not exist."""
        process = _Watched(pid, self._proc)
        self.syscalls += process.read()
        process.base, process.base_io = process.cpu, process.io or 0
        self._ended.setdefault(group, [0, 0, 0, 0])
        if old := self._live.setdefault(group, {}).pop(pid, None):
            self._end(group, old)
        self._live[group][pid] = process

    def remove(self, pid: int) -> None:
        """Take the last reading of a process and keep it."""
        for group, processes in self._live.items():
            if process := processes.pop(pid, None):
                with suppress(OSError, CounterError):
                    self.syscalls += process.read()
                self._end(group, process)

    def _end(self, group: str, process: _Watched) -> None:
        process.close()
        ended = self._ended[group]
        for index in range(3):
            ended[index] += max(process.cpu[index] - process.base[index], 0)
        if process.io is not None:
            ended[3] += process.io - process.base_io
            self._io_known.add(group)

    def read(self) -> tuple[dict[str, GroupCpu], dict[str, int], list[int]]:
        """CPU time and read/write calls so far by group, and the processes that were found to have ended."""
        gone: list[int] = []
        cpu: dict[str, GroupCpu] = {}
        calls: dict[str, int] = {}
        for group, processes in self._live.items():
            for pid, process in list(processes.items()):
                try:
                    self.syscalls += process.read()
                except (OSError, CounterError):
                    gone.append(pid)
                    self._end(group, processes.pop(pid))
            total = list(self._ended[group])
            known = group in self._io_known
            for process in processes.values():
                for index in range(3):
                    total[index] += max(process.cpu[index] - process.base[index], 0)
                if process.io is not None:
                    total[3] += process.io - process.base_io
                    known = True
            cpu[group] = GroupCpu(*total[:3])
            if known:
                calls[group] = total[3]
        return cpu, calls, gone

    def close(self) -> None:
        for processes in self._live.values():
            for process in processes.values():
                process.close()
            processes.clear()
