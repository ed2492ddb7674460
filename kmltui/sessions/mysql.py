# SPDX-License-Identifier: GPL-2.0-or-later
"""An existing MySQL or MariaDB server: how to write its address, how to log in, and what its errors mean.

The address is a URL without a password (``mysql://user@host:port``, ``mysql:///path/to/socket``). The password comes
from a file, the environment, an option file or a prompt and lives in memory only: never in an argument list, a log, a
recording or the text of an error.
"""

from __future__ import annotations

import codecs
import contextlib
import getpass
import os
import re
import socket
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import psutil
import pymysql
from pymysql.constants import CR

from kmltui.model import whole
from kmltui.printable import printable
from kmltui.sessions.link import LOGIN_LIMIT_S, Link, LinkError, open_link
from kmltui.sessions.optionfile import OptionFileError, read_settings
from kmltui.sessions.tls import Tls, TlsError, tls_of

DEFAULT_PORT = 3306
_USUAL_SOCKETS = ("/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock")
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_EXAMPLES = "mysql://USER@HOST:PORT or mysql:///PATH/TO/SOCKET"
_ACCESS_DENIED = {1044, 1045, 1698}
_MAX_PASSWORD_BYTES = 4096
_MAX_WORDS = 300
"""Of a server's own message (characters)."""


class MysqlError(Exception):
    """The server cannot be used. The message says what happened, to which server, and what to do; no secret."""

    def __init__(self, message: str, *, denied: bool = False) -> None:
        super().__init__(message)
        self.denied = denied
        """The server refused the login: another password may help, waiting does not."""


class DsnError(ValueError):
    """Not the address of a server. The message says what is wrong and never repeats a password."""


@dataclass(frozen=True)
class Address:
    """Where a server listens: ``socket``, or ``host`` and ``port``; all empty: the one of this machine."""

    user: str = ""
    host: str = ""
    port: int = 0
    socket: str = ""

    def __str__(self) -> str:
        """As a URL, which holds no secret."""
        user = quote(self.user, safe="") + "@" if self.user else ""
        if self.socket:
            return f"mysql://{user}{quote(self.socket)}"
        host = f"[{quote(self.host, safe=':')}]" if ":" in self.host else self.host
        return f"mysql://{user}{host}" + (f":{self.port}" if self.port else "")


def parse_dsn(text: str) -> Address:
    """The address that a URL stands for. Raises :class:`DsnError`."""
    scheme, separator, rest = text.partition("://")
    # Looked for first and by hand: no message below may quote a password, whatever characters it has.
    login = "" if rest.startswith("/") else rest.rpartition("@")[0]
    if ":" in login:
        user = printable(login.partition(":")[0])
        raise DsnError(
            f"mysql://{user}:…: a password in an argument can be read by everybody on this machine; "
            "leave it out and use --mysql-password-file, MYSQL_PWD, an option file or the prompt"
        )
    shown = repr(printable(_shown(text)))
    if not separator or scheme not in ("mysql", "mariadb"):
        raise DsnError(f"{shown}: is not the address of a MySQL server; write {_EXAMPLES}")
    try:
        parts = urlsplit(text)
        host, port = unquote(parts.hostname or ""), parts.port
        # Without the zone of an IPv6 address, which is an interface's name, upper case means nothing, quoted or not.
        name, percent, zone = host.partition("%")
        host = f"{name.lower()}{percent}{zone}"
    except ValueError:
        host, port = "", 0
    if port == 0:
        raise DsnError(f"{shown}: the port is not a number from 1 to 65535; write {_EXAMPLES}")
    if parts.query or parts.fragment:
        raise DsnError(f"{shown}: nothing may follow the address, '?' and '#' included; write {_EXAMPLES}")
    path, user = unquote(parts.path), unquote(parts.username or "")
    if not (host + path + user).isprintable() or not re.fullmatch(r"[\w.:%+~-]*", host):
        raise DsnError(f"{shown}: no user, host or socket has such characters in its name; write {_EXAMPLES}")
    if host and "/" in path.strip("/"):
        login, beginning = f"{quote(user, safe='')}@" if user else "", "" if host in _THIS_MACHINE else f"/{host}"
        raise DsnError(f"{shown}: for a socket write no host before its path: mysql://{login}{beginning}{path}")
    if host and path.strip("/"):
        raise DsnError(f"{shown}: a server is watched, not the database {path.strip('/')!r}; leave that out")
    if not host and port:
        raise DsnError(f"{shown}: there is a port but no host; write {_EXAMPLES}")
    if not host and path in ("", "/"):
        return Address(user=user)
    return Address(user, host, port or 0) if host else Address(user, socket=path)


