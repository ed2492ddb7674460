# SPDX-License-Identifier: GPL-2.0-or-later
"""An image's programs as a directory on the host, for a private server beside the guests.

It is unpacked from the archive that guests boot, so it exists for imported images too, and has exactly the same files.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from msgspec import Struct

from kmltui.images import store
from kmltui.images.errors import ImageError
from kmltui.images.image import Image, find_image
from kmltui.images.progress import Report, silent, step
from kmltui.images.removal import remove
from kmltui.images.spec import ImageSpec

_HEADER = re.compile(rb"070701[0-9A-Fa-f]{104}")
_HEADER_BYTES = 110
# An imported image's archive is anybody's. These are many times what any image has.
_MAX_ENTRIES = 1_000_000
_MAX_NAME_BYTES = 4096
_MAX_BUSYBOX_BYTES = 64 << 20
_MAX_GAP_BYTES = 1 << 16
"""Zeros between two archives that are joined."""
_KEPT = ("usr", "etc", "bin", "sbin", "lib", "lib64", "var")
BUSYBOX = "kmltui/busybox"
SEARCHED = ("usr/sbin", "usr/bin")
"""Where guestd looks up a program by its name."""
_NEWEST = 2
"""How many trees are kept."""


class _Entry(Struct, frozen=True):
    path: str
    mode: int
    inode: int
    links: int
    size: int


def programs_tree(spec: ImageSpec, report: Report = silent) -> Path:
    """The directory with an image's programs and its ready data directory, unpacked if it does not exist yet.

    Read-only. Raises :class:`ImageError`.
    """
    home = _home(find_image(spec))
    if home.is_dir():
        return home
    with store.locked(report):
        image = find_image(spec)  # a build that we waited for may have made a new one
        home = _home(image)
        if home.is_dir():
            return home
        store.check_space()
        with store.workspace() as work, step("unpacking the programs", report), image.initrd.open("rb") as archive:
            tree = work / "programs"
            tree.mkdir()
            try:
                unpack_archive(archive, tree)
                _add_shell(tree)
            except (OSError, ValueError) as error:
                raise ImageError(
                    f"{image.initrd} cannot be unpacked: {error}; `kmltui guest build` rebuilds it"
                ) from error
            home.parent.mkdir(parents=True, exist_ok=True)
            tree.rename(home)
        kept = sorted(home.parent.glob("programs-*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[_NEWEST:]:
            remove(path)
    return home


def _add_shell(tree: Path) -> None:
    """The shell and the small programs that the guest's init takes from busybox unless a package brings them."""
    busybox = tree / BUSYBOX
    if not busybox.exists():
        return
    programs = tree / "usr/bin"
    programs.mkdir(parents=True, exist_ok=True)
    shutil.move(busybox, programs / "busybox")
    for name in _applets((programs / "busybox").read_bytes()):
        if not (programs / name).exists() and not (tree / "usr/sbin" / name).exists():
            (programs / name).symlink_to("busybox")


def has_program(image: Image, program: str) -> bool:
    """Return whether a guest of ``image`` finds ``program``, a name or an absolute path. Raises :class:`ImageError`."""
    name = program.rpartition("/")[2]
    if "/" in program:
        path = program.lstrip("/")
        places = {path, f"usr/{path}"}
    else:
        places = {f"{directory}/{name}" for directory in SEARCHED}
    shell = b""
    try:
        with image.initrd.open("rb") as archive:
            for entry in _entries(archive):
                if entry.path in places:
                    return True
                if entry.path == BUSYBOX:
                    shell = _small(archive, entry.size, _MAX_BUSYBOX_BYTES)
                else:
                    _skip(archive, entry.size)
    except (OSError, ValueError) as error:
        raise ImageError(f"{image.initrd} cannot be read: {error}") from error
    # The guest's init links all of its applets to it, in directories of its own choice.
    return name in _applets(shell) and ("/" not in program or program.startswith(("/bin/", "/sbin/", "/usr/")))


