# SPDX-License-Identifier: GPL-2.0-or-later
"""Mutated inputs for everything that comes from outside: no traceback, no hang, no memory without bound.

    python tests/fuzz/fuzz.py --seconds 3600 --seed 7 [--target read]

An input that fails is kept in ``tests/fuzz/corpus/TARGET-HASH``, and is tried again by the tests for ever after.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import random
import resource
import signal
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import zstandard

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "samples"), str(Path(__file__).parent)]

import made_up_run  # noqa: E402
import run_samples  # noqa: E402
from recording_samples import HEADER, a_run, write  # noqa: E402
from targets import TARGETS  # noqa: E402

from kmltui.model import Header, Record  # noqa: E402
from kmltui.recording import Writer, frames, schema  # noqa: E402
from kmltui.recording.chunks import CHUNK_HEAD_BYTES  # noqa: E402

CORPUS = Path(__file__).parent / "corpus"
HANG_S = 2
MEMORY_BYTES = 300 << 20
RECORDINGS = ("read", "export", "report", "view", "cut_out")
_NUMBERS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, (1 << 63) - 1, (1 << 64) - 1]
_SIGNIFICANT = [
    b"\0",
    b"\n",
    b"\xff\xff\xff",
    b"[client]\n",
    b"!include ",
    b"%00",
    b"\xfe",
    b"\xfb",
    b"\x1b[",
    b"\\",
    b'"',
]
_INTEGERS = [0, 1, -1, 1 << 31, 1 << 53, (1 << 63) - 1, -(1 << 63), 60 * 10**9]
_TOO_LARGE = [1 << 70, 10**400]
"""Which JSON can hold, and so a header."""
_REALS = [0.0, -1.0, 1e308, -1e308, float("inf"), float("nan"), 5e-324]
_TEXTS = [
    "",
    "x" * 3000,
    "\x1b]0;x\x07",
    "\u202e",
    "\n",
    "\0",
    "stock",
    "kml",
    "start",
    "end",
    "phase:",
    "9" * 400,
    "nan",
    "-1",
]


class Hang(BaseException):
    """An input that is not done with in time."""


@contextmanager
def bounded(seconds: int = HANG_S) -> Iterator[None]:
    def late(*_: object) -> None:
        raise Hang

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Time of the processor, so that a machine that is busy with other things is no hang; and a wait without an end.
    signal.signal(signal.SIGPROF, late)
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.alarm(30 * seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < MEMORY_BYTES, f"{grown >> 20} MiB for one input"


def runs() -> list[tuple[Header, list[Record]]]:
    return [
        (HEADER, a_run(12)),
        (HEADER, a_run(3)),
        (made_up_run.header(), list(made_up_run.run(2, finish=True))),
        (run_samples.HEADER, run_samples.two_sessions()[1:]),
        (run_samples.bench(2)[0], run_samples.bench(2)[1:]),
    ]


def recording(header: Header, records: list[Record], *, close: bool = True) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "r"
        with write(path, records, header, close=close):
            return path.read_bytes()


def seeds() -> dict[str, list[bytes]]:
    """Inputs that are in order, to begin from."""
    found: dict[str, list[bytes]] = {"read": [recording(*run) for run in runs()]}
    header, records = runs()[0]
    found["read"].append(recording(header, records, close=False))
    for name in RECORDINGS[1:]:
        found[name] = found["read"]
    found["option_file"] = [
        b"[client]\nuser=a\npassword='b\\n#c' # d\nport=3306\nssl-mode=REQUIRED\nskip-ssl\nsocket=/s\n"
    ]
    found["address"] = [
        b"mysql://user@host:3306",
        b"mysql://u@[fe80::1%25lo]/",
        b"mysql:///run/x.sock",
        b"mysql://a%40b@h",
    ]
    found["server"] = [_conversation()]
    found["guest"] = [_guest()]
    found["output"] = [b"one\ntwo\xc3\xa9\n\nlast without end" * 4]
    return found


def _packet(number: int, payload: bytes) -> bytes:
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload


def _conversation() -> bytes:
    capabilities = 0x81FFF7DF & ~0x800
    greeting = b"\n8.0.99\0" + b"\1\0\0\0" + b"s" * 8 + b"\0" + struct.pack("<H", capabilities & 0xFFFF) + b"\x21\2\0"
    greeting += struct.pack("<H", capabilities >> 16) + b"\x15" + bytes(10) + b"t" * 12 + b"\0mysql_native_password\0"
    ok, end = b"\0\0\0\2\0\0\0", b"\xfe\0\0\2\0"
    column = b"\3def\0\0\0\1c\1c\x0c\x21\0\0\1\0\0\xfd\0\0\0\0\0"
    parts = [b"\2", column, column, end, b"\1a\x011", b"\6Uptime\x0212", end]
    answer = b"".join(_packet(number, part) for number, part in enumerate(parts, 1))
    return _packet(0, greeting) + _packet(2, ok) + _packet(1, ok) + answer


def _guest() -> bytes:
    def frame(kind: int, number: int, payload: bytes) -> bytes:
        return struct.pack("<III", len(payload), kind, number) + payload

    parts = [frame(64, 0, b"protocol 1\nkernel 6.1\n"), frame(65, 1, b"\7\0\0\0"), frame(66, 1, b"out\n")]
    parts += [frame(70, 2, b"content"), frame(69, 2, bytes(4)), frame(67, 1, b"err"), frame(68, 1, bytes(4))]
    return b"".join(parts)


class Mutator:
    """The same inputs for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._runs = runs()

    def mutate(self, data: bytes) -> bytes:
        out = bytearray(data)
        for _ in range(self.random.choice((1, 1, 2, 4, 16))):
            self._change(out)
        return bytes(out)

    def _change(self, out: bytearray) -> None:
        pick, size = self.random, len(out)
        at = pick.randrange(size + 1)
        match pick.randrange(8):
            case 0 if size:
                out[at % size] ^= 1 << pick.randrange(8)
            case 1 if size:
                out[at % size] = pick.randrange(256)
            case 2:
                del out[at : at + pick.choice((1, 2, 4, 16, 256))]
            case 3:
                out[at:at] = out[pick.randrange(size + 1) :][: pick.choice((1, 4, 64, 1024))]
            case 4:
                width = pick.choice((1, 2, 4, 8))
                number = pick.choice(_NUMBERS) & ((1 << 8 * width) - 1)
                out[at : at + width] = number.to_bytes(width, pick.choice(("little", "big")))
            case 5:
                out[at:at] = pick.choice(_SIGNIFICANT)
            case 6:
                del out[at:]
            case _:
                out[at:at] = bytes([pick.randrange(256)]) * pick.choice((1, 8, 300))

    def recording(self, data: bytes) -> bytes:
        """Beyond the checks: payloads are changed and their frames made anew, those of chunks before compression."""
        if self.random.random() < 0.3:
            return self.mutate(data)
        parts = []
        parser = frames.FrameParser(frames.PREAMBLE_BYTES)
        found = [item for item in parser.feed(data[frames.PREAMBLE_BYTES :]) if isinstance(item, frames.Frame)]
        chosen = self.random.randrange(len(found))
        for number, frame in enumerate(found):
            payload = frame.payload
            if number == chosen or self.random.random() < 0.02:
                payload = self._chunk(payload) if frame.kind == frames.CHUNK else self.mutate(payload)
            parts.append(frames.pack_frame(frame.kind, payload[: frames.MAX_PAYLOAD_BYTES]))
        return data[: frames.PREAMBLE_BYTES] + b"".join(parts)

    def run(self) -> bytes:
        """A recording that is well formed, with values in it that no run has: what mutated bytes hardly ever reach."""
        header, records = self.random.choice(self._runs)
        if self.random.random() < 0.4:
            with contextlib.suppress(msgspec.ValidationError):
                header = msgspec.convert(self._values(header, [*_INTEGERS, *_TOO_LARGE]), Header)
        records = list(records)
        for _ in range(self.random.choice((0, 1, 1, 3, 20))):
            at = self.random.randrange(len(records))
            records[at] = schema.from_builtins(self._values(records[at], _INTEGERS)) or records[at]
        match self.random.randrange(6):
            case 0:
                del records[self.random.randrange(len(records)) :]
            case 1:
                del records[: self.random.randrange(len(records))]
            case 2:
                self.random.shuffle(records)
        with tempfile.TemporaryDirectory() as directory, Writer.create(Path(directory) / "r", header) as writer:
            for record in records:
                # Its writer does not store everything, a time before the beginning for one.
                with contextlib.suppress(ValueError, struct.error):
                    writer.append(record)
            writer.close()
            return writer.path.read_bytes()

    def _values(self, record: Record, integers: list[int]) -> dict[str, Any]:
        """The record as builtins, some of them changed."""
        value = _open(msgspec.to_builtins(record, builtin_types=(bytes,)))
        for _ in range(self.random.choice((1, 1, 2, 5))):
            places = [(container, key) for container, key in _places(value) if key != "type"]
            container, key = self.random.choice(places)
            container[key] = self._other(container[key], integers)
        return value

    def _other(self, old: Any, integers: list[int]) -> Any:
        """Something of the same type, mostly."""
        pick = self.random.choice
        match old:
            case bool():
                return not old
            case int():
                return pick(integers)
            case float():
                return pick(_REALS)
            case str():
                return pick(_TEXTS)
            case bytes():
                return pick([b"", bytes(30), old[: len(old) // 2]])
            case list():
                return pick([[], old * 2, old[:1], old[::-1]])
            case dict() if old:
                keys: list[Any] = _TEXTS if isinstance(next(iter(old)), str) else _INTEGERS
                return {pick(keys) if self.random.random() < 0.5 else key: value for key, value in old.items()}
            case _:
                return pick([*_INTEGERS, *_TEXTS])

    def _chunk(self, payload: bytes) -> bytes:
        head, packed = payload[:CHUNK_HEAD_BYTES], payload[CHUNK_HEAD_BYTES:]
        raw = self.mutate(zstandard.ZstdDecompressor().decompress(packed, max_output_size=1 << 24))
        if self.random.random() < 0.2:
            head = self.mutate(head)[:CHUNK_HEAD_BYTES].ljust(CHUNK_HEAD_BYTES, b"\0")
        else:
            head = head[:-4] + struct.pack("<I", len(raw))
        return head + zstandard.compress(raw)


def _open(value: Any) -> Any:
    """``value`` with lists for tuples, so that all of it can be changed."""
    if isinstance(value, dict):
        return {key: _open(one) for key, one in value.items()}
    return [_open(one) for one in value] if isinstance(value, list | tuple) else value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Everything in ``value``, as a container and the key in it."""
    if isinstance(value, dict | list):
        for key, one in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from _places(one)


def fuzz(seconds: float, seed: int, only: str = "", limit: int | None = None) -> tuple[Counter[str], list[Path]]:
    """Try mutated inputs; how many by target, and the files of those that failed."""
    mutator = Mutator(seed)
    begun = {name: data for name, data in seeds().items() if not only or name == only}
    tried: Counter[str] = Counter()
    failed: list[Path] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end and (limit is None or tried.total() < limit):
        name = mutator.random.choice(list(begun))
        data = mutator.random.choice(begun[name])
        if name not in RECORDINGS:
            data = mutator.mutate(data)
        else:
            data = mutator.run() if mutator.random.random() < 0.3 else mutator.recording(data)
        tried[name] += 1
        try:
            with bounded():
                TARGETS[name](data)
        except (Exception, Hang) as error:
            path = CORPUS / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
            path.write_bytes(data)
            failed.append(path)
            print(f"{path.name}: {type(error).__name__}: {str(error)[:200]}", flush=True)
            if len(failed) > 20:
                break
    return tried, failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", default="", choices=["", *TARGETS])
    arguments = parser.parse_args()
    tried, failed = fuzz(arguments.seconds, arguments.seed, arguments.target)
    print(f"{tried.total()} inputs, {len(failed)} failed: {dict(tried)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
