# SPDX-License-Identifier: GPL-2.0-or-later
"""An image's programs as a directory on the host, for a private server beside the guests.

It is unpacked from the archive that guests boot, so it exists for imported images too, and has exactly the same files.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
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

_MAGIC = b"070701"
_HEADER_BYTES = 110
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
            except (OSError, ValueError, subprocess.SubprocessError) as error:
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
    shutil.move(busybox, programs / "busybox")
    listed = subprocess.run([programs / "busybox", "--list"], capture_output=True, text=True, check=True)
    for name in listed.stdout.split():
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
                    shell = archive.read(entry.size)
                    _pad(archive, entry.size)
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


def _applets(busybox: bytes) -> list[str]:
    """The applets of a busybox; none if it is empty or cannot be run here."""
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory, "busybox")
        program.write_bytes(busybox)
        program.chmod(0o700)
        try:
            listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
        except (OSError, subprocess.SubprocessError):
            return []
        return listed.stdout.split()


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
            link = archive.read(entry.size).decode()
            _pad(archive, entry.size)
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
        _pad(archive, _HEADER_BYTES + length)
        yield _Entry(name, fields[1], fields[0], fields[4], fields[6])


def _header(archive: BinaryIO) -> bytes:
    """The next header; empty at the end. Concatenated archives have zeros between them."""
    while magic := archive.read(4):
        if magic != b"\0\0\0\0":
            header = magic + archive.read(_HEADER_BYTES - 4)
            if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
                raise ValueError("not a cpio archive, or truncated")
            return header
    return b""


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
