# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts system calls of the user's own processes without root: perf events on the tracepoints ``sys_enter_NAME``.

Permitted where ``kernel.perf_event_paranoid`` is 2 or less and tracefs can be read. The events are inherited by
threads and processes that are started later. Each named call is exact. The sum of *all* calls (``raw_syscalls``) is
only given to those who may see the kernel's own events; others would silently read 0, so it is not asked for.

Source: ``include/uapi/linux/perf_event.h``, ``kernel/trace/trace_syscalls.c``.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from collections.abc import Iterable
from pathlib import Path

from kmltui.counters.syscalls import NUMBERS, OTHER

_SYS_PERF_EVENT_OPEN = 298
_TRACEPOINT = 2
_INHERIT, _EXCLUDE_KERNEL = 1 << 1, 1 << 5
_CLOEXEC = 8

_TRACEFS = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))

_NAMES = """
    read write pread64 pwrite64 readv writev preadv pwritev recvfrom sendto recvmsg sendmsg poll ppoll select pselect6
    epoll_wait epoll_pwait futex openat open close stat fstat newfstatat statx lseek fsync fdatasync fallocate ftruncate
    unlink fcntl mmap munmap mprotect madvise brk accept accept4 io_submit io_getevents io_uring_enter sched_yield
    clock_nanosleep nanosleep getrandom
"""
WATCHED = tuple(_NAMES.split())
"""The calls of a database and its clients. Every further event makes each context switch a little slower."""

_libc = ctypes.CDLL(None, use_errno=True)


def _open(event: int, thread: int, flags: int) -> int:
    attributes = struct.pack("=IIQQQQQQQ", _TRACEPOINT, 64, event, 0, 0, 0, flags | _INHERIT, 0, 0)
    result: int = _libc.syscall(_SYS_PERF_EVENT_OPEN, attributes, thread, -1, -1, _CLOEXEC)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def tracefs() -> Path:
    """Where the kernel's tracepoints are listed. Raises OSError if that is not readable."""
    for root in _TRACEFS:
        if os.access(root / "events/syscalls", os.R_OK | os.X_OK):
            return root
    raise PermissionError("tracefs cannot be read (see /sys/kernel/tracing)")


def _event(root: Path, name: str) -> int:
    return int((root / "events" / name / "id").read_text())


class PerfCounter:
    """Counts from its creation to :meth:`close`."""

    def __init__(self, processes: Iterable[int], root: Path | None = None) -> None:
        """Of these processes (more by :meth:`add`). Raises OSError: not permitted, or no tracepoints."""
        root = root or tracefs()
        self._events: dict[int, tuple[int, int]] = {}
        """Call number → tracepoint and flags; ``OTHER`` stands for all calls."""
        for name in WATCHED:
            # A kernel built without a call has no tracepoint for it.
            if (root / f"events/syscalls/sys_enter_{name}").is_dir():
                self._events[NUMBERS[name]] = (_event(root, f"syscalls/sys_enter_{name}"), _EXCLUDE_KERNEL)
        if not self._events:
            raise FileNotFoundError(f"{root}: the kernel has no tracepoints of system calls")
        self._descriptors: dict[int, list[int]] = {number: [] for number in self._events}
        self._others = 0
        everything = _event(root, "raw_syscalls/sys_enter")
        try:
            os.close(_open(everything, 0, 0))
            self._events[OTHER] = (everything, 0)
            self._descriptors[OTHER] = []
        except PermissionError:
            pass
        try:
            for process in processes:
                self.add(process)
        except BaseException:
            self.close()
            raise

    @property
    def complete(self) -> bool:
        """Whether calls that have no counter of their own are counted together."""
        return OTHER in self._events

    def add(self, process: int) -> None:
        """Count the calls of this process too: of its threads, and of what they start. Raises OSError."""
        attached: set[int] = set()
        # A thread that starts meanwhile inherits the events, or is found in the next pass.
        while new := _threads(process) - attached:
            self._make_room(len(new) * len(self._events))
            for thread in new:
                for number, (event, flags) in self._events.items():
                    try:
                        self._descriptors[number].append(_open(event, thread, flags))
                    except ProcessLookupError:
                        break
            attached |= new

    def _make_room(self, more: int) -> None:
        needed = sum(map(len, self._descriptors.values())) + more + 256
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < needed and soft != resource.RLIM_INFINITY:
            if hard != resource.RLIM_INFINITY and hard < needed:
                raise OSError(f"counting needs {needed} open files, the limit is {hard} (ulimit -Hn)")
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))

    def remove(self, process: int) -> None:
        """Its events end with it."""

    def read(self) -> tuple[dict[int, int], dict[int, int]]:
        """Calls so far: by number (``OTHER``: all that have no counter of their own), and nothing by CPU."""
        counts = {
            number: sum(int.from_bytes(os.read(descriptor, 8), "little") for descriptor in descriptors)
            for number, descriptors in self._descriptors.items()
        }
        everything = counts.pop(OTHER, 0)
        # The counters are read one after the other, and a cumulative figure must not decrease because of that.
        self._others = max(self._others, everything - sum(counts.values()))
        counts[OTHER] = self._others
        return {number: count for number, count in counts.items() if count}, {}

    def close(self) -> None:
        """Stop counting. Idempotent."""
        for descriptors in self._descriptors.values():
            while descriptors:
                os.close(descriptors.pop())


def _threads(process: int) -> set[int]:
    return {int(path.name) for path in Path(f"/proc/{process}/task").iterdir()}
