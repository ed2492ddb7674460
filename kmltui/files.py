# SPDX-License-Identifier: GPL-2.0-or-later
"""Files written whole or not at all, under names that nobody else can have prepared."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

T = TypeVar("T")

PRIVATE = 0o600
"""For what belongs to its user alone: recordings, the register, logs."""

SHARED = 0o666
"""For what the user asked to have written somewhere; the umask takes from it what it takes from everything."""

_PREFIX, _SUFFIX = ".kmltui-", ".part"


@contextmanager
def replacing(path: Path, mode: int = PRIVATE) -> Iterator[BinaryIO]:
    """A file that takes the place of ``path`` in one step when the block ends in order, and is gone when it does not.

    Until then it lies beside ``path`` under a random name. It is on the disk before it takes its place. ``path`` itself
    is never opened: where a link lies there, the link is replaced and not what it leads to. Raises OSError.
    """
    sweep(path.parent)
    with _part(path.parent, mode) as (stream, part):
        try:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise


@contextmanager
def _part(directory: Path, mode: int) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file in ``directory``, locked while it is written: an unlocked one has been left behind."""
    while True:
        part = directory / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
        with open_new(part, mode) as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if os.fstat(stream.fileno()).st_nlink:  # else a sweep came between the two steps
                yield stream, part
                return


def open_new(path: Path, mode: int = PRIVATE) -> BinaryIO:
    """Create ``path`` for reading and writing, following no link. Raises FileExistsError, OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, mode), "w+b")


def open_own(path: Path) -> BinaryIO:
    """Open a file for reading that nobody but this user can have written, following no link. Raises OSError."""
    stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    for status in (os.fstat(stream.fileno()), path.parent.stat()):
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            stream.close()
            raise PermissionError(f"{path} may have been written by another user")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise PermissionError(f"{path} is not a regular file")
    return stream


def remembered(path: Path, kind: type[T]) -> T | None:
    """What a small JSON file of ours holds; None if there is none, or it is damaged in whatever way. Never raises."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def private_dir(path: Path) -> Path:
    """Make the directory ``path`` one of this user's alone, and those above it if need be. Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)
    return path


def sweep(directory: Path) -> None:
    """Remove the parts of files in ``directory`` whose writer was killed. Never raises."""
    try:
        found = [Path(entry.path) for entry in os.scandir(directory) if _is_part(entry.name)]
    except OSError:
        return
    for path in found:
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                status = os.fstat(descriptor)
                if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
            finally:
                os.close(descriptor)


def _is_part(name: str) -> bool:
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)
