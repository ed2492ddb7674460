# SPDX-License-Identifier: GPL-2.0-or-later
"""Option files (``~/.my.cnf``), read by the rules of MySQL's and MariaDB's own clients.

The rules are those of ``mysys/my_default.c`` in both servers' sources; differences between the two are noted here. The
tests compare this reader with the output of both servers' ``my_print_defaults``.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from kmltui.printable import printable

GROUPS = ("client", "client-server", "client-mariadb")
"""The groups that every client reads; the last two are MariaDB's."""

_MAX_DEPTH = 10
"""How deep files may include each other; anything deeper is ignored, as the clients do."""

_MAX_LINE_BYTES = 4094
"""MariaDB splits a longer line into several lines; MySQL reads it whole. Here it is refused."""

_MAX_FILES = 1000
_MAX_FILE_BYTES = 1 << 20
"""No option file is larger; an endless device is not read forever."""

_BLANK = b" \t\n\v\f\r\xa0"
_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"s": b" ", b'"': b'"', b"'": b"'", b"\\": b"\\"}
_INCLUDE = re.compile(rb"(include|includedir)(?:[ \t\n\v\f\r\xa0](.*))?", re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)

Option = tuple[bytes, bytes | None]
"""A name as it is written, and its value; None: there is no ``=``."""


class OptionFileError(Exception):
    """A file that no client reads, or that clients read differently. The message names the place and quotes nothing."""


def read_options(path: Path, groups: Sequence[str] = GROUPS) -> list[Option]:
    """The options of ``groups`` in the order in which they take effect, including those of included files.

    Raises :class:`OptionFileError`, OSError.
    """
    return list(_Reader({group.encode().lower() for group in groups}).read(path, 0))


class _Reader:
    def __init__(self, groups: set[bytes]) -> None:
        self._groups = groups
        self._files = 0

    def read(self, path: Path, depth: int) -> Iterator[Option]:
        self._files += 1
        if self._files > _MAX_FILES:
            raise OptionFileError(f"{path}: more than {_MAX_FILES} files include each other")
        group: bytes | None = None
        for number, line in enumerate(_contents(path).split(b"\n"), 1):
            if len(line) > _MAX_LINE_BYTES or b"\0" in line:
                raise OptionFileError(f"{path}: line {number}: no client's option is as long, or holds a zero byte")
            text = line.strip(_BLANK)
            if not text or text[:1] in (b"#", b";"):
                continue
            if text.startswith(b"!"):
                if depth < _MAX_DEPTH:
                    yield from self._included(text[1:].lstrip(_BLANK), depth, f"{path}: line {number}")
            elif text.startswith(b"["):
                name, bracket, _ = text[1:].partition(b"]")
                if not bracket:
                    raise OptionFileError(f"{path}: line {number}: a group's name has no ']'")
                group = name.rstrip(_BLANK).lower()
            elif group is None:
                raise OptionFileError(f"{path}: line {number}: an option stands before the first [group]")
            elif group in self._groups:
                yield _option(_without_comment(text))

    def _included(self, directive: bytes, depth: int, where: str) -> Iterator[Option]:
        match = _INCLUDE.fullmatch(directive)
        if match is None:
            return
        keyword, name = match.groups()
        # MySQL allows a comment after the name; MariaDB takes it as part of the name.
        name = _without_comment(name or b"").strip(_BLANK)
        if not name:
            raise OptionFileError(f"{where}: !{keyword.decode()} names nothing")
        path = Path(os.fsdecode(name))
        if keyword == b"include":
            found = [path]
        elif path.is_dir():
            found = sorted(file for file in path.iterdir() if file.name.endswith(".cnf"))
        else:
            raise OptionFileError(f"{where}: there is no directory {printable(str(path))}")
        for file in found:
            if file.is_file():
                yield from self.read(file, depth + 1)


