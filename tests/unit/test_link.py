# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers that stall, flood, lie and ask for passwords: what a connection to them costs and gives away."""

import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import cast

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pymysql import _auth

from kmltui.model import Record, SessionSpec, Status
from kmltui.runner import server as runner_server
from kmltui.sessions import link, mysql
from kmltui.sessions.journal import Journal
from kmltui.sessions.link import Link, LinkError
from kmltui.sessions.mysql import Address, Login, MysqlError
from kmltui.sessions.protocol import SessionError
from kmltui.sessions.tls import Tls

CAPABILITIES = 0x81FFF7DF & ~0x800  # as MariaDB's, without TLS
OK = b"\0\0\0\2\0\0\0"
EOF = b"\xfe\0\0\2\0"
PASSWORD = b"geheim"


def packet(number: int, payload: bytes) -> bytes:
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload


def greeting(plugin: bytes = b"mysql_native_password", capabilities: int = CAPABILITIES) -> bytes:
    low, high = struct.pack("<H", capabilities & 0xFFFF), struct.pack("<H", capabilities >> 16)
    return packet(
        0, b"\n8.0.99-test\0" + b"\1\0\0\0" + b"s" * 8 + b"\0" + low + b"\x21\2\0" + high + b"\x15" + bytes(10)
        + b"t" * 12 + b"\0" + plugin + b"\0",
    )  # fmt: skip


def column(name: bytes) -> bytes:
    def text(value: bytes) -> bytes:
        return bytes([len(value)]) + value

    return b"\3def\0\0\0" + text(name) + text(name) + b"\x0c\x21\0\0\1\0\0\xfd\0\0\0\0\0"


def rows(columns: int, *found: bytes) -> bytes:
    parts = [bytes([columns]), *(column(b"c") for _ in range(columns)), EOF, *found, EOF]
    return b"".join(packet(number, part) for number, part in enumerate(parts, 1))


