# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests as they were after their boot, kept on disk: the next one of the same machine and image goes on from there.

Only guests whose clock counts instructions are kept. They execute the same boot each time, whatever the host is doing:
a guest that goes on from there is what another boot would have made of it, in a tenth of the time. What little a boot
leaves to chance is the same in all that go on from one, though, so a bench always boots.

A file holds guestd's report, on one line, and after it what QEMU calls a migration stream.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from kmltui import files
from kmltui.images import store
from kmltui.machine.qemu import CONNECTIONS, VmConfig, qemu_arguments, qemu_path, qemu_version

_FORMAT = 1
KEPT_BYTES = 4 << 30
"""How much is kept in all, unless a single one takes more. A guest of the default image (111 MB) takes 280 MB, one of
an image of 443 MB 950."""
_LINE_MAX = 1 << 16
_PIECE = 1 << 20

Report = dict[str, list[str]]
"""guestd's report, as :meth:`kmltui.machine.channel.Channel.hello` returns it."""


class IncompleteError(OSError):
    """Not all of a guest's state came."""


class Booted:
    """Where the state of a machine after its boot is kept, or would be."""

    def __init__(self, config: VmConfig, image_key: str) -> None:
        """``image_key`` is the image's :attr:`~kmltui.images.store.Manifest.key`. Raises :class:`MissingError`."""
        program = Path(qemu_path()).stat()
        made_of = qemu_arguments(config, dict.fromkeys(CONNECTIONS, 0))
        # The files that it boots from are known by the image's key, wherever they lie.
        words = [word for word in made_of if word not in (str(config.kernel), str(config.initrd))]
        key = store.hash_of(_FORMAT, qemu_version(), program.st_size, program.st_mtime_ns, *words)
        self.path = store.booted_dir() / f"{image_key}-{key}"

    @contextmanager
    def open(self) -> Iterator[tuple[Report, BinaryIO] | None]:
        """guestd's report, and the file at where the state begins; None if nothing is kept.

        QEMU trusts what it reads, so a file that another user could have put there is none.
        """
        try:
            stream = files.open_own(self.path)
        except OSError:
            yield None
            return
        with stream:
            try:
                report = msgspec.json.decode(stream.readline(_LINE_MAX), type=Report)
            except (OSError, msgspec.MsgspecError):
                yield None
                return
            with contextlib.suppress(OSError):
                os.utime(self.path)  # the most recently used ones are kept
            yield report, stream

    def keep(self, report: Report, source: socket.socket, complete: Future[bool]) -> None:
        """Keep what comes from ``source``, if ``complete`` then says that it was all.

        The ones that were not used for longest make room. Raises OSError, :class:`IncompleteError`.
        """
        with source:
            files.private_dir(self.path.parent)
            with files.replacing(self.path) as stream:
                stream.write(msgspec.json.encode(report) + b"\n")
                while data := source.recv(_PIECE):
                    stream.write(data)
                if not complete.result():
                    raise IncompleteError
            with contextlib.suppress(OSError):  # another session forgets some at this moment
                self._forget_others()

    def _forget_others(self) -> None:
        """Remove those that were not used for longest, as many as are too many beside this one."""
        left = KEPT_BYTES - self.path.stat().st_size
        others = [(path.stat(), path) for path in self.path.parent.glob("[!.]*") if path != self.path]
        now = time.time_ns()  # a file from the future, by a clock that was wrong, is not the newest for ever
        for status, path in sorted(others, key=lambda other: -min(other[0].st_mtime_ns, now)):
            left -= status.st_size
            if left < 0:
                path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Keep it no longer. Idempotent."""
        with contextlib.suppress(OSError):
            self.path.unlink()
