# SPDX-License-Identifier: GPL-2.0-or-later
"""Samples the host in a thread of its own, so that the event loop never waits for /proc."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from kmltui.counters import CounterError
from kmltui.model import AgentCost, Sample
from kmltui.sessions.calls import CallCounter, as_counters
from kmltui.sessions.host import HostFiles
from kmltui.sessions.processes import Groups

_WAKE_SYSCALLS = 4
"""Approximate cost of waiting for the next period and handing over a sample."""


class Sampler:
    """Samples each period and on demand. Methods may be called from any thread."""

    def __init__(
        self,
        session: str,
        period_ns: int,
        now: Callable[[], int],
        *,
        publish: Callable[[Sample], None],
        failed: Callable[[Exception], None],
        proc: Path,
    ) -> None:
        """``now`` is the run's clock. ``publish`` and ``failed`` are called in the thread that takes the sample.

        Raises OSError.
        """
        self._session = session
        self._period_ns = period_ns
        self._now = now
        self._publish = publish
        self._failed = failed
        self._files = HostFiles(proc)
        self._groups = Groups(proc)
        self._counter: CallCounter | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._cpu_ns = 0
        self._samples = 0
        self.shows_host = True
        """Whether the samples include the host's CPUs; not if what is watched runs elsewhere."""

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"sampler of {self._session}", daemon=True)
        self._thread.start()

    def count_calls(self, counter: CallCounter | None) -> None:
        """Include ``counter``'s figures in the samples from now on. The sampler closes it."""
        with self._lock:
            old, self._counter = self._counter, counter
        if old is not None:
            old.close()

    def watch(self, group: str, pid: int) -> None:
        """Add a process to a group, not counting what it has used so far. Raises OSError if it does not exist."""
        with self._lock:
            self._groups.add(group, pid)
            if self._counter is not None:
                self._counter.add(pid)

    def ended(self, pid: int) -> None:
        """A process is about to leave the process table: read it a last time."""
        with self._lock:
            self._groups.remove(pid)
            if self._counter is not None:
                self._counter.remove(pid)

    def sample(self, mark: str = "") -> None:
        """Take one and publish it. Raises OSError, CounterError: /proc is not what it should be."""
        with self._lock:
            if self._stopped:
                return
            begun_ns = time.thread_time_ns()
            t_ns, mono_ns = self._now(), time.monotonic_ns()
            stat = self._files.read() if self.shows_host else None
            groups, io_calls, gone = self._groups.read()
            kml = self._files.read_kml()
            if self._counter is not None:
                for pid in gone:
                    self._counter.remove(pid)
                kml = kml or as_counters(*self._counter.read())
            self._samples += 1
            self._cpu_ns += time.thread_time_ns() - begun_ns
            syscalls = self._files.syscalls + self._groups.syscalls + self._samples * _WAKE_SYSCALLS
            self._publish(
                Sample(
                    t_ns=t_ns,
                    session=self._session,
                    mono_ns=mono_ns,
                    mark=mark,
                    cpus=stat.cpus if stat else {},
                    interrupts=stat.interrupts if stat else None,
                    context_switches=stat.context_switches if stat else None,
                    groups=groups,
                    kml=kml,
                    io_calls=io_calls or None,
                    agent=AgentCost(self._cpu_ns, syscalls),
                )
            )

    def stop(self) -> None:
        """No sample is published once this has returned. Idempotent; may take a second or two."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._files.close()
        self._groups.close()
        self.count_calls(None)

    def _run(self) -> None:
        due_ns = time.monotonic_ns()
        while not self._wake.wait(max(due_ns - time.monotonic_ns(), 0) / 1e9):
            try:
                self.sample()
            except (OSError, CounterError) as error:
                self._failed(error)
                return
            # Samples missed while the machine was suspended are left out, not made up for.
            due_ns = max(due_ns + self._period_ns, time.monotonic_ns() - self._period_ns)