class Clock:
    """What a connection measures its limits by: it stands until time is made to pass, however busy the machine is."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


class Wire:
    """A connection as its server sees it."""

    def __init__(self, connection: socket.socket, clock: Clock) -> None:
        self.socket = connection
        self.clock = clock
        self.heard = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def hear(self) -> bytes:
        """The next packet that the client sends."""
        data = self.socket.recv(65536)
        self.heard += data
        return data

    def log_in(self) -> None:
        self.send(greeting())
        self.hear()
        self.send(packet(2, OK))
        self.hear()  # SET NAMES
        self.send(packet(1, OK))

    def stall(self, data: bytes) -> None:
        """So slowly that all limits pass before the end of ``data``, although another byte always comes."""
        half = len(data) // 2
        self.send(data[:half])
        self.clock.now_s += 1000
        self.send(data[half : half + 1])


@contextmanager
def server(behave: Callable[[Wire], None]) -> Iterator[tuple[Login, list[Wire]]]:
    """A server that does to its first client what ``behave`` says, and a login to it."""
    wires: list[Wire] = []
    clock = cast(Clock, link.time)

    def run() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            wires.append(Wire(connection, clock))
            behave(wires[0])
            while wires[0].hear():
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield Login(Address("app", "127.0.0.1", listener.getsockname()[1]), PASSWORD), wires
        thread.join(10)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "time", Clock())
    # Waits on the network have the same limits, by the machine's clock. Only what never comes is waited for so long.
    monkeypatch.setattr(mysql, "LOGIN_LIMIT_S", 60.0)
    monkeypatch.setattr(runner_server, "ANSWER_LIMIT_S", 60.0)


def test_an_honest_server_is_asked() -> None:
    def behave(wire: Wire) -> None:
        wire.log_in()
        wire.hear()
        wire.send(rows(2, b"\1a\x011", b"\1b\xfb"))

    with server(behave) as (login, wires):
        connected = login.connect()
        assert connected.ask("SHOW GLOBAL STATUS", 2) == [("a", "1"), ("b", "")]
        connected.close()
    assert wires[0].heard.endswith(b"\1\0\0\0\1"), "it takes leave, so that the server does not count an abort"


@pytest.mark.parametrize(
    ("behave", "words"),
    [
        (lambda wire: wire.stall(greeting()), "has not sent a greeting"),
        (lambda wire: wire.send(b"\xff\xff\xff\0" + bytes(70_000)), "longer than"),
        (lambda wire: wire.stall(b"\xff\xff\x0e\0" + bytes(100)), "has not sent a greeting"),
        (lambda wire: wire.socket.shutdown(socket.SHUT_RDWR), "closed the connection|broke"),
        (lambda wire: (wire.send(greeting()), wire.hear(), wire.stall(packet(2, bytes(100)))), "did not finish"),
        (lambda wire: wire.send(packet(0, b"\xff\x10\x04Too many \x1b[31m\n" + b"x" * 5000)), "Too many ␛"),
    ],
)
def test_a_login_ends_in_time_and_says_why(behave: Callable[[Wire], None], words: str) -> None:
    with server(behave) as (login, _), pytest.raises(MysqlError, match=words) as error:
        login.connect()
    assert str(error.value).isprintable() and len(str(error.value)) < 500


@pytest.mark.parametrize("beginning", [b"", greeting()[:20]], ids=["nothing", "a part"])
def test_a_server_that_falls_silent_is_left(beginning: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql, "LOGIN_LIMIT_S", 0.1)
    with (
        server(lambda wire: wire.send(beginning)) as (login, _),
        pytest.raises(MysqlError, match="has not sent a greeting"),
    ):
        login.connect()


def flood(wire: Wire) -> None:
    """Rows without an end, each as small as can be."""
    wire.send(rows(2)[: -len(packet(0, EOF))])
    number = 5
    while True:
        wire.send(b"".join(packet(n % 256, b"\xfb\xfb") for n in range(number, number + 2560)))
        number += 2560


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda wire: wire.send(packet(1, OK)), "something else than rows"),
        (lambda wire: wire.send(rows(2)), "something else than rows"),
        (lambda wire: wire.send(rows(1, b"\1a")), "something else than rows"),
        (lambda wire: wire.send(rows(3, b"\1a\1b\1c")), "something else than rows"),
        (lambda wire: wire.send(packet(1, b"\xff\x28\x04#42000no")), "no"),
        (lambda wire: wire.send(b"\xff\xff\xff\1" + b"x" * 100_000), "longer than"),
        (lambda wire: wire.send(rows(2, b"\1a" + b"\xfd\xff\xff\x7f")), "does not speak"),
        (lambda wire: wire.send(packet(1, b"\xfb/etc/passwd")), "local"),
        (lambda wire: wire.send(packet(7, OK)), "does not speak"),
        (flood, "longer than|did not finish"),
        (lambda wire: wire.stall(rows(2, b"\1a\x011")), "did not finish"),
        (lambda wire: wire.stall(b"\xff\xff\x0e\1" + b"x" * 100), "did not finish"),
    ],
)  # fmt: skip
def test_any_answer_is_explained_in_time(answer: Callable[[Wire], None], words: str) -> None:
    def behave(wire: Wire) -> None:
        wire.log_in()
        wire.hear()
        answer(wire)

    with server(behave) as (login, _):
        connected = login.connect()
        try:
            with pytest.raises(Exception) as error:
                connected.ask("SHOW GLOBAL STATUS", 2, limit_s=60)
        finally:
            connected.abort()
            connected.close()
    explained = str(login.explain(error.value))
    assert explained.startswith("mysql://app@127.0.0.1") and explained.isprintable()
    assert re.search(words, explained), explained


def test_what_is_under_way_can_be_ended_from_another_thread() -> None:
    with server(Wire.log_in) as (login, _):
        connected = login.connect()
        timer = threading.Timer(0.1, connected.abort)
        timer.start()
        with pytest.raises(LinkError, match=r"closed the connection|broke"):
            connected.ask("SHOW GLOBAL STATUS", 2, limit_s=30)
        timer.join()


def switch(plugin: bytes, data: bytes = b"") -> Callable[[Wire], None]:
    """Asks for another way of logging in."""

    def behave(wire: Wire) -> None:
        wire.send(greeting())
        wire.hear()
        wire.send(packet(2, b"\xfe" + plugin + b"\0" + data))

    return behave


@pytest.mark.parametrize(
    ("behave", "words"),
    [
        (switch(b"mysql_clear_password"), "clear text"),
        (switch(b"dialog", b"\4Password: "), "clear text"),
        (switch(b"mysql_old_password", b"12345678"), "broken long ago"),
    ],
)
def test_a_password_goes_to_nobody_who_merely_asks_for_it(behave: Callable[[Wire], None], words: str) -> None:
    with server(behave) as (login, wires), pytest.raises(MysqlError, match=words):
        login.connect()
    assert PASSWORD not in wires[0].heard


@pytest.mark.parametrize("plugin", [b"caching_sha2_password", b"sha256_password"])
def test_a_key_that_a_distant_server_names_itself_is_not_used(plugin: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Link, "_on_this_machine", lambda self: False)

    def behave(wire: Wire) -> None:
        switch(plugin, b"s" * 20 + b"\0")(wire)
        wire.hear()
        wire.send(packet(4, b"\1\4"))

    with server(behave) as (login, wires), pytest.raises(MysqlError, match="key that it names itself"):
        login.connect()
    assert PASSWORD not in wires[0].heard


def test_the_defaults_of_mysql_and_mariadb_have_what_they_need() -> None:

    key = rsa.generate_private_key(65537, 2048).public_key()
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert len(_auth.sha2_rsa_encrypt(PASSWORD, b"s" * 20, pem)) == 256
    assert len(_auth.ed25519_password(PASSWORD, b"s" * 32)) == 64


def test_tls_that_is_asked_for_is_not_done_without() -> None:
    with server(lambda wire: wire.send(greeting())) as (login, wires):
        careful = Login(login.address, PASSWORD, Tls("required"))
        with pytest.raises(MysqlError, match="offers no TLS"):
            careful.connect()
    assert wires[0].heard == b"", "nothing was sent to it, a user's name included"


@pytest.mark.parametrize(
    ("tls", "words"),
    [
        (Tls("verify-ca", ca="/nonexistent"), "ssl-ca"),
        (Tls("required", cert="/nonexistent"), "ssl-cert"),
        (Tls("required", cipher="none such"), "ssl-cipher"),
        (Tls("required", versions=("TLSv9",)), "tls-version"),
        (Tls(server_key="/nonexistent"), "server-public-key-path"),
    ],
)
def test_files_that_cannot_be_used_are_named(tls: Tls, words: str) -> None:
    with pytest.raises(MysqlError, match=words):
        Login(Address("app", "127.0.0.1", 1), PASSWORD, tls).connect()


def test_the_versions_of_tls_bound_what_is_spoken() -> None:
    context = Tls("required", versions=("TLSv1.2",)).context(named=True)
    assert (context.minimum_version, context.maximum_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
    assert not context.check_hostname
    assert Tls("verify-identity").context(named=True).check_hostname


def test_trouble_with_tls_has_sentences_of_its_own() -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    explained = str(Login(Address("app", "h")).explain(error))
    assert "certificate is not accepted: self-signed certificate" in explained and "running" not in explained
    assert "agreement" in str(Login(Address("app", "h")).explain(ssl.SSLError(1, "[SSL: NO_PROTOCOLS] none")))
    late = TimeoutError("_ssl.c:989: The handshake operation timed out")
    assert "did not finish the handshake" in str(Login(Address("app", "h")).explain(late))


class Guest:
    """As much of a session as the runner needs to ask its server."""

    spec = SessionSpec(name="stock")

    def __init__(self, port: int) -> None:
        self._port = port

    def mysql_address(self) -> tuple[str, int]:
        return "127.0.0.1", self._port


class TestWhatAnswersInAGuest:
    """It is no more trusted than any other server: a program in the guest may have taken the port."""

    def asked(self, login: Login, found: list[Record]) -> runner_server.Server:
        return runner_server.Server(Guest(login.address.port), Journal(lambda: 7, found.append))  # type: ignore[arg-type]

    async def test_its_counters_are_recorded(self) -> None:
        def behave(wire: Wire) -> None:
            wire.log_in()
            wire.hear()
            wire.send(rows(2, b"\x09Questions\x0242", b"\6Uptime\3abc"))

        found: list[Record] = []
        with server(behave) as (login, _):
            asked = self.asked(login, found)
            await asked.poll_status()
            await asked.stop()
        (status,) = found
        assert isinstance(status, Status) and status.counters == {"Questions": 42} and status.own["Questions"] == 1

    @pytest.mark.parametrize(
        "behave",
        [
            lambda wire: wire.stall(greeting()),
            lambda wire: (wire.log_in(), wire.hear(), wire.stall(rows(2, b"\1a\x011"))),
            lambda wire: (wire.log_in(), wire.hear(), wire.send(rows(1, b"\1a"))),
            lambda wire: (wire.log_in(), wire.hear(), wire.send(packet(1, OK))),
        ],
        ids=["greeting", "answer", "one column", "no rows"],
    )
    async def test_one_that_stalls_or_lies_costs_a_sentence(self, behave: Callable[[Wire], None]) -> None:
        with server(behave) as (login, _):
            asked = self.asked(login, [])
            with pytest.raises(SessionError, match="no longer answers"):
                await asked.poll_status()
            await asked.stop()

    async def test_it_does_not_get_the_password_in_clear_text(self) -> None:
        with server(switch(b"mysql_clear_password")) as (login, wires):
            asked = self.asked(login, [])
            with pytest.raises(SessionError, match="clear text"):
                await asked.poll_status()
            await asked.stop()
        assert asked._password.encode() not in wires[0].heard