def _shown(text: str) -> str:
    """``text`` without what may be a password: what follows a question mark, a hash, or a colon and is no port."""
    scheme, separator, rest = text.partition("://")
    if not separator or not re.fullmatch(r"[\w.+-]*", scheme):
        scheme, separator, rest = "", "", text
    kept = re.match(r"(?:\[[^\]?#@]*\]|[^:?#\[])*(?::\d{1,5}(?=[/?#]|$)[^:?#]*)?", rest)
    assert kept is not None  # it matches the empty text
    return f"{scheme}{separator}{kept[0]}" + ("…" if kept[0] != rest else "")


@dataclass(frozen=True)
class Login:
    """Everything that is needed to log in. Its representation shows no password."""

    address: Address
    password: bytes = field(default=b"", repr=False)
    tls: Tls = field(default_factory=Tls)

    @property
    def where(self) -> str:
        """The server's address, for people."""
        somewhere = self.address.host or self.address.socket
        return str(self.address if somewhere else replace(self.address, host="localhost", port=DEFAULT_PORT))

    def connect(self, limit_s: float | None = None) -> Link:
        """Log in. Blocks for ``limit_s`` at most (default: a few seconds). Raises :class:`MysqlError`."""
        address = self.address
        try:
            return open_link(
                user=address.user,
                password=self.password,
                host=address.host,
                port=address.port or DEFAULT_PORT,
                unix_socket=address.socket,
                tls=self.tls,
                limit_s=LOGIN_LIMIT_S if limit_s is None else limit_s,
            )
        except Exception as error:
            # 'from None': the frames below hold the password in local variables.
            raise self.explain(error) from None

    def explain(self, error: Exception) -> MysqlError:
        """What an error of a :class:`Link` means. PyMySQL parses replies unchecked, so it may be anything."""
        where = self.where
        cause: BaseException = getattr(error, "original_exception", None) or error
        if isinstance(cause, LinkError | TlsError):
            return MysqlError(f"{where}: {printable(str(cause))}")
        stalled = isinstance(cause, TimeoutError) and "handshake" in str(cause)
        if stalled or isinstance(cause, ssl.SSLError):
            return MysqlError(f"{where}: {_tls_trouble(cause)}")
        foreign = isinstance(error, pymysql.InternalError) and "sequence number" in str(error)
        if foreign or not isinstance(error, (pymysql.MySQLError, OSError, RuntimeError)):
            return MysqlError(f"{where}: what answers there does not speak as a MySQL server does")
        code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        words = printable(str(error.args[1]) if len(error.args) > 1 else str(error))[:_MAX_WORDS] or "it gave no reason"
        if isinstance(cause, OSError):
            what = "socket" if self.address.socket else "port"
            words = printable(cause.strerror or str(cause))
            return MysqlError(f"{where}: cannot be reached: {words}; is the server running, and is this its {what}?")
        if code in _ACCESS_DENIED:
            used = "with a password" if self.password else "without a password from here"
            return MysqlError(
                f"{where}: the server refused the login {used}: {words}; give the right user in the address and the "
                "password by --mysql-password-file, MYSQL_PWD, an option file or the prompt",
                denied=True,
            )
        if code == CR.CR_SSL_CONNECTION_ERROR:
            words = "the server offers no TLS, and the option file asks for it (ssl, ssl-mode)"
        return MysqlError(f"{where}: {words}")


