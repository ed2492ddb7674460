# SPDX-License-Identifier: GPL-2.0-or-later
"""A session that is the host itself: no guest, and for the basics no root.

It samples the host's CPUs and the watched processes. Programs that it starts (a private server and its
client) come from the guest image and see a root directory of their own, so a guest's paths work here too. It
never loads anything into the host's kernel; where the KML module is loaded already (``local-kml``) it reads its
counters.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from kmltui.images.errors import GuestError
from kmltui.model import Environment, SessionSpec
from kmltui.sessions import calls, enter, host
from kmltui.sessions.journal import Journal
from kmltui.sessions.local_process import LocalProcess
from kmltui.sessions.private import PrivateRoot
from kmltui.sessions.protocol import Command, SessionError
from kmltui.sessions.sampler import Sampler

T = TypeVar("T")

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C"}
"""The environment of every program in a session, whatever the user has set."""


class LocalSession:
    """The host. ``programs``: it will start some, so what they need is prepared with the session.

    ``whole_host``: count the system calls of every process, not only those of the watched ones.
    """

    def __init__(
        self,
        spec: SessionSpec,
        sample_period_ns: int = 500_000_000,
        *,
        programs: bool = True,
        whole_host: bool = False,
        proc: Path = Path("/proc"),
    ) -> None:
        self.spec = spec
        self._period_ns = sample_period_ns
        self._programs = programs
        self._whole_host = whole_host
        self._proc = proc
        self._journal = Journal.begin(lambda _record: None)
        self._facts: dict[str, str] = {}
        self._sampler: Sampler | None = None
        self._private: PrivateRoot | None = None
        self._preparing = asyncio.Lock()
        self._processes: set[LocalProcess] = set()
        self._failure: asyncio.Future[SessionError] | None = None
        self._stopped = False

    async def start(self, journal: Journal) -> None:
        self._journal = journal
        loop = asyncio.get_running_loop()
        self._failure = loop.create_future()
        if self.spec.kind == "local-kml" and not host.kml_loaded(self._proc):
            raise self._error(
                "the KML module is not loaded into this host's kernel; 'kmltui doctor' says whether it could be"
            )
        self._state("looking at this host")
        try:
            self._sampler = Sampler(
                self.spec.name,
                self._period_ns,
                journal.now,
                publish=lambda sample: self._soon(loop, journal.emit, sample),
                failed=lambda error: self._soon(loop, self._fail, str(error)),
                proc=self._proc,
            )
        except OSError as error:
            raise self._error(f"{self._proc} cannot be read: {error}") from error
        self._facts = await asyncio.to_thread(host.facts, self._proc)
        self._facts["arm"] = self.spec.arm
        if self.spec.kind == "local-kml":
            self._facts["calls"] = "exact, of the whole host, by the KML module"
        elif self._programs or self._whole_host:
            await self._count_calls()
        if self._programs and self.spec.kind != "local-kml":
            self._state("taking the programs from the image")
            await self._root()
        else:
            self.add_facts({})
        self._sampler.start()

    @staticmethod
    def _soon(loop: asyncio.AbstractEventLoop, function: Callable[[T], object], argument: T) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(function, argument)

    def _state(self, detail: str) -> None:
        self._journal.state(self.spec.name, "booting", detail)

    def add_facts(self, facts: Mapping[str, str]) -> None:
        """Record the environment again, with what has become known since."""
        self._facts |= facts
        facts_now = Environment(t_ns=self._journal.now(), session=self.spec.name, facts=dict(self._facts))
        self._journal.emit(facts_now)

    async def _count_calls(self) -> None:
        counter, source = await asyncio.to_thread(calls.open_counter, None if self._whole_host else ())
        self._live().count_calls(counter)
        self._facts["calls"] = source
        if counter is None:
            self._facts["io_calls"] = calls.IO_COVERAGE

    async def watch(self, group: str, pid: int) -> None:
        """Count a process's CPU time and system calls in ``group`` from now on.

        Raises :class:`SessionError`: it is gone, or may not be looked at.
        """
        if "calls" not in self._facts:  # until there is a process to count them of, none were counted: that is not 0
            await self._count_calls()
            self.add_facts({})
        try:
            await asyncio.to_thread(self._live().watch, group, pid)
        except OSError as error:
            raise self._error(f"process {pid} cannot be watched: {error.strerror or error}") from error

    def hide_host(self) -> None:
        """Leave out the host's own CPUs: what is watched runs on another machine."""
        self._live().shows_host = False

    async def sample(self, mark: str) -> None:
        try:
            await asyncio.to_thread(self._live().sample, mark)
        except (OSError, ValueError) as error:
            raise self._error(str(error)) from error

    async def spawn(self, command: Command) -> LocalProcess:
        """Start a program of the guest image. It runs in ring 3."""
        program = command.argv[0]
        sampler, private = self._live(), await self._root()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        with ours:
            try:
                with theirs:
                    process = await LocalProcess.start(
                        private.command(command.argv, theirs.fileno()),
                        env=_ENVIRONMENT | {enter.GIVEN + name: value for name, value in command.env.items()},
                        stdin=command.stdin,
                        inherited=(theirs.fileno(),),
                        ended=sampler.ended,
                    )
                self._processes = {process, *(other for other in self._processes if not other.over)}
                trouble = await loop.sock_recv(ours, 4096)
                if trouble == b"+":
                    # It is waiting just before its first instruction.
                    await self.watch(command.group, process.pid)
                    await loop.sock_sendall(ours, b"+")
                    trouble = await loop.sock_recv(ours, 4096)
            except OSError as error:
                raise self._error(f"cannot start {program}: {error}") from error
        if trouble:
            await process.end()
            what = trouble.decode(errors="replace")
            raise self._error(f"cannot start {program}: {what}" + self._advice(what))
        return process

    @staticmethod
    def _advice(what: str) -> str:
        if "namespace" not in what:
            return ""
        return (
            "; this host's kernel does not let users make namespaces (kernel.unprivileged_userns_clone, "
            "kernel.apparmor_restrict_unprivileged_userns, or the container's rules): try as root"
        )

    async def _root(self) -> PrivateRoot:
        """The private root directory, created when first needed."""
        async with self._preparing:
            if self._private is None:
                if self.spec.kind == "local-kml":
                    raise self._error(
                        "no workload can be started in ring 0 on the host from here: start the program below /trusted "
                        "yourself, as root, and watch it with 'kmltui monitor'"
                    )
                try:
                    self._private = await asyncio.to_thread(PrivateRoot.create, self.spec.image)
                except (GuestError, OSError) as error:
                    raise self._error(str(error)) from error
                self.add_facts(self._private.facts)
            return self._private

    async def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        target = (await self._root()).path(path)

        def write() -> None:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)

        try:
            await asyncio.to_thread(write)
        except OSError as error:
            raise self._error(f"cannot write {path}: {error.strerror}") from error

    async def get(self, path: str) -> bytes:
        target = (await self._root()).path(path)
        try:
            return await asyncio.to_thread(target.read_bytes)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._error(f"cannot read {path}: {error.strerror}") from error

    def mysql_address(self) -> str:
        assert self._private is not None, "no program of the session's has been started"
        return str(self._private.socket)

    async def failed(self) -> SessionError:
        assert self._failure is not None, "the session has not been started"
        return await asyncio.shield(self._failure)

    async def stop(self) -> None:
        self._stopped = True
        for process in self._processes:
            await process.end()
        if self._sampler is not None:
            await asyncio.to_thread(self._sampler.stop)
        private, self._private = self._private, None
        if private is not None:
            await asyncio.to_thread(private.remove)

    def warn(self, text: str) -> None:
        """A warning about this session in the recording."""
        self._journal.log(self.spec.name, "runner", text, "warning")

    def _live(self) -> Sampler:
        if self._sampler is None or self._stopped:
            raise self._error("the session is not running")
        return self._sampler

    def _error(self, what: str) -> SessionError:
        return SessionError(f"{self.spec.name}: {what}")

    def _fail(self, what: str) -> None:
        if self._failure is not None and not self._failure.done() and not self._stopped:
            self._failure.set_result(self._error(what))
