# SPDX-License-Identifier: GPL-2.0-or-later
"""What the workloads' clients print, turned into records.

A client is a program in the session. The lines of its standard output that begin with ``kmltui `` are JSON objects, one
message each, tagged by ``type``; every other line is kept as a Log record. At the beginning of a phase the client waits
for a line on its standard input, so that the boundary sample is taken while it is idle.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable

import msgspec
from hdrh.histogram import HdrHistogram

from kmltui.model import Latency, Measure, Phase, Progress, Proof, StatementCount, phase_mark
from kmltui.sessions.protocol import Process, SessionError
from kmltui.workloads.declaration import Context, CountsInstructions, WorkloadError

PREFIX = "kmltui "

HIGHEST_US = 3_600_000_000
SIGNIFICANT_FIGURES = 3
_HALF_BITS = 10
"""With three significant digits, each bucket of a histogram has 2 ** 11 entries, of which only the upper half is
new."""


class _Message(msgspec.Struct, frozen=True, tag_field="type"):
    pass


class PhaseMessage(_Message, frozen=True, tag="phase"):
    name: str
    event: str
    mono_ns: int


class ProgressMessage(_Message, frozen=True, tag="progress"):
    phase: str
    queries: int
    thread: int = 0
    """Each thread of a client reports its own progress; their sum is passed on."""
    rows: int = 0
    statement: int = 0
    loop: int = 0
    loops: int = 0
    fraction: float | None = None


class CallsMessage(_Message, frozen=True, tag="calls"):
    """The session's system calls while a statement was executed ``queries`` times: pairs of number and count."""

    statement: int
    queries: int
    trap: list[tuple[int, int]]
    direct: list[tuple[int, int]]


class LatencyMessage(_Message, frozen=True, tag="latency"):
    """``counts`` are pairs: a bucket, numbered as by :func:`bucket_value_us`, and how many values fell into it."""

    statement: int
    counts: list[tuple[int, int]]


class RingMessage(_Message, frozen=True, tag="ring"):
    """``ring0`` of ``reads`` reads of the code segment, each right after a system call, found ring 0."""

    subject: str
    ring0: int
    reads: int


class ReadsMessage(_Message, frozen=True, tag="reads"):
    """An answer of the server in ``packets`` packets took ``reads`` calls of ``read``, as counted by the kernel."""

    subject: str
    packets: int
    reads: int


class ChecksumMessage(_Message, frozen=True, tag="checksum"):
    subject: str
    rows: int
    value: str


class MeasureMessage(_Message, frozen=True, tag="measure"):
    name: str
    unit: str
    values: dict[str, float]


class FailMessage(_Message, frozen=True, tag="fail"):
    message: str


class DoneMessage(_Message, frozen=True, tag="done"):
    """The last message. ``statements`` is the number of statements of the benchmark proper that were executed."""

    statements: int = 0


Message = (
    PhaseMessage
    | ProgressMessage
    | CallsMessage
    | LatencyMessage
    | RingMessage
    | ReadsMessage
    | ChecksumMessage
    | MeasureMessage
    | FailMessage
    | DoneMessage
)

_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def parse(line: str) -> Message | None:
    """The message in a line of the client's output; ``None`` if it is an ordinary line.

    Raises :class:`WorkloadError` if the line claims to be a message but is not a valid one.
    """
    if not line.startswith(PREFIX):
        return None
    try:
        return _decoder.decode(line[len(PREFIX) :])
    except msgspec.MsgspecError as error:
        raise WorkloadError(f"the client printed a line that cannot be read ({error}): {line[:200]!r}") from error


def bucket_value_us(bucket: int) -> int:
    """The lowest latency, in microseconds, that the clients' Lua code counts in a bucket.

    Values below 2 ** 11 have a bucket each; above, every power of two is divided into 2 ** 10 equal parts. This is the
    layout of HdrHistogram with three significant digits, so nothing is lost in the conversion.
    """
    if bucket < 2 << _HALF_BITS:
        return bucket
    shift, part = divmod(bucket - (1 << _HALF_BITS), 1 << _HALF_BITS)
    return ((1 << _HALF_BITS) + part) << shift


def encode_latencies(counts: list[tuple[int, int]]) -> bytes:
    """Bucket counts as HdrHistogram's V2 encoding, as ``HdrHistogram.decode`` reads it (microseconds)."""
    histogram = HdrHistogram(1, HIGHEST_US, SIGNIFICANT_FIGURES)
    for bucket, count in counts:
        histogram.record_value(max(1, min(bucket_value_us(bucket), HIGHEST_US)), count)
    encoded: bytes = histogram.encode()
    return encoded


