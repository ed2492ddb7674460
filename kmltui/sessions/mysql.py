"""An existing MySQL or MariaDB server: how to write its address, how to log in, and what its refusals mean.

The address is a URL without a password (``mysql://user@host:port``, ``mysql:///path/to/socket``). The password comes
from a file, the environment, an option file or a prompt and lives in memory only: never in an argument list, a log, a
recording or the text of an error.
"""

from __future__ import annotations

import configparser
import getpass
import os
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import psutil
import pymysql

DEFAULT_PORT = 3306
CONNECT_LIMIT_S = 5
_USUAL_SOCKETS = ("/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock")
_EXAMPLES = "mysql://USER@HOST:PORT or mysql:///PATH/TO/SOCKET"
_HIDDEN = re.compile(r"^((?:[^:/]*://)?[^:/\[]*:)(?!//|\d{0,5}(/|$)).+$")
"""What follows a colon and is no port may be a password."""

_ACCESS_DENIED = {1044, 1045, 1698}
_MAX_PASSWORD_BYTES = 4096


class MysqlError(Exception):
    """The server cannot be used. The message says what happened, to which server, and what to do; no secret."""

    def __init__(self, message: str, *, denied: bool = False) -> None:
        super().__init__(message)
        self.denied = denied
        """The server answered and refused the login: another password may help, waiting does not."""


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
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mysql://{user}{host}" + (f":{self.port}" if self.port else "")


def parse_dsn(text: str) -> Address:
    """The address that a URL stands for. Raises :class:`DsnError`."""
    scheme, separator, rest = text.partition("://")
    # Looked for first and by hand: no message below may quote a password, whatever characters it has.
    login = "" if rest.startswith("/") else rest.rpartition("@")[0]
    if ":" in login:
        raise DsnError(
            f"mysql://{login.partition(':')[0]}:…: a password in an argument can be read by everybody on this machine; "
            "leave it out and use --mysql-password-file, MYSQL_PWD, an option file or the prompt"
        )
    shown = repr(_HIDDEN.sub(r"\1…", text))
    if not separator or scheme not in ("mysql", "mariadb"):
        raise DsnError(f"{shown}: is not the address of a MySQL server; write {_EXAMPLES}")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", 0
    if port == 0:
        raise DsnError(f"{shown}: the port is not a number from 1 to 65535; write {_EXAMPLES}")
    if parts.query or parts.fragment:
        raise DsnError(f"{shown}: nothing may follow the address, '?' and '#' included; write {_EXAMPLES}")
    path, user = unquote(parts.path), unquote(parts.username or "")
    if host and "/" in path.strip("/"):
        raise DsnError(f"{shown}: for a socket write three slashes: mysql:///{host}{path}")
    if host and path.strip("/"):
        raise DsnError(f"{shown}: a server is watched, not the database {path.strip('/')!r}; leave that out")
    if not host and port:
        raise DsnError(f"{shown}: there is a port but no host; write {_EXAMPLES}")
    if not host and path in ("", "/"):
        return Address(user=user)
    return Address(user, host, port or 0) if host else Address(user, socket=path)


@dataclass(frozen=True)
class Login:
    """Everything that is needed to log in. Its representation shows no password."""

    address: Address
    password: bytes = field(default=b"", repr=False)
    tls: dict[str, str] = field(default_factory=dict)
    """``ssl_ca``, ``ssl_cert``, ``ssl_key``: files. Without any, TLS is used where the server offers it, unchecked."""

    @property
    def where(self) -> str:
        """The server's address, for people."""
        somewhere = self.address.host or self.address.socket
        return str(self.address if somewhere else replace(self.address, host="localhost", port=DEFAULT_PORT))

    def connect(self) -> pymysql.Connection[Any]:
        """Log in. Blocks for a few seconds at most. Raises :class:`MysqlError`."""
        address = self.address
        try:
            return pymysql.connect(
                user=address.user or None,
                password=self.password,
                host=address.host or None,
                port=address.port or DEFAULT_PORT,
                unix_socket=address.socket or None,
                ssl_ca=self.tls.get("ssl_ca"),
                ssl_cert=self.tls.get("ssl_cert"),
                ssl_key=self.tls.get("ssl_key"),
                ssl_verify_cert="ssl_ca" in self.tls or None,
                connect_timeout=CONNECT_LIMIT_S,
                read_timeout=CONNECT_LIMIT_S,
                write_timeout=CONNECT_LIMIT_S,
                autocommit=None,
                program_name="kmltui",
            )
        except Exception as error:
            # 'from None': the frames below hold the password in local variables.
            raise self.explain(error) from None

    def explain(self, error: Exception) -> MysqlError:
        """What an error of PyMySQL's means. It takes answers apart unseen, so anything can come of a wrong one."""
        foreign = isinstance(error, pymysql.InternalError) and "sequence number" in str(error)
        if foreign or not isinstance(error, (pymysql.MySQLError, OSError, UnicodeError, RuntimeError)):
            return MysqlError(f"{self.where}: what answers there does not speak as a MySQL server does")
        code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        words = str(error.args[1]) if len(error.args) > 1 else str(error)
        where, words = self.where, words or "it gave no reason"
        if code in _ACCESS_DENIED:
            used = "with a password" if self.password else "without a password from here"
            return MysqlError(
                f"{where}: the server refused the login {used}: {words}; give the right user in the address and the "
                "password by --mysql-password-file, MYSQL_PWD, an option file or the prompt",
                denied=True,
            )
        if code == 2003 or isinstance(error, OSError):
            what = "socket" if self.address.socket else "port"
            return MysqlError(f"{where}: cannot be reached: {words}; is the server running, and is this its {what}?")
        return MysqlError(f"{where}: {words}")


