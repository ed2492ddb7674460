# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket of a run: stop it, put a mark into its recording or a file into one of its sessions.

A Unix socket in a directory of mode 0700; the peer's uid is checked as well, since root may have widened the
directory. One JSON object a line in each direction::

    {"op": "ping"}                                    → {"ok": true, "run": NAME, "recording": PATH}
    {"op": "stop"}                                    → {"ok": true}
    {"op": "mark", "note": TEXT, "author": TEXT}      → {"ok": true, "t_ns": N}
    {"op": "put", "session": NAME, "files": {TO: FROM…}, "author": TEXT} → {"ok": true, "told": [TEXT…]}
    {"op": "explain", "digest": HEX, "schema": TEXT}  → {"ok": true, "columns": [TEXT…], "rows": [[TEXT…]…]}
    anything else                                     → {"ok": false, "error": TEXT}

``put`` copies files of this machine, which the runner reads itself. ``explain`` is for runs that watch a server.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from kmltui.sessions.explain import Explanation, NoExplanation

MAX_LINE_BYTES = 1 << 20
MAX_ANSWER_BYTES = 1 << 20
MAX_NOTE_CHARACTERS = 1_000

Explain = Callable[[str, str], Explanation]
"""For a digest and its schema, the server's plan; blocks. Raises :class:`NoExplanation`."""


Put = Callable[[str, dict[str, str], str], Awaitable[list[str]]]
"""For a session, files by the path that each gets there, and who puts them; returns what the user should be told.
Raises :class:`ControlError`."""


class Request(msgspec.Struct):
    """One line from a client."""

    op: str
    note: str = ""
    author: str = ""
    digest: str = ""
    schema: str = ""
    session: str = ""
    files: dict[str, str] = {}


class ControlError(Exception):
    """The run cannot be reached, or refused the request."""


class ControlServer:
    """The runner's end. ``on_stop`` and ``on_mark`` are called in the event loop; the second returns the t_ns.
    ``explain`` is called in a thread, one call at a time; None if no server is watched. ``put`` is awaited."""

    def __init__(
        self,
        path: Path,
        info: dict[str, str],
        on_stop: Callable[[], None],
        on_mark: Callable[[str, str], int],
        explain: Explain | None = None,
        put: Put | None = None,
    ) -> None:
        self._path = path
        self._info = info
        self._on_stop = on_stop
        self._on_mark = on_mark
        self._explain = explain
        self._put = put
        self._explaining = asyncio.Lock()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=MAX_LINE_BYTES)
        self._path.chmod(0o600)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if _peer_uid(writer.get_extra_info("socket")) != os.getuid():
                writer.write(msgspec.json.encode({"ok": False, "error": "this run belongs to another user"}) + b"\n")
                return
            with contextlib.suppress(ConnectionError, ValueError):
                while line := await reader.readline():
                    writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
                    await writer.drain()
        except asyncio.CancelledError:
            pass  # the run ends; Python 3.11 prints a traceback for a client's task that was cancelled
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            return {"ok": True, **await self._done(line)}
        except ControlError as error:
            return {"ok": False, "error": str(error)}

    async def _done(self, line: bytes) -> dict[str, Any]:
        """What there is to answer when a request was carried out. Raises :class:`ControlError`."""
        try:
            request = msgspec.json.decode(line, type=Request)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ControlError(f"not a request: {error}") from error
        match request.op:
            case "ping":
                return dict(self._info)
            case "stop":
                self._on_stop()
                return {}
            case "mark":
                return {"t_ns": self._on_mark(request.note[:MAX_NOTE_CHARACTERS], request.author[:100])}
            case "put":
                return await self._files(request)
            case "explain":
                return await self._plan(request)
            case _:
                raise ControlError(f"unknown operation {request.op!r}")

    async def _files(self, request: Request) -> dict[str, Any]:
        if self._put is None:
            raise ControlError("nothing can be put into this run's sessions")
        return {"told": await self._put(request.session, request.files, request.author[:100])}

    async def _plan(self, request: Request) -> dict[str, Any]:
        if self._explain is None:
            raise ControlError("this run watches no server")
        try:
            async with self._explaining:
                plan = await asyncio.to_thread(self._explain, request.digest, request.schema)
        except NoExplanation as reason:
            raise ControlError(str(reason)) from reason
        return {"columns": plan.columns, "rows": plan.rows}


def _peer_uid(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", credentials)[1]
    return uid


async def request(path: Path, op: str, *, timeout_s: float = 5.0, **fields: object) -> dict[str, Any]:
    """Send one request to the run behind ``path`` and return its answer.

    Raises ControlError: nobody answers there, or the run refused; the message says what to do.
    """
    line = msgspec.json.encode({"op": op, **fields}) + b"\n"
    if len(line) > MAX_LINE_BYTES:
        raise ControlError("the request is too long: name fewer files at once")
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(path, limit=MAX_ANSWER_BYTES)
            try:
                writer.write(line)
                await writer.drain()
                answered = await reader.readline()
            finally:
                writer.close()
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise ControlError("the run has already ended") from error
    except (OSError, TimeoutError) as error:
        reason = str(error) or f"nothing within {timeout_s:.0f} s"
        raise ControlError(f"the run does not answer on {path}: {reason}; it may have ended") from error
    if not answered:
        raise ControlError("the run closed the connection; it is probably just ending")
    answer: dict[str, Any] = msgspec.json.decode(answered)
    if not answer.get("ok"):
        raise ControlError(str(answer.get("error", "refused")))
    return answer
