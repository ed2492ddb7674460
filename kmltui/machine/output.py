# SPDX-License-Identifier: GPL-2.0-or-later
"""A program's output as lines, read as fast as it comes, so that the program never waits for its reader."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator

MAX_LINE_BYTES = 64 << 10
"""A longer line is cut."""

MAX_WAITING_BYTES = 4 << 20
"""Lines that nobody has read yet; any more are counted and left out."""

FIRST_LINES, LAST_LINES = 2000, 200
"""What is kept of a long output."""

Line = tuple[str, str]
"""``"stdout"`` or ``"stderr"``, and the text without its newline."""


class Lines:
    """Cuts what is :meth:`fed <feed>` into lines, to be iterated once. Its memory is bounded, whatever comes."""

    def __init__(self) -> None:
        self._pending: dict[str, bytearray] = {}
        self._cut: dict[str, int] = {}
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._waiting_bytes = 0
        self._left_out = 0
        self._ended = False
        self._news = asyncio.Event()

    def feed(self, stream: str, data: bytes) -> None:
        """A piece of output, of any length."""
        first, *others = data.split(b"\n")
        self._lengthen(stream, first)
        for piece in others:
            self._complete(stream)
            self._lengthen(stream, piece)

    def end(self) -> None:
        """Nothing more will come."""
        for stream in [name for name, pending in self._pending.items() if pending]:
            self._complete(stream)
        self._ended = True
        self._news.set()

    def _lengthen(self, stream: str, piece: bytes) -> None:
        pending = self._pending.setdefault(stream, bytearray())
        room = MAX_LINE_BYTES - len(pending)
        pending += piece[:room]
        self._cut[stream] = self._cut.get(stream, 0) + max(len(piece) - room, 0)

    def _complete(self, stream: str) -> None:
        line = bytes(self._pending[stream])
        if cut := self._cut[stream]:
            line += f" … ({cut} bytes left out)".encode()
        self._pending[stream].clear()
        self._cut[stream] = 0
        if self._waiting_bytes + len(line) > MAX_WAITING_BYTES:
            self._left_out += 1
            return
        self._waiting.append((stream, line))
        self._waiting_bytes += len(line) + 64
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[Line]:
        while True:
            while self._waiting:
                stream, line = self._waiting.popleft()
                self._waiting_bytes -= len(line) + 64
                yield stream, line.decode(errors="replace")
            if self._left_out:
                text, self._left_out = f"… {self._left_out} lines left out, which came too fast", 0
                yield "stderr", text
            elif self._ended:
                return
            else:
                self._news.clear()
                await self._news.wait()


async def abridged(lines: AsyncIterable[Line], first: int = FIRST_LINES, last: int = LAST_LINES) -> AsyncIterator[Line]:
    """The ``first`` and the ``last`` of ``lines``, and between them how many were left out."""
    count = 0
    held: deque[Line] = deque(maxlen=last)
    async for line in lines:
        count += 1
        if count <= first:
            yield line
        else:
            held.append(line)
    if left_out := count - first - len(held) if count > first else 0:
        yield "stderr", f"… {left_out} lines left out …"
    for line in held:
        yield line