def read_option_file(path: Path) -> dict[str, str]:
    """The ``[client]`` group of an option file, names with underscores. Raises :class:`MysqlError`.

    As the server's own clients read it, save that ``!include`` lines are passed over; no line is ever quoted.
    """
    parser = configparser.RawConfigParser(allow_no_value=True, strict=False)
    try:
        with path.open(encoding="utf-8") as stream:
            parser.read_file(stream)
    except OSError as error:
        raise MysqlError(f"{path}: cannot be read: {error.strerror}") from None
    except (configparser.Error, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None)
        raise MysqlError(f"{path}: is not an option file" + (f" (line {line})" if line else "")) from None
    if not parser.has_section("client"):
        return {}
    return {name.replace("-", "_"): _unquoted(value) for name, value in parser.items("client") if value is not None}


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def read_password(path: Path) -> bytes:
    """The first line of a file. Raises :class:`MysqlError`."""
    try:
        with path.open("rb") as stream:
            text = stream.read(_MAX_PASSWORD_BYTES + 1)
    except OSError as error:
        raise MysqlError(f"{path}: the password cannot be read: {error.strerror}") from None
    if len(text) > _MAX_PASSWORD_BYTES:
        raise MysqlError(f"{path}: is longer than a password; the file's first line is the password")
    return text.split(b"\n", 1)[0].rstrip(b"\r")


def find_login(
    address: Address,
    password_file: Path | None = None,
    option_file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Login:
    """A login with the password from the first of: ``password_file``, ``MYSQL_PWD``, the option file (``~/.my.cnf``).

    The option file also gives the user, and the server where ``address`` names none. Raises :class:`MysqlError` for a
    file that cannot be read.
    """
    own = Path("~/.my.cnf").expanduser()
    if option_file is None and own.is_file():
        option_file = own
    options = read_option_file(option_file) if option_file is not None else {}
    tls: dict[str, str] = {name: options[name] for name in ("ssl_ca", "ssl_cert", "ssl_key") if name in options}
    if password_file is not None:
        password = read_password(password_file)
    elif "MYSQL_PWD" in environment:
        password = os.fsencode(environment["MYSQL_PWD"])
    else:
        password = options.get("password", "").encode()
    return Login(_filled_in(address, options, option_file), password, tls)


def _filled_in(address: Address, options: Mapping[str, str], source: Path | None) -> Address:
    """What an address leaves open, from the option file; where that says nothing, the usual socket of this machine."""
    user = address.user or options.get("user", "")
    if address.host or address.socket:
        return replace(address, user=user)
    host, path, port = options.get("host", ""), options.get("socket", ""), options.get("port", "")
    if port and not (port.isdecimal() and 0 < int(port) < 65536):
        raise MysqlError(f"{source}: the port is not a number from 1 to 65535")
    if path and host in ("", "localhost"):
        return Address(user, socket=path)
    if host or port:
        return Address(user, host or "localhost", int(port or 0))
    usual = next((path for path in _USUAL_SOCKETS if Path(path).is_socket()), "")
    return Address(user, socket=usual) if usual else Address(user)


def ask_password(address: Address) -> bytes:
    """Prompt on the terminal, without echo."""
    return os.fsencode(getpass.getpass(f"Password for {address}: "))


def server_pid(connection: pymysql.Connection[Any]) -> int | None:
    """The process behind a connection, where it is one of this machine that can be seen from here."""
    # The one thing that is needed and not offered: whom the socket is connected to.
    link: socket.socket | None = getattr(connection, "_sock", None)
    if link is None:
        return None
    if link.family == socket.AF_UNIX:
        pid, _, _ = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        # 0: in another pid namespace. 1: the init system opened the socket on the server's behalf.
        return pid if pid > 1 else None
    return _listener(*link.getpeername()[:2])


def is_local(connection: pymysql.Connection[Any]) -> bool:
    """Whether the server answers from this machine (which may still be from a container or through a tunnel)."""
    link: socket.socket | None = getattr(connection, "_sock", None)
    if link is None or link.family == socket.AF_UNIX:
        return link is not None
    peer: str = link.getpeername()[0]
    return peer.startswith("127.") or peer in ("::1", link.getsockname()[0])


def _listener(host: str, port: int) -> int | None:
    """The process of this machine that has the other end of a TCP connection, if we may see whose it is."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return None
    for entry in connections:
        if entry.status != psutil.CONN_LISTEN or not entry.laddr or entry.laddr.port != port or not entry.pid:
            continue
        if entry.laddr.ip in (host, "0.0.0.0", "::", f"::ffff:{host}"):
            return int(entry.pid)
    return None
