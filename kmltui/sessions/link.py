# SPDX-License-Identifier: GPL-2.0-or-later
"""A connection to a MySQL or MariaDB server that may be hostile.

Whatever it sends, and however slowly: a login and each query have a total time limit and a result has a size limit, no
server gets the password merely by asking for it, and what comes back is rows of text or a :class:`LinkError`.
"""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymysql
from pymysql.constants import COMMAND

from kmltui.sessions.tls import Tls

LOGIN_LIMIT_S = 5.0
QUESTION_LIMIT_S = 10.0
MAX_ANSWER_BYTES = 1 << 20
"""Of one answer. SHOW GLOBAL STATUS has about 50 kB."""

_LEAVE_LIMIT_S = 0.5


class LinkError(Exception):
    """The server broke the protocol, or asked for something that it must not get. The message continues after its
    address, and contains no secret."""


class _Guard:
    """Answers or refuses a server that asks for a password in a certain way."""

    def __init__(self, plugin: str, link: Link) -> None:
        self._plugin = plugin
        self._link = link

    def authenticate(self, packet: Any) -> Any:
        if self._plugin == "mysql_old_password":
            raise LinkError("it wants a login method that was broken long ago (mysql_old_password)")
        if not self._link.trusted:
            raise LinkError(
                f"it wants the password in clear text ({self._plugin}), which it gets over a Unix socket, or over TLS "
                "with a certificate that is checked (ssl-ca, or ssl-mode=VERIFY_IDENTITY, in the option file)"
            )
        return self._link.send_secret()


_GUARDED = ("mysql_clear_password", "dialog", "mysql_old_password")


if TYPE_CHECKING:
    _Connection = pymysql.connections.Connection[Any]
else:
    _Connection = pymysql.connections.Connection