def _tls_trouble(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "the server offers TLS, and did not finish the handshake in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the server's certificate is not accepted: {error.verify_message}; did the authority in ssl-ca sign it, "
            "and does it hold the name by which the server is reached here?"
        )
    reason = (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()
    return f"there is no agreement with the server on TLS: {printable(reason)} (tls-version, ssl-cipher, ssl-cert)"


def read_password(path: Path) -> bytes:
    """The first line of a file. Raises :class:`MysqlError`."""
    try:
        with path.open("rb") as stream:
            text = stream.read(_MAX_PASSWORD_BYTES + 1)
    except OSError as error:
        raise MysqlError(f"{path}: the password cannot be read: {error.strerror}") from None
    if len(text) > _MAX_PASSWORD_BYTES:
        raise MysqlError(f"{path}: is longer than a password; the file's first line is the password")
    # An editor's mark at the beginning of a text in UTF-8 is no part of a password.
    return text.removeprefix(codecs.BOM_UTF8).split(b"\n", 1)[0].rstrip(b"\r")


def find_login(
    address: Address,
    password_file: Path | None = None,
    option_file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Login:
    """A login with the password from the first of: ``password_file``, ``MYSQL_PWD``, the option file (``~/.my.cnf``).

    The option file also supplies the user, and the server if ``address`` names none. Raises :class:`MysqlError` for a
    file that cannot be read.
    """
    if option_file is None:
        with contextlib.suppress(RuntimeError):  # a user without a home has no file there
            own = Path("~/.my.cnf").expanduser()
            option_file = own if own.is_file() else None
    try:
        options = read_settings(option_file) if option_file is not None else {}
        tls = tls_of(options)
    except OSError as error:
        raise MysqlError(f"{error.filename or option_file}: cannot be read: {error.strerror}") from None
    except OptionFileError as error:
        raise MysqlError(printable(str(error))) from None
    except TlsError as error:
        raise MysqlError(f"{option_file}: {error}") from None
    if password_file is not None:
        password = read_password(password_file)
    elif "MYSQL_PWD" in environment:
        password = os.fsencode(environment["MYSQL_PWD"])
    else:
        password = options.get("password", b"")
    return Login(_filled_in(address, options, option_file), password, tls)


def _filled_in(address: Address, options: Mapping[str, bytes], source: Path | None) -> Address:
    """Complete an address from the option file or, failing that, with the usual socket of this machine."""
    text = {name: _decoded(options.get(name, b"")) for name in ("user", "host", "socket", "port", "protocol")}
    for name, value in text.items():
        if not value.isprintable():
            raise MysqlError(f"{source}: {name} has characters that no {name} has")
    user = address.user or text["user"]
    if address.host or address.socket:
        return replace(address, user=user)
    host, path, port = text["host"], text["socket"], text["port"]
    number = whole(port or "0")  # 0 is the usual one, for the clients, too
    if number is None or number > 65535:
        raise MysqlError(f"{source}: the port is not a number from 1 to 65535")
    by_network = text["protocol"].upper() == "TCP"
    if path and host in ("", "localhost") and not by_network:
        return Address(user, socket=path)
    if host or number:
        return Address(user, host or "localhost", number)
    usual = next((path for path in _USUAL_SOCKETS if Path(path).is_socket()), "")
    return Address(user, socket=usual) if usual and not by_network else Address(user)


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def ask_password(address: Address) -> bytes:
    """Prompt on the terminal, without echo. Raises KeyboardInterrupt on Ctrl-C or Ctrl-D."""
    try:
        return os.fsencode(getpass.getpass(f"Password for {address}: "))
    except EOFError:
        raise KeyboardInterrupt from None


@dataclass(frozen=True)
class Peer:
    """What is at the other end of a connection, as far as it can be seen from here."""

    local: bool
    """On this machine; what it forwards to may still run elsewhere."""
    pid: int | None = None
    program: str = ""

    @property
    def is_server(self) -> bool:
        """Whether it is the server itself, not what forwards to one (a tunnel, a proxy, a container's port)."""
        return self.program.startswith(("mysqld", "mariadbd"))


def find_peer(link: Link) -> Peer:
    """The process at the other end of a connection. Raises OSError: the connection is gone."""
    # The one thing needed that has no public interface: whom the socket is connected to.
    wire: socket.socket | None = getattr(link, "_sock", None)
    if wire is None:
        raise ConnectionError("the connection is closed")
    if wire.family == socket.AF_UNIX:
        pid, _, _ = struct.unpack("3i", wire.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        # 0: in another pid namespace. 1: the init system opened the socket on the server's behalf.
        return _peer(pid) if pid > 1 else Peer(local=True)
    ours, theirs = wire.getsockname()[:2], wire.getpeername()[:2]
    if not (theirs[0].startswith("127.") or theirs[0] in ("::1", ours[0])):
        return Peer(local=False)
    pid = _owner(theirs, ours)
    return _peer(pid) if pid else Peer(local=True)


def _peer(pid: int) -> Peer:
    try:
        return Peer(local=True, pid=pid, program=psutil.Process(pid).name())
    except psutil.Error:
        return Peer(local=True)


def _owner(local: tuple[str, int], remote: tuple[str, int]) -> int | None:
    """The local process that owns the socket with these two addresses, if we may see it."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return None
    for entry in connections:
        if entry.pid and entry.laddr and entry.raddr and (_plain(entry.laddr), _plain(entry.raddr)) == (local, remote):
            return int(entry.pid)
    return None


def _plain(address: Any) -> tuple[str, int]:
    """Treat an IPv4-mapped IPv6 address as the IPv4 address it is."""
    return address.ip.removeprefix("::ffff:"), address.port
