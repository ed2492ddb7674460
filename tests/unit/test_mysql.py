# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers that are there already: their addresses, where passwords come from and where they never go, who listens."""

import os
import socket
import subprocess
import sys
import threading

import pymysql
import pytest

from kmltui.sessions import mysql
from kmltui.sessions.mysql import Address, DsnError, Login, MysqlError, find_login, parse_dsn
from kmltui.sessions.tls import Tls


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("mysql://app@db.example:3307", Address("app", "db.example", 3307)),
        ("mariadb://db.example", Address("", "db.example")),
        ("mysql://[::1]:3306", Address("", "::1", 3306)),
        ("mysql://[fe80::1%25lo]", Address("", "fe80::1%lo")),
        ("mysql://a%40b@h", Address("a@b", "h")),
        ("mysql:///run/mysqld/mysqld.sock", Address(socket="/run/mysqld/mysqld.sock")),
        ("mysql://app@/run/m.sock", Address("app", socket="/run/m.sock")),
        ("mysql:///tmp/with@and:colon", Address(socket="/tmp/with@and:colon")),
        ("mysql://", Address()),
        ("mysql://app@", Address("app")),
    ],
)
def test_addresses_are_read_and_written_back(text, address):
    assert parse_dsn(text) == address
    assert parse_dsn(str(address)) == address


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("localhost", "not the address"),
        ("postgres://h", "not the address"),
        ("mysql:/run/x.sock", "not the address"),
        ("mysql://h:0", "port"),
        ("mysql://h:70000", "port"),
        ("mysql://:3306", "no host"),
        ("mysql://h/shop", "not the database 'shop'"),
        ("mysql://run/mysqld/mysqld.sock", "its path: mysql:///run/mysqld/mysqld.sock"),
        ("mysql://u@localhost/tmp/x.sock", "its path: mysql://u@/tmp/x.sock"),
        ("mysql://u@127.0.0.1/tmp/x.sock", "its path: mysql://u@/tmp/x.sock"),
        ("mysql://u@[::1]/tmp/x.sock", "its path: mysql://u@/tmp/x.sock"),
        ("mysql://a%0Ab@h", "such characters"),
        ("mysql://%1b31m@h", "such characters"),
        ("mysql://h?ssl=1", "'?'"),
        ("mysql://h/#x", "'#'"),
    ],
)
def test_a_wrong_address_says_what_is_wrong_with_it(text, words):
    with pytest.raises(DsnError, match="mysql://") as error:
        parse_dsn(text)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "mysql://app:geheim@h",
        "mysql://app:geheim@h:3306/shop?x=1",
        "mysql://app:ge/geheim@h",
        "mysql://app:ge@geheim@h",
        "mysql://:geheim@h",
        "mysql://app:geheim",
        "app:geheim@h",
        "postgres://app:geheim@h",
        "mysql//app:geheim@h",
        "mysql:app:geheim@h",
        "mysql:geheim://h",
        "mysql://h?password=geheim",
        "mysql://h:3306?password=geheim",
        "mysql://h/shop?password=geheim",
        "mysql://h#geheim",
        "mysql://[::1]:geheim",
        "mysql://app:3306/geheim@h",
    ],
)
def test_a_password_in_an_address_is_refused_and_never_repeated(text):
    with pytest.raises(DsnError) as error:
        parse_dsn(text)
    assert "geheim" not in str(error.value)


def test_the_password_comes_from_the_file_then_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "secret"
    file.write_bytes("pä ss#1\nsecond line\n".encode())
    address, environment = Address("app", "h"), {"MYSQL_PWD": "other"}
    assert find_login(address, file, environment=environment).password == "pä ss#1".encode()
    assert find_login(address, environment=environment).password == b"other"
    assert find_login(address, environment={}) == Login(address)


def test_the_option_file_of_the_user_is_read_if_it_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    own, named = tmp_path / ".my.cnf", tmp_path / "other.cnf"
    own.write_text("[mysqld]\nuser=no\n[client]\nuser=own\n!include /nowhere\npassword = 'a #b'\nsocket=/s\n")
    named.write_text('[client]\nuser=named\npassword="c"\nhost=h\nport=3307\nssl-ca=/ca.pem\nquick\n')
    assert find_login(Address(), environment={}) == Login(Address("own", socket="/s"), b"a #b")
    login = find_login(Address(), option_file=named, environment={})
    assert login == Login(Address("named", "h", 3307), b"c", Tls("verify-ca", ca="/ca.pem"))


