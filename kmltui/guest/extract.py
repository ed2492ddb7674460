"""An image's programs as a directory of the host, for a private server beside the guests.

Read from the archive that guests boot, so it is there for an imported image too, and holds the very same files.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from msgspec import Struct

from kmltui.guest import store
from kmltui.guest.errors import ImageError
from kmltui.guest.image import Image
from kmltui.guest.progress import Report, silent, step
from kmltui.guest.tree import remove

_MAGIC = b"070701"
_HEADER_BYTES = 110
_KEPT = ("usr", "etc", "bin", "sbin", "lib", "lib64", "var")
_NEWEST = 2
"""How many trees are kept."""


class _Entry(Struct, frozen=True):
    path: str
    mode: int
    inode: int
    links: int
    size: int


def programs_tree(image: Image, report: Report = silent) -> Path:
    """The directory with the programs of ``image`` and its ready data directory, unpacked if it is not there yet.

    To be read, not changed. Raises :class:`ImageError`.
    """
    home = store.root() / "trees" / f"programs-{image.manifest.key}"
    if home.is_dir():
        return home
    with store.locked(report):
        if home.is_dir():
            return home
        store.check_space()
        with store.workspace() as work, step("unpacking the programs", report), image.initrd.open("rb") as archive:
            tree = work / "programs"
            tree.mkdir()
            try:
                unpack_archive(archive, tree)
            except (OSError, ValueError) as error:
                raise ImageError(
                    f"{image.initrd} cannot be unpacked: {error}; `kmltui guest build` makes it anew"
                ) from error
            home.parent.mkdir(parents=True, exist_ok=True)
            tree.rename(home)
        kept = sorted(home.parent.glob("programs-*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[_NEWEST:]:
            remove(path)
    return home


def unpack_archive(archive: BinaryIO, tree: Path) -> None:
    """Unpack the programs' part of joined cpio archives below ``tree``. Raises ValueError for anything else."""
    first: dict[int, Path] = {}
    for entry in _entries(archive):
        if entry.path == "TRAILER!!!":
            first.clear()  # inode numbers begin anew with every archive
            continue
        parts = PurePosixPath(entry.path).parts
        wanted = bool(parts) and parts[0] in _KEPT
        if ".." in parts or entry.path.startswith("/"):
            raise ValueError(f"the path {entry.path!r} leads out of the archive")
        target = tree / entry.path
        kind = stat.S_IFMT(entry.mode)
        if not wanted or kind not in (stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK):
            _skip(archive, entry.size)
        elif kind == stat.S_IFDIR:
            target.mkdir(parents=True, exist_ok=True)
        elif kind == stat.S_IFLNK:
            link = archive.read(entry.size).decode()
            _skip(archive, -entry.size % 4)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.is_symlink():
                target.symlink_to(link)
        elif entry.links > 1 and entry.inode in first:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(first[entry.inode], target)
            _skip(archive, entry.size)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            with target.open("wb") as stream:
                _copy(archive, stream, entry.size)
            target.chmod(entry.mode & 0o777)
            if entry.links > 1:
                first[entry.inode] = target


def _entries(archive: BinaryIO) -> Iterator[_Entry]:
    while header := _header(archive):
        fields = [int(header[6 + 8 * index : 14 + 8 * index], 16) for index in range(13)]
        length = fields[11]
        name = archive.read(length)[:-1].decode()
        _skip(archive, -(_HEADER_BYTES + length) % 4)
        yield _Entry(name, fields[1], fields[0], fields[4], fields[6])


def _header(archive: BinaryIO) -> bytes:
    """The next header; empty at the end. Archives that are joined have zeros between them."""
    while magic := archive.read(4):
        if magic != b"\0\0\0\0":
            header = magic + archive.read(_HEADER_BYTES - 4)
            if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
                raise ValueError("not a cpio archive, or cut short")
            return header
    return b""


def _skip(archive: BinaryIO, size: int) -> None:
    archive.seek(size + -size % 4, os.SEEK_CUR)


def _copy(archive: BinaryIO, stream: BinaryIO, size: int) -> None:
    left = size
    while left:
        data = archive.read(min(left, 1 << 20))
        if not data:
            raise ValueError("the archive is cut short")
        stream.write(data)
        left -= len(data)
    _skip(archive, 0 if not size % 4 else -size % 4)


def copy_data(tree: Path, target: Path) -> None:
    """A fresh copy of the ready data directory."""
    shutil.copytree(tree / "var/lib/mysql", target, dirs_exist_ok=True)