def programs(image: Image) -> set[str]:
    """All files in the directories for programs, by name, without busybox's applets. Raises :class:`ImageError`."""
    names = set()
    try:
        with image.initrd.open("rb") as archive:
            for entry in _entries(archive):
                directory, _, name = entry.path.rpartition("/")
                if directory in SEARCHED:
                    names.add(name)
                _skip(archive, entry.size)
    except (OSError, ValueError) as error:
        raise ImageError(f"{image.initrd} cannot be read: {error}") from error
    return names


_APPLETS = re.compile(rb"\[\0\[\[\0(?:[\w.-]+\0)+(?=\0)")
"""The names as busybox has them in its read-only data: sorted, each with a zero behind it, and one more at the end."""


def _applets(busybox: bytes) -> list[str]:
    """The applets of a busybox; none if it has no table of them.

    It is read and never asked (``--list``): the image may come from anyone, and nothing of it runs outside a guest.
    """
    table = max(_APPLETS.findall(busybox), key=len, default=b"")
    return table.decode("ascii", "ignore").split("\0")[:-1]


def _home(image: Image) -> Path:
    return store.root() / "trees" / f"programs-{image.manifest.key}"


def unpack_archive(archive: BinaryIO, tree: Path) -> None:
    """Unpack the programs' part of joined cpio archives below ``tree``. Raises ValueError for anything else."""
    first: dict[int, Path] = {}
    inside = tree.resolve()
    for entry in _entries(archive):
        if entry.path == "TRAILER!!!":
            first.clear()  # inode numbers start over with every archive
            continue
        parts = PurePosixPath(entry.path).parts
        wanted = entry.path == BUSYBOX or (bool(parts) and parts[0] in _KEPT)
        if ".." in parts or entry.path.startswith("/"):
            raise ValueError(f"the path {entry.path!r} leads out of the archive")
        target = tree / entry.path
        if wanted and not target.parent.resolve().is_relative_to(inside):
            raise ValueError(f"the path {entry.path!r} leads out of the archive through a link")
        kind = stat.S_IFMT(entry.mode)
        if not wanted or kind not in (stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK):
            _skip(archive, entry.size)
        elif kind == stat.S_IFDIR:
            target.mkdir(parents=True, exist_ok=True)
        elif kind == stat.S_IFLNK:
            link = _small(archive, entry.size, _MAX_NAME_BYTES).decode()
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
    """Raises ValueError for what is no archive, or larger than an image's can be."""
    for _ in range(_MAX_ENTRIES):
        header = _header(archive)
        if not header:
            return
        fields = [int(header[6 + 8 * index : 14 + 8 * index], 16) for index in range(13)]
        length = fields[11]
        if length > _MAX_NAME_BYTES:
            raise ValueError("a name in the archive is too long")
        name = archive.read(length)[:-1].decode()
        _pad(archive, _HEADER_BYTES + length)
        yield _Entry(name, fields[1], fields[0], fields[4], fields[6])
    raise ValueError("the archive has too many files")


def _header(archive: BinaryIO) -> bytes:
    """The next header; empty at the end. Concatenated archives have zeros between them."""
    for _ in range(_MAX_GAP_BYTES // 4):
        magic = archive.read(4)
        if not magic:
            return b""
        if magic != b"\0\0\0\0":
            header = magic + archive.read(_HEADER_BYTES - 4)
            if not _HEADER.fullmatch(header):
                raise ValueError("not a cpio archive, or truncated")
            return header
    raise ValueError("not a cpio archive: there are too many zeros in it")


def _small(archive: BinaryIO, size: int, most: int) -> bytes:
    """The contents of an entry that is kept in memory."""
    if size > most:
        raise ValueError(f"a file in the archive has {size} bytes, and {most} at most in any image")
    data = archive.read(size)
    _pad(archive, size)
    return data


def _skip(archive: BinaryIO, size: int) -> None:
    archive.seek(size, os.SEEK_CUR)
    _pad(archive, size)


def _pad(archive: BinaryIO, size: int) -> None:
    """Names and contents are padded to multiples of four."""
    archive.seek(-size % 4, os.SEEK_CUR)


def _copy(archive: BinaryIO, stream: BinaryIO, size: int) -> None:
    left = size
    while left:
        data = archive.read(min(left, 1 << 20))
        if not data:
            raise ValueError("the archive is truncated")
        stream.write(data)
        left -= len(data)
    _pad(archive, size)