class ClientOutput:
    """Follows one client: emits its records, takes the samples at phase boundaries, lets it continue.

    ``fraction`` may estimate from a progress message how much of the whole is done; ``checksums`` and ``statements``
    keep what the client reported, for a check at the end.
    """

    def __init__(self, ctx: Context, program: str, fraction: Callable[[ProgressMessage], float | None] | None = None):
        self._ctx = ctx
        self._program = program
        self._fraction = fraction or (lambda message: message.fraction)
        self._last_error = ""
        self._threads: dict[int, ProgressMessage] = {}
        self.checksums: dict[str, str] = {}
        self.reads_by_packet = False
        self.statements: int | None = None

    async def follow(self, process: Process) -> None:
        """Read the client's output to its end and its exit status. Raises :class:`WorkloadError`."""
        try:
            async for stream, line in process.lines():
                message = parse(line) if stream == "stdout" else None
                if message is None:
                    self._log(stream, line)
                else:
                    await self._take(message, process)
            status = await process.wait()
        except BaseException:
            with contextlib.suppress(SessionError, OSError):
                await process.kill(9)
            raise
        if status != 0:
            how = f"was ended by signal {status - 128}" if status > 128 else f"ended with status {status}"
            why = self._last_error or "it printed no message"
            raise WorkloadError(f"{self._program} {how} in session {self._ctx.name}: {why}")
        if self.statements is None:
            raise WorkloadError(f"{self._program} ended in session {self._ctx.name} before its work was done")

    def _log(self, stream: str, line: str) -> None:
        if not line.strip():
            return
        wrong = stream == "stderr" or line.startswith("FATAL")
        if wrong:
            self._last_error = line.strip()
        self._ctx.journal.log(self._ctx.name, "client", line, "error" if wrong else "info")

    async def _take(self, message: Message, process: Process) -> None:
        t_ns, session, emit = self._ctx.journal.now(), self._ctx.name, self._ctx.journal.emit
        match message:
            case PhaseMessage(name=name, event="begin"):
                emit(Phase(t_ns=t_ns, session=session, name=name, event="begin", mono_ns=message.mono_ns))
                await self._ctx.session.sample(phase_mark(name))
                await process.write(b"go\n")
            case PhaseMessage(name=name):
                counts = self._ctx.session
                instructions = counts.marked_instructions() if isinstance(counts, CountsInstructions) else None
                emit(
                    Phase(
                        t_ns=t_ns,
                        session=session,
                        name=name,
                        event="end",
                        mono_ns=message.mono_ns,
                        instructions=instructions,
                    )
                )
            case ProgressMessage():
                self._progress(message, t_ns)
            case CallsMessage():
                emit(
                    StatementCount(
                        t_ns=t_ns,
                        session=session,
                        statement=message.statement,
                        queries=message.queries,
                        trap=dict(message.trap),
                        direct=dict(message.direct),
                    )
                )
            case LatencyMessage():
                emit(
                    Latency(
                        t_ns=t_ns,
                        session=session,
                        statement=message.statement,
                        hdr=encode_latencies(message.counts),
                    )
                )
            case RingMessage():
                emit(ring_proof(message, t_ns, session, self._ctx.session.spec.arm == "kml"))
            case ReadsMessage():
                self.reads_by_packet = True
                emit(reads_proof(message, t_ns, session))
            case ChecksumMessage():
                self._checksum(message, t_ns)
            case MeasureMessage():
                emit(Measure(t_ns=t_ns, session=session, name=message.name, unit=message.unit, values=message.values))
            case FailMessage():
                raise WorkloadError(f"{self._program} in session {session}: {message.message}")
            case DoneMessage():
                self.statements = message.statements

    def _progress(self, message: ProgressMessage, t_ns: int) -> None:
        self._threads[message.thread] = message
        total = msgspec.structs.replace(
            message,
            loop=sum(thread.loop for thread in self._threads.values()),
            queries=sum(thread.queries for thread in self._threads.values()),
            rows=sum(thread.rows for thread in self._threads.values()),
        )
        self._ctx.journal.emit(
            Progress(
                t_ns=t_ns,
                session=self._ctx.name,
                phase=total.phase,
                statement=total.statement,
                loop=total.loop,
                loops=total.loops or self._ctx.spec.loops or 0,
                queries=total.queries,
                rows=total.rows,
                fraction=self._fraction(total),
            )
        )

    def _checksum(self, message: ChecksumMessage, t_ns: int) -> None:
        value = f"{message.value} ({message.rows} rows)"
        self.checksums[message.subject] = value
        proof = Proof(t_ns=t_ns, session=self._ctx.name, name="checksum", subject=message.subject, value=value)
        self._ctx.journal.emit(proof)


def ring_proof(message: RingMessage, t_ns: int, session: str, kml: bool) -> Proof:
    """The proof record of a process's ring. Its value begins with the ring, ``0`` or ``3``, followed by how often.

    An interrupt between the system call and the read demotes the process for that one read, so a process of a KML
    session counts as in ring 0 if most reads say so; in any other session even one such read is an error.
    """
    ring = 0 if message.ring0 * 2 > message.reads else 3
    shown = message.ring0 if ring == 0 else message.reads - message.ring0
    return Proof(
        t_ns=t_ns,
        session=session,
        name="ring",
        subject=message.subject,
        value=f"{ring} in {shown} of {message.reads} reads",
        ok=ring == 0 if kml else message.ring0 == 0,
    )


def reads_proof(message: ReadsMessage, t_ns: int, session: str) -> Proof:
    """The proof record of a client that reads as MySQL 4.1's did: two calls of ``read`` for every packet."""
    return Proof(
        t_ns=t_ns,
        session=session,
        name="reads",
        subject=message.subject,
        value=f"{message.reads} for {message.packets} packets",
        ok=message.packets > 0 and message.reads == 2 * message.packets,
    )


def differing_results(proofs: Iterable[Proof]) -> list[str]:
    """Where the sessions' checksums and exit statuses disagree, each in a few words."""
    seen: dict[str, dict[str, str]] = {}
    for proof in proofs:
        if proof.name in ("checksum", "exit status"):
            seen.setdefault(f"{proof.name} of {proof.subject}", {})[proof.session] = proof.value
    return [
        f"{subject}: " + ", ".join(f"{session} {value}" for session, value in values.items())
        for subject, values in seen.items()
        if len(set(values.values())) > 1
    ]