def _contents(path: Path) -> bytes:
    with path.open("rb") as stream:
        status = os.fstat(stream.fileno())
        # The clients ignore such a file: anyone who can write to it could redirect the password to their own server.
        if stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IWOTH:
            raise OptionFileError(f"{path}: everybody can write to it, so it is not read: chmod o-w it")
        data = stream.read(_MAX_FILE_BYTES + 1)
    if len(data) > _MAX_FILE_BYTES:
        raise OptionFileError(f"{path}: is larger than an option file can be")
    return data


def _without_comment(text: bytes) -> bytes:
    """``text`` up to a ``#`` that is not within quotes."""
    quote = 0
    escaped = False
    for place, char in enumerate(text):
        if char in b"'\"" and not escaped:
            quote = char if not quote else 0 if quote == char else quote
        if not quote and char == ord("#"):
            return text[:place]
        escaped = bool(quote) and char == ord("\\") and not escaped
    return text


def _option(text: bytes) -> Option:
    name, sign, value = text.partition(b"=")
    if not sign:
        return name.rstrip(_BLANK), None
    value = value.strip(_BLANK)
    if len(value) > 1 and value[:1] in (b"'", b'"') and value[:1] == value[-1:]:
        value = value[1:-1]
    return name.rstrip(_BLANK), _unescaped(value)


def _unescaped(value: bytes) -> bytes:
    """A backslash before a character without special meaning, or at the end, stands for itself."""
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[0]), value)


_SWITCHES = ("ssl", "ssl-verify-server-cert", "get-server-public-key")
_OPTIONS = (
    *("user", "password", "host", "port", "socket", "protocol", "ssl-mode", "ssl-ca", "ssl-capath", "ssl-cert"),
    *("ssl-key", "ssl-cipher", "ssl-crl", "tls-version", "server-public-key-path", *_SWITCHES),
)
_NEIGHBOURS = (
    *("pager", "plugin-dir", "plugin-authentication", "print-defaults", "prompt"),
    *("unbuffered", "help", "html", "histignore", "select-limit", "show-warnings", "sigint-ignore", "silent", "syslog"),
    *("safe-updates", "server-arg", "system-command", "skip-column-names", "ssl-crlpath", "ssl-fips-mode", "ssl-fp"),
    *("ssl-fplist", "ssl-passphrase", "ssl-session-data", "tls-ciphersuites", "tls-sni-servername", "table", "tee"),
)
"""The clients' other options, with which an abbreviated name can be confused."""


def read_settings(path: Path) -> dict[str, bytes]:
    """The options that matter to a login, by their full names; a switch is ``1`` or ``0``.

    Raises :class:`OptionFileError`, OSError.
    """
    settings: dict[str, bytes] = {}
    for name, value in read_options(path):
        text = name.decode("latin-1").replace("_", "-").removeprefix("loose-")
        stem = text.removeprefix("skip-").removeprefix("disable-").removeprefix("enable-")
        full = _full_name(stem, path)
        if full in _SWITCHES:
            on = value is None or not is_off(value)
            negated = text.startswith(("skip-", "disable-"))
            settings[full] = b"1" if on != negated else b"0"
        elif full and stem == text:
            settings[full] = value or b""
    return settings


def _full_name(name: str, path: Path) -> str:
    """The known option that ``name`` is or, as the clients allow, abbreviates; empty if there is none."""
    if name in _OPTIONS or name in _NEIGHBOURS:
        return name if name in _OPTIONS else ""
    fitting = [known for known in (*_OPTIONS, *_NEIGHBOURS) if len(name) > 1 and known.startswith(name)]
    if len(fitting) > 1 and any(known in _OPTIONS for known in fitting):
        raise OptionFileError(f"{path}: an option's name is so short that it fits {' and '.join(sorted(fitting)[:4])}")
    return fitting[0] if len(fitting) == 1 and fitting[0] in _OPTIONS else ""


def is_off(value: bytes) -> bool:
    """Whether a switch's value turns it off."""
    return value.lower() in (b"0", b"off", b"false", b"no")
