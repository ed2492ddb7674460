# SPDX-License-Identifier: GPL-2.0-or-later
"""The archives that a guest boots from."""

from __future__ import annotations

import io
import stat
from dataclasses import dataclass
from pathlib import Path

from kmltui.build.cpio import CpioWriter


@dataclass
class Entry:
    name: str
    mode: int
    inode: int
    owner: int
    links: int
    device: tuple[int, int]
    data: bytes
    checksum: int


def read(data: bytes) -> list[Entry]:
    """An independent reader of the format, as the kernel reads it: four-byte alignment, several archives in a row."""
    entries: list[Entry] = []
    at = 0
    while at < len(data):
        if data[at] == 0:
            at += 1
            continue
        assert data[at : at + 6] == b"070701" and at % 4 == 0
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110 : at + 110 + fields[11]]
        assert name.endswith(b"\0")
        start = at + 110 + fields[11]
        start += -start % 4
        body = data[start : start + fields[6]]
        entries.append(
            Entry(
                name[:-1].decode(),
                fields[1],
                fields[0],
                fields[2],
                fields[4],
                (fields[9], fields[10]),
                body,
                fields[12],
            )
        )
        at = start + fields[6]
        at += -at % 4
    return entries


def archive(fill: object) -> bytes:
    stream = io.BytesIO()
    writer = CpioWriter(stream)
    fill(writer)  # type: ignore[operator]
    writer.close()
    return stream.getvalue()


def test_contents_come_back(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"12345")
    (tmp_path / "program").chmod(0o775)

    def fill(writer: CpioWriter) -> None:
        writer.file("usr/bin/program", tmp_path / "program")
        writer.symlink("bin", "usr/bin")
        writer.data("etc/passwd", b"root:x:0:0\n")
        writer.device("dev/console", 0o600, 5, 1)

    entries = {entry.name: entry for entry in read(archive(fill))}
    assert entries["usr/bin/program"].data == b"12345"
    assert entries["usr/bin/program"].mode == stat.S_IFREG | 0o755, "not writable by others, whatever it was here"
    assert entries["bin"].data == b"usr/bin" and stat.S_ISLNK(entries["bin"].mode)
    assert entries["etc/passwd"].data == b"root:x:0:0\n"
    assert entries["dev/console"].device == (5, 1) and stat.S_ISCHR(entries["dev/console"].mode)
    assert all(entry.owner == 0 for entry in entries.values())


def test_directories_come_before_what_is_in_them_and_once() -> None:
    def fill(writer: CpioWriter) -> None:
        writer.data("a/b/c", b"")
        writer.data("a/b/d", b"")

    assert [entry.name for entry in read(archive(fill))] == ["a", "a/b", "a/b/c", "a/b/d", "TRAILER!!!"]


def test_hard_links_share_one_inode_and_carry_the_contents_once(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"contents")
    entries = [
        e for e in read(archive(lambda w: w.file("one", tmp_path / "x", "two/three"))) if e.name in ("one", "two/three")
    ]
    assert [entry.data for entry in entries] == [b"contents", b""]
    assert entries[0].inode == entries[1].inode and [entry.links for entry in entries] == [2, 2]


def test_archives_can_be_joined(tmp_path: Path) -> None:
    joined = archive(lambda w: w.data("one", b"1")) + archive(lambda w: w.data("two", b"22"))
    assert [entry.name for entry in read(joined)] == ["one", "TRAILER!!!", "two", "TRAILER!!!"]


def test_equal_contents_give_equal_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"same")
    first = archive(lambda w: w.file("x", tmp_path / "x"))
    (tmp_path / "x").touch()
    assert archive(lambda w: w.file("x", tmp_path / "x")) == first