def test_what_the_address_says_wins_over_the_option_file(tmp_path):
    file = tmp_path / "my.cnf"
    file.write_text("[client]\nuser=own\nsocket=/s\nport=1\npassword=p\n")
    for given in (Address("app", "h"), Address("app", socket="/other")):
        assert find_login(given, option_file=file, environment={}) == Login(given, b"p")
    assert find_login(Address(host="h"), option_file=file, environment={}).address == Address("own", "h")


def test_an_address_without_a_server_means_the_one_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(mysql, "_USUAL_SOCKETS", ("/nonexistent", str(tmp_path / "s")))
    assert find_login(Address("app"), environment={}).where == "mysql://app@localhost:3306"
    assert find_login(Address(), environment={}).where == "mysql://localhost:3306"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        assert find_login(Address("app"), environment={}).address == Address("app", socket=str(tmp_path / "s"))


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (None, "cannot be read"),
        ("password=geheim\n", "before the first .group"),
        ("[client]\npassword=geheim\nport=many\n", "port"),
    ],
)
def test_an_option_file_that_cannot_be_used_is_a_clear_error(tmp_path, contents, words):
    file = tmp_path / "my.cnf"
    if contents is not None:
        file.write_text(contents)
    with pytest.raises(MysqlError, match=words) as error:
        find_login(Address(), option_file=file, environment={})
    assert "geheim" not in str(error.value)


def test_a_password_file_that_cannot_be_used_is_a_clear_error(tmp_path):
    with pytest.raises(MysqlError, match="cannot be read"):
        find_login(Address(), tmp_path / "missing", environment={})
    (tmp_path / "big").write_bytes(b"x" * 100_000)
    with pytest.raises(MysqlError, match="longer than a password"):
        find_login(Address(), tmp_path / "big", environment={})


def test_no_representation_or_error_shows_the_password(monkeypatch):
    login = Login(Address("app", "h"), b"geheim")
    assert "geheim" not in repr(login)

    def refuse(**options):
        raise pymysql.OperationalError(1045, "Access denied for user 'app'@'h' (using password: YES)")

    monkeypatch.setattr(mysql, "open_link", refuse)
    with pytest.raises(MysqlError, match="refused the login with a password") as error:
        login.connect()
    assert error.value.denied
    assert error.value.__suppress_context__, "a traceback would show the frames that hold the password"


def test_an_unreachable_server_is_told_apart_from_a_refused_login(tmp_path):
    with pytest.raises(MysqlError, match=r"cannot be reached.*socket") as error:
        Login(Address(socket=str(tmp_path / "none.sock"))).connect()
    assert not error.value.denied


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        bytes(100),
        b"\x16\0\0\0\n8.0.1\0" + b"\xb2" * 15,
        b"\x08\0\0\0\n8.0.1\0<",
    ],
)
def test_what_is_no_mysql_server_is_said_to_be_none(answer):
    def serve(server):
        connection, _ = server.accept()
        with connection:
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        with pytest.raises(MysqlError, match="does not speak as a MySQL server") as error:
            Login(Address("app", "127.0.0.1", server.getsockname()[1]), b"geheim").connect()
        thread.join()
    assert "geheim" not in str(error.value)


class Wired:
    def __init__(self, wire):
        self._sock = wire


def test_the_process_behind_a_unix_socket_is_the_one_that_listens(tmp_path):
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))
        peer = mysql.find_peer(Wired(client))
        assert peer.local and peer.pid == os.getpid() and not peer.is_server


def test_the_process_behind_a_port_is_the_one_that_answers_and_not_one_that_listens_there_too(tmp_path):
    other = "import socket, time; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1); "
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        # It listens on every address; ours, which is more exact, gets the connections.
        other += f"s.bind(('', {server.getsockname()[1]})); s.listen(); print(flush=True); time.sleep(60)"
        with subprocess.Popen([sys.executable, "-c", other], stdout=subprocess.PIPE) as process:
            assert process.stdout.readline()
            try:
                with socket.create_connection(server.getsockname()) as client, server.accept()[0]:
                    peer = mysql.find_peer(Wired(client))
            finally:
                process.kill()
    assert peer.local and peer.pid == os.getpid()


@pytest.mark.parametrize(
    ("program", "is_server"),
    [
        ("mysqld", True),
        ("mariadbd", True),
        ("mysqld-debug", True),
        ("docker-proxy", False),
        ("ssh", False),
        ("", False),
    ],
)
def test_what_passes_on_to_a_server_is_none(program, is_server):
    assert mysql.Peer(local=True, pid=1, program=program).is_server == is_server


def test_a_closed_connection_has_no_other_end():
    with pytest.raises(OSError, match="closed"):
        mysql.find_peer(Wired(None))
