# SPDX-License-Identifier: GPL-2.0-or-later
"""What is fuzzed: each target takes bytes, and may refuse them in the ways that its callers expect, and in no other."""

from __future__ import annotations

import asyncio
import contextlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

from kmltui.figures.summarise import summarise
from kmltui.images.errors import GuestError
from kmltui.machine.channel import Channel
from kmltui.machine.output import Lines
from kmltui.printable import printable
from kmltui.recording import Reader, RecordingError
from kmltui.recording.cutting import cut
from kmltui.recording.export import csv_lines, jsonl
from kmltui.report import render
from kmltui.sessions.link import Link
from kmltui.sessions.mysql import Address, DsnError, Login, MysqlError, find_login, parse_dsn
from kmltui.sessions.tls import Tls

SCRATCH = Path(tempfile.gettempdir())


@contextlib.contextmanager
def _file(data: bytes):
    with tempfile.TemporaryDirectory(dir=SCRATCH) as directory:
        path = Path(directory) / "input"
        path.write_bytes(data)
        yield path


def read(data: bytes) -> None:
    """A recording: opened, listed, read through, from the middle, as what happened."""
    with _file(data) as path, contextlib.suppress(RecordingError), Reader.open(path) as reader:
        for _ in reader.records():
            pass
        for _ in reader.records(reader.duration_ns // 2):
            pass
        reader.landmarks()
        while reader.poll():
            pass


def export(data: bytes) -> None:
    with _file(data) as path, contextlib.suppress(RecordingError), Reader.open(path) as reader:
        for lines in (csv_lines, jsonl):
            for line in lines(reader.records()):
                assert printable(line, keep="\n").isprintable or line


def report(data: bytes) -> None:
    with _file(data) as path, contextlib.suppress(RecordingError), Reader.open(path) as reader:
        render(summarise(reader.records()), "text")


def cut_out(data: bytes) -> None:
    with _file(data) as path, contextlib.suppress(RecordingError):
        cut(path, path.with_name("cut"), 10**9, 3 * 10**9)


def option_file(data: bytes) -> None:
    with _file(data) as path, contextlib.suppress(MysqlError):
        login = find_login(Address(), option_file=path, environment={})
        assert str(login.address).isprintable()


def address(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    try:
        assert parse_dsn(str(parse_dsn(text))) == parse_dsn(text)
    except DsnError as error:
        assert str(error).isprintable()


class _Wire:
    """A socket that says what it was given and takes all that is sent."""

    family = 1

    def __init__(self, data: bytes) -> None:
        self._data = data

    def settimeout(self, _seconds: float | None) -> None: ...

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)

    def sendall(self, _data: bytes) -> None: ...

    def close(self) -> None: ...


def server(data: bytes) -> None:
    """What a MySQL server sends to a login and a question."""
    login = Login(Address("app", "h"), b"password")
    link = Link(tls=Tls("disabled"), limit_s=60.0, user="app", password=b"password", host="h")
    try:
        link.connect(_Wire(data))
        link.ask("SHOW GLOBAL STATUS", 2)
    except Exception as error:
        assert str(login.explain(error)).isprintable()
    finally:
        link.close()


class _Sink:
    def write(self, _data: bytes) -> None: ...

    async def drain(self) -> None: ...


def guest(data: bytes) -> None:
    """What a guest sends: its report, then frames to two programs and a file that is being read."""

    async def main() -> None:
        stream = asyncio.StreamReader()
        stream.feed_data(data)
        stream.feed_eof()
        channel = Channel(stream, _Sink())  # type: ignore[arg-type]
        try:
            await channel.hello()
            tasks = [asyncio.create_task(channel.spawn(["true"])), asyncio.create_task(channel.get("/x", len))]
            done, pending = await asyncio.wait(tasks, timeout=5)
            assert not pending, "the stream has ended, so everybody knows"
            for task in done:
                task.exception()
        except GuestError:
            pass
        finally:
            await channel.close()

    asyncio.run(main())


def output(data: bytes) -> None:
    """What a program writes."""

    async def main() -> None:
        lines = Lines()
        for at in range(0, len(data), 7):
            lines.feed("stdout", data[at : at + 7])
        lines.end()
        assert sum([len(text) async for _, text in lines]) <= len(data) * 3 + 200

    asyncio.run(main())


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (read, export, report, cut_out, option_file, address, server, guest, output)
}
