# SPDX-License-Identifier: GPL-2.0-or-later
"""Workloads made of shell commands: for setting up, for starting a server, for what is measured, for checking results.

All of them are run by the session's ``/bin/sh``. A workload's options are in the environment under their names in
capitals, and ``LOOPS`` is how often the measured command runs.
"""

from __future__ import annotations

import asyncio
import re
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar
from weakref import WeakKeyDictionary, WeakSet

import msgspec

from kmltui.machine.output import abridged
from kmltui.model import CLIENT, SERVER, Proof, WorkloadSpec
from kmltui.sessions.protocol import Command, Process, Session
from kmltui.workloads.client import RingMessage, ring_proof
from kmltui.workloads.declaration import MAX_LOOPS, Context, UsageError, Workload, WorkloadError
from kmltui.workloads.repetition import repeat

PHASE = "run"
SERVER_LOG = "/run/kmltui-server.log"
TELL_RING = "/usr/lib/kmltui/tell_ring.so"
"""In the session: see ``tell_ring.c``."""
RINGS = "/run/kmltui-rings"
READY_LIMIT_S = 60.0
"""How long a server may take to answer; in an emulated guest it takes a second or two."""
_READY_PERIOD_S = 0.2
_SHOWN_LINES = 5


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The commands of a workload. Only ``command`` is measured, and only ``command`` is mandatory."""

    command: str
    """Run once per loop."""
    setup: str = ""
    """Run before anything else; in a bench before every repetition."""
    server: str = ""
    """Runs in the background, in the server's cgroup, until the next repetition or the end."""
    ready: str = ""
    """Retried until it succeeds, that is, until the server answers."""
    check: str = ""
    """Run at the end. It fails if the results are wrong; what it prints must be the same in all sessions."""


class ScriptWorkload(Workload):
    """A workload whose parts are shell commands."""

    bound = "loops"
    phases = (PHASE,)
    script: ClassVar[Script]
    unit_s: ClassVar[float | None] = None
    """About how long a unit takes, at 10⁹ instructions per second; None: not known."""

    def cost_s(self, spec: WorkloadSpec) -> float | None:
        return None if self.unit_s is None else self.unit_s * spec.units_per_loop * (spec.loops or 0)

    def __init__(self) -> None:
        self._servers: WeakKeyDictionary[Session, Process] = WeakKeyDictionary()
        self._proven: WeakSet[Session] = WeakSet()

    async def prepare(self, ctx: Context) -> None:
        if ctx.session not in self._proven:
            await self._prove_rings(ctx)
            self._proven.add(ctx.session)
        await self._set_up(ctx)

    async def _set_up(self, ctx: Context, *, rings: bool = False) -> None:
        await self._end_server(ctx)
        if self.script.setup:
            await self._must(ctx, self.script.setup, "cannot be set up")
        if self.script.server:
            await self._start_server(ctx, rings=rings)

    async def run(self, ctx: Context) -> None:
        async def once(before: Sequence[str]) -> float:
            await self._must(ctx, self.script.command, "has failed", before=before)
            return time.monotonic()

        await repeat(ctx, self.phases[0], once)

    async def check(self, ctx: Context) -> None:
        if self.script.check:
            told = await self._must(ctx, self.script.check, "gave a wrong result")
            ctx.journal.emit(
                Proof(
                    t_ns=ctx.journal.now(),
                    session=ctx.name,
                    name="checksum",
                    subject=self.name,
                    value="; ".join(told) or "as expected",
                )
            )
        await self._end_server(ctx)

    async def _prove_rings(self, ctx: Context) -> None:
        """Read the ring of every program that the server and the command consist of.

        To do so, they run one additional time, from the set-up on, with a library preloaded that is absent during the
        measurement.
        """
        await self._set_up(ctx, rings=True)
        await self._must(ctx, self.script.command, "has failed", rings=True)
        reads: dict[str, Counter[str]] = defaultdict(Counter)
        try:
            told = await ctx.session.get(RINGS)
        except FileNotFoundError:  # every program is statically linked
            return
        for line in told.decode(errors="replace").splitlines():
            # A program's name may contain blanks.
            if found := re.fullmatch(r"(.*) (\d+) (\d+)", line):
                reads[found[1]].update(ring0=int(found[2]), reads=int(found[3]))
        for program, counts in sorted(reads.items()):
            message = RingMessage(subject=program, ring0=counts["ring0"], reads=counts["reads"])
            kml = ctx.session.spec.arm == "kml"
            proof = ring_proof(message, ctx.journal.now(), ctx.name, kml)
            # One program among several may be left in ring 3; whether the run is KML's, its direct calls decide.
            ctx.journal.emit(msgspec.structs.replace(proof, ok=proof.ok or kml))

    def _command(
        self, ctx: Context, script: str, group: str = CLIENT, before: Sequence[str] = (), *, rings: bool = False
    ) -> Command:
        environment = {name.upper(): value for name, value in ctx.spec.options.items()}
        environment["LOOPS"] = str(ctx.spec.loops or 1)
        if rings:
            environment |= {"LD_PRELOAD": TELL_RING, "KMLTUI_RINGS": RINGS}
        return Command([*before, "/bin/sh", "-e", "-c", script], group=group, env=environment)

    async def _must(
        self, ctx: Context, script: str, failure: str, before: Sequence[str] = (), *, rings: bool = False
    ) -> list[str]:
        """Run a script; what it printed to its standard output. Raises :class:`WorkloadError` if it fails."""
        process = await ctx.session.spawn(self._command(ctx, script, before=before, rings=rings))
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

    async def _start_server(self, ctx: Context, *, rings: bool) -> None:
        script = f"exec >{SERVER_LOG} 2>&1\n{self.script.server}"
        server = self._servers[ctx.session] = await ctx.session.spawn(self._command(ctx, script, SERVER, rings=rings))
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
        """The last lines of the server's output."""
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
    """The workload of a run whose specification itself contains the commands."""
    return _DeclaredWorkload(spec.name, spec.script, msgspec.convert(spec.script, _File))


class _DeclaredWorkload(ScriptWorkload):
    """A workload of the user's own, known from its file or from the specification that was made of the file."""

    description = "Declared in a file."

    def __init__(self, name: str, commands: Mapping[str, str], declared: _File) -> None:
        super().__init__()
        self._commands = dict(commands)
        # These are class attributes in other workloads.
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