class Link(_Connection):
    """A connection that is made by :func:`open_link`. Not thread-safe, save :meth:`abort`."""

    if TYPE_CHECKING:  # parts of PyMySQL that its type stubs leave out
        _sock: Any
        _rfile: Any
        server_version: str

        def _force_close(self) -> None: ...

    def __init__(self, *, tls: Tls, limit_s: float, **settings: Any) -> None:
        # Before the base class, which reads it at once.
        self._server_key: bytes | None = None
        self._may_ask_key = tls.ask_server_key
        self._limit_s = limit_s
        self._deadline = time.monotonic() + limit_s
        self._left = MAX_ANSWER_BYTES
        self._greeted = False
        self._tls = tls
        local = bool(settings.get("unix_socket"))
        # Like the clients: a local socket needs no encryption unless it is requested.
        off = tls.mode == "disabled" or (local and tls.mode == "preferred")
        super().__init__(
            ssl=None if off else tls.context(named=not local),
            ssl_disabled=off,
            autocommit=None,
            program_name="kmltui",
            defer_connect=True,
            conv={},  # plain text: a converter would trust the types that a server claims
            auth_plugin_map={name: partial(_Guard, name) for name in _GUARDED},
            **settings,
        )
        self._secure = local
        self._ssl_required = tls.mode not in ("disabled", "preferred")
        if tls.server_key:
            try:
                self._server_key = Path(tls.server_key).read_bytes()
            except OSError as error:
                raise LinkError(f"what server-public-key-path names cannot be read: {error.strerror}") from None

    @property
    def trusted(self) -> bool:
        """Whether the other end is known to be the intended server."""
        encrypted: bool = self._secure
        return bool(self.unix_socket) or (encrypted and self._tls.verifies)

    # What PyMySQL asks for when it is about to encrypt the password with a key from the server.
    @property
    def server_public_key(self) -> bytes | None:
        if self._may_ask_key or self._tls.server_key or self._on_this_machine():
            return self._server_key
        raise LinkError(
            "it wants the password encrypted with a key that it names itself, which anybody in its place could do: use "
            "TLS, or put get-server-public-key into the option file"
        )

    @server_public_key.setter
    def server_public_key(self, key: bytes | None) -> None:
        if not self._tls.server_key:
            self._server_key = key

    def _on_this_machine(self) -> bool:
        link = self._sock
        peer = link.getpeername()[0] if link is not None and link.family != socket.AF_UNIX else ""
        return peer.startswith("127.") or peer == "::1"

    def send_secret(self) -> Any:
        """Send the password in clear text; returns the server's reply."""
        self.write_packet(self.password + b"\0")
        return self._read_packet()  # type: ignore[no-untyped-call]

    def ask(self, statement: str, columns: int, limit_s: float = QUESTION_LIMIT_S) -> list[tuple[str, ...]]:
        """The rows of an answer of ``columns`` columns. Blocks for ``limit_s`` at most.

        Raises :class:`LinkError`, and whatever PyMySQL makes of a malformed reply.
        """
        names, rows = self.table(statement, limit_s)
        if not rows or len(names) != columns:
            raise LinkError(f"it answered {statement!r} with something else than rows of {columns} columns")
        return rows

    def table(self, statement: str, limit_s: float = QUESTION_LIMIT_S) -> tuple[list[str], list[tuple[str, ...]]]:
        """The columns' names and the rows of an answer, of which there may be none. Blocks for ``limit_s`` at most.

        Raises as :meth:`ask` does.
        """
        self._limit_s = limit_s
        self._deadline = time.monotonic() + limit_s
        self._left = MAX_ANSWER_BYTES
        with self.cursor() as cursor:
            cursor.execute(statement)
            rows = cursor.fetchall()
            names = [str(column[0]) for column in cursor.description or ()]
        if any(len(row) != len(names) for row in rows):
            raise LinkError(f"it answered {statement!r} with rows of different lengths")
        return names, [tuple(_text(value) for value in row) for row in rows]

    def abort(self) -> None:
        """Abort what is in progress, from any thread. The connection is unusable afterwards."""
        link = self._sock
        if link is not None:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Say goodbye, without waiting for a reply, and close it. Idempotent."""
        if self._sock is not None:
            self._deadline = time.monotonic() + _LEAVE_LIMIT_S
            with suppress(LinkError):
                self._write_bytes(struct.pack("<iB", 1, COMMAND.COM_QUIT))
        self._force_close()

    def _get_server_information(self) -> None:
        super()._get_server_information()  # type: ignore[misc]
        self._greeted = True

    def _remaining_s(self) -> float:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            self._force_close()
            raise self._late()
        return remaining

    def _late(self) -> LinkError:
        if self._greeted:
            return LinkError(f"it did not finish its answer within {self._limit_s:g} s")
        return LinkError(
            f"it has not sent a greeting within {self._limit_s:g} s: is it a MySQL server that listens there?"
        )

    def _read_bytes(self, num_bytes: int) -> bytes:
        """Replaces PyMySQL's own, whose time limit applies to each piece received."""
        self._left -= num_bytes
        if self._left < 0:
            self._force_close()
            raise LinkError(f"its answer is longer than {MAX_ANSWER_BYTES >> 10} KiB, which no answer to kmltui is")
        data = bytearray()
        while len(data) < num_bytes:
            remaining = self._remaining_s()
            try:
                self._sock.settimeout(remaining)
                piece = self._rfile.read1(num_bytes - len(data))
            except TimeoutError:
                self._force_close()
                raise self._late() from None
            except (OSError, AttributeError) as error:  # the latter: closed by another thread
                self._force_close()
                raise LinkError(f"the connection broke: {error}") from None
            if not piece:
                self._force_close()
                raise LinkError("it closed the connection in the middle of an answer")
            data += piece
        return bytes(data)

    def _write_bytes(self, data: bytes) -> None:
        remaining = self._remaining_s()
        try:
            self._sock.settimeout(remaining)
            self._sock.sendall(data)
        except TimeoutError:
            self._force_close()
            raise self._late() from None
        except (OSError, AttributeError) as error:
            self._force_close()
            raise LinkError(f"the connection broke: {error}") from None


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else "" if value is None else str(value)


def open_link(*, user: str, password: bytes, host: str, port: int, unix_socket: str, tls: Tls, limit_s: float) -> Link:
    """Log in. Blocks for ``limit_s`` at most, not counting the name lookup.

    Raises :class:`LinkError`, OSError, ssl.SSLError, and whatever PyMySQL makes of a malformed reply.
    """
    link = Link(
        tls=tls,
        limit_s=limit_s,
        user=user or None,
        password=password,
        host=host or None,
        port=port,
        unix_socket=unix_socket or None,
    )
    if unix_socket:
        wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            wire.settimeout(limit_s)
            wire.connect(unix_socket)
        except BaseException:
            wire.close()
            raise
    else:
        wire = _connected(host or "localhost", port, limit_s)
    link.connect(wire)
    return link


def _connected(host: str, port: int, limit_s: float) -> socket.socket:
    """Connect by TCP to the first address of ``host`` that accepts; ``limit_s`` is for all of them together."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    deadline = time.monotonic() + limit_s
    failure: OSError = TimeoutError("it does not answer")
    for family, kind, protocol, _, address in found:
        if (remaining := deadline - time.monotonic()) <= 0:
            break
        wire = socket.socket(family, kind, protocol)
        try:
            wire.settimeout(remaining)
            wire.connect(address)
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return wire
        except OSError as error:
            wire.close()
            failure = error
    raise failure
