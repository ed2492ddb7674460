# SPDX-License-Identifier: GPL-2.0-or-later
"""Workloads that are shell commands: what to set up, which server to start, what is measured, how it is checked.

All of them are run by the session's ``/bin/sh``. A workload's options are in the environment under their names in
capitals, and ``LOOPS`` is how often the measured command runs.
"""

from __future__ import annotations

import asyncio
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar
from weakref import WeakKeyDictionary

import msgspec

from kmltui.machine.output import abridged
from kmltui.model import SERVER, Proof, WorkloadSpec
from kmltui.sessions.protocol import Command, Process, Session
from kmltui.workloads.declaration import MAX_LOOPS, Context, UsageError, Workload, WorkloadError
from kmltui.workloads.repetition import repeat

PHASE = "run"
SERVER_LOG = "/run/kmltui-server.log"
READY_LIMIT_S = 60.0
"""How long a server may take to answer; it takes a second or two in a guest that is emulated."""
_READY_PERIOD_S = 0.2
_SHOWN_LINES = 5


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The commands of a workload. Only ``command`` is measured, and only it has to be there."""

    command: str
    """Run once a loop."""
    setup: str = ""
    """Before anything else; in a bench before every repetition."""
    server: str = ""
    """Goes on in the background, in the server's cgroup, until the next repetition or the end."""
    ready: str = ""
    """Tried until it succeeds: the server answers."""
    check: str = ""
    """Run at the end. It fails if the results are wrong; what it prints must be the same in all sessions."""


class ScriptWorkload(Workload):
    """A workload whose parts are shell commands."""

    bound = "loops"
    phases = (PHASE,)
    script: ClassVar[Script]

    def __init__(self) -> None:
        self._servers: WeakKeyDictionary[Session, Process] = WeakKeyDictionary()

    async def prepare(self, ctx: Context) -> None:
        await self._end_server(ctx)
        if self.script.setup:
            await self._must(ctx, self.script.setup, "cannot be set up")
        if self.script.server:
            await self._start_server(ctx)

    async def run(self, ctx: Context) -> None:
        async def once() -> float:
            await self._must(ctx, self.script.command, "has failed")
            return time.monotonic()

        await repeat(ctx, PHASE, once)

    async def check(self, ctx: Context) -> None:
        if self.script.check:
            told = await self._must(ctx, self.script.check, "gave a wrong result")
            ctx.journal.emit(
                Proof(
                    t_ns=ctx.journal.now(),
                    session=ctx.name,
                    name="checksum",
                    subject=self.name,
                    value="; ".join(told) or "as it must be",
                )
            )
        await self._end_server(ctx)

    def _command(self, ctx: Context, script: str, group: str | None = None) -> Command:
        environment = {name.upper(): value for name, value in ctx.spec.options.items()}
        environment["LOOPS"] = str(ctx.spec.loops or 1)
        argv = ["/bin/sh", "-e", "-c", script]
        return Command(argv, env=environment) if group is None else Command(argv, group=group, env=environment)

    async def _must(self, ctx: Context, script: str, failure: str) -> list[str]:
        """Run a script; what it printed to its standard output. Raises :class:`WorkloadError` if it fails."""
        process = await ctx.session.spawn(self._command(ctx, script))
        told, last = [], ""
        async for stream, line in abridged(process.lines()):
            ctx.journal.log(ctx.name, "client", line, "warning" if stream == "stderr" else "info")
            last = line.strip() or last
            if stream == "stdout":
                told.append(line)
        if status := await process.wait():
            raise WorkloadError(
                f"{self.name} {failure} in session {ctx.name} (status {status}): {last or 'it printed no message'}"
            )
        return told

    async def _start_server(self, ctx: Context) -> None:
        script = f"exec >{SERVER_LOG} 2>&1\n{self.script.server}"
        server = self._servers[ctx.session] = await ctx.session.spawn(self._command(ctx, script, SERVER))
        ended = asyncio.ensure_future(server.wait())
        deadline = time.monotonic() + READY_LIMIT_S
        try:
            while self.script.ready:
                process = await ctx.session.spawn(self._command(ctx, f"exec >/dev/null 2>&1\n{self.script.ready}"))
                if not await process.wait():
                    return
                if ended.done() or time.monotonic() > deadline:
                    how = f"ended with status {ended.result()}" if ended.done() else "does not answer"
                    raise WorkloadError(
                        f"the server of {self.name} {how} in session {ctx.name}: {await self._last(ctx)}"
                    )
                await asyncio.sleep(_READY_PERIOD_S)
        finally:
            ended.cancel()

    async def _last(self, ctx: Context) -> str:
        """The last lines that the server wrote."""
        try:
            text = (await ctx.session.get(SERVER_LOG)).decode(errors="replace")
        except FileNotFoundError:
            text = ""
        return " / ".join(text.strip().splitlines()[-_SHOWN_LINES:]) or "it wrote nothing"

    async def _end_server(self, ctx: Context) -> None:
        server = self._servers.pop(ctx.session, None)
        if server is not None:
            await server.kill(15)
            await server.wait()


class _File(Script, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workload that is declared in a file."""

    title: str = ""
    packages: list[str] = msgspec.field(default_factory=list)
    loops: int = 1


def declared_in(path: Path) -> Workload:
    """The workload that the TOML file ``path`` declares; its name is the file's. Raises :class:`UsageError`."""
    try:
        declared = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UsageError(f"{path} does not declare a workload: {error}") from error
    if not 1 <= declared.loops <= MAX_LOOPS:
        raise UsageError(f"{path}: loops is between 1 and {MAX_LOOPS}, not {declared.loops}")
    commands = {name: getattr(declared, name) for name in Script.__struct_fields__}
    return _DeclaredWorkload(path.stem, commands, declared)


def recorded(spec: WorkloadSpec) -> Workload:
    """The workload of a run's specification that holds its commands itself."""
    return _DeclaredWorkload(spec.name, spec.script, msgspec.convert(spec.script, _File))


class _DeclaredWorkload(ScriptWorkload):
    """A workload of the user's own, which kmltui knows from a file, or from the specification made of that."""

    description = "Declared in a file."

    def __init__(self, name: str, commands: Mapping[str, str], declared: _File) -> None:
        super().__init__()
        self._commands = dict(commands)
        # What other workloads declare in their class.
        own = {
            "name": name,
            "title": declared.title or name,
            "packages": tuple(declared.packages),
            "default_loops": declared.loops,
            "script": Script(**commands),
        }
        self.__dict__.update(own)

    def spec(
        self,
        loops: int | None = None,
        duration_s: float | None = None,
        options: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
    ) -> WorkloadSpec:
        return msgspec.structs.replace(super().spec(loops, duration_s, options, command), script=self._commands)
