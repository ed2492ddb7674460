# SPDX-License-Identifier: GPL-2.0-or-later
"""Archives in the format of an initramfs ("newc" cpio).

Everything belongs to root and nothing is writable by others, whoever builds the image; times are 0. So identical
contents give identical bytes.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import BinaryIO

_ALIGNMENT = 4


class CpioWriter:
    """Writes one archive to ``stream``. Paths are relative to the guest's root, without a leading slash."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._inode = 0
        self._made: set[str] = set()

    def _entry(
        self, path: str, mode: int, size: int = 0, *, links: int = 1, inode: int = 0, device: tuple[int, int] = (0, 0)
    ) -> None:
        if not inode:
            self._inode += 1
            inode = self._inode
        name = path.encode() + b"\0"
        numbers = (inode, mode, 0, 0, links, 0, size, 0, 0, *device, len(name), 0)
        header = b"070701" + b"".join(b"%08x" % number for number in numbers) + name
        self._stream.write(header + bytes(-len(header) % _ALIGNMENT))

    def directory(self, path: str, mode: int = 0o755) -> None:
        """Make ``path`` and the directories above it, each once."""
        if not path or path in self._made:
            return
        self.directory(path.rpartition("/")[0])
        self._made.add(path)
        self._entry(path, stat.S_IFDIR | mode)

    def symlink(self, path: str, target: str) -> None:
        self.directory(path.rpartition("/")[0])
        self._entry(path, stat.S_IFLNK | 0o777, len(target.encode()))
        self._padded(target.encode())

    def device(self, path: str, mode: int, major: int, minor: int) -> None:
        """A character device."""
        self.directory(path.rpartition("/")[0])
        self._entry(path, stat.S_IFCHR | mode, device=(major, minor))

    def data(self, path: str, data: bytes, mode: int = 0o644) -> None:
        self.directory(path.rpartition("/")[0])
        self._entry(path, stat.S_IFREG | mode, len(data))
        self._padded(data)

    def file(self, path: str, source: Path, *also: str, mode: int | None = None) -> None:
        """Add a file with the contents of ``source``; ``also`` are further hard links to it."""
        with source.open("rb") as stream:
            status = os.fstat(stream.fileno())
            permissions = (status.st_mode & 0o755 if mode is None else mode) | 0o444
            for name in (path, *also):
                self.directory(name.rpartition("/")[0])
            self._inode += 1
            inode, kind, links = self._inode, stat.S_IFREG | permissions, 1 + len(also)
            # The kernel links the later names to the first, whose entry has the contents.
            self._entry(path, kind, status.st_size, links=links, inode=inode)
            shutil.copyfileobj(stream, self._stream, 1 << 20)
            self._stream.write(bytes(-status.st_size % _ALIGNMENT))
            for name in also:
                self._entry(name, kind, links=links, inode=inode)

    def close(self) -> None:
        """End the archive (the stream stays open). Padded to a multiple of 512, so that archives can be joined."""
        self._entry("TRAILER!!!", 0)
        self._stream.write(bytes(-self._stream.tell() % 512))

    def _padded(self, data: bytes) -> None:
        self._stream.write(data + bytes(-len(data) % _ALIGNMENT))
