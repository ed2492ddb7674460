# SPDX-License-Identifier: GPL-2.0-or-later
"""What is fuzzed: each target takes bytes, and may refuse them in the ways that its callers expect, and in no other."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

from kmltui.figures.summarise import summarise
from kmltui.images.errors import GuestError
from kmltui.machine.channel import Channel
from kmltui.machine.output import Lines
from kmltui.printable import printable
from kmltui.recording import Reader, RecordingError, library
from kmltui.recording.cutting import cut
from kmltui.recording.export import cpus_seen, csv_lines, jsonl
from kmltui.report import FORMATS, render
from kmltui.runner import listing
from kmltui.sessions.link import Link
from kmltui.sessions.mysql import Address, DsnError, Login, MysqlError, find_login, parse_dsn
from kmltui.sessions.tls import Tls
from kmltui.tui.glyphs import UNICODE
from kmltui.tui.names import call_name
from kmltui.tui.pages.base import Canvas
from kmltui.tui.player import Player
from kmltui.tui.screens.main import PAGES
from kmltui.tui.text import plain

_S = 1_000_000_000


@functools.cache
def _directory() -> Path:
    """One for all inputs of this process: making and removing a directory takes longer than reading most inputs."""
    directory = tempfile.TemporaryDirectory(prefix="kmltui-fuzz-")
    atexit.register(directory.cleanup)
    return Path(directory.name)


def _file(data: bytes) -> Path:
    path = _directory() / "input"
    path.write_bytes(data)
    return path


def _is_printable(text: str) -> bool:
    return text.replace("\n", "").isprintable()


def read(data: bytes) -> None:
    """A recording: opened, listed, read through, from the middle, as what happened."""
    with contextlib.suppress(RecordingError), Reader.open(_file(data)) as reader:
        for _ in reader.records():
            pass
        for _ in reader.records(reader.duration_ns // 2):
            pass
        reader.landmarks()
        while reader.poll():
            pass


def export(data: bytes) -> None:
    with contextlib.suppress(RecordingError), Reader.open(_file(data)) as reader:
        for lines in (csv_lines(reader.records(), cpus_seen(reader.records())), jsonl(reader.records())):
            for line in lines:
                assert _is_printable(printable(line, keep="\n"))


def report(data: bytes) -> None:
    """A line in the list of runs, and the report in every format."""
    path = _file(data)
    listing.table([library.entry(path)])
    with contextlib.suppress(RecordingError), Reader.open(path) as reader:
        summary = summarise(reader.records())
        for form in FORMATS:
            render(summary, form)


def view(data: bytes) -> None:
    """Every view of the screen, in the middle before all is read, then at the end, then at the beginning."""
    with contextlib.suppress(RecordingError), Reader.open(_file(data)) as reader:
        player = Player(reader, at_ns=reader.duration_ns // 2, replay=True)
        player.paused = True
        frames = [player.frame(), player.tick(0)]
        player.seek(_S)
        frames.append(player.tick(1))
        for frame in frames:
            assert not frame.lost, frame.lost
            for page in PAGES:
                lines = page().draw(frame, Canvas(120, 40, UNICODE, call_name))
                assert all(_is_printable(plain(line)) for line in lines)


def cut_out(data: bytes) -> None:
    path = _file(data)
    out = path.with_name("cut")
    out.unlink(missing_ok=True)
    with contextlib.suppress(RecordingError):
        cut(path, out, _S, 3 * _S)


def option_file(data: bytes) -> None:
    with contextlib.suppress(MysqlError):
        login = find_login(Address(), option_file=_file(data), environment={})
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
    target.__name__: target
    for target in (read, export, report, view, cut_out, option_file, address, server, guest, output)
}
